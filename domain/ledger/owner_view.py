"""Whose side the journal is seen from: the accounts that are one's own, and what moves on them.

A user's part of the journal is read by (users, created_at); the platform's, which takes part in
everything, by (accounts, created_at) and from its snapshot on. A balance at some time is the sum of
one's own history before: it grows with that, not with the market. The currency is matched in a
stage of its own: what is in no index keeps some servers from using one.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain import ledger
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import Invalid
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import Snapshot
from domain.ledger.transaction import Transaction

MAX_SPAN = timedelta(days=366)
YEARS = range(2000, 2200)  # what every part of the way from the client to the database can tell


def check_span(start: datetime, end: datetime) -> None:
    """Raises Invalid."""
    for name, at in (("start", start), ("end", end)):
        if at.year not in YEARS:
            raise Invalid(f"{name}: a year from {YEARS[0]} to {YEARS[-1]}.", field=name)
    if not timedelta(0) < end - start <= MAX_SPAN:
        raise Invalid(f"end: after start, and at most {MAX_SPAN.days} days later.", field="end")


def span(start: datetime, end: datetime) -> dict[str, Any]:
    return {"created_at": {"$gte": start, "$lt": end}}


def totals(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$sum": f"${name}"} for name in names}


class Side(msgspec.Struct, frozen=True):
    """The accounts that are one's own, and where in the journal they are looked for.

    A customer has none here: theirs is the world outside, which pays and is paid back, so what
    they have is zero or below. Of a chargeback that was lost they have the money as well.
    """

    where: dict[str, Any]
    parts: dict[str, str]

    @staticmethod
    def of(actor: Actor) -> "Side":
        mine = {"users": actor.id}
        match actor.role:
            case Role.ADMIN:
                return PLATFORM_SIDE
            case Role.CUSTOMER:
                return Side(mine, {"cards": ledger.STRIPE, "chargebacks": ledger.chargeback("")})
            case Role.CONTRACTOR:
                accounts = (
                    ledger.available,
                    ledger.pending,
                    ledger.held,
                    ledger.in_transit,
                    ledger.debt,
                )
                return Side(mine, {each.__name__: each(actor.id) for each in accounts})

    def owns(self, account: str) -> bool:
        return any(_is(account, own) for own in self.parts.values())

    def effect(self, transaction: Transaction) -> tuple[int, int, int]:
        """What came in, what left, and what only moved, in minor units."""
        came = left = moved = 0
        for posting in transaction.postings:
            match self.owns(posting.source), self.owns(posting.destination):
                case False, True:
                    came += posting.amount
                case True, False:
                    left += posting.amount
                case True, True:
                    moved += posting.amount
        return came, left, moved

    @property
    def sums(self) -> dict[str, Any]:
        """The same as expressions for the database."""
        source, destination = self._any("$$p.source"), self._any("$$p.destination")
        return {
            "came": postings(_and(destination, {"$not": [source]})),
            "left": postings(_and(source, {"$not": [destination]})),
            "moved": postings(_and(source, destination)),
        }

    @property
    def deltas(self) -> dict[str, Any]:
        """How each part changes in a transaction, as expressions for the database."""
        return {
            part: {
                "$subtract": [
                    postings(_asked("$$p.destination", own)),
                    postings(_asked("$$p.source", own)),
                ]
            }
            for part, own in self.parts.items()
        }

    def _any(self, side: str) -> dict[str, Any]:
        return {"$or": [_asked(side, own) for own in self.parts.values()]}

    async def position(self, uow: UnitOfWork, currency: str, at: datetime) -> dict[str, int]:
        """The balance of each part from all transactions before a time."""
        if self is PLATFORM_SIDE:
            return {"platform": await platform_before(uow, currency, at)}
        return await self.moved(uow, {"$lt": at}, currency)

    async def moved(self, uow: UnitOfWork, when: Any, currency: str) -> dict[str, int]:
        found = await uow.aggregate(
            Transaction,
            [
                {"$match": {**self.where, "created_at": when}},
                {"$match": {"currency": currency}},
                {"$project": self.deltas},
                {"$group": {"_id": None, **totals(self.parts)}},
            ],
        )
        return {part: found[0][part] if found else 0 for part in self.parts}


def postings(condition: Any) -> dict[str, Any]:
    """The sum of a transaction's postings `p` for which the condition holds."""
    amount = {"$cond": [condition, "$$p.amount", 0]}
    return {"$sum": {"$map": {"input": "$postings", "as": "p", "in": amount}}}


def _and(*conditions: Any) -> dict[str, Any]:
    return {"$and": list(conditions)}


def _is(account: str, own: str) -> bool:
    """An own account that ends with a colon stands for all of its kind."""
    return account.startswith(own) if own.endswith(":") else account == own


def _asked(side: str, own: str) -> dict[str, Any]:
    if own.endswith(":"):
        return {"$eq": [{"$indexOfCP": [side, own]}, 0]}
    return {"$eq": [side, own]}


PLATFORM_SIDE = Side({"accounts": ledger.PLATFORM}, {"platform": ledger.PLATFORM})


async def platform_before(uow: UnitOfWork, currency: str, at: datetime) -> int:
    """The platform's balance from all transactions before a time: forwards or backwards from its
    snapshot, whatever the market has done before."""
    snapshot = await uow.find(Snapshot, {"_id": f"snapshot:{ledger.PLATFORM}|{currency}"})
    if snapshot is None:
        return (await PLATFORM_SIDE.moved(uow, {"$lt": at}, currency))["platform"]
    if snapshot.upto < at:
        when, sign = {"$gt": snapshot.upto, "$lt": at}, 1
    else:
        when, sign = {"$gte": at, "$lte": snapshot.upto}, -1
    return snapshot.balance + sign * (await PLATFORM_SIDE.moved(uow, when, currency))["platform"]
