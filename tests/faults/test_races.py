"""Concurrent commands of two or many clients on two web processes: one effect, books agree."""

import asyncio
from typing import Any

from domain import ledger
from domain.deals.offer import Offer, OfferStatus
from domain.deals.payment import Payment, PaymentStatus
from tests.faults.outcome import PATIENCE, feed_of, feed_values
from tests.support.market import Market
from tests.support.property_sizes import size

CONTRACTORS = size(6, deep=14)
PAIRS = size(2, deep=4)
CLOSED = ("offer.accepted", "offer.blocked", "offer.withdrawn")


async def intents(market: Market) -> list[str]:
    """The statuses of all PaymentIntents at Stripe."""
    found: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = await market.sandbox.api("GET", "payment_intents", limit=100, **after)
        found += [intent["status"] for intent in page["data"]]
        if not page["has_more"]:
            return found
        after = {"starting_after": page["data"][-1]["id"]}


async def closing_events(party):
    """(event name, offer id) of each closed offer in a user's feed."""
    return [(i["name"], i["data"]["id"]) for i in await feed_of(party) if i["name"] in CLOSED]


async def test_double_accept(processes, books):
    """Guard: `accepting_offer_id: None` in the job's guard of `offers.accept`; and
    `BlockRivalOffers`, which notifies each of the other contractors once."""
    first, second = await processes.web(), await processes.web()
    market = processes.market
    customer = await market.customer()
    job = await market.job(customer)
    contractors = await asyncio.gather(
        *(
            market.contractor(f"C{i}", connect=False, url=(first, second)[i % 2].url)
            for i in range(CONTRACTORS)
        )
    )
    await asyncio.gather(*(applies(contractor, job) for contractor in contractors))
    answers = await asyncio.gather(
        *(
            customer.call(
                "/bidding",
                "create",
                {
                    "job_id": job["id"],
                    "contractor_id": contractor.id,
                    "amount": 100_000,
                    "currency": "USD",
                    "description": "Yours",
                    "timeline_days": 3,
                    "payment_method": "pm_card_visa",
                },
            )
            for contractor in contractors
        )
    )
    offers = [answer["offer"] for answer in answers]
    await market.settled(PATIENCE)

    replies = await asyncio.gather(
        *(
            contractor.http("POST", f"/api/bidding/{offer['id']}/accept", {})
            for contractor, offer in zip(contractors, offers, strict=True)
        )
    )

    winners = [body for status, body in replies if status == 200]
    assert len(winners) == 1
    codes = {body["code"] for status, body in replies if status != 200}
    assert codes <= {"job_taken", "job_not_open", "offer_not_pending"}
    await market.settled(PATIENCE)
    rows = await market.rows(Offer)
    assert [row.id for row in rows if row.status is OfferStatus.ACCEPTED] == [winners[0]["id"]]
    assert sum(row.status is OfferStatus.BLOCKED for row in rows) == CONTRACTORS - 1
    states = await intents(market)
    assert states.count("succeeded") == 1 and states.count("canceled") == CONTRACTORS - 1
    captures = [call for call in await market.sandbox.calls() if call.endswith("/capture")]
    assert len(captures) == 1
    uow = market.store.single()
    assert await ledger.balance_of(uow, ledger.PLATFORM) == {"USD": 10_000}
    assert await ledger.total_of(uow, "escrow") == {"USD": 90_000}
    assert (await books()).differences == []
    ends = [
        ("offer.accepted" if offer["id"] == winners[0]["id"] else "offer.blocked", offer["id"])
        for offer in offers
    ]
    for contractor, end in zip(contractors, ends, strict=True):
        await contractor.push("/bidding", end[0], seconds=PATIENCE)
        pushed = [(push.name, push.data["id"]) for push in contractor.pushes if push.name in CLOSED]
        assert pushed == [end]
    received = await asyncio.gather(*(closing_events(party) for party in (*contractors, customer)))
    assert received[:-1] == [[end] for end in ends]
    assert sorted(received[-1]) == sorted(ends)


async def applies(contractor, job):
    """Connected to the namespaces that publish what happens to an offer."""
    await contractor.connect(namespaces=["/account", "/bidding"])
    status, _ = await contractor.http(
        "POST",
        "/api/job-request",
        {
            "job_id": job["id"],
            "cover_letter": "Me!",
            "proposed_amount": 100_000,
            "timeline_days": 3,
        },
    )
    assert status == 200


