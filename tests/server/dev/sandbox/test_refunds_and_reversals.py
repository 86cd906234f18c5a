"""Refunds that wait for a customer, refunds in the path of a charge, reversed payouts."""

from __future__ import annotations

import pytest

from .conftest import Shop
from .test_payments import refusal

DAY = 86_400


async def test_only_a_refund_that_waits_for_the_customer_is_canceled(sandbox_shop: Shop) -> None:
    """Guard: `refunds.cancel`. The money returns to the balance and can be refunded again."""
    refunds = sandbox_shop.v1.refunds
    paid = await sandbox_shop.pay()
    done = await refunds.create_async({"payment_intent": paid.id, "amount": 1_000})
    assert (await refusal(refunds.cancel_async(done.id))).http_status == 400
    await sandbox_shop.fault(refund="*", requires_action=True)
    waiting = await refunds.create_async({"payment_intent": paid.id, "amount": 2_000})
    assert waiting.status == "requires_action"
    before = await sandbox_shop.available()
    canceled = await refunds.cancel_async(waiting.id)
    assert canceled.status == "canceled"
    assert canceled.failure_balance_transaction is not None
    assert await sandbox_shop.available() == before + 2_000
    charge = await sandbox_shop.v1.charges.retrieve_async(str(paid.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (1_000, False)
    assert (await sandbox_shop.events())[-2:] == ["refund.updated", "charge.refund.updated"]
    assert (await refusal(refunds.cancel_async(waiting.id))).http_status == 400


async def test_refunds_are_found_in_the_path_of_their_charge(sandbox_shop: Shop) -> None:
    """Guard: the routes `charges/*/refunds`."""
    paid, other = await sandbox_shop.pay(), await sandbox_shop.pay()
    path = f"/v1/charges/{paid.latest_charge}/refunds"
    made = await sandbox_shop.send("POST", path, {"amount": "300"})
    await sandbox_shop.send("POST", path, {"amount": "200"})
    page = await sandbox_shop.send("GET", path)
    assert [refund["amount"] for refund in page["data"]] == [200, 300]
    assert page["url"] == path
    changed = await sandbox_shop.send("POST", f"{path}/{made['id']}", {"metadata[a]": "1"})
    assert changed["metadata"] == {"a": "1"}
    found = await sandbox_shop.send("GET", f"{path}/{made['id']}")
    assert found["id"] == made["id"]
    wrong = f"/v1/charges/{other.latest_charge}/refunds/{made['id']}"
    assert (await sandbox_shop.send("GET", wrong))["error"]["code"] == "resource_missing"


async def test_a_charge_is_changed_but_never_its_money(sandbox_shop: Shop) -> None:
    """Guard: `charges.update`."""
    paid = await sandbox_shop.pay()
    changed = await sandbox_shop.v1.charges.update_async(
        str(paid.latest_charge),
        {"description": "a roof", "fraud_details": {"user_report": "fraudulent"}},
    )
    assert (changed.description, changed.amount_captured) == ("a roof", 10_000)
    assert changed.fraud_details.user_report == "fraudulent"
    assert (await sandbox_shop.events())[-1] == "charge.updated"
    refused = await sandbox_shop.send("POST", f"/v1/charges/{paid.latest_charge}", {"amount": "1"})
    assert refused["error"]["code"] == "parameter_unknown"


async def test_a_payout_is_reversed_by_one_of_the_opposite_sign(sandbox_shop: Shop) -> None:
    """Guard: `payout_reversals.reverse`. The money is back at once, and only once."""
    account = await sandbox_shop.contractor()
    at = {"stripe_account": account}
    payouts = sandbox_shop.v1.payouts
    await sandbox_shop.pay(amount=20_000)
    await sandbox_shop.v1.transfers.create_async(
        {"amount": 5_000, "currency": "usd", "destination": account}
    )
    paid = await payouts.create_async({"amount": 5_000, "currency": "usd"}, at)
    assert (await refusal(payouts.reverse_async(paid.id, {}, at))).http_status == 400
    await sandbox_shop.advance(DAY)
    assert (await payouts.retrieve_async(paid.id, {}, at)).status == "paid"
    assert await sandbox_shop.available(account) == 0
    reversal = await payouts.reverse_async(paid.id, {"metadata": {"why": "wrong bank"}}, at)
    assert (reversal.amount, reversal.original_payout) == (-5_000, paid.id)
    assert await sandbox_shop.available(account) == 5_000
    found = await payouts.retrieve_async(paid.id, {}, at)
    assert (found.reversed_by, found.status) == (reversal.id, "paid")
    for again in (paid.id, reversal.id):
        assert (await refusal(payouts.reverse_async(again, {}, at))).http_status == 400
    await sandbox_shop.advance(DAY)
    assert (await payouts.retrieve_async(reversal.id, {}, at)).status == "paid"


@pytest.mark.parametrize("where", ["platform", "elsewhere"])
async def test_other_payouts_are_not_reversed(sandbox_shop: Shop, where: str) -> None:
    """Guard: `payout_reversals.COUNTRIES`."""
    await sandbox_shop.pay(amount=20_000)
    options = {}
    if where == "elsewhere":
        account = await sandbox_shop.contractor(country="GB")
        options = {"stripe_account": account}
        await sandbox_shop.v1.transfers.create_async(
            {"amount": 5_000, "currency": "usd", "destination": account}
        )
    payout = await sandbox_shop.v1.payouts.create_async(
        {"amount": 5_000, "currency": "usd"}, options
    )
    await sandbox_shop.advance(DAY)
    reverse = sandbox_shop.v1.payouts.reverse_async(payout.id, {}, options)
    assert (await refusal(reverse)).http_status == 400
