"""Refunds: whole, in parts, of a charge in the path, and what is refused."""

from __future__ import annotations

from .replay import ENTRY, FOODNETWORK, GUMROAD, SPREE, Recording, Step, paid

REFUNDS = "/v1/refunds"
PROCESSOR = GUMROAD + "StripeChargeProcessor/_refund_/"
SALES = GUMROAD + "Api_V2_SalesController/PUT_refund_/when_logged_in_with_refund_sales_scope/"
BY_CARD = {
    "destination_details.type": "card",
    "destination_details.card.type": "refund",
    "destination_details.card.reference_type": "acquirer_reference_number",
}


def _refund(amount: int, form: str) -> Step:
    return Step(
        "POST",
        REFUNDS,
        form,
        facts={
            "object": "refund",
            "status": "succeeded",
            "amount": amount,
            "charge": "{charge}",
            "payment_intent": "{intent}",
            "balance_transaction": ENTRY,
            "reason": None,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "transfer_reversal": None,
        },
        keep={"refund": "id"},
    )


def _charge_after(refunded: int, *, whole: bool) -> Step:
    """A refund leaves the captured amount and the status of its charge alone."""
    facts = {
        "amount_refunded": refunded,
        "refunded": whole,
        "amount_captured": 1000,
        "captured": True,
        "status": "succeeded",
        "paid": True,
    }
    return Step("GET", "/v1/charges/{charge}", facts=facts)


def _entry(amount: int) -> Step:
    facts = {
        "balance_transaction.amount": -amount,
        "balance_transaction.type": "refund",
        "balance_transaction.reporting_category": "refund",
        "balance_transaction.description": "REFUND FOR CHARGE",
        "balance_transaction.source": "{refund}",
    }
    return Step("GET", REFUNDS + "/{refund}?expand[]=balance_transaction", facts=facts)


def _refused(form: str, code: str | None, param: str | None = None) -> Step:
    facts = {"error.type": "invalid_request_error", "error.code": code, "error.param": param}
    return Step("POST", REFUNDS, form, status=400, facts=facts)


TABLE = (
    Recording(
        "whole-refund-once",
        PROCESSOR + "full_refund/already_refunded/raises_already_refunded_error",
        (
            *paid("4242424242424242", 1000, status="succeeded"),
            _charge_after(0, whole=False),
            _refund(1000, "charge={charge}"),
            _entry(1000),
            _charge_after(1000, whole=True),
            _refused("charge={charge}", "charge_already_refunded"),
        ),
    ),
    Recording(
        "refund-in-parts",
        PROCESSOR + "partial_refund/multiple_refunds/allows_a_second_partial_refund",
        (
            *paid("4242424242424242", 1000),
            _refund(500, "charge={charge}&amount=500"),
            _entry(500),
            _charge_after(500, whole=False),
            _refund(500, "charge={charge}&amount=500"),
            _charge_after(1000, whole=True),
        ),
    ),
    Recording(
        "parts-beyond-the-charge",
        PROCESSOR + "partial_refund/multiple_refunds/"
        "when_total_partials_would_be_more_than_original/raises_invalid_request_error",
        (
            *paid("4242424242424242", 1000),
            _refund(500, "charge={charge}&amount=500"),
            _refused("charge={charge}&amount=600", None, "amount"),
            _charge_after(500, whole=False),
        ),
    ),
    Recording(
        "refund-beyond-the-charge",
        PROCESSOR + "partial_refund/refunding_more_than_original_amount/"
        "raises_invalid_request_error",
        (
            *paid("4242424242424242", 1000),
            _refused("charge={charge}&amount=1100", None, "amount"),
            _charge_after(0, whole=False),
        ),
    ),
    Recording(
        "negative-refund",
        SALES + "when_request_for_a_partial_refund/does_nothing_if_refund_amount_is_negative",
        (
            *paid("4242424242424242", 10000),
            _refused("charge={charge}&amount=-1", "parameter_invalid_integer", "amount"),
        ),
    ),
    Recording(
        "refund-of-a-disputed-charge",
        SALES + "does_not_refund_a_chargebacked_sale",
        (
            *paid("4000000000000259", 10000, status="succeeded"),
            Step("GET", "/v1/charges/{charge}", facts={"disputed": True, "refunded": False}),
            _refused("charge={charge}", "charge_disputed"),
        ),
    ),
    Recording(
        "refund-by-intent",
        SPREE + "create_refund",
        (
            *paid("4242424242424242", 1000),
            _refund(800, "amount=800&payment_intent={intent}"),
        ),
    ),
    Recording(
        "refund-in-the-path-of-its-charge",
        FOODNETWORK + "Spree_Gateway_StripeSCA/_credit/refunds_the_payment",
        (
            *paid("5555555555554444", 1000),
            Step(
                "POST",
                "/v1/charges/{charge}/refunds",
                "amount=1000&expand[0]=charge",
                facts={
                    "object": "refund",
                    "status": "succeeded",
                    "amount": 1000,
                    "charge.id": "{charge}",
                    "charge.status": "succeeded",
                    "charge.refunded": True,
                    "charge.amount_refunded": 1000,
                    "charge.amount_captured": 1000,
                    "payment_intent": "{intent}",
                    "balance_transaction": ENTRY,
                    **BY_CARD,
                },
            ),
            Step("GET", "/v1/payment_intents/{intent}", facts={"status": "succeeded"}),
        ),
    ),
)
