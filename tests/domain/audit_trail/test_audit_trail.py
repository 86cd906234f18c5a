"""The audit trail: the hash chain over the audit rows, and their list."""

import asyncio

import pytest

from domain.audit_trail import hash_chain, verification
from domain.operations import audit_log
from domain.operations.audit_log import AuditRow, WaitingRow


async def findings(server):
    return [(f.what, f.subject) for f in (await verification.verify(server.ports)).findings]


async def test_concurrent_extensions_make_one_chain(market, server):
    """Guard: `_move_anchor` in the transaction of `hash_chain._write_links`: one of several
    concurrent extensions succeeds, and the others stop."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    for number in range(5):
        await market.job(customer, title=f"Fence {number}")
        await asyncio.gather(
            *(hash_chain.extend(server.ports) for _ in range(3)), return_exceptions=True
        )
    await hash_chain.extend(server.ports)
    assert await findings(server) == []
    assert [row.seq for row in await market.trail()] == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("prompt_jobs")
async def test_the_scheduler_extends_the_chain(market, server):
    """Guard: `Job("chain_audit_trail", ...)` in `scheduler.JOBS`."""
    await market.job(await market.customer())
    async with asyncio.timeout(10):
        while not await market.rows(AuditRow):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


async def test_rows_written_during_an_extension_are_chained_next(market, server):
    """Guard: the one transaction in `hash_chain.extend`; without it rows that are written between
    the read and the removal are lost."""
    await server.web.scheduler.stop()
    customer, done = await market.customer(), asyncio.Event()

    async def write():
        for number in range(40):
            await market.job(customer, title=f"Fence {number}")
        done.set()

    async def extend():
        while not done.is_set():
            await hash_chain.extend(server.ports)

    await asyncio.gather(write(), extend())
    await hash_chain.extend(server.ports)
    assert await market.rows(WaitingRow) == []
    assert [row.seq for row in sorted(await market.trail(), key=lambda row: row.seq)] == [
        *range(1, 41)
    ]
    assert await findings(server) == []


async def test_a_chained_row_that_waits_again_is_not_chained_twice(market, server):
    """Guard: `known` in `hash_chain._chain_rows`; without it the chain never grows again."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    await market.job(customer)
    (row,) = await server.store.single().all(WaitingRow, {})
    await hash_chain.extend(server.ports)
    await server.store.single().add(row)  # as a retry after a crash does
    await market.job(customer, title="Another fence")
    assert await hash_chain.extend(server.ports) == 2
    assert [row.seq for row in await market.rows(AuditRow)] == [1, 2]
    assert await findings(server) == []


async def test_waiting_and_chained_rows_are_listed_together(market, server):
    """Guard: both record types in `listing.audit_rows`, and its cursor over both."""
    await server.web.scheduler.stop()
    customer, admin = await market.customer(), await market.admin()
    for number in range(5):
        await market.job(customer, title=f"Fence {number}")
        if number == 2:
            await hash_chain.extend(server.ports)
    query, listed = {"operation": "job.create", "limit": 2}, []
    while True:
        page = await admin.call("/admin", "audit", query)
        listed += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [row["seq"] for row in listed] == [None, None, 3, 2, 1]


async def test_a_row_whose_id_is_older_is_listed_by_its_time(market, server):
    """Guard: `ID_MARGIN_SECONDS` in `documents.lowest_id`; messages get their ids before
    they are written."""
    admin, uow = await market.admin(), server.store.single()
    now = uow.now.replace(microsecond=0)
    id = f"aud_{int(now.timestamp()) - 2:08x}{'0' * 16}"
    entry = audit_log.AuditEntry("chat.send", {})
    await uow.add(audit_log.sealed_row(id, now, server.ports.seal, entry, []))
    query = {"operation": "chat.send", "since": now.isoformat()}
    assert [row["id"] for row in (await admin.call("/admin", "audit", query))["items"]] == [id]
