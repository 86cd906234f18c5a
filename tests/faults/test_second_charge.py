"""A second PaymentIntent of a payment that succeeds after the first settled it."""

from datetime import timedelta

from domain.ledger.transaction import Transaction
from domain.payments.duplicates import DuplicateCharge
from domain.reconciliation.runs import compare_stripe
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT

CHARGED_AT_ONCE = {
    "confirm": "true",
    "payment_method": "pm_card_visa",
    "automatic_payment_methods[enabled]": "true",
    "automatic_payment_methods[allow_redirects]": "never",
}


async def charge_again(work, **options):
    """The first request, of which no answer came, succeeds late, under another idempotency key."""
    payment = await work.stored_payment()
    return await work.sandbox.api(
        "POST",
        "payment_intents",
        amount=payment.amount,
        currency=payment.currency.lower(),
        transfer_group=payment.offer_id,
        **{"metadata[payment_id]": payment.id, "metadata[offer_id]": payment.offer_id},
        **(CHARGED_AT_ONCE | options),
    )


async def no_difference_to_stripe(work):
    now = work.server.ports.clock.now()
    day = timedelta(days=1)
    result = await compare_stripe(work.server.ports, now - day, now + day, repairs=False)
    assert result.differences == []


async def test_a_second_hold_is_released_and_a_second_charge_refunded(work):
    """Guard: `gateway.cancel` and `settle_duplicate` in `duplicates.settle_second_intent`; without
    it the customer stays charged twice, without a notice. For repeated events: the unique
    `intent_id` of `DuplicateCharge`, and the facts of its bookings. For a refund of it that the
    bank returns: `_settle_refund` in `duplicates._read_refunds`: the money is the customer's, and
    it is on the platform's balance again."""
    admin = await work.market.admin()
    hold = {"payment_method_options[card][capture_method]": "manual"}
    second = await charge_again(work, **hold)
    assert second["status"] == "requires_capture"
    assert await work.platform_and_escrow() == (10_000, 90_000)
    found = await work.sandbox.api("GET", f"payment_intents/{second['id']}")
    assert found["status"] == "canceled"
    assert await work.market.rows(DuplicateCharge) == []

    await work.sandbox.settings(fee_bps=290, fee_fixed=30)
    second = await charge_again(work)
    assert second["status"] == "succeeded"
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == "charged_twice", TIMEOUT)
    assert "1,000.00 USD" in alert["message"]
    assert not alert["urgent"]
    fee = 100_000 * 290 // 10_000 + 30
    assert await work.platform_and_escrow() == (10_000 - fee, 90_000)
    [refund] = await work.stripe_list("refunds", payment_intent=second["id"])
    assert (refund["amount"], refund["status"]) == (100_000, "succeeded")
    [row] = await work.market.rows(DuplicateCharge)
    assert (row.status, row.refund_id, row.amount) == ("refunded", refund["id"], 100_000)
    payment = await work.stored_payment()
    assert (payment.status, payment.refunded_amount) == ("captured", 0)
    assert payment.intent_id != second["id"]
    kinds = await feed_values(work.customer, "notification", "kind")
    assert kinds.count("charged_twice") == 1
    await no_difference_to_stripe(work)
    # Its events are repeated.
    for event in await work.sandbox.events("payment_intent.succeeded"):
        if event["data"]["object"]["id"] == second["id"]:
            await work.sandbox.replay(event["id"], times=3)
    assert await work.platform_and_escrow() == (10_000 - fee, 90_000)
    kinds = [row.kind for row in await work.market.rows(Transaction)]
    assert (kinds.count("duplicate_charged"), kinds.count("duplicate_refunded")) == (1, 1)
    assert len(await work.stripe_list("refunds", payment_intent=second["id"])) == 1
    # The bank returns the refund, so that a person is needed.
    await work.sandbox.fail_refund(refund["id"])
    kind = "duplicate_refund_failed"
    alert = await admin.push("/admin", "alert", lambda a: a["kind"] == kind, TIMEOUT)
    assert alert["urgent"]
    assert await work.platform_and_escrow() == (10_000 - fee, 90_000)
    [row] = await work.market.rows(DuplicateCharge)
    assert row.status == "failed"
    await no_difference_to_stripe(work)
