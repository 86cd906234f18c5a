"""Currencies that Stripe does not settle, or that a contractor's bank does not take."""

import pytest

from domain.deals.chargeback import Chargeback
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from domain.payments.platform_check import check_platform
from domain.payouts.transfer import Transfer
from tests.faults.outcome import books_differences, requests_to
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import Refused
from tests.support.worlds import World

AMOUNT, CONVERTED = 100_000, 108_000


async def convert(work):
    await work.sandbox.settings(converts=1, fee_bps=290, fee_fixed=30)
    work.admin = await work.market.admin()
    await work.start(currency="EUR")
    work.alert = await told_admin(work, "currency_converted", "EUR")


@pytest.fixture(scope="session")
def world_of_euros():
    return World(JobInProgress, convert)


@pytest.fixture
async def euros(world_of_euros, market, server):
    """A job in progress whose payment in EUR Stripe has converted to USD."""
    return await world_of_euros.enter(market, server)


async def told_admin(work, kind, subject):
    push = await work.admin.push(
        "/admin", "alert", lambda a: (a["kind"], a["subject"]) == (kind, subject), TIMEOUT
    )
    return push


async def test_a_conversion_is_noticed_transferred_to_nobody_and_refunded(euros):
    """Guard: `note_settlement` in `processing.settle_capture`: the books had EUR at Stripe that are
    USD there, and found out in the night. `settled_currency` in `transfer_currency.park_unfit`:
    Stripe refuses such a transfer every time. `_book_converted_refund` in
    `stripe_lines._compare_refund`: Stripe takes USD."""
    told = euros.alert["message"]
    assert "1,000.00 EUR" in told and "1,080.00 USD" in told
    payment = await euros.stored_payment()
    assert (payment.settled_currency, payment.settled_amount) == ("USD", CONVERTED)
    assert await books_differences(euros.market, euros.server.ports) == []
    rows = await euros.market.rows(Transaction)
    moved = [
        (row.currency, [(p.source, p.destination, p.amount) for p in row.postings])
        for row in rows
        if row.kind == "converted"
    ]
    assert moved == [
        ("EUR", [("exchange", "world:stripe", AMOUNT)]),
        ("USD", [("world:stripe", "exchange", CONVERTED)]),
    ]
    # The share of the contractor stays here.
    await euros.complete()
    told = await euros.contractor.push(
        "/account", "notification", lambda n: n["kind"] == "transfer_unfit", TIMEOUT
    )
    assert "arrived in USD instead of EUR" in told["text"]
    (transfer,) = await euros.market.rows(Transfer)
    assert (transfer.status, transfer.parked_for) == ("parked", "settlement")
    await told_admin(euros, "transfer_unfit", transfer.id)
    await euros.market.settled(TIMEOUT)
    assert await requests_to(euros.market, "transfers") == 0
    (part,) = (await euros.contractor.call("/wallet", "waiting"))["items"]
    assert (part["reason"], part["currency"]) == ("administrator", "EUR")
    assert "arrived in USD" in part["why"]
    assert await books_differences(euros.market, euros.server.ports) == []
    # The customer is refunded.
    await euros.sandbox.add_funds(10_000)
    await euros.refund()
    await euros.customer.push(
        "/payment", "payment.updated", lambda p: p["refunded_amount"] == AMOUNT, TIMEOUT
    )
    for _ in range(2):  # what the first books is no difference for the second
        assert await books_differences(euros.market, euros.server.ports) == []
    rows = [row for row in await euros.market.rows(Transaction) if row.kind == "converted"]
    out = sum(p.amount for row in rows for p in row.postings if p.source == "exchange")
    back = sum(p.amount for row in rows for p in row.postings if p.destination == "exchange")
    assert (len(rows), out, back) == (4, AMOUNT + CONVERTED, AMOUNT + CONVERTED)
    assert await euros.wallet("available", "pending", "debt") == (0, 0, 0)


async def test_no_further_offers_until_an_administrator_says_so(euros):
    """Guard: `require_settled` in `offers.create` and `offers.accept`."""
    job = await euros.market.job(euros.customer, currency="EUR")
    other = await euros.market.contractor("Olga Other", onboarded=True)
    await euros.market.application(other, job)
    fields = {
        "job_id": job["id"],
        "contractor_id": other.id,
        "amount": AMOUNT,
        "currency": "EUR",
        "description": "As discussed.",
        "timeline_days": 5,
        "payment_method": "pm_card_visa",
    }
    await euros.market.settled(TIMEOUT)
    before = await euros.market.traces()
    with pytest.raises(Refused) as refused:
        await euros.customer.call("/bidding", "create", fields)
    assert refused.value.code == "currency_not_supported"
    assert "stopped" in refused.value.message
    assert await euros.market.traces() == before
    dollars = {**fields, "currency": "USD"}
    await euros.customer.call("/bidding", "create", dollars)
    await other.push("/bidding", "offer.created", lambda o: o["currency"] == "USD", TIMEOUT)
    closed = {"alert_id": euros.alert["id"], "reason": "There is a bank account in EUR now."}
    await euros.admin.call("/admin", "alert_close", closed)
    await euros.sandbox.settings(converts=0)
    third = await euros.market.contractor("Theo Third", onboarded=True)
    await euros.market.application(third, job)
    offer = await euros.market.offer(euros.customer, third, job, AMOUNT, currency="EUR")
    await euros.market.accept(third, offer)
    assert (
        await euros.server.store.single().get(Payment, offer["payment_id"])
    ).status == "captured"


