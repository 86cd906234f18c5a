"""Closing an account: banned by an administrator, or deleted by its owner when nothing is owed.

A banned user's money and work go on as agreed: only the person cannot come in. A deleted user's row
stays for the books, without anything that says who it was.
"""

import contextlib
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.sessions import EndSessions
from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.deals.offer import OPEN_OFFERS, Offer, OfferStatus, RefundStatus
from domain.disputes.dispute import Dispute, DisputeStatus
from domain.fulfillment.work import ById, cancel
from domain.jobs.applications import ACTIVE, Application, ApplicationStatus, move_application
from domain.jobs.job import Job, JobStatus
from domain.jobs.saved_searches import SavedSearch
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.errors import (
    DomainError,
    MoneyOutstanding,
    NotFound,
    Unauthenticated,
    WrongCredentials,
)
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import Balance
from domain.operations.command import Command, Meta, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

GONE = "Deleted user"
NO_PASSWORD = "!"  # is the hash of none
ONCE_MORE = timedelta(minutes=2)  # longer than any transaction can still be open


# -- deleted ---------------------------------------------------------------------------------


class Delete(Command, frozen=True):
    UNLOGGED = frozenset({"password"})

    password: Annotated[str, Limits(max_length=200)]


class Deleted(msgspec.Struct, frozen=True):
    id: str


@operation(
    "account.delete",
    roles=PARTIES,
    style=Style.DIRECT,
    audited=True,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT),
)
async def delete(cmd: Delete, actor: Actor, ports: Ports, meta: Meta) -> Deleted:
    """Delete one's account, for good; one's sessions end and the e-mail address is free again.

    Raises WrongCredentials, and MoneyOutstanding as long as there is something to settle.
    """
    user = await ports.store.single().find(User, {"_id": actor.id})
    if user is None:
        raise Unauthenticated
    if not await ports.passwords.verify(cmd.password, user.password_hash):
        raise WrongCredentials("The password is wrong.")
    await ports.store.transact(lambda uow: bury(uow, user))
    return Deleted(user.id)


async def bury(uow: UnitOfWork, user: User) -> None:
    """Check that nothing is outstanding, and take away all that says who it was.

    One transaction, of which the check alone would not conflict with an offer that is made at the
    same instant: neither writes what the other has read. So an offer writes the rows of both its
    users (`user.engage`), as this does: of the two, the one that commits second runs again and
    finds the first. An acceptance needs an offer that was made before, and so is found here;
    everything else that moves a user's money follows from an offer or from a balance.
    """
    outstanding = [
        name for name, (kind, where) in _hindrances(user).items() if await uow.find(kind, where)
    ]
    if outstanding:
        raise MoneyOutstanding(outstanding=outstanding)
    buried = await uow.change(
        User,
        user.id,
        only_if={"deleted_at": None},
        deleted_at=uow.now,
        name=GONE,
        email=f"{user.id}@deleted.invalid",
        password_hash=NO_PASSWORD,
        headline="",
        bio="",
        skills=(),
    )
    if buried is None:
        raise NotFound
    uow.later(EndSessions(user.id))
    uow.later(TakeLeave(user.id))
    uow.later(TakeLeave(user.id), at=uow.now + ONCE_MORE)


def _hindrances(user: User) -> dict[str, tuple[type[Any], dict[str, Any]]]:
    """What keeps an account open, by the word that the refusal names it with."""
    own = {"customer_id" if user.role is Role.CUSTOMER else "contractor_id": user.id}
    going = (*OPEN_OFFERS, OfferStatus.ACCEPTING)
    work = (JobStatus.ASSIGNED, JobStatus.IN_PROGRESS)
    running = (WithdrawalStatus.REQUESTED, WithdrawalStatus.IN_TRANSIT)
    return {
        "wallet": (Balance, {"owner": user.id, "kind": "wallet", "balance": {"$ne": 0}}),
        "debt": (Balance, {"owner": user.id, "kind": "debt", "balance": {"$ne": 0}}),
        "withdrawals": (Withdrawal, {"user_id": user.id, "status": running}),
        "offers": (Offer, {**own, "status": going}),
        "jobs": (Job, {**own, "status": work}),
        "disputes": (Dispute, {**own, "status": {"$ne": DisputeStatus.RESOLVED}}),
        "chargebacks": (Offer, {**own, "contested_amount": {"$gt": 0}}),
        "refunds": (Offer, {**own, "refunds.status": RefundStatus.REQUESTED}),
    }


class TakeLeave(Task, frozen=True, tag="close_account"):
    """After a deletion: end what is open without money, and forget the copies of the name.

    It runs once more minutes later, for what began in the very instant of the deletion.
    """

    user_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        user = await uow.get(User, self.user_id)
        if user.role is Role.CUSTOMER:
            await _cancel_jobs(ports, user)
        else:
            await _withdraw_applications(ports, user)
        await uow.change_all(Job, {"customer_id": user.id}, customer_name=GONE)
        await uow.change_all(Application, {"contractor_id": user.id}, contractor_name=GONE)
        names: dict[str, Any] = {f"names.{user.id}": GONE}
        await uow.change_all(Conversation, {"members": user.id}, **names)
        await uow.remove(SavedSearch, {"user_id": user.id, "slot": {"$gte": 0}})


async def _cancel_jobs(ports: Ports, user: User) -> None:
    """As the customer would; an offer that stands on one of them is closed by that as well."""
    actor = Actor(user.id, user.role, "")
    for job in await ports.store.single().all(
        Job, {"customer_id": user.id, "status": JobStatus.OPEN}
    ):
        command = ById(job_id=job.id)
        with contextlib.suppress(DomainError):  # it has ended by itself
            await ports.store.transact(partial(cancel, command, actor))


async def _withdraw_applications(ports: Ports, user: User) -> None:
    live = {"contractor_id": user.id, "status": tuple(ACTIVE)}
    applications = await ports.store.single().all(Application, live)
    await ports.store.transact_each(applications, _withdraw)


async def _withdraw(uow: UnitOfWork, application: Application) -> None:
    await move_application(uow, application.id, ApplicationStatus.WITHDRAWN)
