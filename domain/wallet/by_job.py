"""The movements of a wallet, added up for each job."""

from datetime import datetime
from typing import Annotated

import msgspec

from domain.deals.offer import Offer
from domain.kernel.actor import PARTIES, Actor
from domain.kernel.fields import Currency, JobId, JobTitle, OfferId, about
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import OwnedAccounts, totals
from domain.ledger.transaction import Transaction
from domain.operations.command import NoFields, Style
from domain.operations.limits import STATEMENTS
from domain.operations.operation import operation

MOST = 200  # jobs


class JobTotals(msgspec.Struct, frozen=True):
    """What one job moved in and out of the caller's money."""

    offer_id: OfferId
    job_id: JobId
    job_title: JobTitle
    currency: Currency
    in_amount: Annotated[int, about("What came in, in minor units.")]
    out_amount: Annotated[int, about("What went out, in minor units.")]
    count: Annotated[int, about("How many movements there were.")]
    last_at: Annotated[datetime, about("When the last of them was.")]


class JobsTotals(msgspec.Struct, frozen=True):
    """The jobs whose money moved last."""

    items: Annotated[list[JobTotals], about("Up to 200 jobs, the last that moved first.")]


@operation("wallet.by_job", roles=PARTIES, style=Style.READ, limits=(STATEMENTS,))
async def by_job(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> JobsTotals:
    """What each job moved in and out of the caller's money, the last that moved first."""
    side = OwnedAccounts.of(actor)
    key = {"offer": "$offer_id", "currency": "$currency"}
    found = await uow.aggregate(
        Transaction,
        [
            {"$match": side.where},
            {"$match": {"offer_id": {"$gt": ""}}},
            {"$project": {"offer_id": 1, "currency": 1, "created_at": 1, **side.sums}},
            {"$match": {"$or": [{"came": {"$gt": 0}}, {"left": {"$gt": 0}}]}},
            {
                "$group": {
                    "_id": key,
                    "count": {"$sum": 1},
                    "last_at": {"$max": "$created_at"},
                    **totals(("came", "left")),
                }
            },
            {"$sort": {"last_at": -1, "_id": -1}},
            {"$limit": MOST},
        ],
    )
    wanted = [{"$match": {"_id": {"$in": [each["_id"]["offer"] for each in found]}}}]
    fields = {"job_id": 1, "job_title": 1}
    offers = await uow.aggregate(Offer, [*wanted, {"$project": fields}]) if found else []
    known = {offer["_id"]: offer for offer in offers}
    return JobsTotals(
        [
            JobTotals(
                offer["_id"],
                offer["job_id"],
                offer["job_title"],
                each["_id"]["currency"],
                each["came"],
                each["left"],
                each["count"],
                each["last_at"],
            )
            for each in found
            if each["_id"]["offer"] in known
            for offer in [known[each["_id"]["offer"]]]
        ]
    )
