"""The stored figures: a bucket for each minute, hour and day, and how short ones make a long one.

A bucket is made of records, the journal and what processes told, so making it again gives the same.
Hours are made of their minutes and days of their hours, whenever one of these was written.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

from domain.kernel.bounds import Bounded
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.monitor.catalog import Combine, series_of

MAX_FIGURES = 400  # of one bucket


class Step(StrEnum):
    """The length of a bucket."""

    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"


LENGTH = {
    Step.MINUTE: timedelta(minutes=1),
    Step.HOUR: timedelta(hours=1),
    Step.DAY: timedelta(days=1),
}
KEPT = {
    Step.MINUTE: timedelta(days=90),
    Step.HOUR: timedelta(days=400),
    Step.DAY: timedelta(days=3660),
}
ROLLED_UP = ((Step.MINUTE, Step.HOUR), (Step.HOUR, Step.DAY))


class SeriesBucket(Record, frozen=True):
    """The figures of the time from `at` on, by their names; see `catalog.py`."""

    COLLECTION = "series"
    PREFIX = "series"
    INDEXES = (
        Index((("step", 1), ("at", 1)), unique=True),
        Index((("expires_at", 1),), ttl_seconds=0),
    )
    LOGGED = False

    step: Step
    at: datetime
    expires_at: datetime
    values: Annotated[dict[str, float], Bounded(MAX_FIGURES)]


class SeriesPosition(Record, frozen=True):
    """Up to when the buckets are final: what happened before is settled and was counted."""

    COLLECTION = "leases"
    PREFIX = "lease"
    LOGGED = False

    upto: datetime


def floor(at: datetime, step: Step) -> datetime:
    """The start of the bucket that this time is in."""
    seconds = int(LENGTH[step].total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, UTC)


def combined(buckets: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The figures of a longer bucket, of those of its parts in the order of time."""
    found: dict[str, float] = {}
    for values in buckets:
        for figure, value in values.items():
            series = series_of(figure)
            if series is None:
                continue
            if figure not in found or series.combine is Combine.LAST:
                found[figure] = value
            elif series.combine is Combine.SUM:
                found[figure] += value
            else:
                found[figure] = max(found[figure], value)
    return found


async def read(
    uow: UnitOfWork, step: Step, start: datetime, end: datetime
) -> list[tuple[datetime, dict[str, float]]]:
    """The buckets from `start` to before `end`. One query of the index (step, at)."""
    where = {"step": step.value, "at": {"$gte": start, "$lt": end}}
    found = uow.documents(SeriesBucket, where, (("at", 1),))
    return [(row["at"], row["values"]) async for row in found]


async def write(
    uow: UnitOfWork, step: Step, buckets: Mapping[datetime, Mapping[str, float]]
) -> None:
    """Store buckets in place of those of the same time."""
    rows = [_bucket(uow, step, at, values) for at, values in buckets.items()]
    known = {row["_id"] for row in await _stored_ids(uow, rows)}
    await uow.add_missing([row for row in rows if row.id not in known])
    await uow.set_stored(
        SeriesBucket,
        [({"_id": row.id}, {"values": row.values}) for row in rows if row.id in known],
    )


async def _stored_ids(uow: UnitOfWork, rows: list[SeriesBucket]) -> list[dict[str, Any]]:
    if not rows:
        return []
    where = {"_id": tuple(row.id for row in rows)}
    return [row async for row in uow.documents(SeriesBucket, where, (("_id", 1),))]


def _bucket(uow: UnitOfWork, step: Step, at: datetime, values: Mapping[str, float]) -> SeriesBucket:
    return uow.new(
        SeriesBucket,
        id=f"{step}:{at:%Y-%m-%dT%H:%M}",
        step=step,
        at=at,
        expires_at=at + KEPT[step],
        values=dict(islice(values.items(), MAX_FIGURES)),
    )


async def roll_up(uow: UnitOfWork, start: datetime, end: datetime) -> None:
    """Make the hours and days again of which something from `start` to before `end` is a part."""
    for part, whole in ROLLED_UP:
        first, last = floor(start, whole), floor(end - timedelta(seconds=1), whole)
        parts: dict[datetime, list[dict[str, float]]] = {}
        for at, values in await read(uow, part, first, last + LENGTH[whole]):
            parts.setdefault(floor(at, whole), []).append(values)
        await write(uow, whole, {at: combined(values) for at, values in parts.items()})
