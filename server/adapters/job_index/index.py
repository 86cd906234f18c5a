"""The job index of a web process: its port, and how it follows the jobs in MongoDB.

MongoDB is the truth, and the index holds nothing that cannot be read there again. Three ways lead
into it, and all of them end in reading jobs by id:

- What this process commits. A search waits until it is in, so callers find what they wrote.
- What other processes commit, which they announce to all by the ids. A search waits for what was
  announced FRESH_SECONDS before.
- `catch_up`: everything changed since a mark, in the order of `(updated_at, id)`. It runs at the
  start, after a gap in the announcements, and every CATCH_UP_SECONDS for what was announced by
  no process, such as a change outside of a transaction. A transaction that commits late has an
  earlier time than its commit, so each run begins OVERLAP before the mark.

A commit costs milliseconds, however few jobs are in it. While searches come, changes are committed
soon, so that searches need not wait; without searches they gather for longer.

After a failed write the engine is opened again at its last commit, and after a failed read the
index is emptied. Both begin a new epoch. A catch-up ends with the epoch in which it began, because
what it wrote without a commit is lost and its mark is no longer true; the next one begins at the
mark that was saved.

Reading and writing the files happens in threads, one for all writes.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from domain.jobs.job import Job
from domain.kernel.errors import Unavailable
from domain.kernel.shield import run_to_completion
from domain.kernel.store import UNREACHABLE, Store
from domain.kernel.text_analysis import QueryWord
from domain.ports.job_index import Completion, FoundFacets, Hit, JobQuery, Order, Position
from server.adapters.job_index.files import Files
from server.adapters.job_index.reading import Reading, complete, unknown_words
from server.runtime.background_tasks import end

log = structlog.get_logger()
T = TypeVar("T")

START_SECONDS = 10.0  # that a start waits for the index; after that the process is not ready
GATHER_SECONDS = 0.15  # during which announced changes share a commit while searches come
UNASKED_SECONDS = 5.0  # during which they share a commit while no search comes
FRESH_SECONDS = 0.5  # for which a search may miss what another process announced
RETRY_SECONDS = 2.0
CATCH_UP_SECONDS = 60.0
OVERLAP = timedelta(seconds=60)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # damaged jobs without `updated_at` are not read
BATCH = 500  # jobs
COMMITTED_JOBS = 50_000  # of a long catch-up, which continues from there after a crash
MOST_WAITING = 20_000  # announced ids; with more the changes are read from the mark on
MOST_RECENT = 20_000  # versions of jobs that a catch-up skips
READERS = 2  # threads
BY_CHANGE = (("updated_at", 1), ("_id", 1))
BY_ID = (("_id", 1),)


class EngineFailed(Exception):
    """The engine stopped at something that it cannot read."""


class EpochEnded(Exception):
    """The engine was opened again during a catch-up."""


def _guarded(work: Callable[..., T], *arguments: Any) -> T:
    """Turn a panic of the engine, which is no Exception, into one. Raises EngineFailed."""
    try:
        return work(*arguments)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:
        raise EngineFailed(str(panic)) from panic


def _version(job: Mapping[str, Any]) -> int:
    """The version of a stored job; 0 of a damaged one."""
    version = job.get("version")
    return version if isinstance(version, int) else 0


class TantivyJobIndex:
    """See `JobIndex`. `start` builds or completes it, `changed` feeds it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._files = Files(folder)
        self._writing = ThreadPoolExecutor(1, "job-index-writer")
        self._reading = ThreadPoolExecutor(READERS, "job-index-reader")
        self._turn = asyncio.Lock()  # for changing the files
        self._epoch = 0  # how often the engine was opened again
        self._waiting: dict[str, None] = {}  # ids of changed jobs
        self._own: dict[str, None] = {}  # those among them that this process changed
        self._announced, self._applied = 0, 0  # changes of this process
        self._waiting_since = math.inf  # the oldest change not applied, on the monotonic clock
        self._recent: OrderedDict[str, int] = OrderedDict()  # versions of jobs in the index
        self._gap = asyncio.Event()
        self._ready = asyncio.Event()
        self._arrived = asyncio.Event()
        self._due = asyncio.Event()  # a search has come, or many changes, since the last commit
        self._loops: list[asyncio.Task[None]] = []
        self.jobs_read = 0  # by the running catch-up

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    async def start(self) -> None:
        await self._in_writer(self._files.open)
        self._loops = [
            asyncio.create_task(self._catch_up_loop()),
            asyncio.create_task(self._apply_loop()),
        ]
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            log.warning("the job index is being built", jobs=self.jobs_read)

    async def stop(self) -> None:
        await end(self._loops)
        self._loops = []
        self._ready.clear()
        await self._in_writer(self._files.close)
        self._writing.shutdown(wait=False)
        self._reading.shutdown(wait=False)

    # -- following the jobs ------------------------------------------------------------------

    def changed(self, ids: Iterable[str], *, here: bool) -> None:
        """These jobs were changed, by a commit of this process (`here`) or of another."""
        changed = dict.fromkeys(ids)
        self._waiting_since = min(self._waiting_since, time.monotonic())
        self._waiting.update(changed)
        if here:
            self._own.update(changed)
            self._announced += 1
        if len(self._waiting) > MOST_WAITING:
            self._waiting = dict(self._own)
            self._gap.set()
        if len(self._waiting) >= BATCH:
            self._due.set()
        self._arrived.set()

    def note_gap(self) -> None:
        """Announcements of other processes may have been lost."""
        self._gap.set()

    async def _apply_loop(self) -> None:
        while True:
            await self._arrived.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNASKED_SECONDS):
                    await self._due.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._arrived.clear()
            self._due.clear()
            try:
                while self._waiting:
                    await self._apply()
            except UNREACHABLE as away:
                log.warning("job index not written", reason=str(away))
                self._arrived.set()
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("job index not written")
                self._arrived.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _apply(self) -> None:
        """Bring jobs that were announced to their present state."""
        async with self._turn:
            announced, began = self._announced, time.monotonic()
            ids = list(itertools.islice(self._own | self._waiting, BATCH))
            own = [id for id in ids if id in self._own]
            all_own = len(own) == len(self._own)
            for id in ids:
                self._own.pop(id, None)
                self._waiting.pop(id, None)
            remaining_since = self._waiting_since if self._waiting else began
            try:
                if ids:
                    found = self._store.single().documents(Job, {"_id": tuple(ids)}, BY_ID)
                    jobs = [each async for each in found]
                    await run_to_completion(self._write(jobs, gone=ids, commit=True))
            except BaseException:
                self._own |= dict.fromkeys(own)
                self._waiting |= dict.fromkeys(ids)
                raise
            if all_own:
                self._applied = announced
            self._waiting_since = remaining_since if self._waiting else math.inf

    async def _catch_up_loop(self) -> None:
        while True:
            try:
                self._gap.clear()
                await self.catch_up()
                self._ready.set()
            except (*UNREACHABLE, EpochEnded) as ended:
                log.warning("job index not caught up", reason=repr(ended))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                log.exception("job index not caught up")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    await self._gap.wait()
            except TimeoutError:
                pass

    async def catch_up(self) -> int:
        """Read all jobs that changed since the mark. Returns how many were written.

        Raises EpochEnded.
        """
        async with self._turn:
            if self._files.searcher is None:  # opening it again failed
                await self._reopen(self._files.open)
            epoch, mark = self._epoch, self._files.mark
        began, written, unsaved = time.monotonic(), 0, 0
        self.jobs_read = 0
        where = {"updated_at": {"$gte": mark - OVERLAP if mark else EARLIEST}}
        batch: list[dict[str, Any]] = []
        async for each in self._store.single().documents(Job, where, BY_CHANGE):
            self.jobs_read += 1
            mark = each["updated_at"]
            batch.append(each)
            if len(batch) == BATCH:
                count = await self._add(epoch, batch)
                written, unsaved, batch = written + count, unsaved + count, []
                if unsaved >= COMMITTED_JOBS:
                    await self._save(epoch, mark, commit=True)
                    unsaved = 0
        count = await self._add(epoch, batch)
        written, unsaved = written + count, unsaved + count
        await self._save(epoch, mark, commit=unsaved > 0)
        if written > BATCH:
            seconds = round(time.monotonic() - began, 1)
            log.info("job index caught up", jobs=written, seconds=seconds)
        return written

    @contextlib.asynccontextmanager
    async def _in_epoch(self, epoch: int) -> AsyncIterator[None]:
        """Take a turn in this epoch. Raises EpochEnded."""
        async with self._turn:
            if self._epoch != epoch:
                raise EpochEnded
            yield

    async def _add(self, epoch: int, read: Sequence[dict[str, Any]]) -> int:
        """Write jobs without a commit, except those that the index has in this version or, since
        they were read, in a newer one. Returns how many were written. Raises EpochEnded."""
        async with self._in_epoch(epoch):
            newer = [each for each in read if _version(each) > self._recent.get(each["_id"], -1)]
            if newer:
                await self._write(newer, gone=[each["_id"] for each in newer], commit=False)
            return len(newer)

    async def _save(self, epoch: int, mark: datetime | None, *, commit: bool) -> None:
        """Remember that the index is complete up to `mark`. Raises EpochEnded."""
        async with self._in_epoch(epoch):
            if commit:
                await self._write((), gone=(), commit=True)
            if mark != self._files.mark:
                await self._in_writer(self._files.save, mark)

    async def _write(
        self, found: Sequence[dict[str, Any]], gone: Sequence[str], *, commit: bool
    ) -> None:
        """Replace the documents `gone` by those that were found; the caller has the turn."""

        def write() -> None:
            self._files.replace(gone, found)
            if commit:
                self._files.commit()

        try:
            await self._in_writer(write)
        except Exception:
            await self._reopen(self._files.open)
            raise
        for each in found:
            self._recent[each["_id"]] = _version(each)
            self._recent.move_to_end(each["_id"])
        while len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)

    async def _rebuild(self, epoch: int) -> None:
        """Begin with an empty index, unless this epoch has ended."""
        async with self._turn:
            if self._epoch == epoch:
                await self._reopen(self._files.rebuild)

    async def _reopen(self, work: Callable[[], None]) -> None:
        """Open the engine with `work`, and begin an epoch; the caller has the turn. The index stays
        ready if it has a mark, from which on the next catch-up reads what is missing."""
        ready = self.ready
        self._ready.clear()
        try:
            await self._in_writer(work)
            if ready and self._files.mark is not None:
                self._ready.set()
        finally:
            self._epoch += 1
            self._recent.clear()
            self._gap.set()

    async def _in_writer(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writing, partial(_guarded, work, *arguments))

    # -- the port ----------------------------------------------------------------------------

    async def _read(self, work: Callable[[Any], T]) -> T:
        """Run `work` with a snapshot that has all that this process committed before."""
        wanted, fresh = self._announced, time.monotonic() - FRESH_SECONDS
        while self.ready and (self._applied < wanted or self._waiting_since < fresh):
            await self._apply()
        epoch, searcher = self._epoch, self._files.searcher
        if not self.ready or searcher is None:
            raise Unavailable
        self._due.set()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, partial(_guarded, work, searcher))
        except EngineFailed as failed:
            log.exception("the job index cannot be read and is built again")
            await run_to_completion(self._rebuild(epoch))
            raise Unavailable from failed

    async def find(
        self, query: JobQuery, order: Order, after: Position | None, limit: int
    ) -> tuple[Sequence[Hit], bool]:
        unknown = None if after is None else after.unknown
        return await self._read(lambda at: Reading(at, query, unknown).find(order, after, limit))

    async def count(self, query: JobQuery) -> int:
        return await self._read(lambda at: Reading(at, query).count())

    async def facets(self, query: JobQuery, values: int) -> FoundFacets:
        return await self._read(lambda at: Reading(at, query).facets(values))

    async def budget_bands(
        self, query: JobQuery, currency: str, edges: Sequence[int]
    ) -> Sequence[int]:
        return await self._read(lambda at: Reading(at, query).bands(currency, edges))

    async def unknown(self, query: JobQuery) -> tuple[str, ...]:
        return await self._read(lambda at: tuple(unknown_words(at, query)))

    async def complete(
        self, words: Sequence[QueryWord], beginning: str, whole: str, limit: int
    ) -> Sequence[Completion]:
        return await self._read(lambda at: complete(at, words, beginning, whole, limit))
