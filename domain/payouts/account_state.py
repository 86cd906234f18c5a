"""Takes over what Stripe says of a contractor's account: what it may do, and what is wanted."""

from typing import Any

from domain.accounts.user import MAX_REQUIREMENTS, UPDATED, PayoutSetup, User
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import AlertRecord, alert
from domain.notifications.templates.requirements import asks, is_rejected
from domain.notifications.text import WALLET
from domain.payouts.stranded import FollowRejection, is_account_rejected
from domain.ports.payment_gateway import ConnectAccount


def _setup_of(account: ConnectAccount) -> PayoutSetup:
    if is_rejected(account.disabled_reason):
        return PayoutSetup.REJECTED
    if account.payouts_enabled and account.transfers_active:
        return PayoutSetup.DONE
    return PayoutSetup.STARTED if account.requirements else PayoutSetup.WAITING


async def store_account_state(uow: UnitOfWork, account: ConnectAccount) -> User | None:
    """Store the account's capabilities in its user; returns the user if they have changed."""
    user = await uow.find(User, {"connect_id": account.id})
    if user is None:
        return None
    capabilities: dict[str, Any] = {
        "transfers_active": account.transfers_active,
        "payouts_enabled": account.payouts_enabled,
        "payout_currencies": account.currencies,
        "payout_requirements": account.requirements[:MAX_REQUIREMENTS],
        "payout_past_due": account.past_due[:MAX_REQUIREMENTS],
        "payout_deadline": account.deadline,
        "payout_problem": account.disabled_reason,
        "payout_setup": _setup_of(account),
        "payout_agreement": account.agreement,
        "payout_refusal": None if account.payouts_enabled else user.payout_refusal,
    }
    if account.bank and account.bank != user.bank:
        capabilities["bank"] = account.bank
        if user.bank:
            capabilities["bank_changed_at"] = uow.now
    if all(getattr(user, field) == value for field, value in capabilities.items()):
        return None
    if user.payouts_enabled is not account.payouts_enabled:
        capabilities["payouts_changed_at"] = uow.now
    changed = await uow.change(User, user.id, **capabilities)
    if changed:
        uow.publish(UPDATED, changed, to=[user.id])
        await _notify_wanted(uow, user, changed)
        if is_account_rejected(changed) is not is_account_rejected(user):
            uow.later(FollowRejection(user.id))
    return changed


async def _notify_wanted(uow: UnitOfWork, before: User, user: User) -> None:
    """Tell the contractor what Stripe wants of an account that was set up, and of a rejection.
    A person who is still setting it up is at Stripe's page."""
    rejected = user.payout_setup is PayoutSetup.REJECTED
    if rejected and before.payout_setup is not PayoutSetup.REJECTED:
        return await _notify_rejected(uow, user)
    known = (before.payout_requirements, before.payout_past_due, before.payout_deadline)
    wants = (user.payout_requirements, user.payout_past_due, user.payout_deadline)
    set_up = before.payouts_enabled or before.payouts_changed_at
    if rejected or not (set_up and user.payout_requirements) or known == wants:
        return
    title = "Payouts have stopped" if user.payout_past_due else "Stripe has questions"
    await notices.notify(
        uow,
        [user.id],
        "payouts_wanted",
        title,
        f"{asks(*wants)} Open your wallet to answer at Stripe.",
        user.id,
        path=WALLET,
    )


async def _notify_rejected(uow: UnitOfWork, user: User) -> None:
    """Once while the alert is open: an outdated read may come between."""
    same = {"subject": user.id, "kind": "account_rejected", "open": True}
    if await uow.find(AlertRecord, same):
        return
    await notices.notify(
        uow,
        [user.id],
        "payouts_rejected",
        "Stripe has rejected your account",
        "Stripe pays out nothing to it any more, and that is final. Please get in touch with us: "
        "our administrators see to what you have earned.",
        user.id,
        path=WALLET,
        always=True,
    )
    await alert(
        uow,
        "account_rejected",
        user.id,
        f"Stripe has rejected the account of a contractor ({user.payout_problem}). Nothing is "
        "transferred to it or paid out any more: look at it in Stripe's dashboard, and settle what "
        "is in the wallet.",
    )
