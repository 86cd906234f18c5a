"""Notices: what happened to a person's money, in plain words, in their feed and by mail.

Whatever a transaction publishes about money leaves one more row in it, which is put into words
afterwards: so no notice is lost, none is told of what was rolled back, and neither a mistake in a
sentence nor a look at what was told before can hold up the money. Mails have a lane of their own.
What a person was told of is kept: an event that is published again with its next version, or
delivered again after a crash, is not told twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain.accounts.user import User
from domain.kernel.outbox import Delivery, Event, Lane
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.templates.catalog import WORDS
from domain.notifications.text import Notice, job_path, one_line, side_of
from domain.operations.task import Task, TryAgain
from domain.ports.mail import Mail, MailUnsent
from domain.ports.ports import Ports

NOTIFICATION = Event("/account", "notification")

KEPT = timedelta(days=400)
GIVEN_UP_AFTER = timedelta(days=3)  # nobody wants older news by mail
SUBJECT_LENGTH = 150
OFF = "You can switch these mails off in your account (mail_notices)."


class Told(Record, frozen=True):
    """That a person was told of a fact; its id says both."""

    COLLECTION = "notices"
    PREFIX = "told"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False

    expires_at: datetime


class Notification(msgspec.Struct, frozen=True):
    """A notice in the feed. `path` leads to what it is about, `own` says that it is no news."""

    kind: str
    title: str
    text: str
    subject_id: str
    path: str
    own: bool
    at: datetime


async def tell(
    uow: UnitOfWork,
    to: Sequence[str],
    kind: str,
    title: str,
    text: str,
    subject_id: str,
    *,
    path: str = "",
    always: bool = False,
) -> None:
    """Tell people something that no event says, in the feed and by mail.

    What this transaction publishes about the same subject is then not told to them again.
    `always` is mailed also to people who want no mails.
    """
    notice = Notice(
        kind=kind,
        title=title,
        text=text,
        subject_id=subject_id,
        always=always,
        path=path or (job_path(subject_id) if subject_id.startswith("job_") else "/"),
    )
    people = tuple(dict.fromkeys(to))
    await _remember(uow, (_said(user, subject_id, uow.now) for user in people))
    for user in people:
        _say(uow, user, notice)


def follow(uow: UnitOfWork) -> None:
    """Leave a task for what a transaction is about to publish; called before each commit."""
    events = tuple(
        msgspec.convert(row.body, Delivery)
        for row in uow.rows
        if row.lane is Lane.PUSH and row.body["to"] and _name(row.body) in WORDS
    )
    if any(_worth_telling(event) for event in events):
        uow.later(Tell(new_id("tell"), uow.now, events))


def _name(body: dict[str, Any]) -> str:
    return f"{body['namespace']} {body['name']}"


def _worth_telling(event: Delivery) -> bool:
    """What cannot be put into words here fails again as a task: seen, and harming nobody."""
    try:
        return any(True for _ in _notices(event))
    except Exception:
        return True


def _notices(event: Delivery) -> Iterable[tuple[str, Notice]]:
    words = WORDS[f"{event.namespace} {event.name}"]
    for user in event.to:
        said = words(event.data, side_of(event.data, user)) or ()
        for notice in (said,) if isinstance(said, Notice) else said:
            yield user, notice


class Tell(Task, frozen=True, tag="notify"):
    """Put what one transaction has published into words, one notice for each person and topic."""

    lane = Lane.NOTICE

    id: str
    at: datetime
    events: tuple[Delivery, ...]

    async def run(self, ports: Ports) -> None:
        await ports.store.transact(self._tell)

    async def _tell(self, uow: UnitOfWork) -> None:
        found = [
            (user, notice if notice.fact else msgspec.structs.replace(notice, fact=self._fact(n)))
            for n, event in enumerate(self.events)
            for user, notice in _notices(event)
        ]
        before = [_said(user, notice.subject_id, self.at) for user, notice in found]
        before += [_fact(user, notice) for user, notice in found]
        told = await _told(uow, before)
        best: dict[tuple[str, str], Notice] = {}
        for user, notice in found:
            if told.isdisjoint({_said(user, notice.subject_id, self.at), _fact(user, notice)}):
                topic = user, notice.topic or notice.subject_id
                if topic not in best or best[topic].rank <= notice.rank:
                    best[topic] = notice
        await _remember(uow, (_fact(user, notice) for user, notice in found))
        for (user, _), notice in best.items():
            _say(uow, user, notice)

    def _fact(self, number: int) -> str:
        return f"{self.id}:{number}"


def _fact(user: str, notice: Notice) -> str:
    return f"{user}:{notice.fact}"


def _said(user: str, subject_id: str, at: datetime) -> str:
    """The mark of what was told directly, in the transaction of that time."""
    return f"{user}:{subject_id}:{at:%Y%m%d%H%M%S%f}"


async def _told(uow: UnitOfWork, ids: Iterable[str]) -> set[str]:
    asked = tuple(dict.fromkeys(ids))
    return {told.id for told in await uow.all(Told, {"_id": asked}, limit=len(asked) or 1)}


async def _remember(uow: UnitOfWork, ids: Iterable[str]) -> None:
    wanted = list(dict.fromkeys(ids))
    there = await _told(uow, wanted)
    until = uow.now + KEPT
    fresh = [id for id in wanted if id not in there]
    await uow.add_all([uow.new(Told, id=id, expires_at=until) for id in fresh])


def _say(uow: UnitOfWork, user: str, notice: Notice) -> None:
    shown = Notification(
        notice.kind, notice.title, notice.text, notice.subject_id, notice.path, notice.own, uow.now
    )
    uow.publish(NOTIFICATION, shown, to=[user])
    if not notice.own:
        uow.later(
            SendMail(
                new_id("mail"),
                user,
                one_line(notice.title, SUBJECT_LENGTH),
                notice.text,
                notice.path,
                notice.always,
                uow.now,
            )
        )


class SendMail(Task, frozen=True, tag="send_mail"):
    """One mail to one person. Sent again after a crash it has the same id, so it can be told."""

    lane = Lane.MAIL

    id: str
    user_id: str
    subject_line: str
    text: str
    path: str
    always: bool
    asked_at: datetime

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().find(User, {"_id": self.user_id})
        if user is None or user.deleted_at or not (user.mail_notices or self.always):
            return
        try:
            await ports.mail.send(self._mail(user, ports.public_url))
        except MailUnsent as unsent:
            if ports.clock.now() - self.asked_at < GIVEN_UP_AFTER:
                raise TryAgain(str(unsent)) from unsent

    def _mail(self, user: User, public_url: str) -> Mail:
        parts = [
            f"Hello {one_line(user.name, 80)},",
            self.text,
            f"{public_url}{self.path}",
            "JobSphere" if self.always else f"JobSphere. {OFF}",
        ]
        return Mail(self.id, user.id, user.email, self.subject_line, "\n\n".join(parts) + "\n")
