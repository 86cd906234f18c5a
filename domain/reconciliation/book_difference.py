"""The differences between Stripe's books and ours as records, over all runs that found them.

A run reports what it found. What becomes of a difference is decided here: it is open until a run
over the same time does not find it any more, or until an administrator has explained it.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from domain.kernel.fields import about
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.reconciliation.difference import Difference
from domain.reconciliation.stripe_lines import MAX_DIFFERENCES, Comparison


class DifferenceStatus(StrEnum):
    """`explained`: an administrator closed it. `gone`: a later run did not find it."""

    OPEN = "open"
    EXPLAINED = "explained"
    GONE = "gone"


class BookDifference(Record, frozen=True):
    """Two values of `subject` that differ; the id is made of `what` and `subject`.

    `start` and `end` are the span of the last run that found it.
    """

    COLLECTION = "book_differences"
    PREFIX = "dif"
    INDEXES = (
        Index((("status", 1), ("last_seen_at", -1), ("_id", -1))),
        Index((("status", 1), ("_id", 1))),
        Index((("subject", 1), ("last_seen_at", -1), ("_id", -1))),
        Index((("last_seen_at", -1), ("_id", -1))),
    )

    what: Annotated[str, about("What was compared.")]
    subject: Annotated[str, about("The id of what differs.")]
    expected: Annotated[Any, about("What our journal says.")]
    found: Annotated[Any, about("What Stripe says.")]
    first_run: Annotated[str, about("The id of the reconciliation that found it first.")]
    last_run: Annotated[str, about("The id of the last reconciliation that found it.")]
    start: Annotated[datetime, about("From when on that reconciliation compared.")]
    end: Annotated[datetime, about("Until when that reconciliation compared.")]
    last_seen_at: Annotated[datetime, about("When it was last found.")]
    seen_count: Annotated[int, about("How many reconciliations found it.")] = 0
    status: Annotated[DifferenceStatus, about("Its state.")] = DifferenceStatus.OPEN
    closed_by: Annotated[
        str | None, about("The id of the administrator who explained it; null if none did.")
    ] = None
    closed_at: Annotated[
        datetime | None, about("When it was explained or gone; null if it is neither.")
    ] = None
    close_reason: Annotated[str, about("What explains it; empty if nothing does.")] = ""


async def keep_differences(
    uow: UnitOfWork, run_id: str, start: datetime, end: datetime, result: Comparison
) -> None:
    """Keep what a run found, and end what it did not find any more. A repeat changes nothing."""
    found = {_id_of(difference): difference for difference in result.differences}
    span = {"start": start, "end": end, "last_seen_at": uow.now}
    await uow.add_missing(
        [
            uow.new(
                BookDifference,
                id=id,
                what=difference.what,
                subject=difference.subject,
                expected=difference.expected,
                found=difference.found,
                first_run=run_id,
                last_run="",
                **span,
            )
            for id, difference in found.items()
        ]
    )
    ids = tuple(found)
    values = [
        ({"_id": id}, {"expected": each.expected, "found": each.found})
        for id, each in found.items()
    ]
    await uow.set_stored(BookDifference, values)
    back = {"_id": ids, "status": DifferenceStatus.GONE}
    await uow.change_all(BookDifference, back, status=DifferenceStatus.OPEN, closed_at=None)
    unseen = {"_id": ids, "last_run": {"$ne": run_id}}
    await uow.change_all(BookDifference, unseen, inc={"seen_count": 1}, last_run=run_id, **span)
    if result.count > len(result.differences):
        return  # what else differs is not known
    gone = {
        "status": DifferenceStatus.OPEN,
        "start": {"$gte": start},
        "end": {"$lte": end},
        "last_run": {"$ne": run_id},
    }
    await uow.change_all(BookDifference, gone, status=DifferenceStatus.GONE, closed_at=uow.now)


Explained = dict[tuple[str, str], list[Any]]  # values by what was compared and its subject
AUDIT = "audit"  # instead of the id of a run


async def explained_differences(uow: UnitOfWork) -> Explained:
    """The values of the differences that administrators have explained."""
    explained = {"status": DifferenceStatus.EXPLAINED}
    return {
        (each.what, each.subject): [each.expected, each.found]
        async for each in uow.each(BookDifference, explained, (("_id", 1),))
    }


async def keep_audited(uow: UnitOfWork, start: datetime, differences: Sequence[Difference]) -> None:
    """Keep what an audit found that began at `start`, and end what it did not find any more."""
    found = {_id_of(difference): difference for difference in differences[:MAX_DIFFERENCES]}
    span = {"start": start, "end": uow.now, "last_seen_at": uow.now}
    values = {id: {"expected": each.expected, "found": each.found} for id, each in found.items()}
    rows = [
        uow.new(
            BookDifference,
            id=id,
            what=each.what,
            subject=each.subject,
            first_run=AUDIT,
            last_run=AUDIT,
            **msgspec.to_builtins(values[id]),
            **span,
        )
        for id, each in found.items()
    ]
    await uow.add_missing(rows)
    await uow.set_stored(
        BookDifference,
        [({"_id": id}, msgspec.to_builtins(each)) for id, each in values.items()],
    )
    # What an administrator has explained comes back when its values have changed.
    again = {"_id": tuple(found), "status": (DifferenceStatus.GONE, DifferenceStatus.EXPLAINED)}
    await uow.change_all(BookDifference, again, status=DifferenceStatus.OPEN, closed_at=None)
    await uow.change_all(BookDifference, {"_id": tuple(found)}, inc={"seen_count": 1}, **span)
    if len(differences) <= MAX_DIFFERENCES:
        gone = {
            "status": DifferenceStatus.OPEN,
            "last_run": AUDIT,
            "last_seen_at": {"$lt": start},
        }
        await uow.change_all(BookDifference, gone, status=DifferenceStatus.GONE, closed_at=uow.now)


def _id_of(difference: Difference) -> str:
    name = f"{difference.what}\n{difference.subject}".encode()
    return f"{BookDifference.PREFIX}_{hashlib.sha256(name).hexdigest()[:24]}"
