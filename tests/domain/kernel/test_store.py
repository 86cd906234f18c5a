"""The store: atomic transactions, guarded updates, pages by cursor."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session_shared import _TransactionBase

from domain.kernel.errors import Invalid, JobTaken, NotFound, Unavailable
from domain.kernel.independent import transact_due, transact_each
from domain.kernel.money import Schedule
from domain.kernel.outbox import Event, OutboxRow
from domain.kernel.record import Index, Record
from domain.kernel.settings import Rates
from domain.kernel.store import Duplicate, Store, UnitOfWork, new_id
from server.adapters.system_clock import SystemClock
from tests.conftest import Installation
from tests.support.field_codecs import CODEC

HAPPENED = Event("/job", "job.updated", dict)
RATES = Rates(Schedule(1000, 2000), ("USD",))


class Thing(Record, frozen=True):
    """A record with a unique name, a number and a time."""

    COLLECTION = "things"
    PREFIX = "thg"
    INDEXES = (Index((("name", 1),), unique=True), Index((("number", 1), ("_id", -1))))

    name: str
    number: int = 0
    at: datetime | None = None
    kinds: tuple[str, ...] = ()


def thing(uow: UnitOfWork, name: str, **fields: Any) -> Thing:
    id = new_id(Thing.PREFIX)
    return Thing(id=id, created_at=uow.now, updated_at=uow.now, name=name, **fields)


@pytest.fixture
async def store(prompt_reconnects: None, installation: Installation) -> AsyncIterator[Store]:
    store = Store(installation.settings.mongo_url, SystemClock(), RATES, CODEC)
    await store.prepare([Thing, OutboxRow])
    yield store
    store.close()


class Failing:
    """Make the database fail the next `times` commands of the given names."""

    def __init__(self, url: str) -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(url)

    def order(self, *commands: str, times: int = 1, **data: Any) -> None:
        self.client.admin.command(
            "configureFailPoint",
            "failCommand",
            mode={"times": times},
            data={"failCommands": list(commands), **data},
        )

    def left(self) -> None:
        self.client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture
def failing(store: Store, installation: Installation) -> Iterator[Failing]:
    failing = Failing(installation.settings.mongo_url)
    yield failing
    failing.left()
    failing.client.close()


async def names(store: Store) -> list[str]:
    return [found.name for found in await store.single().all(Thing, {}, (("_id", 1),))]


async def events(store: Store) -> int:
    return await store.single().count(OutboxRow, {})


# -- transactions ----------------------------------------------------------------------------


async def test_two_conflicting_writers_both_succeed(store: Store) -> None:
    """Fails when `transact` does not rerun the body, or when `find` reads outside the session."""
    uow = store.single()
    await uow.add(counter := thing(uow, "counter"))
    both_have_read, runs = asyncio.Barrier(2), 0

    async def increment(uow: UnitOfWork) -> None:
        nonlocal runs
        runs += 1
        number = (await uow.get(Thing, counter.id)).number
        if runs <= 2:
            await both_have_read.wait()
        await uow.change(Thing, counter.id, number=number + 1)

    await asyncio.gather(store.transact(increment), store.transact(increment))
    found = await uow.get(Thing, counter.id)
    assert (found.number, found.version) == (2, 3)
    assert runs >= 3  # one more if it started before the other transaction was committed


@pytest.mark.parametrize(
    ("command", "times", "failure", "runs"),
    [
        ("insert", 1, {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}, 2),
        ("insert", 3, {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}, 4),
        ("insert", 1, {"errorCode": 189}, 2),  # PrimarySteppedDown
        ("insert", 2, {"errorCode": 11602}, 3),  # InterruptedDueToReplStateChange
        ("insert", 1, {"closeConnection": True}, 2),
        (
            "commitTransaction",
            1,
            {"errorCode": 251, "errorLabels": ["TransientTransactionError"]},
            2,
        ),
        (
            "commitTransaction",
            1,
            {"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]},
            1,
        ),
        (
            "commitTransaction",
            4,
            {"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]},
            1,
        ),
        ("commitTransaction", 3, {"errorCode": 189}, 1),
        ("commitTransaction", 3, {"closeConnection": True}, 1),
        ("commitTransaction", 1, {"writeConcernError": {"code": 64, "errmsg": "slow"}}, 1),
    ],
)
async def test_a_transaction_takes_effect_once_despite_database_errors(
    store: Store, failing: Failing, command: str, times: int, failure: Any, runs: int
) -> None:
    """Fails without `is_transient` (the body is not rerun), or without the loop in `commit` (the
    body would run again although it may have been committed)."""
    ran, committed = 0, []
    store.committed = committed.append

    async def work(uow: UnitOfWork) -> str:
        nonlocal ran
        ran += 1
        await uow.add(thing(uow, "one"))
        uow.publish(HAPPENED, {"run": ran}, to=["usr_1"])
        return f"run {ran}"

    failing.order(command, times=times, **failure)
    assert await store.transact(work) == f"run {runs}"
    assert (ran, await names(store), await events(store)) == (runs, ["one"], 1)
    assert [row.body["data"] for rows in committed for row in rows] == [{"run": runs}]


@pytest.mark.parametrize(
    "failure",
    [
        {"errorCode": 112, "errorLabels": ["TransientTransactionError"]},
        {"closeConnection": True},
        {"errorCode": 8000},
    ],
)
async def test_an_unreachable_database_is_unavailable(
    store: Store, failing: Failing, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    """Fails without the deadline in `transact`, or when it lets a driver's error out."""
    monkeypatch.setattr("domain.kernel.store.TRANSACTION_SECONDS", 0.3)
    committed: list[Any] = []
    store.committed = committed.append

    async def work(uow: UnitOfWork) -> None:
        await uow.add(thing(uow, "one"))

    failing.order("insert", times=10_000, **failure)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await store.transact(work)
    failing.left()
    assert (await names(store), committed) == ([], [])