async def exchanged(work):
    """What the journal has on `exchange`, by currency."""
    found = dict.fromkeys(("EUR", "USD"), 0)
    for row in await work.market.rows(Transaction):
        for posting in row.postings:
            found[row.currency] += posting.amount * (posting.destination == "exchange")
            found[row.currency] -= posting.amount * (posting.source == "exchange")
    return found


async def test_the_dispute_of_a_converted_payment(euros):
    """Guard: `_disputed_part` in stripe_mapping.py and `_book_conversions` in chargebacks.py: its
    lines are in USD, and 1,080.00 USD are no 1,080.00 EUR."""
    made = await euros.sandbox.dispute((await euros.stored_payment()).charge_id)
    await euros.market.settled(TIMEOUT)
    [found] = await euros.market.rows(Chargeback)
    assert (found.withdrawn_amount, found.fee_amount, found.fee_currency) == (AMOUNT, 1500, "USD")
    assert (await euros.stored_offer()).contested_amount == AMOUNT
    assert await exchanged(euros) == {"EUR": 0, "USD": 0}
    await euros.sandbox.dispute_line(made["id"], 30_000)
    await euros.sandbox.close_dispute(made["id"], won=False)
    await euros.market.settled(TIMEOUT)
    [found] = await euros.market.rows(Chargeback)
    assert (found.status, found.withdrawn_amount) == ("lost", 70_000)
    assert (await euros.stored_offer()).charged_back_amount == 70_000
    assert await exchanged(euros) == {"EUR": -30_000, "USD": 32_400}
    assert await books_differences(euros.market, euros.server.ports) == []
    shown = await euros.admin.call("/admin", "chargeback", {"chargeback_id": found.id})
    assert shown["fee_currency"] == "USD"
    # A conversion that is not booked is a difference, which reading the dispute again mends.
    lines = {"kind": "converted", "fact": {"$gt": "converted:txn_", "$lt": "converted:txn_~"}}
    await euros.server.store.single().remove(Transaction, lines)
    found = await books_differences(euros.market, euros.server.ports)
    assert {each.what for each in found} >= {"conversion"}
    assert await books_differences(euros.market, euros.server.ports) == []


# -- the contractor's bank -----------------------------------------------------------------------


async def park_for_bank(work):
    """Complete a job in USD, whose contractor then gets a bank account in EUR."""
    work.admin = await work.market.admin()
    await work.start(onboarded=False)
    await work.complete()
    await work.market.settled(TIMEOUT)
    await work.market.onboard(work.contractor, "eur")
    told = await work.contractor.push(
        "/account", "notification", lambda n: n["kind"] == "transfer_unfit", TIMEOUT
    )
    assert "Your bank takes EUR only" in told["text"]
    (transfer,) = await work.market.rows(Transfer)
    assert (transfer.status, transfer.parked_for) == ("parked", "bank")
    await told_admin(work, "transfer_unfit", transfer.id)
    await work.market.settled(TIMEOUT)
    assert await requests_to(work.market, "transfers") == 0
    assert await books_differences(work.market, work.server.ports) == []


@pytest.fixture(scope="session")
def world_of_another_bank():
    return World(JobInProgress, park_for_bank)


@pytest.fixture
async def parked(world_of_another_bank, market, server):
    return await world_of_another_bank.enter(market, server)


async def test_a_bank_of_another_currency_gets_nothing(parked):
    """Guard: `payout_currencies` in `transfer_currency.park_unfit`: Stripe converts such a transfer
    on its arrival, and the wallet shows dollars that are euros."""
    (part,) = (await parked.contractor.call("/wallet", "waiting"))["items"]
    assert "add an account for USD" in part["why"]
    link = await parked.contractor.call("/account", "onboard")
    await parked.sandbox.fill_in_onboarding(link["url"], parked.contractor.name, "eur,usd")
    await parked.contractor.push(
        "/wallet", "wallet.updated", lambda w: w["available"] == 70_000, TIMEOUT
    )
    (transfer,) = await parked.market.rows(Transfer)
    assert (transfer.status, transfer.parked_for, transfer.refusal) == ("available", None, None)
    assert await books_differences(parked.market, parked.server.ports) == []


async def test_an_administrator_may_send_it_all_the_same(parked):
    """Guard: `currency_accepted` in `wallet_actions._release`: without it the transfer is parked
    again at once."""
    (transfer,) = await parked.market.rows(Transfer)
    release = {"transfer_id": transfer.id, "reason": "They want euros."}
    await parked.admin.call("/admin", "release", release)
    await parked.contractor.push(
        "/wallet", "wallet.updated", lambda w: w["available"] == 70_000, TIMEOUT
    )
    assert await requests_to(parked.market, "transfers") == 1


# -- the check at the start ----------------------------------------------------------------------


async def test_the_start_compares_currencies_and_methods_with_stripe(market, server):
    """Guard: `check_platform`: it says what the first payment would show otherwise."""
    admin = await market.admin()
    await check_platform(server.ports)
    assert admin.received("/admin", "alert") == []
    await server.sandbox.settings(converts=1)
    await server.sandbox.set_capability("crypto_payments", "inactive")
    for _ in range(2):  # an open alert is not repeated
        await check_platform(server.ports)
    await market.settled(TIMEOUT)
    found = {(a.data["kind"], a.data["subject"]) for a in admin.received("/admin", "alert")}
    currencies = {("currency_not_settled", code) for code in ("EUR", "ISK", "JPY", "KWD")}
    assert found == {*currencies, ("method_inactive", "crypto")}
    assert len(admin.received("/admin", "alert")) == len(found)
