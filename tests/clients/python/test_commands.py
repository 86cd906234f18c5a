"""Commands of the Python client: typed refusals, and repetitions that do nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from jobsphere import NoAnswer, Refusal
from jobsphere.refusals import passes, repeat, was_not_answered, was_not_executed

from domain.jobs.job import Job
from domain.operations.idempotency import Reply
from tests.faults.outcome import until
from tests.support.installations import Installation
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.python_clients import JOB, PythonClients, eventually, session_of

pytestmark = one_server


@asynccontextmanager
async def held(market: Market, job_id: str) -> AsyncIterator[None]:
    """Commands that change the job wait for a transaction, which is aborted at the end."""
    store = market.store
    async with await store.client.start_session() as session:
        session.start_transaction()
        change = {"$set": {"description": "Held by another transaction."}}
        await store.database[Job.COLLECTION].update_one({"_id": job_id}, change, session=session)
        yield
        await session.abort_transaction()


async def running_commands(market: Market) -> int:
    """How many request ids are claimed."""
    return await market.store.single().count(Reply, {"claimed_by": {"$gt": ""}})


async def test_a_refusal_has_code_message_and_details(clients: PythonClients) -> None:
    """Guard: `Connection.ask` and `http._refusal`: the same refusal over both wires."""
    carla = await clients.customer()
    before = await clients.market.traces()
    with pytest.raises(Refusal) as refused:
        await carla.job.create(**JOB | {"title": " "})
    assert (refused.value.code, refused.value.details["field"]) == ("invalid", "title")
    assert refused.value.message.startswith("title: ")
    with pytest.raises(Refusal) as refused:
        await carla.files.ticket(file_id="fil_unknown")
    assert (refused.value.code, refused.value.retry_after) == ("not_found", 0)
    with pytest.raises(Refusal) as refused:
        await clients.new().login(email="nobody@people.test", password="correct horse battery")
    assert refused.value.code == "wrong_credentials"
    assert await clients.market.traces() == before


async def test_a_command_whose_answer_was_lost_is_executed_once(clients: PythonClients) -> None:
    """Guard: one request id for all repetitions in `Link.command`, and `request_in_progress` in
    `PASSING`. An open transaction has changed the job, so the command waits for its end."""
    carla = await clients.customer()
    job = await carla.job.create(**JOB)
    jobs = carla.job.pushes("job.updated")
    async with held(clients.market, job["id"]):
        updating = asyncio.create_task(carla.job.update(job_id=job["id"], title="New fence"))
        await until(lambda: running_commands(clients.market))
        carla.cut()
        await eventually(lambda: carla.counts["repeated: request_in_progress"])
    updated = await updating
    assert (updated["title"], updated["version"]) == ("New fence", job["version"] + 1)
    push = await jobs.first(lambda found: found["title"] == "New fence")
    assert push["version"] == updated["version"]
    assert carla.counts["repeated: unavailable"] >= 1 and carla.counts["connections"] == 2


async def test_a_request_id_of_ones_own(clients: PythonClients) -> None:
    """Guard: `request_id` of the generated methods."""
    carla = await clients.customer()
    first = await carla.job.create(request_id="import-17", **JOB)
    again = await carla.job.create(request_id="import-17", **JOB)
    assert first == again
    with pytest.raises(Refusal) as refused:
        await carla.job.create(request_id="import-17", **JOB | {"title": "Another fence"})
    assert refused.value.code == "request_id_reused"
    assert len(await clients.market.rows(Job)) == 1


async def test_a_client_that_does_not_connect(clients: PythonClients) -> None:
    """Guard: `http` in `Client.command`, and `http._query`: the same commands over HTTP, with lists
    and objects in queries, and request ids."""
    carla = clients.new()
    party = await clients.market.customer(connect=False)
    await carla.resume(session_of(party), connect=False)
    place = {"lon": 24.9, "lat": 60.2, "label": "Helsinki"}
    fields = JOB | {"skills": ["painting", "fences"], "location": place}
    job = await carla.job.create(request_id="import-18", **fields)
    assert await carla.job.create(request_id="import-18", **fields) == job
    near = {"lon": 24.9, "lat": 60.2}
    found = await carla.job.list(near=near, radius_km=5, skills=["painting", "fences"], limit=5)
    assert [each["id"] for each in found["items"]] == [job["id"]]
    assert (await carla.job.get(job_id=job["id"]))["title"] == job["title"]
    saved = await carla.job.search_save(name="Near", near=near)
    await carla.job.search_unsave(search_id=saved["id"])
    assert (await carla.job.searches())["items"] == []
    with pytest.raises(Refusal, match="connect"):
        await carla.job.watch(job_id=job["id"])
    assert not carla.connected and carla.counts == {}


@pytest.fixture
def few_commands(installation: Installation) -> None:
    """Ten commands a second. Request it before `clients`."""
    installation.configure(COMMANDS_PER_SECOND="10")


@own_server
@pytest.mark.usefixtures("few_commands")
async def test_a_command_waits_while_there_are_too_many(clients: PythonClients) -> None:
    """Guard: `retry_after` in `refusals.pauses`."""
    carla = await clients.customer()
    for _ in range(200):
        await carla.account.me()
        if carla.counts["repeated: rate_limited"]:
            return
    pytest.fail("nothing was refused")


async def test_commands_wait_for_a_connection(clients: PythonClients) -> None:
    """Guard: `Link._open_connection`, in the order in which they were given."""
    carla = await clients.customer()
    carla.cut()
    await eventually(lambda: not carla.connected)
    posted = await asyncio.gather(
        *(carla.job.create(**JOB | {"title": f"Fence {number}"}) for number in range(5))
    )
    assert [job["title"] for job in posted] == [f"Fence {number}" for number in range(5)]
    ids = [job["id"] for job in posted]
    assert ids == sorted(ids)


async def test_commands_keep_their_order_over_a_lost_connection(clients: PythonClients) -> None:
    """Guard: `ConnectionLost` in `refusals.repeat`: commands of a lost connection wait for the next
    one without a pause of their own. An open transaction holds the first one, and so the others
    behind it."""
    carla = await clients.customer()
    job = await carla.job.create(**JOB)
    async with held(clients.market, job["id"]):
        first = asyncio.create_task(carla.job.update(job_id=job["id"], title="New fence"))
        posting = [
            asyncio.create_task(carla.job.create(**JOB | {"title": f"Fence {number}"}))
            for number in range(8)
        ]
        await until(lambda: running_commands(clients.market))
        carla.cut()
        posted = await asyncio.gather(*posting)
    await first
    ids = [each["id"] for each in posted]
    assert ids == sorted(ids)


async def test_patience_holds_while_too_many_commands_are_unanswered(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Link._slot`."""
    monkeypatch.setattr("jobsphere.link.IN_FLIGHT", 1)
    carla = await clients.customer()
    job = await carla.job.create(**JOB)
    async with held(clients.market, job["id"]):
        updating = asyncio.create_task(carla.job.update(job_id=job["id"], title="New fence"))
        await until(lambda: running_commands(clients.market))
        carla._patience = 0.2
        with pytest.raises(NoAnswer, match="unanswered"):
            await carla.account.me()
        assert not updating.done()
    await updating


