"""Texts of notifications about wallets, withdrawals and payout accounts."""

from domain.notifications.text import WALLET, Data, Notice, Side, just, lines, reason, sum_of

# -- wallets and accounts ----------------------------------------------------------------------


def withdrawal_updated(data: Data, side: Side) -> Notice | None:
    status, amount = data.get("status"), sum_of(data)
    if status == "paid":
        title, told = f"{amount} arrived at your bank", ["The withdrawal is complete."]
    elif status == "failed":
        why = reason(data.get("failure"))
        title = f"The withdrawal of {amount} came back"
        told = [
            f"Your bank did not take it: {why}." if why else "Your bank did not take it.",
            "The money is in your wallet again.",
            "Check your bank account under “Set up payouts”, then withdraw again.",
        ]
    else:
        return None
    return Notice(
        kind=f"withdrawal_{status}",
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"withdrawal:{data['id']}:{status}",
        path=WALLET,
    )


def account_updated(data: Data, side: Side) -> Notice | None:
    """Payouts that became possible or were lost, and a wallet that was frozen."""
    if just(data, data.get("frozen_at")):
        kind, at, title = "wallet_frozen", data["frozen_at"], "Your wallet is frozen"
        told = ["Nothing can be paid out for now. Please get in touch with us."]
    elif just(data, at := data.get("payouts_changed_at")) and data.get("payouts_enabled"):
        kind, title = "payouts_possible", "Payouts are set up"
        told = ["From now on you can withdraw what your wallet has available."]
    elif just(data, at):
        kind, title = "payouts_lost", "Payouts have stopped"
        told = ["Stripe needs something from you: open your wallet and press “Set up payouts”."]
    else:
        return None
    return Notice(
        kind=kind,
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"{kind}:{data['id']}:{at}",
        path=WALLET,
        always=kind == "wallet_frozen",
    )
