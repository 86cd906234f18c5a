"""Transfers to connected accounts, from a charge or from the available balance."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, connect
from server.dev.stripe_sandbox.currencies import check_positive, format_amount
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import (
    EXPAND,
    PAGE,
    Required,
    Spec,
    boolean,
    currency,
    integer,
    merge_metadata,
    metadata,
    text,
)
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CREATE: Spec = {
    "amount": Required(integer),
    "currency": Required(currency),
    "destination": Required(text),
    "description": text,
    "metadata": metadata,
    "source_transaction": text,
    "source_type": text,
    "transfer_group": text,
    **EXPAND,
}
UPDATE: Spec = {"description": text, "metadata": metadata, **EXPAND}
RECIPIENT_DELAY_SECONDS = 86_400  # Stripe, "Service agreement types"
LIST: Spec = {**PAGE, "destination": text, "transfer_group": text}
REVERSE: Spec = {
    "amount": integer,
    "description": text,
    "metadata": metadata,
    "refund_application_fee": boolean,
    **EXPAND,
}


def create(context: RequestContext) -> Json:
    """Create a transfer. Raises insufficient_capabilities_for_transfer, balance_insufficient."""
    params = context.params
    amount, currency_code = params["amount"], params["currency"]
    check_positive(amount, currency_code)
    account = connect.get_connected(context, params["destination"], "destination", in_path=False)
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have at least one of the following capabilities"
            " enabled: transfers, crypto_transfers, legacy_payments",
            "insufficient_capabilities_for_transfer",
        )
    charge = _get_source_charge(context, amount, currency_code)
    if charge is None:
        balances.check_available(context, context.account, currency_code, amount, "transfer")
    transfer = context.add(_new_transfer(context, account, charge))
    payment = context.add(_new_payment(context, transfer), account["id"])
    due = _available_on(context, charge) if charge else 0
    entry = balances.book(
        context,
        "transfer",
        transfer,
        -amount,
        available_on=due,
        description=transfer["description"],
    )
    if account["tos_acceptance"]["service_agreement"] == "recipient":
        due = max(due, context.now) + RECIPIENT_DELAY_SECONDS
    arrived = balances.book(context, "payment", payment, amount, available_on=due)
    payment["balance_transaction"] = arrived["id"]
    transfer.update(balance_transaction=entry["id"], destination_payment=payment["id"])
    context.save(payment)
    context.save(transfer)
    context.emit("transfer.created", transfer)
    return transfer


def _get_source_charge(context: RequestContext, amount: int, currency_code: str) -> Json | None:
    """The `source_transaction`, checked, or None. Raises refused if too little of it is left."""
    charge_id = context.params.get("source_transaction")
    if not charge_id:
        return None
    charge = context.get("charge", charge_id, "source_transaction", in_path=False)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(
            f"The charge {charge_id} is not captured and cannot be a source of a transfer.",
            None,
            "source_transaction",
        )
    entry = context.find(charge["balance_transaction"]) or charge
    if entry["currency"] != currency_code:
        raise refused(
            f"The currency of source_transaction's balance transaction ({entry['currency']}) must"
            f" be the same as the transfer currency ({currency_code})",
            None,
            "currency",
        )
    used = sum(
        transfer["amount"] - transfer["amount_reversed"]
        for transfer in context.find_all("transfer", "source_transaction", charge_id)
    )
    if used + amount > charge["amount_captured"]:
        raise refused(
            "Transfers using this transaction as a source must not exceed the source amount of"
            f" {format_amount(charge['amount_captured'], currency_code)}. (There is already a"
            " transfer using this source, amounting to a total of"
            f" {format_amount(used, currency_code)}.)",
            None,
            "amount",
        )
    return charge


def _available_on(context: RequestContext, source: Json) -> int:
    """When the money of a charge, transfer or payment is available; 0 if it has no line yet."""
    entry = context.find(source["balance_transaction"])
    return int(entry["available_on"]) if entry else 0


def _new_transfer(context: RequestContext, account: Json, charge: Json | None) -> Json:
    params, name = context.params, new_id("tr_3" if charge else "tr_1")
    group = params.get("transfer_group")
    if charge and not group:
        group = charge["transfer_group"] or f"group_{charge['payment_intent']}"
        charge["transfer_group"] = group
        context.save(charge)
    return {
        "id": name,
        "object": "transfer",
        "amount": params["amount"],
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": context.now,
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": account["id"],
        "destination_payment": "",
        "livemode": False,
        "metadata": merge_metadata(None, params.get("metadata", {})),
        "reversals": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/transfers/{name}/reversals",
        },
        "reversed": False,
        "source_transaction": charge["id"] if charge else None,
        "source_type": "card",
        "transfer_group": group,
    }


def _new_payment(context: RequestContext, transfer: Json) -> Json:
    """The payment that a transfer is on the destination account."""
    nothing = (
        "application application_fee application_fee_amount balance_transaction"
        " calculated_statement_descriptor customer description failure_balance_transaction"
        " failure_code failure_message on_behalf_of outcome payment_intent payment_method"
        " receipt_email receipt_number receipt_url review shipping statement_descriptor"
        " statement_descriptor_suffix transfer_data transfer_group"
    )
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    person = dict.fromkeys(("email", "name", "phone", "tax_id"))
    return {
        **dict.fromkeys(nothing.split()),
        "id": new_id("py_1"),
        "object": "charge",
        "amount": transfer["amount"],
        "amount_captured": transfer["amount"],
        "amount_refunded": 0,
        "billing_details": {**person, "address": address},
        "captured": True,
        "created": context.now,
        "currency": transfer["currency"],
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "paid": True,
        "payment_method_details": {"stripe_account": {}, "type": "stripe_account"},
        "refunded": False,
        "source_transfer": transfer["id"],
        "status": "succeeded",
    }


def retrieve(context: RequestContext, transfer_id: str) -> Json:
    """One transfer."""
    return context.get("transfer", transfer_id, "transfer")


def update(context: RequestContext, transfer_id: str) -> Json:
    """Change a transfer's description or metadata."""
    transfer, params = retrieve(context, transfer_id), context.params
    transfer["metadata"] = merge_metadata(transfer["metadata"], params.get("metadata", {}))
    transfer["description"] = params.get("description", transfer["description"])
    context.save(transfer)
    context.emit("transfer.updated", transfer)
    return transfer


