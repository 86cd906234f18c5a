"""Changes of the audit trail by someone with write access to the database are detected."""

from contextlib import asynccontextmanager

import pytest

from domain.audit_trail import chain_state, hash_chain, verification
from domain.kernel.errors import Invalid

EDITED = "edited, or not written by us"
MOVED = "edited, moved, or behind a missing row"
NO_NUMBER = "its number is none, or another row's"


async def rows(market, **where):
    return await market.trail(**where)


@pytest.fixture
async def trail(market, server):
    """A chained audit trail of some commands."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    for number in range(6):
        await market.job(customer, title=f"Fence {number}")
    assert await hash_chain.extend(server.ports) == 6
    assert (await verification.verify(server.ports)).findings == []
    return customer


async def findings(server, noted=None):
    proof = await verification.verify(server.ports, noted)
    return [(finding.what, finding.subject) for finding in proof.findings]


@asynccontextmanager
async def undone(server):
    """What is changed within is undone at the end, after which nothing is found."""
    collection = server.store.database["audit"]
    kept = await collection.find().to_list()
    yield collection
    await collection.delete_many({})
    await collection.insert_many(kept)
    assert await findings(server) == []


async def test_audit_rows_edited_deleted_moved_or_hidden(trail, market, server):
    """Guard: `WaitingRow.content` in `verification._read_row`: the seal covers every field; the
    number and the previous seal in `hash_chain.link`; `number > seq + 1` and `isinstance` in
    `verification.verify`; `hidden` in `verification._check_waiting`."""
    _, _, third, fourth, fifth, _ = await rows(market)
    for field, value in (("detail", "{}"), ("actor_id", "usr_x"), ("address", "10.0.0.1")):
        async with undone(server) as collection:
            await collection.update_one({"_id": third.id}, {"$set": {field: value}})
            assert await findings(server) == [(EDITED, third.id)], field
    async with undone(server) as collection:
        await collection.delete_one({"_id": third.id})
        assert ("rows are missing", "3 to 3") in await findings(server)
        assert (MOVED, fourth.id) in await findings(server)
    async with undone(server) as collection:
        await collection.update_one({"_id": third.id}, {"$set": {"seq": 99}})
        await collection.update_one({"_id": fifth.id}, {"$set": {"seq": 3}})
        await collection.update_one({"_id": third.id}, {"$set": {"seq": 5}})
        found = await findings(server)
        assert {third.id, fifth.id} <= {subject for _, subject in found}
    for number in (-1, 0, "none", 2.5, [7]):
        async with undone(server) as collection:
            await collection.update_one({"_id": third.id}, {"$set": {"seq": number}})
            assert (NO_NUMBER, third.id) in await findings(server), number


async def test_audit_tail_cut(trail, market, server):
    """Guard: `anchor.seq > seq` in `verification._check_end`, and the seal over the anchor."""
    proof = await verification.verify(server.ports)
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


async def test_audit_tail_cut_is_not_covered_by_what_comes_later(trail, market, server):
    """Guard: `hash_chain._read_end`, which continues from the anchor and alerts the admins;
    continuing from the last row it would reuse the missing numbers."""
    admin = await market.admin()
    last = (await rows(market))[-1]
    await server.store.database["audit"].delete_one({"_id": last.id})
    await market.job(trail, title="A seventh")
    assert await hash_chain.extend(server.ports) == 1
    assert ("rows are missing", "6 to 6") in await findings(server)
    assert (await admin.push("/admin", "alert"))["kind"] == "trail_broken"
    anchors = server.store.database["anchors"]
    await anchors.update_one({}, {"$set": {"seq": 2}})
    await market.job(trail, title="An eighth")
    await hash_chain.extend(server.ports)
    assert MOVED in [what for what, _ in await findings(server)]


async def test_audit_row_edited_or_forged_before_it_is_chained(trail, market, server):
    """Guard: the seal that `audit_log.record` writes, and `_read_row` for unchained rows."""
    collection = server.store.database["audit_waiting"]
    await market.job(trail, title="A seventh")
    row = (await rows(market))[-1]
    await collection.update_one({"_id": row.id}, {"$set": {"actor_id": "usr_x"}})
    kept = await collection.find_one({"_id": row.id})
    await collection.insert_one({**kept, "_id": "aud_forged"})
    found = [(EDITED, row.id), (EDITED, "aud_forged")]
    assert await findings(server) == found
    assert await hash_chain.extend(server.ports) == 2
    assert await findings(server) == found


async def test_audit_row_under_the_number_of_another(own_database, trail, market, server):
    """Guard: `number <= seq` in `verification.verify`."""
    collection = server.store.database["audit"]
    for name, index in (await collection.index_information()).items():
        if index.get("unique"):
            await collection.drop_index(name)
    row = (await rows(market))[2]
    kept = await collection.find_one({"_id": row.id})
    await collection.insert_one({**kept, "_id": "aud_other"})
    assert (NO_NUMBER, "aud_other") in await findings(server)


async def test_audit_row_that_cannot_be_read(trail, market, server):
    """Guard: `documents.record` within `try` in `verification._read_row`; neither verification nor
    chaining stops at such a row."""
    collection = server.store.database["audit"]
    row = (await rows(market))[2]
    await market.job(trail, title="A seventh")
    waiting = (await rows(market))[-1]
    await collection.update_one({"_id": row.id}, {"$unset": {"operation": ""}})
    queue = server.store.database["audit_waiting"]
    await queue.update_one({"_id": waiting.id}, {"$set": {"subjects": 7}})
    assert await hash_chain.extend(server.ports) == 1
    assert await findings(server) == [("cannot be read", row.id), ("cannot be read", waiting.id)]


async def test_audit_trail_restored_to_an_older_state(trail, market, server):
    """Guard: `noted`. With the older anchor the database is consistent; only the log reveals it."""
    database = server.store.database
    older = await database["anchors"].find_one()
    await market.job(trail, title="A seventh")
    await hash_chain.extend(server.ports)
    noted = await hash_chain.head(server.ports)
    await database["audit"].delete_one({"_id": (await rows(market))[-1].id})
    await database["anchors"].replace_one({}, older)
    assert await findings(server) == []
    assert await findings(server, noted) == [("the noted end is missing", "7")]
    with pytest.raises(Invalid):
        await verification.verify(server.ports, "seven")


async def test_a_broken_trail_alerts_the_administrators(trail, market, server):
    """Guard: `chain_state.verify_daily`, which alerts only when the trail is broken, and its report
    in `chain_state.audit_chain`."""
    admin = await market.admin()
    state = await admin.call("/admin", "audit_chain")
    assert (state["head_seq"], state["anchor_ok"], state["last_check"]) == (6, True, None)
    assert (state["waiting"], state["oldest_waiting_at"]) == (0, None)
    await chain_state.verify_daily(server.ports)
    row = (await rows(market))[2]
    await server.store.database["audit"].update_one({"_id": row.id}, {"$set": {"address": "::1"}})
    await chain_state.verify_daily(server.ports)
    alert = await admin.push("/admin", "alert")
    assert (alert["kind"], alert["subject"]) == ("trail_broken", row.id)
    state = await admin.call("/admin", "audit_chain")
    assert state["waiting"] == 1  # the first reading
    assert state["last_check"]["findings"] == [{"what": EDITED, "subject": row.id}]


async def test_an_administrator_asks_for_a_check(trail, market, server):
    """Guard: `chain_state.audit_verify` and `chain_state.CheckTrail`; the anchor is checked."""
    admin = await market.admin()
    queued = await admin.call("/admin", "audit_verify")
    checked = await admin.push("/admin", "trail.checked")
    assert (checked["id"], checked["by"]) == (queued["id"], admin.id)
    assert (checked["rows"], checked["finding_count"], checked["findings"]) == (6, 0, [])
    assert checked["head"] == await hash_chain.head(server.ports)
    await server.store.database["anchors"].update_one({}, {"$set": {"seq": 5}})
    status, state = await admin.http("GET", "/api/admin/audit/chain")
    assert (status, state["anchor_ok"], state["last_check"]) == (200, False, checked)