@pytest.mark.parametrize("failure", [JobTaken(), RuntimeError("crash"), asyncio.CancelledError()])
async def test_a_failed_transaction_leaves_no_trace(store: Store, failure: BaseException) -> None:
    """Fails when `transact` commits although its body raised an exception of this kind."""
    uow = store.single()
    await uow.add(there := thing(uow, "there"))
    committed: list[Any] = []
    store.committed = committed.append

    async def work(uow: UnitOfWork) -> None:
        await uow.add(thing(uow, "new"))
        await uow.change(Thing, there.id, number=7)
        uow.publish(HAPPENED, {}, to=["usr_1"])
        await uow.flush()
        uow.rows.clear()
        raise failure

    with pytest.raises(type(failure)):
        await store.transact(work)
    assert await uow.all(Thing, {}) == [there]
    assert (await events(store), committed) == (0, [])
    await store.transact(lambda uow: uow.change(Thing, there.id, number=8))  # no lock is left


async def test_each_item_has_a_transaction_of_its_own(store: Store) -> None:
    """Guard: `Attempts` in `independent.transact_each`: one that fails does not stop the others,
    but a database that does not answer does. And `readable` in `first_readable`."""
    failures: dict[str, Exception] = {"third": JobTaken(), "fifth": Unavailable()}

    async def add(uow: UnitOfWork, name: str) -> None:
        await uow.add(thing(uow, name))
        if name in failures:
            raise failures[name]

    assert await transact_each(store, iter(["first", "second"]), add) == 2
    with pytest.raises(JobTaken) as failed:
        await transact_each(store, ["third", "third", "fourth"], add)
    assert failed.value.__notes__ == ["2 steps have failed; this is the first one."]
    with pytest.raises(Unavailable):
        await transact_each(store, ["fifth", "sixth"], add)
    await store.database["things"].insert_one({"_id": "thg_0", "name": "damaged", "number": 0})
    done: list[str] = []

    async def note(uow: UnitOfWork, found: Thing) -> None:
        done.append(found.name)

    assert await transact_due(store, Thing, {"number": 0}, (("_id", 1),), 10, note) == 3
    assert done == ["first", "second", "fourth"]


