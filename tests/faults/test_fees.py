"""Fees that the platform would bear: of tiny withdrawals, and of refunds before any work."""

from datetime import timedelta

import msgspec
import pytest

from domain import ledger
from domain.kernel.errors import Code
from domain.kernel.money import CURRENCIES, least_withdrawal
from domain.ledger.transaction import Transaction
from domain.payments.caused_refunds import CausedRefund
from domain.reconciliation.books_audit import audit
from server.config import load
from tests.support.job_in_progress import TIMEOUT
from tests.support.parties import Refused


def set_rates(server, **rates):
    server.store.rates = msgspec.structs.replace(server.store.rates, **rates)


async def refusal(party, namespace, event, fields):
    with pytest.raises(Refused) as refused:
        await party.call(namespace, event, fields)
    return refused.value


# -- withdrawals ----------------------------------------------------------------------------------


async def test_a_withdrawal_of_one_cent_is_refused(completed_work):
    """Guard: `_check_minimum` in `withdrawals.withdraw`: a payout of a cent costs 25. And
    `available` in it: the whole balance can always be withdrawn, so the last cents are not locked
    in."""
    work = completed_work
    set_rates(work.server, minimum_withdrawal=100)
    before = await work.market.traces()
    for amount in (1, 99):
        refused = await refusal(work.contractor, "/wallet", "withdraw", {"amount": amount})
        assert refused.code == Code.INVALID
        assert (refused.details["rule"], refused.details["limit"]) == ("min", 100)
        assert "1.00 USD or more, or all" in str(refused)
    assert await work.market.traces() == before
    await work.withdraw(100)
    assert await work.wallet("available") == (69_900,)
    assert (await audit(work.server.ports)).differences == []
    work.contractor.clear_pushes()
    await work.withdraw(69_850)
    refused = await refusal(work.contractor, "/wallet", "withdraw", {"amount": 49})
    assert refused.code == Code.INVALID
    work.contractor.clear_pushes()
    await work.withdraw(50)
    assert await work.wallet("available", "in_transit") == (0, 0)
    assert (await audit(work.server.ports)).differences == []


def test_the_minimum_in_every_currency():
    """Guard: `least_withdrawal`: about one US dollar, in steps that Stripe pays out."""
    least = {code: least_withdrawal(code, 100) for code in CURRENCIES}
    assert (least["USD"], least["EUR"], least["JPY"], least["KWD"]) == (100, 100, 100, 400)
    assert (least["BRL"], least["INR"]) == (500, 10_000)  # Stripe's least charges are less
    assert all(least[code] % CURRENCIES[code].step == 0 for code in least)
    assert least_withdrawal("HUF", 1) == 400 and least_withdrawal("USD", 0) == 0


OURS = ("CAUSED_REFUNDS", "MINIMUM_WITHDRAWAL")


def test_the_settings(installation):
    """Guard: CAUSED_REFUNDS and MINIMUM_WITHDRAWAL in `config.load`."""
    env = {name: text for name, text in installation.env.items() if name not in OURS}
    assert load(env).caused_refunds == 10
    assert load(env).minimum_withdrawal == 100
    assert load({**env, "MINIMUM_WITHDRAWAL": "0"}).minimum_withdrawal == 0


# -- refunds before any work ----------------------------------------------------------------------


async def captured_offer(negotiation):
    """An offer whose method is captured at once, and that the contractor sees."""
    answer = await negotiation.create_offer("pm_crypto_usdc")
    await negotiation.market.settled(TIMEOUT)
    payment = await negotiation.customer.call(
        "/payment", "get", {"payment_id": answer["payment"]["id"]}
    )
    assert payment["status"] == "captured"
    return answer["offer"]


async def withdraw_offer(negotiation, offer):
    await negotiation.customer.call("/bidding", "withdraw", {"offer_id": offer["id"]})
    await negotiation.market.settled(TIMEOUT)


async def costs(negotiation, admin):
    return (await admin.call("/admin", "user", {"user_id": negotiation.customer.id}))["costs"]


