"""Account deletion: refused while something is outstanding; it removes all personal data."""

import asyncio

import pytest

from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.deals.offer import OPEN_OFFERS, Offer
from domain.deals.payment import Payment
from domain.jobs.applications import Application
from domain.jobs.job import Job
from domain.ledger.transaction import Transaction
from domain.privacy import deletion
from domain.reconciliation.books_audit import audit
from tests.support.databases import needs
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import PASSWORD, Refused

ROUNDS = 4


async def delete(party, password=PASSWORD):
    return await party.http("POST", "/api/account/delete", {"password": password})


async def assert_refused(market, party, *outstanding):
    """The deletion is refused for these reasons over HTTP and socket, and changes nothing."""
    before = await market.traces()
    status, problem = await delete(party)
    assert (status, problem["code"]) == (409, "money_outstanding")
    assert problem["details"]["outstanding"] == list(outstanding)
    with pytest.raises(Refused) as again:
        await party.call("/account", "delete", {"password": PASSWORD})
    assert again.value.code == "money_outstanding"
    after = await market.traces()
    before.pop("trail"), after.pop("trail")  # failed attempts are audited
    assert after == before


# -- refused -------------------------------------------------------------------------------------


async def test_deletion_is_refused_during_an_offer_a_job_or_a_dispute(market, server):
    """Guard: `offers` and `jobs` of `deletion.deletion_blockers`."""
    work = JobInProgress(market, server)
    work.customer, work.contractor = await market.customer(), await market.contractor()
    work.job = await market.job(work.customer)
    await market.application(work.contractor, work.job)
    work.offer = await market.offer(work.customer, work.contractor, work.job)
    for party in (work.customer, work.contractor):
        await assert_refused(market, party, "offers")
    await market.accept(work.contractor, work.offer)
    for party in (work.customer, work.contractor):
        await assert_refused(market, party, "jobs")
    await market.start(work.contractor, work.job)
    dispute = await work.open_dispute()
    for party in (work.customer, work.contractor):
        await assert_refused(market, party, "jobs", "disputes")
    await work.as_admin(
        "resolve", dispute_id=dispute["id"], refund_amount=100_000, reason="Not done."
    )
    await market.settled(TIMEOUT)
    for party in (work.customer, work.contractor):
        assert (await delete(party))[0] == 200
    assert await work.platform_and_escrow() == (0, 0)


async def test_deletion_is_refused_with_money_in_the_wallet_in_transit_or_owed(
    market, completed_work
):
    """Guard: `wallet`, `withdrawals` and `debt` of `deletion.deletion_blockers`."""
    work = completed_work
    await assert_refused(market, work.contractor, "wallet")
    await work.sandbox.settings(payout_delay_seconds=2)
    await market.withdraw(work.contractor, 70_000)
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "in_transit", TIMEOUT
    )
    _, problem = await delete(work.contractor)
    assert problem["details"]["outstanding"] == ["wallet", "withdrawals"]
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    await work.refund(10_000)
    await market.settled(TIMEOUT)
    await assert_refused(market, work.contractor, "debt")


async def test_deletion_is_refused_during_a_chargeback(market, completed_work):
    """Guard: `chargebacks` of `deletion.deletion_blockers`."""
    work = completed_work
    await work.withdraw(70_000)
    chargeback = await work.open_chargeback()
    await market.settled(TIMEOUT)
    for party in (work.customer, work.contractor):
        await assert_refused(market, party, "chargebacks")
    await work.decide_chargeback(chargeback, won=True)
    await market.settled(TIMEOUT)
    for party in (work.customer, work.contractor):
        assert (await delete(party))[0] == 200


async def test_deletion_requires_the_password(market):
    """Guard: `verify_password` in `deletion.delete`: a session alone is not enough."""
    party = await market.customer()
    status, problem = await delete(party, "not the password")
    assert (status, problem["code"]) == (401, "wrong_credentials")
    assert await party.call("/account", "me")


# -- completed -----------------------------------------------------------------------------------


async def presence_of_other(chat, party):
    asked = {"conversation_ids": [chat["id"]]}
    items = (await party.call("/chat", "presence", asked))["items"]
    return [each["online"] for each in items]


async def assert_unreachable(party, chat):
    """Nothing can be sent to the other member of the conversation any more."""
    seen = await party.call("/chat", "get", {"conversation_id": chat["id"]})
    assert [*seen["deleted_members"]] == [user for user in seen["members"] if user != party.id]
    for command, fields in (("send", {"text": "Hello?"}), ("typing", {"typing": True})):
        answer = await party.ack("/chat", command, {"conversation_id": chat["id"], **fields})
        assert answer["error"]["message"] == "The other account has been deleted."
        assert answer["error"]["code"] == "not_found"
    await party.push("/chat", "presence", lambda data: data["online"] is None)
    assert await presence_of_other(chat, party) == []


