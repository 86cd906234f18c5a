"""Commands that are sent twice: one effect and one answer per request id."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from pymongo.errors import OperationFailure

from domain.jobs.job import Location
from domain.kernel import mongo_client, store
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.command import Command
from domain.operations.idempotency import Reply, fingerprint
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Refused
from tests.support.steady_load import JOB

pytestmark = one_server


async def test_a_repeated_request_id_returns_the_first_reply(market: Market) -> None:
    """Guard: `isinstance(claim, Reply)` in `operation._write`; both transports share the claims."""
    party = await market.customer()
    first = await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    before = await market.traces()
    assert await party.call("/account", "update", {"name": "Once"}, request_id="r1") == first
    answer = await party.http("PATCH", "/api/account/me", {"name": "Once"}, request_id="r1")
    assert answer == (200, first)
    assert await market.traces() == before
    assert len(party.received("/account", "account.updated")) == 1


async def test_a_request_id_with_other_fields_is_refused(market: Market) -> None:
    """Fails without the comparison of fingerprints in `claim_request`; the last line without the
    user's id in the claim's."""
    party, other = await market.customer(), await market.customer()
    await party.call("/account", "update", {"name": "One"}, request_id="r1")
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await party.call("/account", "update", {"name": "Two"}, request_id="r1")
    assert refused.value.code == "request_id_reused"
    assert await market.traces() == before
    changed = await other.call("/account", "update", {"name": "Two"}, request_id="r1")
    assert changed["id"] == other.id


async def test_a_default_may_be_left_out_of_the_repetition(market: Market) -> None:
    """Guard: `idempotency.fingerprint` of the command: some clients write defaults out."""
    party = await market.customer()
    first = await party.call("/job", "create", JOB | {"currency": "usd"}, request_id="r1")
    answer = await party.http("POST", "/api/job", JOB | {"location": None}, request_id="r1")
    assert answer == (200, first)


def test_a_new_optional_field_keeps_the_fingerprint() -> None:
    """Guard: `idempotency._without_defaults`: requests are repeated over a deployment."""
    place = Location(lat=1.0, lon=2.0)
    old = msgspec.defstruct("Old", [("title", str), ("place", Location)], bases=(Command,))
    new = msgspec.defstruct(
        "New",
        [("place", Location), ("title", str), ("tags", list[str], [])],
        bases=(Command,),
    )
    assert fingerprint("job.create", old("Fence", place)) == fingerprint(
        "job.create", new(place, "Fence")
    )
    assert fingerprint("job.create", new(place, "Fence", ["x"])) != fingerprint(
        "job.create", new(place, "Fence")
    )


async def test_simultaneous_requests_with_one_id_have_one_effect(market: Market) -> None:
    """Fails without the insert of the claim before the command runs."""
    party = await market.customer()
    answers = await asyncio.gather(
        *(
            party.http("PATCH", "/api/account/me", {"name": "Once"}, request_id="r1")
            for _ in range(6)
        )
    )
    refused = [body["code"] for status, body in answers if status != 200]
    assert set(refused) <= {"request_in_progress"}
    done = [body for status, body in answers if status == 200]
    assert done and all(body == done[0] for body in done)
    assert (await party.call("/account", "me"))["version"] == 2
    assert await party.call("/account", "update", {"name": "Once"}, request_id="r1") == done[0]


async def test_a_claim_that_the_driver_inserts_twice_is_still_its_own(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `claim.token` in `claim_request`: the connection broke after the insert, which the
    driver repeats; the row is known by its token."""
    party = await market.customer()
    claimed = UnitOfWork.add

    async def repeated(uow: UnitOfWork, record: Any) -> None:
        await claimed(uow, record)
        if isinstance(record, Reply):
            await claimed(uow, record)

    monkeypatch.setattr(UnitOfWork, "add", repeated)
    changed = await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    assert (changed["name"], changed["version"]) == ("Once", 2)


async def test_a_claim_that_is_not_visible_yet_is_looked_for_again(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `_insert_or_find`: the insert of the driver's first attempt is still under way."""
    party = await market.customer()
    insert, tries = UnitOfWork.add, 0

    async def conflict(uow: UnitOfWork, record: Any) -> None:
        nonlocal tries
        if isinstance(record, Reply):
            tries += 1
            if tries == 1:
                raise Duplicate("another insert is under way")
        await insert(uow, record)

    monkeypatch.setattr(UnitOfWork, "add", conflict)
    changed = await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    assert (changed["name"], changed["version"], tries) == ("Once", 2, 2)


async def test_a_commit_that_is_denied_although_it_took_effect(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Claim.drop` in `operation._write`: a database that was killed has forgotten the
    transaction that it committed. The second run of the command leaves no effect, also when it is
    refused because of the first one's, and its caller gets the reply of the first."""
    party = await market.customer()
    job = await market.job(party)
    commit, denials = mongo_client.commit, 0

    async def denied(session: Any, deadline: float) -> None:
        nonlocal denials
        await commit(session, deadline)
        if denials:
            denials -= 1
            labels = ["TransientTransactionError"]
            raise OperationFailure("no such transaction", 251, {"errorLabels": labels})

    monkeypatch.setattr(store, "commit", denied)
    denials = 1
    changed = await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    assert (changed["name"], changed["version"], denials) == ("Once", 2, 0)
    assert await party.call("/account", "me") == changed
    assert len(await market.trail(operation="account.update")) == 1
    denials = 1
    cancelled = await party.call("/job", "cancel", {"job_id": job["id"]}, request_id="r2")
    assert (cancelled["status"], denials) == ("cancelled", 0)
    assert len(await market.trail(operation="job.cancel")) == 1


async def test_a_running_request_is_awaited_and_taken_over_after_a_crash(market: Market) -> None:
    """Fails without `claimed_until` in the guard that takes a claim over."""
    party = await market.customer()
    await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    uow = market.store.single()
    minute = timedelta(minutes=1)
    # As if the process had died between the claim and the commit.
    claim = f"{party.id}:r1"
    await uow.change(
        Reply, claim, claimed_by="a crashed process", claimed_until=uow.now + minute, answer=None
    )
    with pytest.raises(Refused) as refused:
        await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    assert refused.value.code == "request_in_progress"
    await uow.change(Reply, claim, claimed_until=uow.now - minute)
    changed = await party.call("/account", "update", {"name": "Once"}, request_id="r1")
    assert changed["version"] == 3


async def test_failures_are_not_stored_under_a_request_id(market: Market) -> None:
    """Guard: `claim.drop` in `operation._write`."""
    customer, stranger = await market.customer(), await market.customer()
    job = await market.job(customer)
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await stranger.call("/job", "cancel", {"job_id": job["id"]}, request_id="r1")
    assert refused.value.code == "not_found"
    assert await market.traces() == before
    assert await stranger.call("/account", "update", {"name": "Next"}, request_id="r1")


NO_IDS: list[Any] = ["", "x" * 129, "line\nbreak", 5, {}, ["r1"]]


async def test_a_request_id_is_a_short_printable_text(market: Market) -> None:
    """Fails without checked_request_id."""
    party = await market.customer()
    before = await market.traces()
    for request_id in NO_IDS:
        answer = await party.emit("/account", "update", {"name": "X"}, {"request_id": request_id})
        found = answer["ok"] or answer["error"]["code"]
        assert found == "invalid", request_id
    assert await market.traces() == before
