"""The journal as its owners see it: the accounts of a user or the platform, and their movements.

The index (users, created_at) serves a user's part of the journal. The platform takes part in every
transaction; (accounts, created_at) serves its part, from the snapshot on. A past balance is the sum
of the owner's own history before it, so its cost does not grow with the market. The currency is
matched in a stage of its own, because some servers use no index for a filter with another field.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from domain import ledger
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import Invalid, Rule
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import Snapshot
from domain.ledger.transaction import Transaction

MAX_SPAN = timedelta(days=366)
YEARS = range(2000, 2200)  # dates that clients, MongoDB and Python all represent


def check_year(field: str, moment: datetime) -> None:
    """Raises Invalid for a time outside of YEARS."""
    if moment.year not in YEARS:
        raise Invalid(f"give a year from {YEARS[0]} to {YEARS[-1]}.", field=field, rule=Rule.FORMAT)


def check_span(start: datetime, end: datetime) -> None:
    """Raises Invalid for a span that is empty, too long or out of range."""
    check_year("start", start)
    check_year("end", end)
    if not timedelta(0) < end - start <= MAX_SPAN:
        raise Invalid(
            f"this must be after `start`, and at most {MAX_SPAN.days} days later.",
            field="end",
            rule=Rule.VALUE,
        )


def within(start: datetime, end: datetime) -> dict[str, Any]:
    """The filter for records created from `start` to before `end`."""
    return {"created_at": {"$gte": start, "$lt": end}}


def totals(names: Iterable[str]) -> dict[str, Any]:
    """Sums of fields, for a `$group` stage."""
    return {name: {"$sum": f"${name}"} for name in names}


class OwnedAccounts(msgspec.Struct, frozen=True):
    """The accounts of one owner, by part, and the filter `where` that finds their transactions.

    A customer owns no accounts in the books. Stripe's account stands for their card, which pays and
    is refunded, so their balance is zero or below. They also receive the money of a lost
    chargeback.
    """

    where: dict[str, Any]
    parts: dict[str, str]

    @staticmethod
    def of(actor: Actor) -> "OwnedAccounts":
        mine = {"users": actor.id}
        match actor.role:
            case Role.ADMIN:
                return PLATFORM_ACCOUNTS
            case Role.CUSTOMER:
                return OwnedAccounts(
                    mine, {"cards": ledger.STRIPE, "chargebacks": ledger.chargeback("")}
                )
            case Role.CONTRACTOR:
                parts = {
                    "available": ledger.available(actor.id),
                    "pending": ledger.pending(actor.id),
                    "held": ledger.held(actor.id),
                    "stranded": ledger.stranded(actor.id),
                    "in_transit": ledger.in_transit(actor.id),
                    "debt": ledger.debt(actor.id),
                }
                return OwnedAccounts(mine, parts)

    def owns(self, account: str) -> bool:
        return any(_matches(account, own) for own in self.parts.values())

    def effect(self, transaction: Transaction) -> tuple[int, int, int]:
        """The amounts that came in, went out, and moved between own accounts, in minor units."""
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
        """`effect` as expressions for the database."""
        source, destination = self._any("$$p.source"), self._any("$$p.destination")
        return {
            "came": sum_of_postings(_and(destination, {"$not": [source]})),
            "left": sum_of_postings(_and(source, {"$not": [destination]})),
            "moved": sum_of_postings(_and(source, destination)),
        }

    @property
    def deltas(self) -> dict[str, Any]:
        """The change of each part by a transaction, as expressions for the database."""
        return {
            part: {
                "$subtract": [
                    sum_of_postings(_matching("$$p.destination", own)),
                    sum_of_postings(_matching("$$p.source", own)),
                ]
            }
            for part, own in self.parts.items()
        }

    def _any(self, side: str) -> dict[str, Any]:
        return {"$or": [_matching(side, own) for own in self.parts.values()]}

    async def position(self, uow: UnitOfWork, currency: str, at: datetime) -> dict[str, int]:
        """The balance of each part before a time."""
        if self is PLATFORM_ACCOUNTS:
            return {"platform": await platform_before(uow, currency, at)}
        return await self.moved(uow, {"$lt": at}, currency)

    async def moved(self, uow: UnitOfWork, when: Any, currency: str) -> dict[str, int]:
        """The change of each part by the transactions of a time range."""
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


def sum_of_postings(condition: Any) -> dict[str, Any]:
    """An expression: the sum of a transaction's postings `p` that meet the condition."""
    amount = {"$cond": [condition, "$$p.amount", 0]}
    return {"$sum": {"$map": {"input": "$postings", "as": "p", "in": amount}}}


def _and(*conditions: Any) -> dict[str, Any]:
    return {"$and": list(conditions)}


def _matches(account: str, own: str) -> bool:
    """Whether `account` is `own`. A name that ends with a colon matches all accounts of its
    kind."""
    return account.startswith(own) if own.endswith(":") else account == own


def _matching(side: str, own: str) -> dict[str, Any]:
    if own.endswith(":"):
        return {"$eq": [{"$indexOfCP": [side, own]}, 0]}
    return {"$eq": [side, own]}


PLATFORM_ACCOUNTS = OwnedAccounts({"accounts": ledger.PLATFORM}, {"platform": ledger.PLATFORM})


async def platform_before(uow: UnitOfWork, currency: str, at: datetime) -> int:
    """The platform's balance before a time, computed forwards or backwards from its snapshot."""
    snapshot = await uow.find(Snapshot, {"_id": f"snapshot:{ledger.PLATFORM}|{currency}"})
    if snapshot is None:
        return (await PLATFORM_ACCOUNTS.moved(uow, {"$lt": at}, currency))["platform"]
    if snapshot.upto < at:
        when, sign = {"$gt": snapshot.upto, "$lt": at}, 1
    else:
        when, sign = {"$gte": at, "$lte": snapshot.upto}, -1
    return (
        snapshot.balance + sign * (await PLATFORM_ACCOUNTS.moved(uow, when, currency))["platform"]
    )
