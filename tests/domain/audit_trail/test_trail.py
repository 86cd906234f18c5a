"""The audit trail: every command leaves a row, and no row can be changed or taken away unseen."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.audit_trail import hash_chain, verification
from domain.kernel.documents import apply_update
from domain.operations import audit_log
from domain.operations.audit_log import AuditRow, WaitingRow
from tests.support.job_in_progress import JobInProgress
from tests.support.parties import Refused
from tests.support.property_sizes import examples


async def rows(market, **where):
    return await market.trail(**where)


async def findings(server):
    return [(f.what, f.subject) for f in (await verification.verify(server.ports)).findings]


async def test_a_command_says_who_did_what_to_what(market, server):
    """Guard: `audit_log.record` in `operation._write`; the values before come from
    `Change.before`."""
    customer = await market.customer()
    job = await market.job(customer)
    fields = {"job_id": job["id"], "title": "Paint two fences"}
    await customer.call("/job", "update", fields, request_id="r-1")
    row = (await rows(market))[-1]
    assert (row.actor_id, row.role, row.operation) == (customer.id, "customer", "job.update")
    assert (row.request_id, row.address, row.subjects) == ("r-1", "127.0.0.1", (job["id"],))
    detail = msgspec.json.decode(row.detail)
    assert detail["fields"] == fields
    change = detail["changes"][0]
    assert (change["collection"], change["version"]) == ("jobs", 2)
    assert change["before"]["title"] == "Paint the fence"
    assert change["after"]["title"] == "Paint two fences"
    assert "description" not in change["after"]
    await customer.call("/job", "update", fields, request_id="r-1")
    with pytest.raises(Refused):
        await customer.call("/job", "update", {**fields, "title": ""})
    assert len(await rows(market)) == 2


async def test_secrets_and_talk_stay_out(market, server):
    """Guard: `UNLOGGED` of the commands and records, and `subjects` of `sign_in.login`."""
    stranger = market.anonymous_client()
    fields = {
        "email": "eve@people.test",
        "password": "correct horse battery",
        "name": "Eve",
        "role": "customer",
    }
    status, answer = await stranger.http("POST", "/api/account/register", fields)
    assert status == 200
    login = {"email": fields["email"], "password": fields["password"]}
    assert (await stranger.http("POST", "/api/account/login", login))[0] == 200
    deal = await market.accepted_job()
    members = {"job_id": deal.job["id"], "user_id": deal.contractor.id}
    talk = await deal.customer.call("/chat", "open", members)
    said = {"conversation_id": talk["id"], "text": "My door code is 4711"}
    await deal.customer.call("/chat", "send", said)
    await market.settled()
    told = await rows(market)
    operations = {row.operation for row in told}
    assert {"account.register", "account.login", "chat.send", "bidding.create"} <= operations
    assert [r.subjects for r in told if r.operation == "account.login"] == [(answer["user"]["id"],)]
    whole = "".join(row.detail for row in told)
    for secret in ("correct horse", "4711", "_secret_", answer["refresh_token"], "argon2"):
        assert secret not in whole, secret


async def test_who_somebody_was_is_forgotten_with_them(market, server):
    """Guard: `PERSONAL` of each record and command; the digest shows if it was a given value."""
    customer = await market.customer("Gerda Gone")
    await market.job(customer)
    await customer.call("/account", "update", {"headline": "Gerda paints"})
    admin = await market.admin()
    await admin.call("/admin", "users", {"q": "gerda@gone.test"})
    told = await rows(market)
    assert [row.operation for row in told] == ["job.create", "account.update", "admin.users"]
    whole = "".join(row.detail for row in told).lower()
    assert "gerda" not in whole
    changed = msgspec.json.decode(told[1].detail)["changes"][0]["after"]["headline"]
    assert server.ports.seal.fits(msgspec.json.encode("Gerda paints"), changed["sealed"])


async def test_an_administrator_is_seen_looking(market, server):
    """Guard: `record_read` in `operation._run`."""
    admin = await market.admin()
    await admin.call("/admin", "overview")
    await admin.call("/payment", "list")
    assert [row.operation for row in await rows(market)] == ["admin.overview", "payment.list"]
    listed = await admin.call("/admin", "audit", {"actor_id": admin.id})
    assert [row["operation"] for row in listed["items"]] == ["payment.list", "admin.overview"]
    since = (await rows(market))[1].created_at.isoformat()
    listed = await admin.call("/admin", "audit", {"since": since, "operation": "payment.list"})
    assert [row["operation"] for row in listed["items"]] == ["payment.list"]
    listed = await admin.call("/admin", "audit", {"since": "2099-01-01T00:00:00Z"})
    assert listed["items"] == []


async def test_two_that_chain_at_once_make_one_chain(market, server):
    """Guard: `uow.change(Anchor, ...)` in the same transaction: one of them does it again."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    for number in range(5):
        await market.job(customer, title=f"Fence {number}")
        await asyncio.gather(
            *(hash_chain.extend(server.ports) for _ in range(3)), return_exceptions=True
        )
    await hash_chain.extend(server.ports)
    assert await findings(server) == []
    assert [row.seq for row in await rows(market)] == [1, 2, 3, 4, 5]


