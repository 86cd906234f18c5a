"""Deletion of an account by its owner, possible when no money or work is outstanding.

The user's row stays, because the books refer to it, without personal data. Copies in other records
are erased afterwards, see `erasure.py`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from domain import ledger
from domain.accounts.password_policy import Password
from domain.accounts.second_factor import remove_second_factors
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.user import NO_PASSWORD, User, verify_password
from domain.deals.offer import OPEN_OFFERS, Offer, OfferStatus, RefundStatus
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import MoneyOutstanding, NotFound, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import Balance
from domain.operations.command import Command, Meta, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS
from domain.operations.operation import operation
from domain.payouts.remainders import GiveUpRemainders, lone_remainders
from domain.ports.ports import Ports
from domain.privacy.erasure import DELETED_NAME, DeleteStripeCustomer, EraseCopies
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

REPEAT_AFTER = timedelta(minutes=2)  # longer than a transaction can stay open


# -- deleted ---------------------------------------------------------------------------------


class Delete(Command, frozen=True):
    UNLOGGED = frozenset({"password"})

    password: Annotated[Password, about("The password.")]


class DeletedAccount(msgspec.Struct, frozen=True):
    """The account that was deleted."""

    id: Annotated[str, about("The id of the deleted user.")]


@operation(
    "account.delete",
    roles=PARTIES,
    style=Style.DIRECT,
    audited=True,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT),
    errors=(MoneyOutstanding, NotFound, WrongCredentials),
)
async def delete(cmd: Delete, actor: Actor, ports: Ports, meta: Meta) -> DeletedAccount:
    """Delete the caller's account permanently, end its sessions and release its e-mail address.

    Raises WrongCredentials, and MoneyOutstanding while something is left to settle.
    """
    user = await verify_password(ports, actor.id, cmd.password)
    await ports.store.transact(lambda uow: anonymize(uow, user))
    await end_revoked_sessions(ports, user.id)
    return DeletedAccount(user.id)


async def anonymize(uow: UnitOfWork, user: User) -> None:
    """Check that nothing is outstanding, and remove the personal data.

    The check alone would not conflict with an offer made at the same time, because neither writes
    what the other reads. So an offer also writes the rows of both users (`user.engage`): the
    transaction that commits second is retried and sees the first. An acceptance needs an earlier
    offer, which this check finds. All other movements of a user's money follow from an offer or a
    balance.

    Remainders below Stripe's step cannot be paid out: the platform keeps them.

    Raises MoneyOutstanding, NotFound.
    """
    remainders = await lone_remainders(uow, user.id)
    outstanding = [
        name
        for name, (kind, where) in deletion_blockers(user, remainders).items()
        if await uow.find(kind, where)
    ]
    if outstanding:
        raise MoneyOutstanding(outstanding=outstanding)
    changed = await uow.change(
        User,
        user.id,
        only_if={"deleted_at": None},
        deleted_at=uow.now,
        name=DELETED_NAME,
        email=f"{user.id}@deleted.invalid",
        password_hash=NO_PASSWORD,
        headline="",
        bio="",
        skills=(),
        search_keys=(),
        default_method=None,
    )
    if changed is None:
        raise NotFound
    if remainders:
        uow.later(GiveUpRemainders(user.id))
    await remove_second_factors(uow, user.id)
    await end_all_sessions(uow, user.id)
    erase = EraseCopies(user.id, user.name, user.email)
    uow.later(erase)
    uow.later(erase, at=uow.now + REPEAT_AFTER)
    if user.customer_id:
        uow.later(DeleteStripeCustomer(user.id, user.customer_id))


def deletion_blockers(
    user: User, remainders: Mapping[str, int]
) -> dict[str, tuple[type[Any], dict[str, Any]]]:
    """Queries for what prevents deletion, by the name that the refusal reports. `remainders` by
    currency prevent nothing."""
    too_small = tuple(f"{ledger.pending(user.id)}|{currency}" for currency in remainders)
    own = {"customer_id" if user.role is Role.CUSTOMER else "contractor_id": user.id}
    open_offers = (*OPEN_OFFERS, OfferStatus.ACCEPTING)
    active_jobs = (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS)
    running = (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT)
    return {
        "wallet": (
            Balance,
            {
                "owner": user.id,
                "kind": "wallet",
                "balance": {"$ne": 0},
                "_id": {"$nin": too_small},
            },
        ),
        "debt": (Balance, {"owner": user.id, "kind": "debt", "balance": {"$ne": 0}}),
        "withdrawals": (Withdrawal, {"user_id": user.id, "status": running}),
        "offers": (Offer, {**own, "status": open_offers}),
        "jobs": (Job, {**own, "status": active_jobs}),
        "disputes": (Dispute, {**own, "status": {"$ne": DisputeStatus.RESOLVED}}),
        "chargebacks": (Offer, {**own, "contested_amount": {"$gt": 0}}),
        "refunds": (Offer, {**own, "refunds.status": RefundStatus.REQUESTED}),
    }
