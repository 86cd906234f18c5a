"""Notices: what happened to a user's money, as text in their feed and by mail.

A transaction that publishes events about money also writes one `Notify` task, which renders the
texts after the commit. So no notice is lost, a rollback sends none, and a bug in a template cannot
hold up the money. Mails have an outbox lane of their own. A `NotificationMark` is kept for each
fact a user was notified of, so an event that is published again with its next version, or delivered
again after a crash, does not notify twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from domain.accounts.user import NoticeGroup, User
from domain.kernel.fields import about
from domain.kernel.outbox import Delivery, Event, Lane
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.groups import group_of
from domain.notifications.templates.catalog import TEMPLATES
from domain.notifications.text import Data, Notice, Side, job_path, one_line
from domain.operations.task import Task, TryAgain
from domain.ports.mail import Mail, MailUnsent
from domain.ports.ports import Ports

KEPT = timedelta(days=400)
GIVEN_UP_AFTER = timedelta(days=3)  # a mail older than this is dropped
SUBJECT_LENGTH = 150
UNSUBSCRIBE = "You can switch these mails off in your account (mail_notices)."


class NotificationMark(Record, frozen=True):
    """A user was notified of a fact. The id names both."""

    COLLECTION = "notices"
    PREFIX = "mark"
    INDEXES = (Index((("expires_at", 1),), ttl_seconds=0),)
    LOGGED = False

    expires_at: datetime


class Notification(msgspec.Struct, frozen=True):
    """A notice in the feed. `path` is the page of its subject; `own` marks the user's own action,
    which is listed and not counted as unread."""

    kind: Annotated[str, about("What happened, such as offer_accepted.")]
    title: Annotated[str, about("What happened, in one line.")]
    text: Annotated[str, about("What happened, in some sentences.")]
    subject_id: Annotated[str, about("The id of what it is about.")]
    path: Annotated[str, about("The page about it, below the address of the server.")]
    own: Annotated[bool, about("Whether the user did it themselves.")]
    at: Annotated[datetime, about("When it happened.")]


NOTIFICATION = Event(
    "/account",
    "notification",
    Notification,
    about="When something happened that the user should read, mostly about their money, to this "
    "user.",
)


async def notify(
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
    """Notify users, in the feed and by mail, of something that no event carries.

    Events that this transaction publishes about the same subject then send them no second notice.
    `always` overrides the user's `mail_notices` setting.
    """
    notice = Notice(
        kind=kind,
        title=title,
        text=text,
        subject_id=subject_id,
        always=always,
        path=path or (job_path(subject_id) if subject_id.startswith("job_") else "/"),
    )
    users = tuple(dict.fromkeys(to))
    marks = [_direct_mark(user, subject_id, uow.now) for user in users]
    await _add_marks(uow, marks, await _find_marks(uow, marks))
    await _publish(uow, [(user, notice) for user in users])


def queue_notifications(uow: UnitOfWork) -> None:
    """Queue one `Notify` for the events that a transaction publishes. Called before each commit."""
    events = tuple(
        msgspec.convert(row.body, Delivery)
        for row in uow.rows
        if row.lane is Lane.PUSH and row.body["to"] and _event_key(row.body) in TEMPLATES
    )
    if any(_has_notice(event) for event in events):
        uow.later(Notify(new_id("notify"), uow.now, events))


def _event_key(body: dict[str, Any]) -> str:
    return f"{body['namespace']} {body['name']}"


def _has_notice(event: Delivery) -> bool:
    """True also if a template fails: the task then fails visibly, and the commit goes through."""
    try:
        return any(True for _ in _render(event))
    except Exception:
        return True


def _render(event: Delivery) -> Iterable[tuple[str, Notice]]:
    """The notices of one event, each with the id of its recipient."""
    template = TEMPLATES[f"{event.namespace} {event.name}"]
    for user in event.to:
        rendered = template(event.data, side_of(event.data, user)) or ()
        for notice in (rendered,) if isinstance(rendered, Notice) else rendered:
            yield user, notice


class Notify(Task, frozen=True, tag="notify"):
    """Render the events of one transaction: one notice for each user and topic."""

    lane = Lane.NOTICE

    id: str
    at: datetime
    events: tuple[Delivery, ...]

    async def run(self, ports: Ports) -> None:
        await ports.store.transact(self._publish_notices)

    async def _publish_notices(self, uow: UnitOfWork) -> None:
        notices = self._render_all()
        existing = await _find_marks(
            uow, (mark for user, notice in notices for mark in self._marks(user, notice))
        )
        best: dict[tuple[str, str], Notice] = {}
        for user, notice in notices:
            if existing.isdisjoint(self._marks(user, notice)):
                topic = user, notice.topic or notice.subject_id
                if topic not in best or best[topic].rank <= notice.rank:
                    best[topic] = notice
        facts = (_fact_mark(user, notice) for user, notice in notices)
        await _add_marks(uow, facts, existing)
        await _publish(uow, [(user, notice) for (user, _), notice in best.items()])

    def _render_all(self) -> list[tuple[str, Notice]]:
        """The notices of all events. One without a fact gets one made of the task's own id."""
        return [
            (
                user,
                notice
                if notice.fact
                else msgspec.structs.replace(notice, fact=f"{self.id}:{number}"),
            )
            for number, event in enumerate(self.events)
            for user, notice in _render(event)
        ]

    def _marks(self, user: str, notice: Notice) -> tuple[str, str]:
        """Either of these marks says that the user was notified already."""
        return _direct_mark(user, notice.subject_id, self.at), _fact_mark(user, notice)


