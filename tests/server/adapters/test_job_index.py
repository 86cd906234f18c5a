"""The job index: it follows the jobs in MongoDB, and is built again when it cannot be used."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from domain.jobs.job import Job
from domain.jobs.job_words import words_of_query
from domain.kernel.errors import Unavailable
from domain.kernel.store import Store
from domain.ports.job_index import JobQuery, Order
from server.adapters.job_index import index as index_module
from server.adapters.job_index.absent import NoJobIndex
from server.adapters.job_index.files import STATE, Files
from server.adapters.job_index.index import TantivyJobIndex
from server.pubsub.fanout import Fanout
from server.pubsub.job_changes import JobChanges
from tests.conftest import Server
from tests.support.market import Market
from tests.support.parties import Refused
from tests.support.raw_socket import wait_until


class Panic(BaseException):
    """As the engine raises it."""


def panics(*_: object) -> None:
    raise Panic


@asynccontextmanager
async def following(server: Server, folder: Path) -> AsyncIterator[TantivyJobIndex]:
    """The index of another process, which follows over Redis."""
    fanout = Fanout(server.web.settings.redis_urls, server.store.name)
    changes = JobChanges(fanout)
    index = TantivyJobIndex(server.store, folder)
    changes.on_changed = lambda ids: index.changed(ids, here=False)
    changes.on_missed = index.note_gap
    await fanout.start(listening=True)
    await index.start()
    try:
        yield index
    finally:
        await index.stop()
        await fanout.stop()


async def found(index: TantivyJobIndex, q: str) -> list[str]:
    query = JobQuery(status="open", words=words_of_query(q))
    hits, _ = await index.find(query, Order.NEWEST, None, 10)
    return [hit.id for hit in hits]


async def test_a_change_is_found_in_other_processes_and_after_a_gap(
    market: Market, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `JobChanges.announce`, `TantivyJobIndex.catch_up` from the mark on, the gap of
    `changed` with MOST_WAITING, and `_waiting_since` in `TantivyJobIndex._read`."""
    customer = await market.customer()
    oak = await market.job(customer, title="Oak wardrobe")
    monkeypatch.setattr(index_module, "UNASKED_SECONDS", 600.0)
    monkeypatch.setattr(index_module, "FRESH_SECONDS", 600.0)
    async with following(server, tmp_path) as index:
        # A search makes the next change be written.
        assert await found(index, "wardrobe") == [oak["id"]]
        pine = await market.job(customer, title="Pine shelf")
        await wait_until(lambda: index._files.searcher and index._files.searcher.num_docs == 2)
        # Then changes wait for a search, which finds them.
        await market.job(customer, title="Ash bench")
        await wait_until(lambda: index._waiting)
        assert index._files.searcher and index._files.searcher.num_docs == 2
        monkeypatch.setattr(index_module, "FRESH_SECONDS", 0.0)
        assert await found(index, "shelf") == [pine["id"]]
        assert index._files.searcher.num_docs == 3
        monkeypatch.setattr(index_module, "UNASKED_SECONDS", 0.0)
        assert index._files.mark is not None
    # The next process has its files, and reads what was changed meanwhile.
    await customer.call("/job", "update", {"job_id": oak["id"], "title": "Oak cupboard"})
    await customer.call("/job", "cancel", {"job_id": pine["id"]})
    monkeypatch.setattr(index_module, "OVERLAP", index_module.timedelta())
    async with following(server, tmp_path) as index:
        assert await found(index, "cupboard") == [oak["id"]]
        assert await found(index, "wardrobe") == await found(index, "shelf") == []
        assert await index.catch_up() == 0
        monkeypatch.setattr(index_module, "MOST_WAITING", 0)
        elm = await market.job(customer, title="Elm stool")
        await wait_until(lambda: index._files.searcher and index._files.searcher.num_docs == 4)
        assert await found(index, "stool") == [elm["id"]]
        index.note_gap()
        await wait_until(lambda: not index._gap.is_set())


