"""Balances: every movement of money is a balance transaction that matures at `available_on`."""

from __future__ import annotations

from .call import Call
from .errors import Json, refused
from .forms import EXPAND, PAGE, Spec, text
from .state import new_id

LIST: Spec = {**PAGE, "currency": text, "payout": text, "source": text, "type": text}
RETRIEVE: Spec = EXPAND
CATEGORIES = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "transfer": "transfer",
    "transfer_refund": "transfer_reversal",
    "payout": "payout",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "refund_failure": "refund_failure",
    "adjustment": "dispute",
    "stripe_fee": "fee",
    "topup": "topup",
}
ALONE = ("adjustment", "stripe_fee", "topup")


def book(
    call: Call,
    kind: str,
    source: Json,
    amount: int,
    *,
    fee: int = 0,
    available_on: int | None = None,
    description: str | None = None,
) -> Json:
    """Move `amount` minor units (negative: out) less `fee` on the account of `source`."""
    account, due = call.owner(source), max(available_on or call.now, call.now)
    entry = _entry(call, kind, source["currency"], amount, fee=fee, due=due)
    entry.update(source=source["id"], description=description)
    _total(call, account, source["currency"], amount - fee, due)
    return call.add(entry, account)


def book_alone(call: Call, kind: str, money: str, amount: int, description: str | None) -> Json:
    """A line that comes from no object of ours: Stripe's own fees, a top-up, a correction."""
    entry = _entry(call, kind, money, amount, fee=0, due=call.now)
    entry["description"] = description
    _total(call, call.account, money, amount, call.now)
    return call.add(entry)


def _entry(call: Call, kind: str, money: str, amount: int, *, fee: int, due: int) -> Json:
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": money,
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return {
        "id": new_id("txn_3"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": due,
        "balance_type": "payments",
        "created": call.now,
        "currency": money,
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees if fee else [],
        "net": amount - fee,
        "reporting_category": CATEGORIES[kind],
        "source": None,
        "status": "pending",
        "type": kind,
    }


def _total(call: Call, account: str, money: str, net: int, due: int) -> None:
    db = call.store.db
    db.execute(
        "INSERT INTO totals VALUES (?, ?, ?)"
        " ON CONFLICT (account, currency) DO UPDATE SET net = net + excluded.net",
        (account, money, net),
    )
    if due > call.now:
        db.execute(
            "INSERT INTO maturing (account, currency, net, available_on) VALUES (?, ?, ?, ?)",
            (account, money, net, due),
        )


def amounts(call: Call, account: str) -> dict[str, tuple[int, int]]:
    """currency -> (available, pending) in minor units."""
    db = call.store.db
    db.execute("DELETE FROM maturing WHERE account = ? AND available_on <= ?", (account, call.now))
    rows = db.execute("SELECT currency, net FROM totals WHERE account = ?", (account,)).fetchall()
    waiting = dict(
        db.execute(
            "SELECT currency, sum(net) FROM maturing WHERE account = ? GROUP BY currency",
            (account,),
        ).fetchall()
    )
    return {money: (net - waiting.get(money, 0), waiting.get(money, 0)) for money, net in rows}


def check_available(call: Call, account: str, money: str, amount: int, purpose: str) -> None:
    """Raises balance_insufficient."""
    if amounts(call, account).get(money, (0, 0))[0] < amount:
        raise refused(
            f"You have insufficient funds in your Stripe account for this {purpose}.",
            "balance_insufficient",
            None,
        )


def retrieve_balance(call: Call) -> Json:
    """What is available and pending, per currency."""
    account = call.get("account", call.account) if call.account == call.tenant.account else None
    held = amounts(call, call.account)
    if not held:
        owner = account or call.find(call.account) or {"default_currency": "usd"}
        held = {owner["default_currency"]: (0, 0)}

    def column(index: int) -> list[Json]:
        return [
            {"amount": pair[index], "currency": money, "source_types": {"card": pair[index]}}
            for money, pair in sorted(held.items())
        ]

    reserved = [{"amount": 0, "currency": money} for money in sorted(held)]
    return {
        "object": "balance",
        "available": column(0),
        "connect_reserved": reserved,
        "livemode": False,
        "pending": column(1),
        "refund_and_dispute_prefunding": {"available": reserved, "pending": reserved},
    }


def retrieve_entry(call: Call, name: str) -> Json:
    """One balance transaction."""
    return call.get("balance_transaction", name)


def list_entries(call: Call) -> Json:
    """Balance transactions, newest first."""
    params = call.params
    if params.get("payout"):
        payout = call.get("payout", params["payout"], "payout", in_path=False)
        params.setdefault("source", payout["id"])
    return call.page(
        "balance_transaction",
        "/v1/balance_transactions",
        currency=params.get("currency"),
        source=params.get("source"),
        type=params.get("type"),
    )
