"""The job index: it follows the jobs in MongoDB, and is built again when it cannot be used."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.jobs.job import Job
from domain.jobs.job_words import words_of_query
from domain.kernel.errors import Unavailable
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
        panics = iter([Panic()])

        def read(*_: object) -> None:
            raise next(panics)

        with monkeypatch.context() as patched:
            patched.setattr(index_module, "Reading", read)
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
