"""Payouts to a bank: pending, in transit, then paid, or failed when the bank returns them."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, fault_injection
from server.dev.stripe_sandbox.currencies import check_payout_step, check_positive
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Required,
    Spec,
    currency,
    integer,
    merge_metadata,
    metadata,
    one_of,
    text,
    time_range,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CREATE: Spec = {
    "amount": Required(integer),
    "currency": Required(currency),
    "description": text,
    "destination": text,
    "metadata": metadata,
    "method": one_of("standard", "instant"),
    "source_type": one_of("bank_account", "card", "fpx"),
    "statement_descriptor": text,
    **EXPAND,
}
UPDATE: Spec = {"metadata": metadata, **EXPAND}
STATES = one_of("pending", "paid", "failed", "canceled", "in_transit")
LIST: Spec = {**PAGE, "status": STATES, "destination": text, "arrival_date": time_range}
DAY = 86_400  # dates of arrival are midnights, UTC
FAILURE_MESSAGES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "no_account": "The bank account details on file are probably incorrect. No bank account could"
    " be located with those details.",
}


def create(context: RequestContext, *, automatic: bool = False) -> Json:
    """Pay out available money. Raises balance_insufficient, payouts_not_allowed."""
    params = context.params
    amount, currency_code = params["amount"], params["currency"]
    check_positive(amount, currency_code)
    check_payout_step(amount, currency_code)
    bank = _destination(context, currency_code)
    balances.check_available(context, context.account, currency_code, amount, "payout")
    delay = context.tenant.setting("payout_delay_seconds")
    payout = context.add(
        {
            "id": new_id("po_1"),
            "object": "payout",
            "amount": amount,
            "application_fee": None,
            "application_fee_amount": None,
            "arrival_date": int(context.now + delay) // DAY * DAY,
            "automatic": automatic,
            "balance_transaction": None,
            "created": context.now,
            "currency": currency_code,
            "description": params.get("description"),
            "destination": bank,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": merge_metadata(None, params.get("metadata", {})),
            "method": params.get("method", "standard"),
            "original_payout": None,
            "payout_method": None,
            "reconciliation_status": "not_applicable",
            "reversed_by": None,
            "source_type": params.get("source_type", "card"),
            "statement_descriptor": params.get("statement_descriptor"),
            "status": "pending",
            "trace_id": {"status": "pending", "value": None},
            "type": "bank_account",
        }
    )
    payout["balance_transaction"] = balances.book(context, "payout", payout, -amount)["id"]
    _plan_failure(context, payout)
    context.set_timer(context.tenant.now() + delay / 2, "payout", payout["id"])
    context.emit("payout.created", context.save(payout))
    return payout


def _destination(context: RequestContext, currency_code: str) -> str | None:
    """The bank account to pay out to; None for the platform, which has one in each currency."""
    account = context.find(context.account)
    if account is None or not account["payouts_enabled"]:
        raise refused(
            "Payouts are not enabled for this account; its onboarding is not complete.",
            "payouts_not_allowed",
        )
    given = context.params.get("destination")
    if context.account == context.tenant.account and not given:
        return None
    for bank in account["external_accounts"]["data"]:
        if bank["currency"] == currency_code and given in (None, bank["id"]):
            return str(bank["id"])
    raise refused(
        f"Sorry, you don't have any external accounts in that currency ({currency_code})."
    )


def has_bank(context: RequestContext, account: Json, currency_code: str) -> bool:
    """Whether an account can be paid out in a currency; the platform always can."""
    banks = account["external_accounts"]["data"]
    own = account["id"] == context.tenant.account
    return own or any(bank["currency"] == currency_code for bank in banks)


def _plan_failure(context: RequestContext, payout: Json) -> None:
    names = (payout["id"], context.account, payout["currency"])
    fault = fault_injection.take_for_object(context.store, context.tenant.key, "payout", names)
    if fault is not None:
        payout["_failure"] = fault.get("failure_code", "could_not_process")
        payout["_after_paid"] = fault.get("after_paid", False)


def advance(context: RequestContext, payout_id: str) -> None:
    """Timer: the next step of a payout."""
    payout = context.find(payout_id)
    if payout is None or payout["status"] in ("failed", "canceled"):
        return
    owner = RequestContext(
        context.store, context.tenant, context.owner(payout), _loaded=context._loaded
    )
    delay = context.tenant.setting("payout_delay_seconds")
    if payout["status"] == "pending":
        payout["status"] = "in_transit"
        context.set_timer(payout["created"] + delay, "payout", payout_id)
        owner.emit("payout.updated", context.save(payout))
    elif "_failure" in payout and (payout["status"] == "paid" or not payout["_after_paid"]):
        _fail(owner, context.save(payout))
    elif payout["status"] == "in_transit":
        payout.update(status="paid")
        if "_failure" in payout:
            context.set_timer(context.tenant.now() + delay, "payout", payout_id)
        owner.emit("payout.paid", context.save(payout))


def return_by_bank(context: RequestContext, payout: Json, code: str) -> Json:
    """Fail a payout that the bank returns, even a paid one."""
    if payout["status"] in ("failed", "canceled"):
        raise refused(f"The payout is {payout['status']}.")
    owner = RequestContext(
        context.store, context.tenant, context.owner(payout), _loaded=context._loaded
    )
    payout["_failure"] = code
    _fail(owner, context.save(payout))
    return payout


def _fail(context: RequestContext, payout: Json) -> None:
    code = payout.pop("_failure")
    entry = balances.book(context, "payout_failure", payout, payout["amount"])
    payout.update(
        status="failed",
        failure_code=code,
        failure_message=FAILURE_MESSAGES.get(code, "The bank returned this payout."),
        failure_balance_transaction=entry["id"],
    )
    context.emit("payout.failed", payout)


def cancel(context: RequestContext, payout_id: str) -> Json:
    """Cancel a pending payout."""
    payout = retrieve(context, payout_id)
    if payout["status"] != "pending":
        raise refused(
            f"Payouts can only be canceled while they are pending; this one is {payout['status']}.",
        )
    entry = balances.book(context, "payout_cancel", payout, payout["amount"])
    payout.update(status="canceled", failure_balance_transaction=entry["id"])
    context.emit("payout.canceled", context.save(payout))
    return payout


def retrieve(context: RequestContext, payout_id: str) -> Json:
    """One payout."""
    return context.get("payout", payout_id, "payout")


def update(context: RequestContext, payout_id: str) -> Json:
    """Change a payout's metadata."""
    payout = retrieve(context, payout_id)
    payout["metadata"] = merge_metadata(payout["metadata"], context.params.get("metadata", {}))
    context.emit("payout.updated", context.save(payout))
    return payout


def list_payouts(context: RequestContext) -> Json:
    """Payouts, newest first."""
    params = context.params
    return context.page(
        "payout",
        "/v1/payouts",
        status=params.get("status"),
        destination=params.get("destination"),
    )