async def test_commands_end_with_the_client(clients: PythonClients) -> None:
    """Guard: `Link.close`: nobody waits for a closed client, and no task is left."""
    before = asyncio.all_tasks()
    carla = await clients.customer()
    jobs = carla.pushes()
    carla.cut()
    await eventually(lambda: not carla.connected)
    waiting = asyncio.create_task(carla.account.me())
    await asyncio.sleep(0)
    await carla.close()
    with pytest.raises(NoAnswer, match="closed"):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(jobs)
    with pytest.raises(Refusal):
        await carla.account.me()
    left = {task for task in asyncio.all_tasks() - before if "jobsphere" in repr(task)}
    assert left == set()


@pytest.mark.parametrize(
    ("code", "again", "attempts"),
    [
        ("unavailable", passes, 3),
        ("request_in_progress", passes, 3),
        ("rate_limited", passes, 3),
        ("conflict", passes, 1),
        ("internal", passes, 1),
        ("rate_limited", was_not_executed, 3),
        ("unavailable", was_not_executed, 1),
        ("unavailable", was_not_answered, 1),
    ],
)
async def test_what_is_repeated(code: str, again: Any, attempts: int) -> None:
    """Guard: `PASSING` and `again` in `refusals.repeat`."""
    made = 0

    async def attempt() -> Any:
        nonlocal made
        made += 1
        if made < 3:
            raise Refusal(code, "Not now.", {"retry_after": 0.01})
        return "done"

    calling = repeat(attempt, again=again, patience=5, on_repeat=lambda refused: None)
    if attempts == 3:
        assert await calling == "done"
    else:
        with pytest.raises(Refusal):
            await calling
    assert made == attempts


async def test_repeating_is_bounded() -> None:
    """Guard: `patience` in `refusals.repeat`: a longer `retry_after` is not waited for."""
    made = []

    async def attempt() -> Any:
        made.append(1)
        raise Refusal("rate_limited", "Not now.", {"retry_after": 60})

    with pytest.raises(Refusal):
        await repeat(attempt, again=passes, patience=5, on_repeat=lambda refused: None)
    assert len(made) == 1