async def test_accept_against_withdraw(processes, books):
    """Guard: OFFER_STEPS allows `accepting` and `withdrawn` only after `pending`."""
    first, second = await processes.web(), await processes.web()
    market = processes.market
    customer = await market.customer(url=first.url)
    contractor = await market.contractor(url=second.url)
    offers, accepted = [], []
    for _ in range(PAIRS):
        job = await market.job(customer)
        await market.application(contractor, job)
        offers.append(await market.offer(customer, contractor, job, 10_000))
        fields = {"offer_id": offers[-1]["id"]}
        acks = await asyncio.gather(
            contractor.ack("/bidding", "accept", fields),
            customer.ack("/bidding", "withdraw", fields),
        )
        assert [ack["ok"] for ack in acks].count(True) == 1
        loser = next(ack["error"]["code"] for ack in acks if not ack["ok"])
        assert loser == "offer_not_pending"
        accepted.append(acks[0]["ok"])
    await market.settled(PATIENCE)
    ends = []
    for offer, taken in zip(offers, accepted, strict=True):
        [row] = await market.rows(Offer, _id=offer["id"])
        [paid] = await market.rows(Payment, _id=offer["payment_id"])
        assert (row.status, paid.status) == (
            (OfferStatus.ACCEPTED, PaymentStatus.CAPTURED)
            if taken
            else (OfferStatus.WITHDRAWN, PaymentStatus.CANCELED)
        )
        ends.append((f"offer.{row.status}", row.id))
    for party in (customer, contractor):
        assert sorted(await closing_events(party)) == sorted(ends)
    states = await intents(market)
    assert states.count("succeeded") == sum(accepted)
    assert states.count("canceled") == PAIRS - sum(accepted)
    assert (await books()).differences == []


async def test_milestones_completed_and_withdrawn_in_parallel(processes, books):
    """Guard: version and snapshot of `offer.change_offer`; without them two completions read the
    same rest and both pay it. And the `$gte` in `booking._change_balance`: of many withdrawals of
    what was earned, one gets it."""
    first, second = await processes.web(), await processes.web()
    market = processes.market
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    job = await market.job(customer)
    await market.application(contractor, job)
    parts = [{"title": f"Part {n}", "amount": 20_000} for n in range(5)]
    await market.accept(contractor, await market.offer(customer, contractor, job, milestones=parts))
    await market.start(contractor, job)
    replies = await asyncio.gather(
        *(
            customer.http(
                "POST",
                f"/api/job/{job['id']}/complete",
                {"milestone": n % 5 + 1},
                url=(first, second)[n % 2].url,
            )
            for n in range(15)
        )
    )
    assert [status for status, _ in replies].count(200) == 5
    codes = {body["code"] for status, body in replies if status != 200}
    assert codes <= {"milestone_not_standing", "job_not_in_progress"}
    await market.settled(PATIENCE)
    wallet = await contractor.call("/wallet", "balance")
    assert (wallet["available"], wallet["pending"]) == (70_000, 0)
    assert (await customer.call("/job", "get", {"job_id": job["id"]}))["status"] == "completed"
    assert len((await market.sandbox.api("GET", "transfers"))["data"]) == 5
    assert (await books()).differences == []
    for party in (customer, contractor):
        # Two processes push these events, in either order.
        updates = [each["data"] for each in await feed_of(party) if each["name"] == "offer.updated"]
        paid = [
            sum(part["status"] == "completed" for part in offer["milestones"])
            for offer in sorted(updates, key=lambda offer: offer["version"])
        ]
        assert [n for n in paid if n] == [1, 2, 3, 4, 5]
        assert (await feed_values(party, "job.updated", "status")).count("completed") == 1

    replies = await asyncio.gather(
        *(
            contractor.http(
                "POST",
                "/api/wallet/withdrawals",
                {"amount": 70_000},
                url=(first, second)[n % 2].url,
            )
            for n in range(8)
        )
    )
    assert sorted(status for status, _ in replies) == [200] + [409] * 7
    assert {body["code"] for status, body in replies if status == 409} == {"insufficient_funds"}
    await market.settled(PATIENCE)
    account = (await market.sandbox.api("GET", "accounts"))["data"][0]["id"]
    await contractor.push("/wallet", "withdrawal.updated", lambda w: w["status"] == "paid")
    payouts = (await market.sandbox.api("GET", "payouts", account))["data"]
    assert [payout["amount"] for payout in payouts] == [70_000]
    balance = await contractor.call("/wallet", "balance")
    assert (balance["available"], balance["in_transit"]) == (0, 0)
    assert (await books()).differences == []
    statuses = await feed_values(contractor, "withdrawal.updated", "status")
    assert statuses.count("requested") == 1