async def test_events_are_rows_of_the_same_transaction(store: Store) -> None:
    """Fails when `flush` writes outside the session: the row would be there before the commit."""
    seen: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        uow.publish(HAPPENED, {}, to=["usr_1", "usr_1", "usr_2"])
        await uow.flush()
        uow.rows, written = [], uow.rows
        seen.append(await events(store))
        assert written[0].body["to"] == ("usr_1", "usr_2")

    await store.transact(work)
    assert (seen, await events(store)) == ([0], 1)
    with pytest.raises(AssertionError):
        store.single().publish(HAPPENED, {}, to=["usr_1"])


async def test_a_duplicate_rolls_the_transaction_back(store: Store) -> None:
    """Fails when `add_all` or `transact` do not turn the driver's error into Duplicate."""
    uow = store.single()
    await uow.add(thing(uow, "taken"))

    async def work(uow: UnitOfWork) -> None:
        await uow.add(thing(uow, "new"))
        await uow.add(thing(uow, "taken"))

    with pytest.raises(Duplicate):
        await store.transact(work)
    with pytest.raises(Duplicate):
        await uow.add(thing(uow, "taken"))
    assert await names(store) == ["taken"]


async def test_rows_are_added_in_order_up_to_the_duplicate(store: Store) -> None:
    """Fails with `ordered=False` in `add_all`: a feed would get gaps."""
    uow = store.single()
    await uow.add(thing(uow, "c"))
    with pytest.raises(Duplicate):
        await uow.add_all([thing(uow, name) for name in "abcd"])
    assert sorted(await names(store)) == ["a", "b", "c"]


async def test_several_processes_prepare_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the exception for NamespaceExists in `prepare`, or when the driver looks first
    (`check_exists`) and refuses with an error of its own."""

    async def none_yet() -> list[str]:
        return []  # as they looked when another process was about to create them

    await asyncio.gather(*(store.prepare([Thing, OutboxRow]) for _ in range(4)))
    monkeypatch.setattr(store.database, "list_collection_names", none_yet)
    await store.prepare([Thing, OutboxRow])
    indexes = await store.database.things.index_information()
    assert indexes["name_1"]["unique"] is True


# -- guarded changes -------------------------------------------------------------------------


async def test_a_change_without_its_guard_has_no_effect(store: Store) -> None:
    """Fails when `change` filters by id alone, or does not count the version."""
    uow = store.single()
    await uow.add(first := thing(uow, "first", number=5))
    assert await uow.change(Thing, first.id, only_if={"number": (1, 2)}, name="x") is None
    assert await uow.change(Thing, first.id, only_if={"number": {"$gt": 5}}, name="x") is None
    assert await uow.change(Thing, "thg_none", name="x") is None
    assert await uow.get(Thing, first.id) == first
    changed = await uow.change(
        Thing, first.id, only_if={"number": (4, 5)}, inc={"number": -2}, push={"kinds": "new"}
    )
    assert changed is not None
    assert (changed.version, changed.number, changed.kinds) == (2, 3, ("new",))
    with pytest.raises(NotFound):
        await uow.get(Thing, first.id, name="another")


async def test_one_of_many_concurrent_guarded_changes_succeeds(store: Store) -> None:
    """Fails when the guard is read first instead of being part of the update."""
    uow = store.single()
    await uow.add(prize := thing(uow, "prize"))
    won = await asyncio.gather(
        *(uow.change(Thing, prize.id, only_if={"number": 0}, number=n) for n in range(1, 21))
    )
    assert sum(each is not None for each in won) == 1


# -- pages -----------------------------------------------------------------------------------

T0 = datetime.fromisoformat("2030-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    "sort",
    [
        (("_id", -1),),
        (("_id", 1),),
        (("number", 1), ("_id", -1)),
        (("number", -1), ("_id", 1)),
        (("at", -1), ("_id", -1)),
    ],
    ids=str,
)
async def test_paging_returns_every_item_once_during_inserts(store: Store, sort: Any) -> None:
    """Fails with skip instead of the cursor's key, or without the last field of `after_cursor`,
    which decides among equals."""
    uow = store.single()
    early = [thing(uow, f"e{n}", number=n % 3, at=T0 + timedelta(seconds=n % 4)) for n in range(23)]
    await uow.add_all(early)
    met: list[Thing] = []
    cursor = None
    for round in range(40):
        page = await uow.page(Thing, {"name": {"$gt": ""}}, sort=sort, cursor=cursor, limit=3)
        met += page.items
        late = [thing(uow, f"l{round}-{n}", number=n, at=T0 + timedelta(seconds=n)) for n in (0, 2)]
        if round < 5:
            await uow.add_all(late)
        cursor = page.next_cursor
        if cursor is None:
            break
    ids = [each.id for each in met]
    assert cursor is None
    assert len(set(ids)) == len(ids)
    assert {each.id for each in early} <= set(ids)
    assert len(page.items) <= 3


async def test_a_filter_and_a_cursor_on_one_field_both_apply(store: Store) -> None:
    """Fails when `page` merges the cursor over a filter of the same field."""
    uow = store.single()
    await uow.add_all([thing(uow, f"n{n}") for n in range(6)])
    everything = [each.id for each in await uow.all(Thing, {}, (("_id", 1),))]
    where = {"_id": {"$gt": everything[1]}}
    page = await uow.page(Thing, where, limit=3)
    rest = await uow.page(Thing, where, cursor=page.next_cursor, limit=3)
    assert [each.id for each in page.items + rest.items] == everything[:1:-1]
    assert rest.next_cursor is None


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "\u20ac",
        "A" * 300,
        "e30",
        "W10",
        "bnVsbA",
        "W251bGxd",
        "WzFd",
        base64.urlsafe_b64encode(b'[{"$ne":null}]').decode(),
        base64.urlsafe_b64encode(b'["thg_1","thg_2"]').decode(),
        base64.urlsafe_b64encode(b'["\xff"]').decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
    ],
)
async def test_a_broken_cursor_is_invalid(store: Store, cursor: str) -> None:
    """Fails when `after_cursor` takes values of any type, or lets a decoder's error out."""
    uow = store.single()
    with pytest.raises(Invalid) as refused:
        await uow.page(Thing, {}, cursor=cursor)
    assert refused.value.details == {"field": "cursor", "rule": "format"}


