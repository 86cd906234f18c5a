"""The activity of the market: what happened to jobs, offers and money, by whom and to whom.

A row is made of each push to users, except of messages, notices and the like. It keeps ids and
amounts for a week and no names: those are read with it. Processes write their rows in batches, at
once but outside of the transactions, so a process that is killed may lose the rows of its last
moment. The audit trail loses none.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from domain.admin.people import names_of, titles_of
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.bounds import Bounded
from domain.kernel.documents import given
from domain.kernel.fields import about
from domain.kernel.outbox import Delivery, Event, Numbering, OutboxRow
from domain.kernel.record import Index, Page, Record
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import opaque
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation

KEPT = timedelta(days=7)
# Pushes that tell nothing of their own: they go with another one, or are between few people.
UNSHOWN = frozenset(
    {
        "alert",
        "head",
        "job.closed",
        "job.matched",
        "job.viewers",
        "notification",
        "resync",
        "session.revoked",
        "wallet.updated",
    }
)
CHAT = "/chat"  # is private
PEOPLE = ("customer_id", "contractor_id", "user_id")
OTHERS = ("job_id", "offer_id", "payment_id", "dispute_id", "subject")

Kind = Annotated[str, opaque(40, least=1)]


class ActivityRow(Record, frozen=True):
    """One thing that happened. `about` are the ids of all that it is about, and of who did it."""

    COLLECTION = "activity"
    PREFIX = "act"
    INDEXES = (
        Index((("about", 1), ("_id", -1))),
        Index((("name", 1), ("_id", -1))),
        Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),
    )
    LOGGED = False

    namespace: str
    name: str
    about: Annotated[tuple[str, ...], Bounded(20)]
    actor_id: str | None = None
    subject_id: str = ""
    job_id: str | None = None
    customer_id: str | None = None
    contractor_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    amount: int | None = None
    currency: str | None = None


class ActivityItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, with the names of the people and of the job."""

    id: Annotated[str, about("The id of the item.")]
    at: Annotated[datetime, about("When it happened.")]
    namespace: Annotated[str, about("The namespace of the push.")]
    name: Annotated[str, about("The name of the push, such as offer.accepted.")]
    actor_id: Annotated[
        str | None, about("The id of the user whose command it was; null for the platform itself.")
    ]
    subject_id: Annotated[str, about("The id of what it is about; may be empty.")]
    job_id: Annotated[str | None, about("The id of the job; null if it is about none.")]
    job_title: Annotated[str | None, about("The title of the job; null if it is about none.")]
    customer_id: Annotated[str | None, about("The id of the customer; null if it concerns none.")]
    contractor_id: Annotated[
        str | None, about("The id of the contractor; null if it concerns none.")
    ]
    user_id: Annotated[
        str | None, about("The id of the only user that it concerns; null if it is not one.")
    ]
    status: Annotated[str | None, about("The state of the subject then; null if it has none.")]
    amount: Annotated[int | None, about("In minor units of `currency`; null if it has none.")]
    currency: Annotated[str | None, about("The currency, ISO 4217; null if there is no amount.")]
    names: Annotated[dict[str, str], about("The names of the people, by user id.")]


class Activity(ActivityItem, frozen=True, kw_only=True):
    """One thing as it happens, with the push that users get."""

    data: Annotated[Any, about("The data of the push.")]


ACTIVITY = Event(
    "/admin",
    "activity",
    Activity,
    Numbering.NEVER,
    about="With each push to users about jobs, offers, money and accounts, to connections that "
    "asked `admin.live`. Show it: it changes nothing else. `admin.activity` has what was before; "
    "an `id` may come twice.",
)


class List(Command, frozen=True):
    subject: Annotated[
        Id | None, about("Only what this id is part of: a user, a job, an offer or a payment.")
    ] = None
    kind: Annotated[Kind | None, about("Only pushes of this name, such as offer.accepted.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 50


@operation("admin.activity", roles=ADMINS, style=Style.READ)
async def activity(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[ActivityItem]:
    """What happened in the last seven days, newest first."""
    where = given(about=cmd.subject, name=cmd.kind)
    page = await uow.page(ActivityRow, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page(await _named(uow, page.items), page.next_cursor)


def row_of(outbox_id: str, at: datetime, delivery: Delivery) -> ActivityRow | None:
    """The row of a push, or None for one that is not shown.

    A push that is delivered again has the same row.
    """
    data = delivery.data
    if delivery.name in UNSHOWN or delivery.namespace == CHAT or not isinstance(data, dict):
        return None
    people = {name: data[name] for name in PEOPLE if isinstance(data.get(name), str)}
    subject = str(data.get("id") or "")
    if subject.startswith("usr_"):
        people.setdefault("user_id", subject)
    job = subject if subject.startswith("job_") else data.get("job_id")
    others = (value for name in OTHERS if isinstance(value := data.get(name), str))
    about = dict.fromkeys(filter(None, [subject, delivery.by, job, *people.values(), *others]))
    amount = data.get("amount")
    return ActivityRow(
        id=outbox_id.replace(OutboxRow.PREFIX, ActivityRow.PREFIX, 1),
        created_at=at,
        updated_at=at,
        namespace=delivery.namespace,
        name=delivery.name,
        about=tuple(about),
        actor_id=delivery.by,
        subject_id=subject,
        job_id=job,
        status=data["status"] if isinstance(data.get("status"), str) else None,
        amount=amount if isinstance(amount, int) else None,
        currency=data.get("currency") if isinstance(amount, int) else None,
        **people,
    )


async def keep(uow: UnitOfWork, rows: Sequence[tuple[ActivityRow, Any]]) -> list[Activity]:
    """Store rows, each with the data of its push, and return what is pushed of them."""
    kept = [row for row, _ in rows]
    await uow.add_missing(kept)
    items = await _named(uow, kept)
    return [
        Activity(**msgspec.structs.asdict(item), data=data)
        for item, (_, data) in zip(items, rows, strict=True)
    ]


async def _named(uow: UnitOfWork, rows: Sequence[ActivityRow]) -> list[ActivityItem]:
    names, titles = await asyncio.gather(
        names_of(uow, (id for row in rows for id in _people(row))),
        titles_of(uow, (row.job_id for row in rows)),
    )
    return [
        ActivityItem(
            id=row.id,
            at=row.created_at,
            namespace=row.namespace,
            name=row.name,
            actor_id=row.actor_id,
            subject_id=row.subject_id,
            job_id=row.job_id,
            job_title=titles[row.job_id] if row.job_id else None,
            customer_id=row.customer_id,
            contractor_id=row.contractor_id,
            user_id=row.user_id,
            status=row.status,
            amount=row.amount,
            currency=row.currency,
            names={id: names[id] for id in _people(row) if id in names},
        )
        for row in rows
    ]


def _people(row: ActivityRow) -> set[str]:
    people = (row.actor_id, row.customer_id, row.contractor_id, row.user_id)
    return {id for id in people if id}
