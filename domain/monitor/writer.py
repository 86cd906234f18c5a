"""Writes the buckets, in one process at a time.

Decision: figures are made of records, the journal and what processes told by minute, not of
counters in memory, so a crash loses nothing and a second run gives the same. A minute is made again
at each run until it is settled, which is when no transaction of its time can commit any more. What
was never counted, such as the history of an older version, is counted a day at a time, with the
balances at the end of each hour.
"""

from datetime import datetime, timedelta

from domain import ledger
from domain.kernel.process_registry import ProcessHeartbeat, known_processes
from domain.kernel.rooms import LIVE_MONITOR
from domain.kernel.store import Duplicate, UnitOfWork
from domain.ledger.transaction import Transaction
from domain.monitor import bucket, gauges, tally
from domain.monitor.bucket import KEPT, LENGTH, SeriesPosition, Step, floor
from domain.monitor.catalog import Combine, Source, series_of
from domain.monitor.facts import FactsByMinute, Minutes
from domain.monitor.past_balances import PastBalances
from domain.monitor.series import SERIES, SeriesMinute, SeriesUpdate
from domain.ports.ports import Ports

CHUNK = timedelta(days=1)
POSITION = "series-position"
TOLD = timedelta(minutes=5)  # what processes tell about is no older


async def write_series(ports: Ports) -> None:
    """Write all buckets up to now, and push the last minutes to open monitors."""
    uow = ports.store.single()
    processes = await known_processes(uow)
    measured = gauges.of_processes(processes, await ports.gauges.sockets())
    measured |= await gauges.totals(uow) | await gauges.outbox(uow)
    start, present = await _position(uow), floor(uow.now, Step.MINUTE)
    settled = floor(uow.now - ledger.SETTLED_AFTER, Step.MINUTE)
    past = PastBalances(uow) if present - start > CHUNK else None
    while True:
        end = min(start + CHUNK, present + LENGTH[Step.MINUTE])
        minutes = await FactsByMinute(uow, start, end).collect()
        _count(minutes, processes, start, end)
        if past:
            await _fill_in(minutes, past, start, min(end, settled))
        if end > present:
            minutes[present].update(measured)
        await _keep_measured(uow, minutes, start, end)
        await bucket.write(uow, Step.MINUTE, minutes)
        if minutes:
            await bucket.roll_up(uow, min(minutes), end)
        await _move_position(uow, start, min(end, settled))
        if end > present:
            break
        start = end
    last = sorted((at, values) for at, values in minutes.items() if at > present - TOLD)
    update = SeriesUpdate(60, [SeriesMinute(at, dict(values)) for at, values in last])
    ports.live.push(SERIES, update, room=LIVE_MONITOR)
    await tally.renew(uow)


async def _fill_in(minutes: Minutes, past: PastBalances, start: datetime, end: datetime) -> None:
    """Add the balances at the end of each hour, of a time that may not have been measured."""
    hour = floor(start, Step.HOUR) + LENGTH[Step.HOUR]
    while hour <= end:
        if totals := await past.before(hour):
            minutes[hour - LENGTH[Step.MINUTE]].update(totals)
        hour += LENGTH[Step.HOUR]


def _count(
    minutes: Minutes, processes: list[ProcessHeartbeat], start: datetime, end: datetime
) -> None:
    """Add what the processes told that they did in each minute."""
    for process in processes:
        for told in process.figures.minutes:
            if start <= told.at < end:
                for name in told.counts.__struct_fields__:
                    minutes[told.at][name] += getattr(told.counts, name)


async def _keep_measured(uow: UnitOfWork, minutes: Minutes, start: datetime, end: datetime) -> None:
    """Keep from stored buckets what cannot be made again: gauges, and counts that no process
    reports any more."""
    for at, values in await bucket.read(uow, Step.MINUTE, start, end):
        for figure, value in values.items():
            series = series_of(figure)
            if series is None or series.source is Source.FACT:
                continue
            fresh = minutes[at].get(figure)
            if fresh is None or (series.combine is Combine.MAX and value > fresh):
                minutes[at][figure] = value


async def _position(uow: UnitOfWork) -> datetime:
    """From when on buckets are not final. At first, that is the beginning of the journal."""
    position = await uow.find(SeriesPosition, {"_id": POSITION})
    if position:
        return position.upto
    first = await uow.find(Transaction, {}, (("_id", 1),))
    began = min(first.created_at, uow.now) if first else uow.now
    upto = floor(max(began, uow.now - KEPT[Step.MINUTE]), Step.MINUTE)
    try:
        await uow.add(uow.new(SeriesPosition, id=POSITION, upto=upto))
    except Duplicate:
        return await _position(uow)
    return upto


async def _move_position(uow: UnitOfWork, start: datetime, upto: datetime) -> None:
    if upto > start:
        await uow.change(SeriesPosition, POSITION, only_if={"upto": start}, upto=upto)


async def count_again(uow: UnitOfWork, since: datetime) -> None:
    """Let the next run count from `since` on, after records of an earlier time were added."""
    await _position(uow)
    upto = floor(since, Step.MINUTE)
    await uow.change(SeriesPosition, POSITION, only_if={"upto": {"$gt": upto}}, upto=upto)
