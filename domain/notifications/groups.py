"""The groups of notices, by which users switch them off."""

from domain.accounts.user import NoticeGroup

# By the beginnings of kinds. Others, such as those about security, cannot be switched off.
BEGINNINGS = {
    "offer_": NoticeGroup.OFFERS,
    "hold_": NoticeGroup.OFFERS,
    "delivered": NoticeGroup.WORK,
    "completed": NoticeGroup.WORK,
    "completes": NoticeGroup.WORK,
    "cancelled": NoticeGroup.WORK,
    "payment_": NoticeGroup.PAYMENTS,
    "refund_": NoticeGroup.PAYMENTS,
    "chargeback_": NoticeGroup.PAYMENTS,
    "dispute_": NoticeGroup.DISPUTES,
    "withdrawal_": NoticeGroup.WALLET,
    "payouts_": NoticeGroup.WALLET,
    "transfer_": NoticeGroup.WALLET,
    "debt_": NoticeGroup.WALLET,
    "money_": NoticeGroup.WALLET,
    "wallet_": NoticeGroup.WALLET,
}


def group_of(kind: str, *, always: bool) -> NoticeGroup | None:
    """The group of a notice, or None for one that is always sent."""
    if always:
        return None
    return next((group for start, group in BEGINNINGS.items() if kind.startswith(start)), None)
