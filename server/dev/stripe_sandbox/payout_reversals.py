"""Reversals of payouts: Stripe debits the bank account that a payout went to."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, payouts
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import EXPAND, Spec, merge_metadata, metadata
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

REVERSE: Spec = {"metadata": metadata, **EXPAND}
# https://docs.stripe.com/api/payouts/reverse: of connected accounts, to banks of these countries.
COUNTRIES = ("US", "CA")


def reverse(context: RequestContext, payout_id: str) -> Json:
    """Reverse a payout by a payout of the opposite sign. Raises refused for what Stripe leaves to
    `cancel`, has reversed before, or cannot debit."""
    original = payouts.retrieve(context, payout_id)
    _check_reversible(context, original)
    payout = context.add(_new_reversal(context, original))
    entry = balances.book(context, "payout", payout, original["amount"])
    payout["balance_transaction"] = entry["id"]
    original["reversed_by"] = payout["id"]
    context.save(original)
    delay = context.tenant.setting("payout_delay_seconds")
    context.set_timer(context.tenant.now() + delay / 2, "payout", payout["id"])
    context.emit("payout.created", context.save(payout))
    return payout


def _check_reversible(context: RequestContext, original: Json) -> None:
    if original["status"] not in ("in_transit", "paid"):
        raise refused(f"A payout that is {original['status']} cannot be reversed.")
    if original["reversed_by"] or original["original_payout"]:
        raise refused("This payout has already been reversed, or is a reversal itself.")
    owner = context.find(context.account)
    if (
        owner is None
        or context.account == context.tenant.account
        or owner["country"] not in COUNTRIES
    ):
        raise refused("Only payouts of connected accounts to banks in US and CA can be reversed.")


def _new_reversal(context: RequestContext, original: Json) -> Json:
    kept = (
        "object application_fee application_fee_amount automatic currency description destination"
        " livemode method payout_method reconciliation_status source_type statement_descriptor type"
    )
    return {
        **{name: original[name] for name in kept.split()},
        "id": new_id("po_1"),
        "amount": -original["amount"],
        "arrival_date": original["arrival_date"],
        "balance_transaction": None,
        "created": context.now,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "metadata": merge_metadata(None, context.params.get("metadata", {})),
        "original_payout": original["id"],
        "reversed_by": None,
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
    }
