"""Texts of notifications about wallets, withdrawals and payout accounts."""

from domain.notifications.templates.refusals import reason_of
from domain.notifications.text import (
    WALLET,
    Data,
    Notice,
    Side,
    amount_of,
    failure_text,
    happened_now,
    join_lines,
)


def withdrawal_updated(data: Data, side: Side) -> Notice | None:
    status, amount = data.get("status"), amount_of(data)
    if status == "paid":
        title, sentences = f"{amount} arrived at your bank", ["The withdrawal is complete."]
        if data.get("unasked"):
            sentences = ["Stripe paid it out by itself: you had not asked for it here."]
    elif status == "failed":
        why = failure_text(data.get("failure"))
        title = f"The withdrawal of {amount} came back"
        if data.get("sent_at"):
            reason = f"Your bank did not take it: {why}." if why else "Your bank did not take it."
        else:
            reason = reason_of(str(data.get("failure")))
        sentences = [
            reason,
            "The money is in your wallet again.",
            "Check your bank account under “Set up payouts”, then withdraw again.",
        ]
    else:
        return None
    return Notice(
        kind=f"withdrawal_{status}",
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        fact=f"withdrawal:{data['id']}:{status}",
        path=WALLET,
    )


def account_updated(data: Data, side: Side) -> Notice | None:
    """Payouts that became possible or were lost, and a wallet that was frozen."""
    if happened_now(data, data.get("frozen_at")):
        kind, at, title = "wallet_frozen", data["frozen_at"], "Your wallet is frozen"
        sentences = ["Nothing can be paid out for now. Please get in touch with us."]
    elif happened_now(data, at := data.get("payouts_changed_at")) and data.get("payouts_enabled"):
        kind, title = "payouts_possible", "Payouts are set up"
        sentences = ["From now on you can withdraw what your wallet has available."]
    elif happened_now(data, at):
        kind, title = "payouts_lost", "Payouts have stopped"
        sentences = [
            "Stripe needs information from you: open your wallet and press “Set up payouts”."
        ]
    else:
        return None
    return Notice(
        kind=kind,
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        fact=f"{kind}:{data['id']}:{at}",
        path=WALLET,
        always=kind == "wallet_frozen",
    )
