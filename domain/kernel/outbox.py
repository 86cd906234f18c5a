"""What must happen after a commit: events to push and tasks to run, kept as rows until done.

Decision: a transaction writes nothing but its own rows and these; a relay delivers them. In-memory
on-commit hooks were rejected (a crash after the commit loses the event), and so were feed numbers
given inside the transaction (every command of one busy user would fight for the same counter).
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import msgspec

from domain.kernel.documents import plain
from domain.kernel.record import Index, Record, wire

R = TypeVar("R", bound=Record)

MAX_ATTEMPTS = 12
LEASE = timedelta(seconds=15)  # renewed while the work goes on


class Lane(StrEnum):
    """Lanes are worked on independently: a slow Stripe never delays a push, nor a mail Stripe."""

    PUSH = "push"
    STRIPE = "stripe"
    NOTICE = "notice"
    MAIL = "mail"
    SEARCH = "search"


class Event(msgspec.Struct, frozen=True):
    """A kind of push: clients listen for `name` on `namespace`."""

    namespace: str
    name: str


class Work(msgspec.Struct, frozen=True):
    """What an outbox row asks for: the lane it runs in, and the object it is about."""

    lane: ClassVar[Lane] = Lane.STRIPE

    @classmethod
    def tag(cls) -> str:
        """The name that rows store for this kind of work, as in `class Hold(Task, tag="...")`."""
        return str(cls.__struct_config__.tag)

    @property
    def subject(self) -> str:
        """The id of the object it is about: its first field."""
        return str(getattr(self, self.__struct_fields__[0]))


class Delivery(msgspec.Struct, frozen=True, tag="push"):
    """An event on its way: to users' feeds, or to a room of whoever listens right now.

    With `seq` given (chat) the number is the conversation's own and no feed row is written.
    """

    namespace: str
    name: str
    data: Any
    to: tuple[str, ...] = ()
    room: str | None = None
    seq: int | None = None


class OutboxRow(Record, frozen=True):
    """A delivery or task with its lease: only `owner` may work on it until `lease_until`.

    `subject` is the id of the object that a task is about.
    """

    COLLECTION = "outbox"
    PREFIX = "out"
    INDEXES = (
        Index((("lease_until", 1),), where={"dead": False}),
        Index((("dead", 1), ("_id", 1))),
        Index((("lane", 1), ("_id", -1)), where={"dead": True}),
        Index((("body.event_id", 1),), where={"dead": True}),
        Index((("subject", 1), ("dead", 1)), where={"lane": Lane.STRIPE.value}),
    )
    LOGGED = False

    lane: Lane
    body: dict[str, Any]
    owner: str
    lease_until: datetime
    subject: str = ""
    attempts: int = 0
    dead: bool = False
    last_error: str | None = None


class Outgoing:
    """What a transaction leaves for after its commit: `rows`, leased to its own process."""

    def __init__(
        self, now: datetime, worker: str, new_id: Callable[[str], str], *, owns: bool
    ) -> None:
        self.now = now
        self.rows: list[OutboxRow] = []
        self._worker = worker
        self._owns = owns
        self._new_id = new_id

    def new(self, kind: type[R], /, *, id: str | None = None, **fields: Any) -> R:
        """Build a record to be added: created now, with a fresh id unless one is given."""
        now = {"created_at": self.now, "updated_at": self.now}
        return kind(id=id or self._new_id(kind.PREFIX), **(now | fields))

    def publish(
        self,
        event: Event,
        data: Any,
        *,
        to: Iterable[str] = (),
        room: str | None = None,
        seq: int | None = None,
    ) -> None:
        """Push `data` to users (kept in their feeds) or to a room, once this is committed."""
        users = tuple(dict.fromkeys(to))
        if users or room:
            self._after(Delivery(event.namespace, event.name, wire(data), users, room, seq))

    def later(self, task: Work, at: datetime | None = None) -> str:
        """Run `task` once this is committed, or at a given time. Returns the row's id."""
        return self._after(task, at)

    def _after(self, body: Delivery | Work, at: datetime | None = None) -> str:
        if not self._owns:
            raise AssertionError("only a transaction can publish or ask for work")
        self.rows.append(self.row(body, at))
        return self.rows[-1].id

    def row(self, body: Delivery | Work, at: datetime | None = None) -> OutboxRow:
        """For whoever writes it without a transaction, and removes it when the work is done."""
        return self.new(
            OutboxRow,
            lane=body.lane if isinstance(body, Work) else Lane.PUSH,
            body=plain(body),
            owner="" if at else self._worker,
            lease_until=at or self.now + LEASE,
            subject=body.subject if isinstance(body, Work) else "",
        )