def _fact_mark(user: str, notice: Notice) -> str:
    return f"{user}:{notice.fact}"


def _direct_mark(user: str, subject_id: str, at: datetime) -> str:
    """The mark that `notify` writes, in the transaction that started at `at`."""
    return f"{user}:{subject_id}:{at:%Y%m%d%H%M%S%f}"


async def _find_marks(uow: UnitOfWork, ids: Iterable[str]) -> set[str]:
    wanted = tuple(dict.fromkeys(ids))
    found = await uow.all(NotificationMark, {"_id": wanted}, limit=len(wanted) or 1)
    return {mark.id for mark in found}


async def _add_marks(uow: UnitOfWork, ids: Iterable[str], existing: set[str]) -> None:
    until = uow.now + KEPT
    missing = [id for id in dict.fromkeys(ids) if id not in existing]
    await uow.add_all([uow.new(NotificationMark, id=id, expires_at=until) for id in missing])


async def _publish(uow: UnitOfWork, notices: Sequence[tuple[str, Notice]]) -> None:
    """Push notices to the users' feeds, and mail them unless they are the users' own actions."""
    muted = await _muted_feeds(uow, notices)
    for user, notice in notices:
        group = group_of(notice.kind, always=notice.always)
        if group not in muted.get(user, ()):
            notification = Notification(
                notice.kind,
                notice.title,
                notice.text,
                notice.subject_id,
                notice.path,
                notice.own,
                uow.now,
            )
            uow.publish(NOTIFICATION, notification, to=[user])
        if not notice.own:
            mail = SendMail(
                new_id("mail"),
                user,
                one_line(notice.title, SUBJECT_LENGTH),
                notice.text,
                notice.path,
                notice.always,
                uow.now,
                group,
            )
            uow.later(mail)


async def _muted_feeds(
    uow: UnitOfWork, notices: Sequence[tuple[str, Notice]]
) -> dict[str, Sequence[NoticeGroup | None]]:
    """What the recipients have switched off, by user."""
    users = tuple({user for user, notice in notices if not notice.always})
    found = await uow.all(User, {"_id": users}, limit=len(users)) if users else []
    return {user.id: user.muted_feed for user in found}


class SendMail(Task, frozen=True, tag="send_mail"):
    """One mail to one user. A resend after a crash keeps the id, so mail programs can drop it."""

    lane = Lane.MAIL

    id: str
    user_id: str
    subject_line: str
    text: str
    path: str
    always: bool
    requested_at: datetime
    group: NoticeGroup | None = None

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().find(User, {"_id": self.user_id})
        if user is None or user.deleted_at or not (user.mail_notices or self.always):
            return
        if self.group in user.muted_mail:
            return
        if ports.store.rates.require_verification and user.verified_at is None:
            return  # others wrote parts of the text, and the address may be a stranger's
        try:
            await ports.mail.send(self._mail(user, ports.public_url))
        except MailUnsent as unsent:
            if ports.clock.now() - self.requested_at < GIVEN_UP_AFTER:
                raise TryAgain(str(unsent)) from unsent

    def _mail(self, user: User, public_url: str) -> Mail:
        parts = [
            f"Hello {one_line(user.name, 80)},",
            self.text,
            f"{public_url}{self.path}",
            "JobSphere" if self.always else f"JobSphere. {UNSUBSCRIBE}",
        ]
        return Mail(self.id, user.id, user.email, self.subject_line, "\n\n".join(parts) + "\n")


def side_of(data: Data, user_id: str) -> Side:
    if data.get("customer_id") == user_id:
        return Side.CUSTOMER
    return Side.CONTRACTOR if data.get("contractor_id") == user_id else Side.SELF