async def test_a_new_record_gets_an_id_and_both_times(store: Store) -> None:
    """Guard: `UnitOfWork.new`; a given id or time is kept."""
    uow = store.single()
    thing = uow.new(Thing, name="a")
    assert thing.id.startswith(f"{Thing.PREFIX}_")
    assert (thing.created_at, thing.updated_at, thing.version) == (uow.now, uow.now, 1)
    earlier = uow.now - timedelta(hours=1)
    given = uow.new(Thing, id="thing_1", name="b", created_at=earlier)
    assert (given.id, given.created_at, given.updated_at) == ("thing_1", earlier, uow.now)
    await uow.add_all([thing, given])
    assert await uow.get(Thing, "thing_1") == given


async def test_ids_sort_by_their_time_and_never_repeat(store: Store) -> None:
    """Fails when `new_id` becomes random: lists by `_id` are lists by age."""
    ids = [new_id("job") for _ in range(1000)]
    assert ids == sorted(set(ids))
    with contextlib.suppress(Duplicate):
        uow = store.single()
        await uow.add_all([thing(uow, id) for id in ids])
    assert len(await names(store)) == 1000


async def test_a_cancelled_transaction_does_not_stay_open(
    store: Store, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `run_to_completion` in `Store.transact`; without it the abort comes before the
    statement that a thread has in hand, which then opens a transaction that never ends and blocks
    others."""
    await store.single().add(kept := thing(store.single(), "kept"))
    at_once = _TransactionBase.set_in_progress

    def later(transaction: Any) -> None:
        time.sleep(0.02)
        at_once(transaction)

    async def work(uow: UnitOfWork) -> None:
        await uow.change_all(Thing, {"_id": kept.id}, inc={"number": 1})
        await uow.change_all(Thing, {"_id": kept.id}, inc={"number": 1})

    with monkeypatch.context() as patch:
        patch.setattr(_TransactionBase, "set_in_progress", later)
        doing = asyncio.create_task(store.transact(work))
        await asyncio.sleep(0.01)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        await asyncio.sleep(0.05)
    other = Store(installation.settings.mongo_url, SystemClock(), RATES, CODEC)
    async with asyncio.timeout(5):
        await other.transact(lambda uow: uow.change_all(Thing, {"_id": kept.id}, number=7))
    other.close()
