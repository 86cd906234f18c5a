"""Readiness answers in time, even when its checks hang."""

import asyncio

import pytest

from server import readiness
from server.readiness import Readiness, Report, Trouble
from tests.conftest import Server
from tests.domain.kernel.test_store import Failing
from tests.support.market import Market


async def test_probes_share_a_check_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `_running` and `young` in `Readiness.report`; without them each probe starts a check
    of its own and waits for it."""
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0.1)
    calls, answers = 0, asyncio.Event()

    async def hangs() -> None:
        nonlocal calls
        calls += 1
        await answers.wait()

    async def fails() -> None:
        raise OSError("with a secret")

    async def limited() -> Trouble:
        return Trouble("slow", fatal=False)

    checks = Readiness({"database": hangs, "disk": fails, "redis": limited})
    reports = await asyncio.gather(*(checks.report() for _ in range(20)))
    reports.append(await checks.report())
    assert calls == 1
    for report in reports:
        assert report.reasons == {
            "database": "no answer for 0 s",
            "disk": "fails: OSError",
            "redis": "slow",
        }
        assert not report.ready
    answers.set()
    await asyncio.sleep(0)
    assert "database" not in (await checks.report()).found
    checks.stop()


def test_a_process_is_ready_with_trouble_that_is_not_fatal() -> None:
    """Guard: `fatal` in `Report.ready`."""
    assert Report({"redis": Trouble("away", fatal=False)}).ready
    assert not Report({"redis": Trouble("deaf")}).ready


async def test_an_engine_that_fails_is_told_by_name(server: Server, market: Market) -> None:
    """Guard: `EngineFailure`: a database that answers with errors of its engine is unavailable, to
    clients and to the probe, and is not ready although it answers `ping`."""
    customer = await market.customer()
    failing = Failing(server.web.settings.mongo_url)
    try:
        failing.order("find", times=100, errorCode=1)
        await server.store.client.admin.command("ping")
        async with asyncio.timeout(30):
            report = await server.web.readiness.report()
        assert report.reasons["database"] == "cannot be read: EngineFailure"
        assert not report.ready
        status, answer = await customer.http("GET", "/api/job/mine")
        assert (status, answer["code"]) == (503, "unavailable")
    finally:
        failing.left()
        failing.client.close()
    assert (await server.web.readiness.report()).ready