async def test_the_fee_of_a_withdrawn_offer_is_shown(negotiation):
    """Guard: `record_refund` in `processing.refund_unaccepted`, and `fees_of`: the platform bears
    Stripe's fee, so administrators see which customer causes it. And `BY_CUSTOMER`: the fee of an
    offer that is rejected is shown, and does not count as caused by the customer."""
    await negotiation.sandbox.settings(fee_bps=290, fee_fixed=30)
    offer = await captured_offer(negotiation)
    await withdraw_offer(negotiation, offer)
    (row,) = await negotiation.market.rows(CausedRefund)
    assert (row.customer_id, row.offer_id, row.cause) == (
        negotiation.customer.id,
        offer["id"],
        "withdrawn",
    )
    (fee,) = [row for row in await negotiation.market.rows(Transaction) if row.kind == "stripe_fee"]
    assert [(each.source, each.destination) for each in fee.postings] == [
        (ledger.PLATFORM, ledger.STRIPE_FEES)
    ]
    admin = await negotiation.market.admin()
    shown = await costs(negotiation, admin)
    assert shown["refund_fees"] == [{"amount": fee.postings[0].amount, "currency": fee.currency}]
    assert (shown["caused_refunds"], shown["caused_refunds_allowed"]) == (1, 1000)
    # A rejection is not the customer's doing.
    offer = await captured_offer(negotiation)
    await negotiation.contractor.call("/bidding", "reject", {"offer_id": offer["id"]})
    await negotiation.market.settled(TIMEOUT)
    (_, row) = await negotiation.market.rows(CausedRefund)
    assert (row.offer_id, row.cause) == (offer["id"], "offer_ended")
    shown = await costs(negotiation, admin)
    assert shown["caused_refunds"] == 1
    assert [each["amount"] for each in shown["refund_fees"]] == [2 * fee.postings[0].amount]
    assert (await audit(negotiation.server.ports)).differences == []


async def test_a_customer_causes_so_many_refunds_a_day(negotiation):
    """Guard: `require_refund` in `offers.withdraw` and `require_new_offer` in `offers.create`. The
    refused steps leave no trace, and work again a day later."""
    set_rates(negotiation.server, caused_refunds=2)
    for _ in range(2):
        await withdraw_offer(negotiation, await captured_offer(negotiation))
    before = await negotiation.market.traces()
    fields = {
        "job_id": negotiation.job["id"],
        "contractor_id": negotiation.contractor.id,
        "amount": 10_000,
        "currency": "USD",
        "description": "Again",
        "timeline_days": 3,
    }
    refused = await refusal(negotiation.customer, "/bidding", "create", fields)
    assert refused.code == Code.RATE_LIMITED
    assert 86_000 < refused.details["retry_after"] <= 86_400
    assert await negotiation.market.traces() == before
    await age(negotiation)
    assert await captured_offer(negotiation)


async def age(negotiation):
    uow = negotiation.server.store.single()
    for row in await negotiation.market.rows(CausedRefund):
        at = row.created_at - timedelta(days=1)
        await uow.change(CausedRefund, row.id, created_at=at)


async def test_open_offers_and_cancelling_are_bounded_as_well(negotiation):
    """Guard: `require_refund` in `offers.withdraw` and `work.cancel`: offers that were made before
    the bound was reached do not evade it. A hold costs nothing, so it can always be released."""
    set_rates(negotiation.server, caused_refunds=1)
    captured = await captured_offer(negotiation)
    other = await negotiation.market.contractor("Otto Other")
    await negotiation.market.application(other, negotiation.job)
    fields = {"contractor_id": other.id}
    held = (await negotiation.create_offer("pm_card_visa", **fields))["offer"]
    third = await negotiation.market.contractor("Tina Third")
    await negotiation.market.application(third, negotiation.job)
    again = (await negotiation.create_offer("pm_crypto_usdc", contractor_id=third.id))["offer"]
    await negotiation.market.settled(TIMEOUT)
    await withdraw_offer(negotiation, captured)
    refused = await refusal(negotiation.customer, "/bidding", "withdraw", {"offer_id": again["id"]})
    assert refused.code == Code.RATE_LIMITED
    await withdraw_offer(negotiation, held)
    await third.call("/bidding", "accept", {"offer_id": again["id"]})
    await negotiation.market.settled(TIMEOUT)
    cancel = {"job_id": negotiation.job["id"]}
    refused = await refusal(negotiation.customer, "/job", "cancel", cancel)
    assert refused.code == Code.RATE_LIMITED
    await age(negotiation)
    await negotiation.customer.call("/job", "cancel", cancel)
    await negotiation.market.settled(TIMEOUT)
    causes = [row.cause for row in await negotiation.market.rows(CausedRefund)]
    assert causes == ["withdrawn", "job_cancelled"]
    assert (await audit(negotiation.server.ports)).differences == []
