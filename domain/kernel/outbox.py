"""The outbox: events to push and tasks to run after a commit, stored as rows until done.

Decision: a transaction writes its records and outbox rows; a relay delivers the rows. In-memory
on-commit hooks were rejected, because a crash after the commit loses the event. Feed numbers
assigned inside the transaction were rejected, because all commands of a busy user would conflict
on one counter.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.documents import plain
from domain.kernel.record import Index, Record, wire

MAX_ATTEMPTS = 12
LEASE = timedelta(seconds=15)  # renewed while a worker holds the row


class Lane(StrEnum):
    """Lanes have workers of their own: slow calls to Stripe delay no push and no mail."""

    PUSH = "push"
    STRIPE = "stripe"
    NOTICE = "notice"
    MAIL = "mail"
    SEARCH = "search"
    EXPORT = "export"


class Numbering(StrEnum):
    """What the `seq` of a push is.

    FEED is the number in the feed of its user, CONVERSATION that of the message. NEVER: it is null,
    and the push may be missed. PARTIES get the number in their feeds, others null.
    """

    FEED = "feed"
    CONVERSATION = "conversation"
    PARTIES = "parties"
    NEVER = "never"


class Event(msgspec.Struct, frozen=True):
    """A type of push: clients listen for `name` on `namespace`. `data` is the type of its data.

    `about` is for clients: when it is sent, to whom, and what they do then.
    """

    namespace: str
    name: str
    data: Any
    numbering: Numbering = Numbering.FEED
    about: str = ""


class Work(msgspec.Struct, frozen=True):
    """A task as the outbox stores it: its lane, and the object that it is about."""

    lane: ClassVar[Lane] = Lane.STRIPE

    @classmethod
    def tag(cls) -> str:
        """The name that rows store for this kind of work, as in `class Hold(Task, tag="...")`."""
        return str(cls.__struct_config__.tag)

    @property
    def subject(self) -> str:
        """The id of the object that the task is about: its first field."""
        return str(getattr(self, self.__struct_fields__[0]))


class Delivery(msgspec.Struct, frozen=True, tag="push"):
    """An event to push: to the feeds of users, or to the connections in a room.

    With `seq` (chat messages) it carries the number of its conversation and gets no feed row. `by`
    is the user whose command it follows from, if it is one's. Connections that are in one of the
    rooms `without` too do not get it. After it, those in the first of the rooms `ends` leave all of
    these rooms.
    """

    namespace: str
    name: str
    data: Any
    to: tuple[str, ...] = ()
    room: str | None = None
    seq: int | None = None
    by: str | None = None
    without: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


class OutboxRow(Record, frozen=True):
    """A delivery or task with its lease: only `owner` works on it until `lease_until`.

    `subject` is the id of the object that a task is about.
    """

    COLLECTION = "outbox"
    PREFIX = "out"
    INDEXES = (
        Index((("lease_until", 1),), where={"dead": False}),
        Index((("dead", 1), ("_id", 1))),
        Index((("lane", 1), ("_id", -1)), where={"dead": True}),
        Index((("subject", 1), ("dead", 1)), where={"lane": Lane.STRIPE.value}),
    )
    LOGGED = False
    ENCRYPTED = frozenset({"body"})

    lane: Lane
    body: Annotated[dict[str, Any], Bounded(50)]
    owner: str
    lease_until: datetime
    subject: str = ""
    attempts: int = 0
    dead: bool = False
    last_error: str | None = None


class Outgoing:
    """Collects the outbox rows of a transaction, leased to the process that commits them. Without a
    `worker`, which would deliver them, they are due at once for other processes."""

    def __init__(
        self, now: datetime, worker: str, new_id: Callable[[str], str], *, owns: bool
    ) -> None:
        self.now = now
        self.rows: list[OutboxRow] = []
        self.by: str | None = None  # the user whose command it is
        self.network = ""  # a keyed digest of the client's, for what is counted for a network
        self._worker = worker
        self._owns = owns
        self._new_id = new_id

    def publish(
        self,
        event: Event,
        data: Any,
        *,
        to: Iterable[str] = (),
        room: str | None = None,
        seq: int | None = None,
        without: Iterable[str] = (),
        ends: Iterable[str] = (),
    ) -> None:
        """Push `data` after the commit, to users (through their feeds) or to a room; see
        `Delivery`."""
        users = tuple(dict.fromkeys(to))
        if users or room:
            namespace, name = event.namespace, event.name
            self._append(
                Delivery(
                    namespace,
                    name,
                    wire(data),
                    users,
                    room,
                    seq,
                    self.by,
                    tuple(without),
                    tuple(ends),
                )
            )

    def later(self, task: Work, at: datetime | None = None) -> str:
        """Run `task` after the commit, or at a given time. Returns the id of its row."""
        return self._append(task, at)

    def _append(self, body: Delivery | Work, at: datetime | None = None) -> str:
        if not self._owns:
            raise AssertionError("publish and later need a transaction")
        self.rows.append(self.row(body, at))
        return self.rows[-1].id

    def row(self, body: Delivery | Work, at: datetime | None = None) -> OutboxRow:
        """Build an outbox row. For callers that write and remove it without a transaction."""
        return OutboxRow(
            id=self._new_id(OutboxRow.PREFIX),
            created_at=self.now,
            updated_at=self.now,
            lane=body.lane if isinstance(body, Work) else Lane.PUSH,
            body=plain(body),
            owner="" if at else self._worker,
            lease_until=at or (self.now + LEASE if self._worker else self.now),
            subject=body.subject if isinstance(body, Work) else "",
        )
