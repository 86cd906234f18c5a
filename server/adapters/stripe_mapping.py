"""Maps Stripe's objects to the gateway port's: minor units, currencies in upper case."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from domain.ports.method_types import METHOD_TYPES
from domain.ports.payment_gateway import (
    BalanceTransaction,
    CardDispute,
    ConnectAccount,
    Conversion,
    FraudReport,
    Intent,
    PaymentMethod,
    PlatformAccount,
    SetupIntent,
    StripeMovement,
)

RATE_PRECISION = 1e-5  # of Stripe's exchange rates, which have at least five significant digits


def intent(body: Mapping[str, Any]) -> Intent:
    charge = body.get("latest_charge")
    charge = charge if isinstance(charge, Mapping) else {}
    booked = charge.get("balance_transaction")
    booked = booked if isinstance(booked, Mapping) else {}
    error = body.get("last_payment_error") or {}
    redirect = (body.get("next_action") or {}).get("redirect_to_url") or {}
    return Intent(
        id=body["id"],
        status=body["status"],
        amount=body["amount"],
        currency=body["currency"].upper(),
        captured_amount=charge.get("amount_captured") or 0,
        refunded_amount=charge.get("amount_refunded") or 0,
        client_secret=body.get("client_secret"),
        redirect_url=redirect.get("url"),
        charge_id=charge.get("id"),
        capture_before=_capture_before(body, charge),
        available_on=time(booked.get("available_on")),
        fee_amount=booked.get("fee"),
        fee_currency=(booked.get("currency") or "").upper() or None,
        settled_amount=booked.get("amount"),
        settled_currency=(booked.get("currency") or "").upper() or None,
        failure=error.get("decline_code") or error.get("code"),
        metadata=dict(body.get("metadata") or {}),
        attempt=error.get("charge") or "",
        card=_card_of(error) or _card_of({"payment_method": charge.get("payment_method_details")}),
    )


def _capture_before(body: Mapping[str, Any], charge: Mapping[str, Any]) -> datetime | None:
    """When the hold expires: a card's charge says so, and others are held as long as their type
    is."""
    details = charge.get("payment_method_details") or {}
    if stated := time((details.get("card") or {}).get("capture_before")):
        return stated
    kind = METHOD_TYPES.get(details.get("type", ""))
    made = time(charge.get("created"))
    if body["status"] != "requires_capture" or not (kind and kind.hold and made):
        return None
    return made + kind.hold


def settled(body: Mapping[str, Any]) -> StripeMovement:
    return StripeMovement(
        id=body["id"],
        status=body.get("status") or "succeeded",
        amount=body["amount"],
        currency=body["currency"].upper(),
        failure=body.get("failure_code") or body.get("failure_reason"),
        metadata=dict(body.get("metadata") or {}),
        reversed_amount=body.get("amount_reversed") or 0,
        moved=body.get("balance_transaction", "") is not None,
        account_id=_id(body.get("destination")) if body.get("object") == "transfer" else None,
    )


def account(body: Mapping[str, Any], second: Mapping[str, Any] | None = None) -> ConnectAccount:
    """An account as /v1 shows it, and what /v2 says of one that was made there."""
    transfers = (body.get("capabilities") or {}).get("transfers")
    banks = (body.get("external_accounts") or {}).get("data") or []
    wanted = body.get("requirements") or {}
    known = ConnectAccount(
        body["id"],
        transfers == "active",
        bool(body.get("payouts_enabled")),
        tuple(sorted({bank["currency"].upper() for bank in banks})),
        closed=bool(body.get("deleted")),
        requirements=tuple(wanted.get("currently_due") or ()),
        disabled_reason=wanted.get("disabled_reason"),
        bank=_bank_digest(banks),
        past_due=tuple(wanted.get("past_due") or ()),
        deadline=time(wanted.get("current_deadline")),
        agreement=(body.get("tos_acceptance") or {}).get("service_agreement") or "full",
    )
    return _with_v2(known, second) if second else known


def _with_v2(known: ConnectAccount, body: Mapping[str, Any]) -> ConnectAccount:
    recipient = (body.get("configuration") or {}).get("recipient") or {}
    capabilities = (recipient.get("capabilities") or {}).get("stripe_balance") or {}

    def active(name: str) -> bool:
        return bool((capabilities.get(name) or {}).get("status") == "active")

    wanted = body.get("requirements") or {}
    entries = [
        entry
        for entry in wanted.get("entries") or ()
        if entry["awaiting_action_from"] == "user"
        and entry["minimum_deadline"]["status"] != "eventually_due"
    ]
    overdue = [each for each in entries if each["minimum_deadline"]["status"] == "past_due"]
    at = ((wanted.get("summary") or {}).get("minimum_deadline") or {}).get("time")
    return msgspec.structs.replace(
        known,
        transfers_active=active("stripe_transfers"),
        payouts_enabled=active("payouts"),
        closed=known.closed or bool(body.get("closed")),
        requirements=tuple(dict.fromkeys(entry["description"] for entry in entries)),
        past_due=tuple(dict.fromkeys(entry["description"] for entry in overdue)),
        deadline=msgspec.convert(at, datetime) if at else None,
        configurations=tuple(body.get("applied_configurations") or ()),
    )


def platform(body: Mapping[str, Any]) -> PlatformAccount:
    """Stripe settles a payment in its own currency if the account has a bank for it."""
    banks = (body.get("external_accounts") or {}).get("data") or []
    settled = {bank["currency"].upper() for bank in banks} | {body["default_currency"].upper()}
    capabilities = body.get("capabilities") or {}
    active = (name for name, state in capabilities.items() if state == "active")
    return PlatformAccount(tuple(sorted(settled)), frozenset(active))


def _bank_digest(banks: Sequence[Mapping[str, Any]]) -> str:
    """Of Stripe's fingerprints, which are the same for the same account at the same bank."""
    known = sorted(f"{bank.get('fingerprint') or bank['id']} {bank['currency']}" for bank in banks)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32] if known else ""


