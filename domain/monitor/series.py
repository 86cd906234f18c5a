"""The series for charts: read over a span of time, and pushed to open monitors."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.store import UnitOfWork
from domain.monitor import bucket
from domain.monitor.bucket import Step, combined
from domain.monitor.catalog import CATALOG, SeriesName, Source
from domain.operations.command import Command, Moment, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation

MAX_POINTS = 1500
MAX_NAMES, MAX_LABELS = 20, 12
SPACINGS = (60, 300, 900, 3600, 10_800, 86_400, 604_800)  # seconds between points
# Up to this span a step has no more buckets than MAX_POINTS.
SPANS = (
    (Step.MINUTE, timedelta(minutes=MAX_POINTS)),
    (Step.HOUR, timedelta(hours=MAX_POINTS)),
    (Step.DAY, timedelta(days=MAX_POINTS)),
)


class SeriesMinute(msgspec.Struct, frozen=True):
    """The figures of one minute, by their names."""

    at: Annotated[datetime, about("The beginning of the minute.")]
    values: Annotated[
        dict[str, float], about("By the name of the series, and `:` and a label where it has such.")
    ]


class SeriesUpdate(msgspec.Struct, frozen=True):
    """The last minutes. Each replaces what was known of the same minute."""

    step_seconds: Annotated[int, about("The length of a bucket: a minute.")]
    buckets: Annotated[list[SeriesMinute], about("In the order of time.")]


SERIES = Event(
    "/admin",
    "series",
    SeriesUpdate,
    Numbering.NEVER,
    about="At least once a minute, to connections that asked `admin.live`. What happened in the "
    "last two minutes may still be added to: the next one replaces it.",
)


class GetSeries(Command, frozen=True):
    """Figures over a span of time, for charts."""

    names: Annotated[
        tuple[SeriesName, ...], Limits(min_length=1, max_length=MAX_NAMES), about("Which series.")
    ]
    start: Annotated[Moment, about("From this time on.")]
    end: Annotated[Moment | None, about("Up to this time; by default now.")] = None
    points: Annotated[
        int, Limits(ge=1, le=MAX_POINTS), about("At most so many values of each series.")
    ] = 300


class SeriesValues(msgspec.Struct, frozen=True):
    """The values of series at equal distances of time. Those of one place in the lists are of the
    time `start` plus so many steps, and of one step from there."""

    start: Annotated[datetime, about("The time of the first values.")]
    step_seconds: Annotated[int, about("The distance of the values.")]
    values: Annotated[
        dict[str, list[float | None]],
        about(
            "By the name of the series, and `:` and a label where it has such. Null: not known, as "
            "it was not measured then."
        ),
    ]


@operation("admin.series", roles=ADMINS, style=Style.READ, audited=False, limits=(Limit(60, 60),))
async def series(cmd: GetSeries, actor: Actor, uow: UnitOfWork) -> SeriesValues:
    """Figures over time: up to a day from minutes, two months from hours, four years from days.

    Raises Invalid.
    """
    end = cmd.end or uow.now
    step = _step(cmd.start, end)
    length = int(bucket.LENGTH[step].total_seconds())
    points = (end - cmd.start).total_seconds()
    wide = [each for each in SPACINGS if each >= length and points <= each * cmd.points]
    seconds = wide[0] if wide else SPACINGS[-1]
    start = int(cmd.start.timestamp()) // seconds * seconds
    first = datetime.fromtimestamp(start, cmd.start.tzinfo)
    slots: dict[int, list[dict[str, float]]] = defaultdict(list)
    for at, values in await bucket.read(uow, step, first, end):
        slots[(int(at.timestamp()) - start) // seconds].append(values)
    count = max(1, min(MAX_POINTS, -(-(int(end.timestamp()) - start) // seconds)))
    found = {place: combined(parts) for place, parts in slots.items() if place < count}
    return SeriesValues(first, seconds, _lists(cmd.names, found, count))


def _step(start: datetime, end: datetime) -> Step:
    """Raises Invalid for a span that is empty or too long."""
    span = end - start
    for step, longest in SPANS:
        if timedelta() < span <= longest:
            return step
    raise Invalid(
        f"this must be before `end`, and at most {MAX_POINTS} days.",
        field="start",
        rule=Rule.VALUE,
    )


def _lists(
    names: Iterable[SeriesName], found: dict[int, dict[str, float]], count: int
) -> dict[str, list[float | None]]:
    """The values of each figure. Of facts nothing stored means zero, up to the last bucket."""
    wanted, known = set(names), max(found, default=-1)
    sums: dict[str, float] = {name: 0 for name in wanted}
    for values in found.values():
        for figure, value in values.items():
            if figure.partition(":")[0] in wanted:
                sums[figure] = sums.get(figure, 0) + abs(value)
    lists: dict[str, list[float | None]] = {}
    for figure in _of_most(sums):
        fact = CATALOG[SeriesName(figure.partition(":")[0])].source is Source.FACT
        lists[figure] = [
            found.get(place, {}).get(figure, 0.0 if fact and place <= known else None)
            for place in range(count)
        ]
    return lists


def _of_most(sums: dict[str, float]) -> list[str]:
    """The figures of each series: the labels that sum up to most, or the series without a label if
    nothing else is known of it."""
    of_series: dict[str, list[str]] = defaultdict(list)
    for figure in sorted(sums, key=lambda each: -sums[each]):
        name, colon, _ = figure.partition(":")
        if colon:
            of_series[name].append(figure)
    plain = [figure for figure in sums if ":" not in figure and figure not in of_series]
    return [*plain, *(figure for labels in of_series.values() for figure in labels[:MAX_LABELS])]