async def test_files_that_cannot_be_used_are_built_again(
    market: Market, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Files.open` for a damaged folder and for another version; `_reopen` of the index."""
    job = await market.job(await market.customer(), title="Oak wardrobe")

    async def check() -> None:
        async with following(server, tmp_path) as index:
            assert await found(index, "wardrobe") == [job["id"]]

    await check()
    for path in (tmp_path / "1").iterdir():
        if path.suffix in (".term", ".idx", ".store", ".fast"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    await check()
    (tmp_path / "1" / "meta.json").write_text("{")
    await check()
    state = tmp_path / "1" / STATE
    state.write_bytes(state.read_bytes().replace(b'"fingerprint":"', b'"fingerprint":"0'))
    await check()
    state.unlink()
    await check()
    real, failures = Files.commit, iter([ValueError("the disk is full"), Panic()])

    def fails_twice(self: Files) -> None:
        if failure := next(failures, None):
            raise failure
        real(self)

    monkeypatch.setattr(index_module, "RETRY_SECONDS", 0.01)
    with monkeypatch.context() as patched:
        patched.setattr(Files, "commit", fails_twice)
        state.unlink()
        await check()
    assert next(failures, None) is None
    # A segment that the engine cannot read; and a job that cannot be analysed.
    async with following(server, tmp_path) as index:
        with monkeypatch.context() as patched:
            patched.setattr(index_module, "Reading", panics)
            with pytest.raises(Unavailable):
                await found(index, "wardrobe")
        await wait_until(lambda: index.ready)
        assert await found(index, "wardrobe") == [job["id"]]
        damaged = {"_id": job["id"]}, {"$unset": {"category": 1}}
        await server.store.database[Job.COLLECTION].update_one(*damaged)
        index.changed([job["id"]], here=True)
        assert await found(index, "wardrobe") == []
        await server.store.single().set_private(Job, {"_id": job["id"]}, category="x")
        index.changed([job["id"]], here=True)
    # Two processes at once have a folder each; where none can be made, another place serves.
    async with following(server, tmp_path) as index:
        await check()
        assert {"1", "2"} <= set(os.listdir(tmp_path))
    taken = tmp_path / "file"
    taken.write_text("")
    async with following(server, taken / "below") as index:
        assert await found(index, "wardrobe") == [job["id"]]
        assert index._files._temporary
        elsewhere = Path(index._files._temporary.name)
    assert elsewhere.name not in os.listdir(elsewhere.parent)


class PausingStore:
    """The store of one index, whose reads in the order of changes stop between two jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pause()

    def pause(self) -> asyncio.Event:
        """The next read stops after a job, at `reached`, until the returned event is set."""
        self.reached, self._resumed = asyncio.Event(), asyncio.Event()
        return self._resumed

    def single(self) -> "PausingStore":
        return self

    async def documents(self, kind: Any, where: Any, sort: Any) -> AsyncIterator[dict[str, Any]]:
        async for each in self._store.single().documents(kind, where, sort):
            yield each
            if sort == index_module.BY_CHANGE:
                self.reached.set()
                await self._resumed.wait()


class FailingFiles(Files):
    """Files that raise each of these failures once, and count how often they are emptied."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.of_commits: list[BaseException] = []
        self.of_entries: list[BaseException] = []
        self.rebuilds = 0

    def replace(self, gone: Iterable[str], jobs: Iterable[Any]) -> None:
        def failing() -> Iterator[Any]:
            for job in jobs:
                if self.of_entries:
                    raise self.of_entries.pop()
                yield job

        super().replace(gone, failing())

    def commit(self) -> None:
        if self.of_commits:
            raise self.of_commits.pop()
        super().commit()

    def rebuild(self) -> None:
        self.rebuilds += 1
        super().rebuild()


async def test_a_catch_up_loses_nothing_to_failures_and_changes_during_it(
    market: Market, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `_epoch` in `TantivyJobIndex._in_epoch` and `TantivyJobIndex._rebuild`, `_recent` in
    `TantivyJobIndex._add`, EARLIEST, and `Files.open` at the last commit after a failed write."""
    for name, value in (("RETRY_SECONDS", 0.01), ("START_SECONDS", 0.01), ("UNASKED_SECONDS", 0.0)):
        monkeypatch.setattr(index_module, name, value)
    monkeypatch.setattr(index_module, "OVERLAP", index_module.timedelta())
    customer = await market.customer()
    titles = ("Oak wardrobe", "Pine shelf", "Ash bench")
    oak, pine, ash = [(await market.job(customer, title=title))["id"] for title in titles]
    damaged = {"_id": "job_damaged", "title": "Elm stool"}
    await server.store.database[Job.COLLECTION].insert_one(damaged)
    store = PausingStore(server.store)
    index = TantivyJobIndex(cast(Store, store), tmp_path)
    files = index._files = FailingFiles(tmp_path)

    async def all_found() -> None:
        await wait_until(lambda: index.ready)
        for q, id in (("cupboard", oak), ("shelf", pine), ("bench", ash)):
            assert await found(index, q) == [id]
        assert files.searcher and files.searcher.num_docs == 3

    resumed = store.pause()
    await index.start()
    try:
        # A job is changed, and is written, after the catch-up has read it.
        await wait_until(store.reached.is_set)
        await customer.call("/job", "update", {"job_id": oak, "title": "Oak cupboard"})
        index.changed([oak], here=False)
        await wait_until(lambda: files.searcher and files.searcher.num_docs == 1)
        resumed.set()
        await all_found()
        # Two searches find the same damage during a later catch-up.
        monkeypatch.setattr(index_module, "BATCH", 1)
        files.rebuilds, resumed = 0, store.pause()
        index.note_gap()
        await wait_until(store.reached.is_set)
        with monkeypatch.context() as patched:
            patched.setattr(index_module, "Reading", panics)
            both = found(index, "oak"), found(index, "pine")
            searches = await asyncio.gather(*both, return_exceptions=True)
        assert [type(each) for each in searches] == [Unavailable, Unavailable]
        assert files.rebuilds == 1 and not index.ready
        # During the catch-up that builds it again, the commit of a change fails.
        interrupted, resumed = resumed, store.pause()
        interrupted.set()
        await wait_until(store.reached.is_set)
        files.of_commits.append(ValueError("the disk is full"))
        index.changed([ash], here=False)
        await wait_until(lambda: not files.of_commits)
        resumed.set()
        await all_found()
        # Failed writes cost nothing but their repetition.
        await wait_until(lambda: not index._gap.is_set())
        mark, files.rebuilds = files.mark, 0
        files.of_commits.append(Panic())
        files.of_entries.append(ValueError("the writer has ended"))
        index.changed([oak, pine], here=False)
        await wait_until(lambda: index._waiting_since == math.inf)
        assert not files.of_commits and not files.of_entries and index.ready
        await all_found()
        assert files.mark == mark and files.rebuilds == 0
    finally:
        await index.stop()


async def test_a_process_without_its_index_is_not_ready(
    market: Market, server: Server, tmp_path: Path
) -> None:
    """Guard: `_ready` in `TantivyJobIndex._read`, and `Web._check_search`."""
    job_index = server.web.job_index
    assert await server.web._check_search() is None
    job_index._ready.clear()
    trouble = await server.web._check_search()
    assert trouble and trouble.fatal and "built" in trouble.reason
    contractor = await market.contractor()
    with pytest.raises(Refused, match="unavailable"):
        await contractor.call("/job", "list", {"q": "oak"})
    job_index._ready.set()
    assert (await contractor.call("/job", "list", {"q": "oak"}))["items"] == []
    absent = NoJobIndex()
    query = JobQuery()
    for answer in (
        absent.find(query, Order.NEWEST, None, 1),
        absent.count(query),
        absent.facets(query, 1),
        absent.budget_bands(query, "USD", ()),
        absent.unknown(query),
        absent.complete((), "a", "a", 1),
    ):
        with pytest.raises(Unavailable):
            await answer