def list_transfers(context: RequestContext) -> Json:
    """Transfers, newest first."""
    params = context.params
    return context.page(
        "transfer",
        "/v1/transfers",
        destination=params.get("destination"),
        transfer_group=params.get("transfer_group"),
    )


def reverse(context: RequestContext, transfer_id: str) -> Json:
    """Reverse a transfer. Raises balance_insufficient if the destination has too little available,
    and account_invalid if it is closed.

    While the funds of the transfer are pending, they are what is reversed, and both lines are
    available when the funds would have been. Source: the recordings of pending transfers in
    `tests/server/dev/sandbox/recordings`. Later the available balance counts. Source: Stripe,
    "Separate charges and transfers", on reversals.
    """
    transfer = retrieve(context, transfer_id)
    currency_code, left = transfer["currency"], transfer["amount"] - transfer["amount_reversed"]
    amount = context.params.get("amount", left)
    if left == 0:
        raise refused(f"Transfer {transfer_id} is already fully reversed.")
    check_positive(amount, currency_code)
    if amount > left:
        raise refused(
            f"Transfer reversal amount ({amount}) is greater than unreversed amount on transfer"
            f" ({left})",
            None,
            "amount",
        )
    destination = context.find(transfer["destination"])
    if destination is None or destination.get("deleted"):
        raise refused(
            f"The account {transfer['destination']} is closed: nothing can be reversed from it.",
            "account_invalid",
        )
    payment = context.find(transfer["destination_payment"])
    assert payment is not None
    if _available_on(context, payment) <= context.now:
        _check_recipient(context, transfer, amount)
    return _reverse(context, transfer, payment, amount)


def _check_recipient(context: RequestContext, transfer: Json, amount: int) -> None:
    """Raises balance_insufficient."""
    held = balances.available_and_pending(context, transfer["destination"])
    if held.get(transfer["currency"], (0, 0))[0] < amount:
        raise refused(
            "The recipient does not have enough funds in their account for this reversal.",
            "balance_insufficient",
        )


def _reverse(context: RequestContext, transfer: Json, payment: Json, amount: int) -> Json:
    reversal: Json = {
        "id": new_id("trr_1"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": context.now,
        "currency": transfer["currency"],
        "destination_payment_refund": None,
        "metadata": merge_metadata(None, context.params.get("metadata", {})),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    context.add(reversal)
    due = _available_on(context, transfer)
    entry = balances.book(context, "transfer_refund", reversal, amount, available_on=due)
    refund = context.add(
        _new_payment_refund(context, payment, amount, reversal), transfer["destination"]
    )
    back = balances.book(
        context,
        "payment_refund",
        refund,
        -amount,
        available_on=_available_on(context, payment),
        description="REFUND FOR PAYMENT",
    )
    refund["balance_transaction"] = back["id"]
    reversal.update(balance_transaction=entry["id"], destination_payment_refund=refund["id"])
    payment["amount_refunded"] += amount
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversals"]["data"].insert(0, context.public_view(reversal))
    for changed in (refund, reversal, payment, transfer):
        context.save(changed)
    context.emit("transfer.reversed", transfer)
    return reversal


def _new_payment_refund(
    context: RequestContext, payment: Json, amount: int, reversal: Json
) -> Json:
    return {
        "id": new_id("pyr_1"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": payment["id"],
        "created": context.now,
        "currency": payment["currency"],
        "metadata": {},
        "payment_intent": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": reversal["id"],
        "status": "succeeded",
        "transfer_reversal": reversal["id"],
    }


def retrieve_reversal(context: RequestContext, transfer_id: str, reversal_id: str) -> Json:
    """One reversal of a transfer."""
    retrieve(context, transfer_id)
    return context.get("transfer_reversal", reversal_id)


def list_reversals(context: RequestContext, transfer_id: str) -> Json:
    """A transfer's reversals, newest first."""
    retrieve(context, transfer_id)
    return context.page(
        "transfer_reversal", f"/v1/transfers/{transfer_id}/reversals", transfer=transfer_id
    )
