"""After the deletion of an account: ends its open business, and erases what other records copied.

Names and addresses are copied into jobs, applications and conversations, and from there into the
feeds, stored replies and dead letters of the people whom the user dealt with. Messages stay, as
they are part of the other side's conversation, and so do the books. The audit log has digests of
personal fields only, so its chain needs no change.
"""

import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from domain.accounts.mailed_tokens import MailedToken
from domain.accounts.user import User
from domain.chat.conversation import Conversation
from domain.files.file import File
from domain.fulfillment.work import Cancel, cancel
from domain.jobs.applications import ACTIVE, Application, ApplicationStatus, move_application
from domain.jobs.blocks import announce_reach
from domain.jobs.job import Job, JobStatus
from domain.jobs.saved_searches import SavedSearch, users_notified
from domain.kernel.actor import Actor, Role
from domain.kernel.batches import batches
from domain.kernel.errors import DomainError
from domain.kernel.independent import transact_each
from domain.kernel.outbox import OutboxRow
from domain.kernel.store import UnitOfWork
from domain.notifications.feed import FeedRow
from domain.notifications.refusals import alert_refused
from domain.operations.idempotency import Reply
from domain.operations.task import NeedsPerson, Task
from domain.ports.payment_gateway import GatewayRefused
from domain.ports.ports import Ports
from domain.presence.presence import LastSeen
from domain.privacy.name_copies import copy_name

DELETED_NAME = "Deleted user"
DELETED_ADDRESS = "deleted@deleted.invalid"
SHORTEST_NAME = 4  # characters of a name that is looked for inside of longer texts
NAMES = "names"  # names by the ids of users
TEXT_FIELDS = frozenset({NAMES, "title", "text", "subject_line", "detail"})
ROUTE = ("namespace", "name")  # of a push, beside its data
OLDEST = (("_id", 1),)
LATEST = (("active_at", -1), ("_id", -1))
CHUNK = 500  # jobs in one query, or conversations in memory
MISSING = "resource_missing"  # Stripe's error code

Scrub = Callable[[Any], Any]


class EraseCopies(Task, frozen=True, tag="close_account"):
    """Runs twice: the second time for records that were created during the deletion.

    `name` and `email` are those that the account had.
    """

    user_id: str
    name: str = ""
    email: str = ""

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        user = await uow.get(User, self.user_id)
        if user.role is Role.CUSTOMER:
            await _cancel_jobs(ports, user)
        else:
            await _withdraw_applications(ports, user)
        await _erase_names(uow, user)
        await _announce_end(ports, user)
        await _remove_own(uow, user.id)
        scrub = partial(scrubbed, user_id=user.id, name=self.name, email=self.email)
        for other in sorted(await _acquaintances(uow, user)):
            await _scrub_feed_and_replies(uow, other, scrub)
        await _scrub_dead_letters(uow, scrub)


class DeleteStripeCustomer(Task, frozen=True, tag="delete_stripe_customer"):
    """Delete the Stripe customer with the saved payment methods. A repeat is harmless."""

    user_id: str
    customer_id: str

    async def run(self, ports: Ports) -> None:
        try:
            await ports.gateway.delete_customer(self.customer_id)
        except GatewayRefused as refused:
            if refused.code != MISSING:  # otherwise it is deleted already
                await self._give_up(ports, refused)
        only_if = {"customer_id": self.customer_id}
        await ports.store.single().change(User, self.user_id, only_if=only_if, customer_id=None)

    async def _give_up(self, ports: Ports, refused: GatewayRefused) -> NoReturn:
        """Raises NeedsPerson."""
        what = "The saved ways to pay of a deleted account are still at Stripe"
        next_step = "Delete the customer in Stripe's dashboard, or retry the dead letter"
        await ports.store.transact(
            lambda uow: alert_refused(
                uow, "deletion_refused", self.user_id, refused.refusal, what, next_step
            )
        )
        raise NeedsPerson(f"{refused.code}: {refused}") from refused


async def _cancel_jobs(ports: Ports, user: User) -> None:
    """Cancel open jobs as the customer would. That also closes offers on them."""
    actor = Actor(user.id, user.role, "")
    for job in await ports.store.single().all(
        Job, {"customer_id": user.id, "status": JobStatus.OPEN}
    ):
        command = Cancel(job_id=job.id)
        with contextlib.suppress(DomainError):  # it ended in the meantime
            await ports.store.transact(partial(cancel, command, actor))


async def _withdraw_applications(ports: Ports, user: User) -> None:
    live = {"contractor_id": user.id, "status": tuple(ACTIVE)}
    applications = await ports.store.single().all(Application, live)
    await transact_each(ports.store, applications, _withdraw)


async def _withdraw(uow: UnitOfWork, application: Application) -> None:
    await move_application(uow, application.id, ApplicationStatus.WITHDRAWN)


