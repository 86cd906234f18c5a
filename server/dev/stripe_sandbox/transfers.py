"""Transfers to connected accounts, tied to a charge or out of the available balance."""

from __future__ import annotations

from server.dev.stripe_sandbox import balances, connect

from .call import Call
from .errors import Json, refused
from .forms import EXPAND, PAGE, Need, Spec, boolean, currency, integer, mapping, merged, text
from .money import check_positive, written
from .state import new_id

CREATE: Spec = {
    "amount": Need(integer),
    "currency": Need(currency),
    "destination": Need(text),
    "description": text,
    "metadata": mapping,
    "source_transaction": text,
    "source_type": text,
    "transfer_group": text,
    **EXPAND,
}
UPDATE: Spec = {"description": text, "metadata": mapping, **EXPAND}
LIST: Spec = {**PAGE, "destination": text, "transfer_group": text}
REVERSE: Spec = {
    "amount": integer,
    "description": text,
    "metadata": mapping,
    "refund_application_fee": boolean,
    **EXPAND,
}


def create(call: Call) -> Json:
    """Send money. Raises insufficient_capabilities_for_transfer, balance_insufficient, ..."""
    params = call.params
    amount, money = params["amount"], params["currency"]
    check_positive(amount, money)
    account = connect.connected(call, params["destination"], "destination", in_path=False)
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have at least one of the following capabilities"
            " enabled: transfers, crypto_transfers, legacy_payments",
            "insufficient_capabilities_for_transfer",
        )
    charge = _source(call, amount, money)
    if charge is None:
        balances.check_available(call, call.account, money, amount, "transfer")
    transfer = call.add(_transfer(call, account, charge))
    payment = call.add(_payment(call, transfer), account["id"])
    due = _available_on(call, charge)
    entry = balances.book(call, "transfer", transfer, -amount, available_on=due)
    arrived = balances.book(call, "payment", payment, amount, available_on=due)
    payment["balance_transaction"] = arrived["id"]
    transfer.update(balance_transaction=entry["id"], destination_payment=payment["id"])
    call.save(payment)
    call.save(transfer)
    call.emit("transfer.created", transfer)
    return transfer


def _source(call: Call, amount: int, money: str) -> Json | None:
    """The charge that pays for the transfer, if one is named and has enough left."""
    name = call.params.get("source_transaction")
    if not name:
        return None
    charge = call.get("charge", name, "source_transaction", in_path=False)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(
            f"The charge {name} is not captured and cannot be a source of a transfer.",
            None,
            "source_transaction",
        )
    if charge["currency"] != money:
        raise refused(
            f"The currency of source_transaction's balance transaction ({charge['currency']}) must"
            f" be the same as the transfer currency ({money})",
            None,
            "currency",
        )
    used = sum(
        transfer["amount"] - transfer["amount_reversed"]
        for transfer in call.of("transfer", "source_transaction", name)
    )
    if used + amount > charge["amount_captured"]:
        raise refused(
            "Transfers using this transaction as a source must not exceed the source amount of"
            f" {written(charge['amount_captured'], money)}. (There is already a transfer using this"
            f" source, amounting to a total of {written(used, money)}.)",
            None,
            "amount",
        )
    return charge


def _available_on(call: Call, charge: Json | None) -> int | None:
    entry = call.find(charge["balance_transaction"]) if charge else None
    return int(entry["available_on"]) if entry else None


def _transfer(call: Call, account: Json, charge: Json | None) -> Json:
    params, name = call.params, new_id("tr_3" if charge else "tr_1")
    group = params.get("transfer_group")
    if charge and not group:
        group = charge["transfer_group"] or f"group_{charge['payment_intent']}"
        charge["transfer_group"] = group
        call.save(charge)
    return {
        "id": name,
        "object": "transfer",
        "amount": params["amount"],
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": call.now,
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": account["id"],
        "destination_payment": "",
        "livemode": False,
        "metadata": merged(None, params.get("metadata", {})),
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


def _payment(call: Call, transfer: Json) -> Json:
    """How the transfer looks in the destination's books."""
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
        "created": call.now,
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


def retrieve(call: Call, name: str) -> Json:
    """One transfer."""
    return call.get("transfer", name, "transfer")


def update(call: Call, name: str) -> Json:
    """Change a transfer's description or metadata."""
    transfer, params = retrieve(call, name), call.params
    transfer["metadata"] = merged(transfer["metadata"], params.get("metadata", {}))
    transfer["description"] = params.get("description", transfer["description"])
    call.save(transfer)
    call.emit("transfer.updated", transfer)
    return transfer


def list_transfers(call: Call) -> Json:
    """Transfers, newest first."""
    params = call.params
    return call.page(
        "transfer",
        "/v1/transfers",
        destination=params.get("destination"),
        transfer_group=params.get("transfer_group"),
    )


def reverse(call: Call, name: str) -> Json:
    """Take money back from the destination, as far as it has it."""
    transfer = retrieve(call, name)
    money, left = transfer["currency"], transfer["amount"] - transfer["amount_reversed"]
    amount = call.params.get("amount", left)
    if left == 0:
        raise refused(f"Transfer {name} is already fully reversed.")
    check_positive(amount, money)
    if amount > left:
        raise refused(
            f"Transfer reversal amount ({amount}) is greater than unreversed amount on transfer"
            f" ({left})",
            None,
            "amount",
        )
    held = balances.amounts(call, transfer["destination"]).get(money, (0, 0))
    if sum(held) < amount:
        raise refused(
            "The recipient does not have enough funds in their account for this reversal.",
            "balance_insufficient",
        )
    return _reverse(call, transfer, amount)


def _reverse(call: Call, transfer: Json, amount: int) -> Json:
    payment = call.find(transfer["destination_payment"])
    assert payment is not None
    reversal: Json = {
        "id": new_id("trr_1"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": call.now,
        "currency": transfer["currency"],
        "destination_payment_refund": None,
        "metadata": merged(None, call.params.get("metadata", {})),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    call.add(reversal)
    entry = balances.book(call, "transfer_refund", reversal, amount)
    refund = call.add(_payment_refund(call, payment, amount, reversal), transfer["destination"])
    back = balances.book(call, "payment_refund", refund, -amount)
    refund["balance_transaction"] = back["id"]
    reversal.update(balance_transaction=entry["id"], destination_payment_refund=refund["id"])
    payment["amount_refunded"] += amount
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversals"]["data"].insert(0, call.shown(reversal))
    for changed in (refund, reversal, payment, transfer):
        call.save(changed)
    call.emit("transfer.reversed", transfer)
    return reversal


def _payment_refund(call: Call, payment: Json, amount: int, reversal: Json) -> Json:
    return {
        "id": new_id("pyr_1"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": payment["id"],
        "created": call.now,
        "currency": payment["currency"],
        "metadata": {},
        "payment_intent": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": reversal["id"],
        "status": "succeeded",
        "transfer_reversal": None,
    }


def retrieve_reversal(call: Call, name: str, reversal: str) -> Json:
    """One reversal of a transfer."""
    retrieve(call, name)
    return call.get("transfer_reversal", reversal)


def list_reversals(call: Call, name: str) -> Json:
    """A transfer's reversals, newest first."""
    retrieve(call, name)
    return call.page("transfer_reversal", f"/v1/transfers/{name}/reversals", transfer=name)
