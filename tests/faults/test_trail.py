"""Whoever can write to the database changes the audit trail: it is found."""

import pytest

from domain import chain
from domain.trail import AuditRow


async def rows(market, **where):
    return await market.rows(AuditRow, **where)


@pytest.fixture
async def trail(market, server):
    """A chained trail of some commands."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    for number in range(6):
        await market.job(customer, title=f"Fence {number}")
    assert await chain.extend(server.ports) == 6
    assert (await chain.prove(server.ports)).findings == []
    return customer


async def findings(server, noted=None):
    proof = await chain.prove(server.ports, noted)
    return [(finding.what, finding.subject) for finding in proof.findings]


async def test_audit_row_edited(trail, market, server):
    """Guard: `content(row)` in `chain.link`: all that a row tells is sealed."""
    row = (await rows(market))[2]
    collection = server.store.database["audit"]
    for field, value in (("detail", "{}"), ("actor_id", "usr_x"), ("address", "10.0.0.1")):
        kept = await collection.find_one({"_id": row.id})
        await collection.update_one({"_id": row.id}, {"$set": {field: value}})
        assert await findings(server) == [("edited, moved, or behind a missing row", row.id)]
        await collection.replace_one({"_id": row.id}, kept)
    assert await findings(server) == []


async def test_audit_row_deleted(trail, market, server):
    """Guard: `row.seq != seq + 1` in `chain.prove`."""
    third, fourth = (await rows(market))[2:4]
    await server.store.database["audit"].delete_one({"_id": third.id})
    assert ("rows are missing", "3") in await findings(server)
    assert ("edited, moved, or behind a missing row", fourth.id) in await findings(server)


async def test_audit_row_moved(trail, market, server):
    """Guard: the number and the seal before in `chain.link`."""
    third, fifth = (await rows(market))[2], (await rows(market))[4]
    collection = server.store.database["audit"]
    await collection.update_one({"_id": third.id}, {"$set": {"seq": 99}})
    await collection.update_one({"_id": fifth.id}, {"$set": {"seq": 3}})
    await collection.update_one({"_id": third.id}, {"$set": {"seq": 5}})
    found = await findings(server)
    assert {third.id, fifth.id} <= {subject for _, subject in found}


async def test_audit_tail_cut(trail, market, server):
    """Guard: `anchor.seq > seq` in `chain._check_end`, and the seal over the anchor."""
    proof = await chain.prove(server.ports)
    last = (await rows(market))[-1]
    await server.store.database["audit"].delete_one({"_id": last.id})
    assert await findings(server) == [("the end of the trail is missing", "6 to 6")]
    anchors = server.store.database["anchors"]
    fifth = (await rows(market))[-1]
    await anchors.update_one({}, {"$set": {"seq": 5, "mac": fifth.mac}})
    assert await findings(server) == [("the anchor is edited", "anchor")]
    await anchors.delete_one({})
    assert await findings(server) == [("the anchor is missing", "anchor")]
    assert ("the noted end is missing", "6") in await findings(server, proof.head)
