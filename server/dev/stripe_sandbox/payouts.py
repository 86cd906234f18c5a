"""Payouts to a bank: pending, in transit, then paid, or sent back by the bank."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, faults

from .call import Call
from .errors import Json, refused
from .forms import EXPAND, PAGE, Need, Spec, currency, integer, mapping, merged, one_of, span, text
from .money import check_positive
from .state import new_id

CREATE: Spec = {
    "amount": Need(integer),
    "currency": Need(currency),
    "description": text,
    "destination": text,
    "metadata": mapping,
    "method": one_of("standard", "instant"),
    "source_type": one_of("bank_account", "card", "fpx"),
    "statement_descriptor": text,
    **EXPAND,
}
UPDATE: Spec = {"metadata": mapping, **EXPAND}
STATES = one_of("pending", "paid", "failed", "canceled", "in_transit")
LIST: Spec = {**PAGE, "status": STATES, "destination": text, "arrival_date": span}
REASONS = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "no_account": "The bank account details on file are probably incorrect. No bank account could"
    " be located with those details.",
}


def create(call: Call) -> Json:
    """Send available money to the bank. Raises balance_insufficient, payouts_not_allowed."""
    params = call.params
    amount, money = params["amount"], params["currency"]
    check_positive(amount, money)
    bank = _bank(call, money)
    balances.check_available(call, call.account, money, amount, "payout")
    delay = call.tenant.setting("payout_delay_seconds")
    payout = call.add(
        {
            "id": new_id("po_1"),
            "object": "payout",
            "amount": amount,
            "application_fee": None,
            "application_fee_amount": None,
            "arrival_date": int(call.now + delay),
            "automatic": False,
            "balance_transaction": None,
            "created": call.now,
            "currency": money,
            "description": params.get("description"),
            "destination": bank,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": merged(None, params.get("metadata", {})),
            "method": params.get("method", "standard"),
            "original_payout": None,
            "payout_method": None,
            "reconciliation_status": "not_applicable",
            "reversed_by": None,
            "source_type": params.get("source_type", "card"),
            "statement_descriptor": params.get("statement_descriptor"),
            "status": "pending",
            "trace_id": None,
            "type": "bank_account",
        }
    )
    payout["balance_transaction"] = balances.book(call, "payout", payout, -amount)["id"]
    _order_failure(call, payout)
    call.later(call.tenant.now() + delay / 2, "payout", payout["id"])
    call.emit("payout.created", call.save(payout))
    return payout


def _bank(call: Call, money: str) -> str | None:
    """Where the money goes; the platform has a bank account in every currency."""
    account = call.find(call.account)
    if account is None or not account["payouts_enabled"]:
        raise refused(
            "Payouts are not enabled for this account; its onboarding is not complete.",
            "payouts_not_allowed",
        )
    given = call.params.get("destination")
    if call.account == call.tenant.account and not given:
        return None
    for bank in account["external_accounts"]["data"]:
        if bank["currency"] == money and given in (None, bank["id"]):
            return str(bank["id"])
    raise refused(f"Sorry, you don't have any external accounts in that currency ({money}).")


def _order_failure(call: Call, payout: Json) -> None:
    names = (payout["id"], call.account, payout["currency"])
    fault = faults.take_for_object(call.store, call.tenant.key, "payout", names)
    if fault is not None:
        payout["_failure"] = fault.get("failure_code", "could_not_process")
        payout["_after_paid"] = fault.get("after_paid", False)


def advance(call: Call, name: str) -> None:
    """The timer of a payout: its next step."""
    payout = call.find(name)
    if payout is None or payout["status"] in ("failed", "canceled"):
        return
    owner = Call(call.store, call.tenant, call.owner(payout), _seen=call._seen)
    delay = call.tenant.setting("payout_delay_seconds")
    if payout["status"] == "pending":
        payout["status"] = "in_transit"
        call.later(payout["created"] + delay, "payout", name)
        owner.emit("payout.updated", call.save(payout))
    elif "_failure" in payout and (payout["status"] == "paid" or not payout["_after_paid"]):
        _fail(owner, call.save(payout))
    elif payout["status"] == "in_transit":
        payout.update(status="paid", trace_id={"status": "pending", "value": None})
        if "_failure" in payout:
            call.later(call.tenant.now() + delay, "payout", name)
        owner.emit("payout.paid", call.save(payout))


def die(call: Call, payout: Json, code: str) -> Json:
    """The bank sends a payout back, also one that it had taken."""
    if payout["status"] in ("failed", "canceled"):
        raise refused(f"The payout is {payout['status']}.")
    owner = Call(call.store, call.tenant, call.owner(payout), _seen=call._seen)
    payout["_failure"] = code
    _fail(owner, call.save(payout))
    return payout


def _fail(call: Call, payout: Json) -> None:
    code = payout.pop("_failure")
    entry = balances.book(call, "payout_failure", payout, payout["amount"])
    payout.update(
        status="failed",
        failure_code=code,
        failure_message=REASONS.get(code, "The bank returned this payout."),
        failure_balance_transaction=entry["id"],
    )
    call.emit("payout.failed", payout)


def cancel(call: Call, name: str) -> Json:
    """Stop a payout that is still pending."""
    payout = retrieve(call, name)
    if payout["status"] != "pending":
        raise refused(
            f"Payouts can only be canceled while they are pending; this one is {payout['status']}.",
        )
    entry = balances.book(call, "payout_cancel", payout, payout["amount"])
    payout.update(status="canceled", failure_balance_transaction=entry["id"])
    call.emit("payout.canceled", call.save(payout))
    return payout


def retrieve(call: Call, name: str) -> Json:
    """One payout."""
    return call.get("payout", name, "payout")


def update(call: Call, name: str) -> Json:
    """Change a payout's metadata."""
    payout = retrieve(call, name)
    payout["metadata"] = merged(payout["metadata"], call.params.get("metadata", {}))
    call.emit("payout.updated", call.save(payout))
    return payout


def list_payouts(call: Call) -> Json:
    """Payouts, newest first."""
    params = call.params
    return call.page(
        "payout",
        "/v1/payouts",
        status=params.get("status"),
        destination=params.get("destination"),
    )