async def test_it_goes_on_by_itself(market, server):
    """Guard: `Job("chain the trail", ...)` in the scheduler."""
    await market.job(await market.customer())
    async with asyncio.timeout(10):
        while not await market.rows(AuditRow):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_what_comes_while_it_is_chained_is_chained_next(market, server):
    """Guard: the one transaction in `hash_chain.extend`; without it the rows that come between the
    look and the removal are lost."""
    await server.web.scheduler.stop()
    customer, done = await market.customer(), asyncio.Event()

    async def write():
        for number in range(40):
            await market.job(customer, title=f"Fence {number}")
        done.set()

    async def bind():
        while not done.is_set():
            await hash_chain.extend(server.ports)

    await asyncio.gather(write(), bind())
    await hash_chain.extend(server.ports)
    assert await market.rows(WaitingRow) == []
    assert [row.seq for row in sorted(await rows(market), key=lambda row: row.seq)] == [
        *range(1, 41)
    ]
    assert await findings(server) == []


async def test_a_row_that_is_written_again_stays_as_it_was(market, server):
    """Guard: `known` in `hash_chain._chain_rows`; without it the chain ends there for ever."""
    await server.web.scheduler.stop()
    customer = await market.customer()
    await market.job(customer)
    (row,) = await server.store.single().all(WaitingRow, {})
    await hash_chain.extend(server.ports)
    await server.store.single().add(row)  # as whoever goes on after a crash does
    await market.job(customer, title="Another fence")
    assert await hash_chain.extend(server.ports) == 2
    assert [row.seq for row in await market.rows(AuditRow)] == [1, 2]
    assert await findings(server) == []


async def test_it_is_listed_before_and_after_it_is_chained(market, server):
    """Guard: both kinds in `listing.audit_rows`, and its cursor over the two of them."""
    await server.web.scheduler.stop()
    customer, admin = await market.customer(), await market.admin()
    for number in range(5):
        await market.job(customer, title=f"Fence {number}")
        if number == 2:
            await hash_chain.extend(server.ports)
    asked, seen = {"operation": "job.create", "limit": 2}, []
    while True:
        page = await admin.call("/admin", "audit", asked)
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]
    assert [row["seq"] for row in seen] == [None, None, 3, 2, 1]


async def test_a_row_with_an_id_made_earlier_is_listed_by_its_time(market, server):
    """Guard: `ID_MARGIN_SECONDS` in `documents.lowest_id`; messages get their ids in advance."""
    admin, uow = await market.admin(), server.store.single()
    now = uow.now.replace(microsecond=0)
    made = f"aud_{int(now.timestamp()) - 2:08x}{'0' * 16}"
    deed = audit_log.AuditEntry("chat.send", {})
    await uow.add(audit_log.sealed_row(made, now, server.ports.seal, deed, []))
    asked = {"operation": "chat.send", "since": now.isoformat()}
    assert [row["id"] for row in (await admin.call("/admin", "audit", asked))["items"]] == [made]


async def test_a_refused_command_leaves_no_row(market, server):
    """Guard: the row is part of the command's transaction."""
    customer = await market.customer()
    fields = {"job_id": "job_none"}
    await JobInProgress(market, server).assert_refused(
        customer, "/job", "cancel", fields, "not_found"
    )


values = st.one_of(st.integers(-5, 5), st.text(max_size=3), st.none())


@examples(50, deep=200)
@given(
    sets=st.dictionaries(st.sampled_from(["a", "b", "list.0.x", "map.k"]), values),
    incs=st.dictionaries(st.sampled_from(["n", "m", "list.1.n"]), st.integers(-9, 9)),
    pushes=st.dictionaries(st.sampled_from(["tags", "new"]), values),
)
async def test_what_a_change_makes_is_what_mongodb_makes(stores, sets, incs, pushes):
    """Guard: `documents.apply_update`: nothing is read again within a transaction."""
    from pymongo import MongoClient

    update = {"$set": sets, "$inc": incs, "$push": pushes}
    update = {name: part for name, part in update.items() if part}
    document = {"_id": 1, "a": 1, "n": 2, "list": [{"x": 1}, {"n": 4}], "map": {}, "tags": ["t"]}
    with MongoClient(stores.mongo_url) as client:
        collection = client["updates"]["documents"]
        collection.replace_one({"_id": 1}, document, upsert=True)
        if update:
            collection.update_one({"_id": 1}, update)
        assert apply_update(document, update) == collection.find_one({"_id": 1})
