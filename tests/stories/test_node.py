"""A whole job with the official JavaScript client: two Node processes are the two sides."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from domain import ledger
from domain.reconciliation.books_audit import audit
from server.config import load
from server.container import Container
from server.dev.stores import ROOT
from tests.support.processes import Processes

STORY = Path(__file__).parent / "node" / "story.mjs"
SECONDS = 90.0


async def play(role: str, url: str, word: str, *options: str) -> Any:
    """Run one side of the story. Returns its summary."""
    process = await asyncio.create_subprocess_exec(
        "node", str(STORY), role, url, word, *options, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    print(output.decode(), errors.decode())
    assert process.returncode == 0, f"{role}: {errors.decode()}"
    return json.loads(output.decode().splitlines()[-1])


async def both(customer_url: str, contractor_url: str, *options: str) -> tuple[Any, Any]:
    """Run customer and contractor concurrently."""
    word = "zebrafish"
    async with asyncio.TaskGroup() as group:
        customer = group.create_task(play("customer", customer_url, word))
        contractor = group.create_task(play("contractor", contractor_url, word, *options))
    return customer.result(), contractor.result()


async def check(processes: Processes, customer: Any, contractor: Any) -> None:
    """Both sides got their whole feed in order, the same job, and the right money."""
    for side in (customer, contractor):
        assert side["problems"] == []
        applied = len(side["seqs"])
        assert side["seqs"] == list(range(1, applied + 1))
        assert side["by_push"] + side["by_sync"] == applied >= side["compared"] >= 10
        assert side["messages"] == 2
    assert customer["job"] == contractor["job"]
    assert customer["split"] == {
        "currency": "USD",
        "amount": 100000,
        "platform_amount": 30000,
        "contractor_amount": 70000,
    }
    assert contractor["earned"] == 70000
    assert [contractor[name] for name in ("available", "pending", "in_transit")] == [0, 0, 0]
    await processes.market.settled()
    container = Container(load(processes.env))
    try:
        assert await ledger.balance_of(container.store.single(), ledger.PLATFORM) == {"USD": 30000}
        assert (await audit(container.ports)).differences == []
    finally:
        await container.close()


async def test_a_whole_job_on_one_process(client: None, processes: Processes) -> None:
    """Fails when `Container._push` leaves out `seqs` or a recipient (a jump, closed by sync), or
    when `feed.append` keeps other data than what is pushed."""
    server = await processes.web()
    customer, contractor = await both(server.url, server.url)
    await check(processes, customer, contractor)
    for side in (customer, contractor):
        assert (side["by_sync"], side["jumps"], side["duplicates"]) == (0, 0, 0)


async def test_a_whole_job_on_two_processes(client: None, processes: Processes) -> None:
    """Fails with a manager in `Web` that does not listen to Redis (pushes of the other process),
    and without `seq > since` in `feed.sync` (what came while the contractor was away)."""
    first, second = await processes.web(), await processes.web()
    customer, contractor = await both(first.url, second.url, "--away")
    await check(processes, customer, contractor)
    assert contractor["by_sync"] >= 1
    assert customer["by_push"] > customer["by_sync"]
    assert contractor["by_push"] > contractor["by_sync"]