async def _erase_names(uow: UnitOfWork, user: User) -> None:
    """Their name is DELETED_NAME by now. Others can send nothing more to them."""
    await uow.change_all(Job, {"customer_id": user.id}, location=None, point=None)
    await copy_name(uow, user)
    place = f"deleted_members.{user.id}"
    deleted: dict[str, Any] = {place: user.deleted_at}
    await uow.change_all(Conversation, {"members": user.id, place: None}, **deleted)


async def _announce_end(ports: Ports, user: User) -> None:
    """Tell all processes, which cache the members of conversations, that others can no longer reach
    the user. The second run tells it of what a process had read before the change and used after
    it."""
    uow = ports.store.single()
    found = uow.documents(Conversation, {"members": user.id}, LATEST)
    async for some in batches(uow.readable(Conversation, found), CHUNK):
        pairs: dict[tuple[str, str], list[Conversation]] = {}
        for each in some:
            pairs.setdefault((each.customer_id, each.contractor_id), []).append(each)
        for pair, between in pairs.items():
            announce_reach(ports, pair, between)


async def _remove_own(uow: UnitOfWork, user_id: str) -> None:
    """Remove what only the user could read."""
    await uow.remove(SavedSearch, {"user_id": user_id, "slot": {"$gte": 0}})
    await uow.remove(FeedRow, {"user_id": user_id, "seq": {"$gt": 0}})
    await uow.remove(Reply, _replies_of(user_id))
    await uow.remove(LastSeen, {"_id": user_id})
    await uow.remove(MailedToken, {"account": user_id})
    exports = {"owner_id": user_id, "expires_at": {"$gt": uow.now}}
    await uow.change_all(File, exports, expires_at=uow.now)


async def _acquaintances(uow: UnitOfWork, user: User) -> set[str]:
    """Those whose feeds may have copies: the other sides of jobs, and the administrators."""
    found = await uow.distinct(User, "_id", {"role": Role.ADMIN})
    if user.role is Role.CONTRACTOR:
        found += await uow.distinct(Application, "customer_id", {"contractor_id": user.id})
    jobs = await uow.distinct(Job, "_id", {"customer_id": user.id})
    for start in range(0, len(jobs), CHUNK):
        some = {"job_id": {"$in": jobs[start : start + CHUNK]}}
        found += await uow.distinct(Application, "contractor_id", some)
    return {*map(str, found), *await users_notified(uow, jobs)} - {user.id}


async def _scrub_feed_and_replies(uow: UnitOfWork, user_id: str, scrub: Scrub) -> None:
    own = {"user_id": user_id, "seq": {"$gt": 0}}
    async for row in uow.readable(FeedRow, uow.documents(FeedRow, own, (("seq", 1),))):
        if (data := scrub(row.data)) != row.data:
            await uow.change(FeedRow, row.id, data=data)
    replies = uow.documents(Reply, _replies_of(user_id), OLDEST)
    async for reply in uow.readable(Reply, replies):
        if (answer := scrub(reply.answer)) != reply.answer:
            await uow.change(Reply, reply.id, answer=answer)


async def _scrub_dead_letters(uow: UnitOfWork, scrub: Scrub) -> None:
    async for row in uow.readable(OutboxRow, uow.documents(OutboxRow, {"dead": True}, OLDEST)):
        kept = {key: row.body[key] for key in ROUTE if key in row.body and "data" in row.body}
        if (body := scrub(row.body) | kept) != row.body:
            await uow.change(OutboxRow, row.id, body=body)


def _replies_of(user_id: str) -> dict[str, Any]:
    """Ids of replies begin with their user's."""
    return {"_id": {"$gte": f"{user_id}:", "$lt": f"{user_id};"}}


def scrubbed(value: Any, user_id: str, name: str, email: str, field: str = "") -> Any:
    """`value` without the places of the user's jobs, and without their name and e-mail address.

    They are replaced within texts, too. A name of fewer than SHORTEST_NAME characters is replaced
    only where it is the whole text, since it may be a part of anything. A user may be called
    "pending" or "push", so a single word is looked for only in texts of several words, and as the
    whole of a `field` that has a name or a text.
    """
    if isinstance(value, dict):
        cleaned = {
            key: scrubbed(item, user_id, name, email, field if field == NAMES else key)
            for key, item in value.items()
        }
        if value.get("customer_id") == user_id and "location" in value:
            cleaned["location"] = None
        return cleaned
    if isinstance(value, list | tuple):
        return [scrubbed(item, user_id, name, email, field) for item in value]
    if not isinstance(value, str):
        return value
    if email:
        value = value.replace(email, DELETED_ADDRESS)
    if len(value.split()) <= 1 and not (field.endswith("name") or field in TEXT_FIELDS):
        return value
    if value == name:
        return DELETED_NAME
    if len(name) >= SHORTEST_NAME and name in value:
        return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", DELETED_NAME, value)
    return value
