"""Finds records of all kinds by an id or a few words, and names those whose ids are known."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.admin.lists import PAYMENT_IDS, users_found_by
from domain.admin.record_lines import RecordLine, line_of
from domain.chat.reports import Report
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.job import Job
from domain.jobs.job_words import words_of_query
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.fields import about
from domain.kernel.record import Record
from domain.kernel.store import NEWEST, UnitOfWork
from domain.kernel.text_types import line
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, Id, Style
from domain.operations.operation import operation
from domain.payouts.transfer import Transfer
from domain.ports.job_index import JobIndex, JobQuery, Order
from domain.stripe_events.inbox import WebhookEvent
from domain.wallet.withdrawals import Withdrawal

MAX_IDS = 100
SHOWN = 8  # of each kind

KINDS: dict[str, type[Record]] = {
    kind.PREFIX: kind
    for kind in (
        User,
        Job,
        Offer,
        Payment,
        Dispute,
        Chargeback,
        Transfer,
        Withdrawal,
        Transaction,
        Report,
        WebhookEvent,
    )
}
# The field of an id at Stripe, by its beginning.
AT_STRIPE: dict[str, tuple[type[Record], str]] = {
    **{start: (Payment, field) for start, field in PAYMENT_IDS.items()},
    "tr": (Transfer, "stripe_id"),
    "po": (Withdrawal, "payout_id"),
    "dp": (Chargeback, "stripe_id"),
    "du": (Chargeback, "stripe_id"),
}


class Names(Command, frozen=True):
    ids: Annotated[
        tuple[Id, ...],
        Limits(min_length=1, max_length=MAX_IDS),
        about("The ids of records of any kind."),
    ]


class Find(Command, frozen=True):
    PERSONAL = frozenset({"q"})

    q: Annotated[
        str,
        line(254),
        about(
            "An id, here or at Stripe, or the first letters of words of a user's name or e-mail "
            "address, or words of a job."
        ),
    ]


class Lines(msgspec.Struct, frozen=True):
    """Records of several kinds, each in a line."""

    items: Annotated[list[RecordLine], about("The records.")]


@operation("admin.names", roles=ADMINS, style=Style.READ, audited=False)
async def names(cmd: Names, actor: Actor, uow: UnitOfWork) -> Lines:
    """What records are called whose ids are known. Unknown ids are left out."""
    return Lines(await _named(uow, cmd.ids))


@operation("admin.find", roles=ADMINS, style=Style.READ, searches=True)
async def find(cmd: Find, actor: Actor, uow: UnitOfWork, index: JobIndex) -> Lines:
    """Find a record by its id, or users and jobs by words, the newest first, up to eight of each
    kind."""
    query = cmd.q.strip()
    start, _, rest = query.partition("_")
    if rest and "@" not in query:
        if start in KINDS:
            return Lines(await _named(uow, (query,)))
        if start in AT_STRIPE:
            kind, field = AT_STRIPE[start]
            return Lines(await _lines(uow, await uow.all(kind, {field: query}, limit=1)))
    found: list[Any] = []
    if (where := await users_found_by(uow, query)) is not None:
        found += await uow.all(User, where, NEWEST, SHOWN)
    if words := words_of_query(query):
        hits, _ = await index.find(JobQuery(words=words), Order.NEWEST, None, SHOWN)
        if hits:
            found += await uow.all(Job, {"_id": tuple(hit.id for hit in hits)}, NEWEST, SHOWN)
    return Lines(await _lines(uow, found))


async def _named(uow: UnitOfWork, ids: tuple[str, ...]) -> list[RecordLine]:
    """The records with these ids: one query for each kind."""
    wanted: dict[str, list[str]] = {}
    for id in dict.fromkeys(ids):
        start = id.partition("_")[0]
        if start in KINDS:
            wanted.setdefault(start, []).append(id)
    found: list[Any] = []
    for start, some in wanted.items():
        found += await uow.all(KINDS[start], {"_id": tuple(some)}, limit=MAX_IDS)
    return await _lines(uow, found)


async def _lines(uow: UnitOfWork, found: list[Any]) -> list[RecordLine]:
    """Transfers and withdrawals are called after their users."""
    owners = {record.user_id for record in found if hasattr(record, "user_id")}
    users = await uow.all(User, {"_id": tuple(owners)}, limit=len(owners)) if owners else []
    by_id = {user.id: user.name for user in users}
    return [line_of(record, by_id) for record in found]