def dispute(body: Mapping[str, Any]) -> CardDispute:
    """Each of its balance transactions took or gave back an amount, and a fee. They are in the
    currency of the balance, which is another one if Stripe has converted the charge."""
    entries = body.get("balance_transactions") or []
    amounts = [_disputed_part(body, entry) for entry in entries]
    details = body.get("evidence_details") or {}
    return CardDispute(
        id=body["id"],
        status=body["status"],
        amount=body["amount"],
        currency=body["currency"].upper(),
        reason=body.get("reason") or "general",
        charge_id=_id(body.get("charge")),
        intent_id=_id(body.get("payment_intent")),
        due_by=time(details.get("due_by")),
        submissions=details.get("submission_count") or 0,
        withdrawn_amount=-sum(amounts),
        fee_amount=sum(entry["fee"] for entry in entries),
        fee_currency=entries[0]["currency"].upper() if entries else None,
        conversions=tuple(
            Conversion(entry["id"], amount, entry["currency"].upper(), entry["amount"])
            for entry, amount in zip(entries, amounts, strict=True)
            if entry["currency"] != body["currency"]
        ),
    )


def _disputed_part(body: Mapping[str, Any], entry: Mapping[str, Any]) -> int:
    """A line of a dispute in the dispute's currency; 0 for a conversion without a rate.

    An amount in the dispute's currency, multiplied by `exchange_rate`, is the line's (Stripe, "The
    Balance Transaction object"). Rates are rounded, so a line of the whole disputed amount is
    recognized as such.
    """
    amount: int = entry["amount"]
    rate: float | None = entry.get("exchange_rate")
    if entry["currency"] == body["currency"]:
        return amount
    if not rate:
        return 0
    whole: int = body["amount"] if amount > 0 else -body["amount"]
    if math.isclose(whole * rate, amount, rel_tol=RATE_PRECISION, abs_tol=1):
        return whole
    return round(amount / rate)


def fraud_warning(body: Mapping[str, Any]) -> FraudReport:
    return FraudReport(
        body["id"],
        _id(body.get("payment_intent")),
        body["fraud_type"],
        charge_id=_id(body["charge"]),
    )


def review(body: Mapping[str, Any]) -> FraudReport:
    return FraudReport(
        body["id"],
        _id(body.get("payment_intent")),
        body["reason"],
        bool(body["open"]),
        body.get("closed_reason"),
        _id(body.get("charge")),
    )


def method(body: Mapping[str, Any]) -> PaymentMethod:
    shown = body.get(body["type"]) or {}
    return PaymentMethod(
        id=body["id"],
        type=body["type"],
        customer_id=_id(body.get("customer")),
        brand=shown.get("brand"),
        last4=shown.get("last4"),
        exp_month=shown.get("exp_month"),
        exp_year=shown.get("exp_year"),
        fingerprint=shown.get("fingerprint") or "",
    )


def setup(body: Mapping[str, Any]) -> SetupIntent:
    error = body.get("last_setup_error") or {}
    return SetupIntent(
        id=body["id"],
        client_secret=body.get("client_secret"),
        status=body["status"],
        customer_id=_id(body.get("customer")),
        card=_card_of(error),
    )


def _card_of(error: Mapping[str, Any]) -> str:
    """The fingerprint of the card that an attempt failed with."""
    card = (error.get("payment_method") or {}).get("card") or {}
    return card.get("fingerprint") or ""


def entry(body: Mapping[str, Any]) -> BalanceTransaction:
    created, available = time(body["created"]), time(body["available_on"])
    assert created and available, "Stripe dates every line of its books"
    return BalanceTransaction(
        id=body["id"],
        type=body["type"],
        amount=body["amount"],
        fee=body["fee"],
        net=body["net"],
        currency=body["currency"].upper(),
        source_id=_id(body.get("source")),
        created_at=created,
        available_on=available,
    )


def payout_interval(settings: Mapping[str, Any]) -> str | None:
    """Of an account's settings; None if Stripe does not say."""
    schedule = (settings.get("payouts") or {}).get("schedule") or {}
    interval: str | None = schedule.get("interval")
    return interval


def _id(thing: Any) -> str | None:
    """Stripe names an object by its id, or expands it."""
    id: str | None = thing["id"] if isinstance(thing, Mapping) else thing
    return id


def time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def since(moment: datetime, limit: int, until: datetime | None = None) -> Any:
    """One minute earlier, because the clocks differ. `until` is exclusive."""
    created = {"gte": int(moment.timestamp()) - 60}
    if until:
        created["lt"] = int(until.timestamp())
    return {"created": created, "limit": limit}
