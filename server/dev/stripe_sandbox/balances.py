"""Balances: each movement of money is a balance transaction, available at `available_on`."""

from __future__ import annotations

from server.dev.stripe_sandbox.currencies import exchange_rate
from server.dev.stripe_sandbox.errors import Json, refused
from server.dev.stripe_sandbox.parameters import EXPAND, PAGE, Spec, text
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

LIST: Spec = {**PAGE, "currency": text, "payout": text, "source": text, "type": text}
RETRIEVE: Spec = EXPAND
HOLDING_DAYS = {"US": 730, "TH": 10}
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


def book(
    context: RequestContext,
    kind: str,
    source: Json,
    amount: int,
    *,
    fee: int = 0,
    available_on: int | None = None,
    description: str | None = None,
    converted_to: str | None = None,
) -> Json:
    """Book `amount` minor units less `fee` on the account that owns `source`; negative is out. With
    another currency `converted_to`, the amounts are in that one."""
    account, due = context.owner(source), max(available_on or context.now, context.now)
    currency = converted_to or source["currency"]
    entry = _new_entry(context, kind, currency, amount, fee=fee, due=due)
    entry.update(source=source["id"], description=description)
    if currency != source["currency"]:
        entry["exchange_rate"] = exchange_rate(source["currency"], currency)
    _add_to_balance(context, account, currency, amount - fee, due)
    if amount > 0 and account != context.tenant.account:
        context.set_timer(due + _holding_seconds(context, account), "holding", account)
    return context.add(entry, account)


def _holding_seconds(context: RequestContext, account_id: str) -> int:
    """How long Stripe lets an account hold funds before it pays them out itself. Source: Stripe,
    "Using manual payouts"."""
    country = str((context.find(account_id) or {}).get("country"))
    return HOLDING_DAYS.get(country, 90) * 86_400


def book_standalone(
    context: RequestContext, kind: str, currency_code: str, amount: int, description: str | None
) -> Json:
    """Book an entry without a source object: Stripe's own fees, a top-up, a correction."""
    entry = _new_entry(context, kind, currency_code, amount, fee=0, due=context.now)
    entry["description"] = description
    _add_to_balance(context, context.account, currency_code, amount, context.now)
    return context.add(entry)


def _new_entry(
    context: RequestContext, kind: str, currency_code: str, amount: int, *, fee: int, due: int
) -> Json:
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": currency_code,
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
        "created": context.now,
        "currency": currency_code,
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees if fee else [],
        "net": amount - fee,
        "reporting_category": CATEGORIES.get(kind, "other_adjustment"),
        "source": None,
        "status": "pending",
        "type": kind,
    }


def _add_to_balance(
    context: RequestContext, account: str, currency_code: str, net: int, due: int
) -> None:
    db = context.store.db
    db.execute(
        "INSERT INTO balances VALUES (?, ?, ?)"
        " ON CONFLICT (account, currency) DO UPDATE SET net = net + excluded.net",
        (account, currency_code, net),
    )
    if due > context.now:
        db.execute(
            "INSERT INTO pending_amounts (account, currency, net, available_on)"
            " VALUES (?, ?, ?, ?)",
            (account, currency_code, net, due),
        )
    if net > 0 and waiting_refunds(context, account):
        context.set_timer(due, "funds", account)


# -- refunds that wait for funds -----------------------------------------------------------------


def waiting_refunds(context: RequestContext, account: str) -> list[str]:
    """The ids of the account's refunds that wait for funds, the oldest first."""
    query = "SELECT id FROM waiting_refunds WHERE account = ? ORDER BY seq"
    return [row[0] for row in context.store.db.execute(query, (account,)).fetchall()]


def wait_for_funds(context: RequestContext, refund: Json) -> None:
    """Look at a refund again whenever money of its account becomes available."""
    account, db = context.owner(refund), context.store.db
    db.execute("INSERT INTO waiting_refunds (account, id) VALUES (?, ?)", (account, refund["id"]))
    query = "SELECT DISTINCT available_on FROM pending_amounts WHERE account = ? AND net > 0"
    for (due,) in db.execute(query, (account,)).fetchall():
        context.set_timer(due, "funds", account)


def stop_waiting(context: RequestContext, refund_id: str) -> None:
    context.store.db.execute("DELETE FROM waiting_refunds WHERE id = ?", (refund_id,))


def available_and_pending(context: RequestContext, account: str) -> dict[str, tuple[int, int]]:
    """currency -> (available, pending) in minor units."""
    db = context.store.db
    db.execute(
        "DELETE FROM pending_amounts WHERE account = ? AND available_on <= ?",
        (account, context.now),
    )
    rows = db.execute("SELECT currency, net FROM balances WHERE account = ?", (account,)).fetchall()
    waiting = dict(
        db.execute(
            "SELECT currency, sum(net) FROM pending_amounts WHERE account = ? GROUP BY currency",
            (account,),
        ).fetchall()
    )
    return {
        currency_code: (net - waiting.get(currency_code, 0), waiting.get(currency_code, 0))
        for currency_code, net in rows
    }


def check_available(
    context: RequestContext, account: str, currency_code: str, amount: int, purpose: str
) -> None:
    """Raises balance_insufficient."""
    if available_and_pending(context, account).get(currency_code, (0, 0))[0] < amount:
        raise refused(
            f"You have insufficient funds in your Stripe account for this {purpose}.",
            "balance_insufficient",
            None,
        )


def retrieve_balance(context: RequestContext) -> Json:
    """The available and pending balance, per currency."""
    account = (
        context.get("account", context.account)
        if context.account == context.tenant.account
        else None
    )
    held = available_and_pending(context, context.account)
    if not held:
        owner = account or context.find(context.account) or {"default_currency": "usd"}
        held = {owner["default_currency"]: (0, 0)}

    def column(index: int) -> list[Json]:
        return [
            {
                "amount": pair[index],
                "currency": currency_code,
                "source_types": {"card": pair[index]},
            }
            for currency_code, pair in sorted(held.items())
        ]

    reserved = [{"amount": 0, "currency": currency_code} for currency_code in sorted(held)]
    return {
        "object": "balance",
        "available": column(0),
        "connect_reserved": reserved,
        "livemode": False,
        "pending": column(1),
        "refund_and_dispute_prefunding": {"available": reserved, "pending": reserved},
    }


def retrieve_entry(context: RequestContext, entry_id: str) -> Json:
    """One balance transaction."""
    return context.get("balance_transaction", entry_id)


def list_entries(context: RequestContext) -> Json:
    """Balance transactions, newest first."""
    params = context.params
    if params.get("payout"):
        payout = context.get("payout", params["payout"], "payout", in_path=False)
        params.setdefault("source", payout["id"])
    return context.page(
        "balance_transaction",
        "/v1/balance_transactions",
        currency=params.get("currency"),
        source=params.get("source"),
        type=params.get("type"),
    )