@needs("freed keys")
async def test_deletion_removes_all_personal_data(market, server, completed_work):
    """Guard: the fields in `anonymize`, the copies in `EraseCopies` and `deleted_members`, of which
    `check_reach` makes use, also in a process that knows the members: `_announce_end`; the journal
    is not changed."""
    work = completed_work
    await work.withdraw(70_000)
    chat = await work.customer.call(
        "/chat",
        "open",
        {
            "job_id": work.job["id"],
            "user_id": work.contractor.id,
        },
    )
    typing = {"conversation_id": chat["id"], "typing": True}
    await work.contractor.call("/chat", "typing", typing)
    assert await presence_of_other(chat, work.contractor) == [True]
    rows = len(await market.rows(Transaction))
    for party in (work.customer, work.contractor):
        assert await delete(party) == (200, {"id": party.id})
        await party.wait_until_disconnected()
        await market.settled()
        if party is work.customer:
            await assert_unreachable(work.contractor, chat)
    for party in (work.customer, work.contractor):
        [user] = await market.rows(User, _id=party.id)
        assert (user.name, user.email) == (
            deletion.DELETED_NAME,
            f"{party.id}@deleted.invalid",
        )
        assert user.deleted_at and user.password_hash == deletion.NO_PASSWORD
        assert (await party.http("GET", "/api/account/me"))[0] == 401
        for email in (party.email, user.email):
            for password in (PASSWORD, deletion.NO_PASSWORD):
                body = {"email": email, "password": password}
                status, problem = await market.anonymous_client().http(
                    "POST", "/api/account/login", body
                )
                assert (status, problem["code"]) == (401, "wrong_credentials")
    assert {job.customer_name for job in await market.rows(Job)} == {deletion.DELETED_NAME}
    assert {each.contractor_name for each in await market.rows(Application)} == {
        deletion.DELETED_NAME
    }
    for kind in (Offer, Payment):
        [deal] = await market.rows(kind)
        assert {deal.customer_name, deal.contractor_name} == {deletion.DELETED_NAME}
    [conversation] = await market.rows(Conversation, _id=chat["id"])
    assert set(conversation.names.values()) == {deletion.DELETED_NAME}
    assert len(await market.rows(Transaction)) == rows
    assert (await audit(server.ports)).differences == []
    new = {"email": work.customer.email, "password": PASSWORD, "name": "Nia", "role": "customer"}
    assert (await market.anonymous_client().http("POST", "/api/account/register", new))[0] == 200


async def test_deletion_ends_open_jobs_and_applications(market):
    """Guard: `_cancel_jobs` and `_withdraw_applications` of `EraseCopies`."""
    customer, contractor = await market.customer(), await market.contractor()
    other = await market.contractor("Olga Other")
    job = await market.job(customer)
    for party in (contractor, other):
        await market.application(party, job)
    assert (await delete(contractor))[0] == 200
    withdrawn = await customer.push(
        "/job-request", "application.updated", lambda pushed: pushed["status"] == "withdrawn"
    )
    assert withdrawn["contractor_id"] == contractor.id
    assert (await delete(customer))[0] == 200
    await other.push(
        "/job-request", "application.updated", lambda pushed: pushed["status"] == "rejected"
    )
    assert [row.status for row in await market.rows(Job)] == ["cancelled"]


# -- concurrency ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["customer", "contractor"])
async def test_concurrent_deletion_and_offer_have_one_winner(market, monkeypatch, side):
    """Guard: `engage` in `offers.create`; without it neither transaction writes what the other has
    read, and an offer to a deleted user stays open."""
    checked = asyncio.Event()
    real = deletion.deletion_blockers

    def signal_and_query(user, remainders):
        checked.set()
        return real(user, remainders)

    monkeypatch.setattr(deletion, "deletion_blockers", signal_and_query)
    won = set()
    for number in range(ROUNDS):
        people = {
            "customer": await market.customer(f"Customer {number}"),
            "contractor": await market.contractor(f"Contractor {number}"),
        }
        job = await market.job(people["customer"])
        await market.application(people["contractor"], job)
        checked.clear()

        async def offer(people=people, job=job, late=number % 2):
            if late:
                await checked.wait()  # the deletion is within its transaction
            return await people["customer"].ack(
                "/bidding",
                "create",
                {
                    "job_id": job["id"],
                    "contractor_id": people["contractor"].id,
                    "amount": 100_000,
                    "currency": "USD",
                    "description": "Now!",
                    "timeline_days": 3,
                    "payment_method": "pm_card_visa",
                },
            )

        (status, problem), ack = await asyncio.gather(delete(people[side]), offer())
        await market.settled(TIMEOUT)
        live = [
            row for row in await market.rows(Offer, job_id=job["id"]) if row.status in OPEN_OFFERS
        ]
        if status == 200:
            assert not ack["ok"] and not live
            won.add("deletion")
        else:
            assert problem["code"] == "money_outstanding"
            assert ack["ok"] and len(live) == 1
            won.add("offer")
    assert won


async def test_deletion_is_refused_during_an_acceptance(negotiation):
    """Guard: `OfferStatus.ACCEPTING` in `deletion.deletion_blockers`. Stripe captures late."""
    market, sides = negotiation.market, (negotiation.customer, negotiation.contractor)
    offer = await negotiation.pending_offer()
    await market.settled(TIMEOUT)
    await negotiation.sandbox.fault(path="/v1/payment_intents/*/capture", status=429, times=1000)
    assert (await negotiation.accept(offer))["status"] == "accepting"
    for leaving in sides:
        status, problem = await delete(leaving)
        assert (status, problem["code"]) == (409, "money_outstanding")
        assert problem["details"]["outstanding"] == ["offers"]
    await negotiation.sandbox.clear_faults()
    await market.settled(TIMEOUT)
    assert [row.status for row in await market.rows(Offer)] == ["accepted"]
    assert [row.deleted_at for row in await market.rows(User)] == [None, None]
