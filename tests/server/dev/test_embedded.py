"""The embedded stores start, keep their data, and never outlive the process that started them."""

import asyncio
import contextlib
import functools
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import wiredtiger
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from secantus.transactions import TransactionRegistry

from server.config import load
from server.dev import mongo, mongo_keys, secrets, store_kinds, stores, supervision
from server.dev.store_kinds import EmbeddedError
from server.dev.stores import Addresses, Embedded, embedded
from tests.support.databases import needs
from tests.support.property_sizes import examples

pytestmark = pytest.mark.slow

BOTH = {"mongo", "redis"}
SANDBOX = (Path(stores.__file__).parent / "stripe_sandbox" / "__main__.py").exists()
ALL = BOTH | {"stripe"} if SANDBOX else BOTH

DISARM = {"configureFailPoint": "failCommand", "mode": "off"}
PARENT = """
import sys, threading
from pathlib import Path
from server.dev.stores import Embedded
from server.dev import stores
stores.WATCHDOG = Path(sys.argv[3])
addresses = Embedded(Path(sys.argv[1]), sys.argv[2].split(",")).start()
print(*addresses.pids.values(), flush=True)
threading.Event().wait()
"""


def running(pid: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def redis(addresses: Addresses, command: str) -> bytes:
    assert addresses.redis_url
    url = urlsplit(addresses.redis_url)
    with socket.create_connection(("127.0.0.1", url.port or 0), timeout=5) as connection:
        connection.sendall(f"AUTH {url.password}\r\n".encode())
        assert connection.recv(64) == b"+OK\r\n"
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(1024)


def parent(
    data_dir: Path, names: set[str], watchdog: Path = stores.WATCHDOG
) -> tuple[subprocess.Popen[str], list[int]]:
    """Another process that holds the stores; answers with their process ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data_dir), ",".join(names), str(watchdog)],
        cwd=stores.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, [int(pid) for pid in process.stdout.readline().split()]


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_stores_answer_and_keep_their_data_across_a_restart(tmp_path: Path) -> None:
    """Fails without `--storage-path` or `--dir` under data_dir, or without `--appendonly yes`; and
    without start_new_session in _spawn(), or terminate() in _stop_children(); or when
    `--enable-test-commands` is always passed by _secantus()."""
    with Embedded(tmp_path, ALL) as addresses:
        pids = list(addresses.pids.values())
        assert set(addresses.pids) == ALL
        assert all(os.getsid(pid) == pid for pid in pids)
        assert redis(addresses, "SET greeting hello") == b"+OK\r\n"
        with MongoClient[dict[str, str]](addresses.mongo_url) as client:
            client.get_default_database()["notes"].insert_one({"_id": "one", "text": "kept"})
            assert not client.admin.command(DISARM, check=False)["ok"]
    assert not any(running(pid) for pid in pids)
    assert "ready to exit" in (tmp_path / "logs" / "redis.log").read_text()
    with Embedded(tmp_path, BOTH) as addresses:
        assert addresses.stripe_api_base is None
        assert redis(addresses, "GET greeting") == b"$5\r\nhello\r\n"
        with MongoClient[dict[str, str]](addresses.mongo_url) as client:
            note = client.get_default_database()["notes"].find_one({"_id": "one"})
            assert note == {"_id": "one", "text": "kept"}


def test_children_end_when_their_parent_is_killed_and_the_next_start_waits(tmp_path: Path) -> None:
    """Fails without the watcher in watchdog.py, or without the wait for stores.lock in
    _lock_folder()."""
    process, pids = parent(tmp_path, ALL)
    assert len(pids) == len(ALL)
    end(process)
    with Embedded(tmp_path, ALL) as addresses:
        assert not any(running(pid) for pid in pids)
        assert redis(addresses, "PING") == b"+PONG\r\n"


def test_a_frozen_child_of_a_killed_parent_is_killed(tmp_path: Path) -> None:
    """Fails without SIGKILL in watchdog.SIGNALS: a stopped process does not act on SIGTERM."""
    watchdog = tmp_path / "watchdog.py"
    slow = stores.WATCHDOG.read_text()
    watchdog.write_text(slow.replace("(signal.SIGTERM, 6.0)", "(signal.SIGTERM, 0.3)"))
    assert watchdog.read_text() != slow
    process, pids = parent(tmp_path / "data", {"redis"}, watchdog)
    os.kill(pids[0], signal.SIGSTOP)
    end(process)
    assert eventually(lambda: not running(pids[0]), seconds=15)


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Fails without the lock on DATA_DIR/lock in _lock_folder()."""
    process, pids = parent(tmp_path, {"redis"})
    try:
        with pytest.raises(EmbeddedError, match=rf"in use by .*process {process.pid}\)"):
            Embedded(tmp_path, {"redis"}).start()
        assert running(pids[0])
    finally:
        end(process)


def test_a_child_that_dies_at_start_is_reported_with_its_log(tmp_path: Path) -> None:
    """Fails without the check of `ended` in _wait_until_it_answers(), or without _tail()."""
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    broken = tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    broken.write_text("this is no manifest\n")
    with pytest.raises(EmbeddedError, match=r"(?s)Redis.*exit code 1.*redis\.log.*manifest"):
        Embedded(tmp_path, {"redis"}).start()


async def test_a_child_that_dies_later_is_reported_by_name(tmp_path: Path) -> None:
    """Fails without set_exception in _watch_end()."""
    async with embedded(tmp_path, {"redis"}) as addresses:
        impatient = asyncio.create_task(addresses.first_death())
        await asyncio.sleep(0)
        impatient.cancel()
        os.kill(addresses.pids["redis"], signal.SIGKILL)
        with pytest.raises(EmbeddedError, match=r"(?s)Redis.*signal 9.*redis\.log"):
            await asyncio.wait_for(addresses.first_death(), timeout=5)


def test_a_suspended_store_is_started_again_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `HANG_SECONDS` in `Supervisor._ailment`; a suspended process lives, and its system
    still accepts connections for it."""
    hurry(monkeypatch)
    monkeypatch.setattr(store_kinds, "ANSWER_SECONDS", 1.0)
    with Embedded(tmp_path, ALL, supervised=True) as addresses:
        redis(addresses, "SET greeting hello")
        with MongoClient[dict[str, str]](addresses.mongo_url) as client:
            notes = client.get_default_database()["notes"]
            notes.insert_one({"_id": "one", "text": "kept"})
            for name in sorted(ALL):
                suspended = addresses.pids[name]
                os.kill(suspended, signal.SIGSTOP)
                started = functools.partial(restarted, addresses, name, suspended)
                assert eventually(started, seconds=20), name
                assert not running(suspended)
                assert notes.find_one({}) == {"_id": "one", "text": "kept"}
        assert eventually(lambda: greets(addresses), seconds=10)


def restarted(addresses: Addresses, name: str, pid: int) -> bool:
    return addresses.pids[name] != pid


def greets(addresses: Addresses) -> bool:
    """Whether Redis answers, and with its data of before."""
    with contextlib.suppress(OSError):
        return redis(addresses, "GET greeting").endswith(b"hello\r\n")
    return False


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(supervision, "HANG_SECONDS", 0.5)


async def test_a_requested_stop_is_no_failure(tmp_path: Path) -> None:
    """Fails without the check of `_stopping` in _watch_end()."""
    async with embedded(tmp_path, {"redis"}) as addresses:
        pass
    await asyncio.sleep(0.1)
    assert not addresses.died.done()


async def test_cancelling_a_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """Fails without the `finally` of embedded(), or without _stop_children() in start()."""

    async def run() -> None:
        async with embedded(tmp_path, {"redis"}):
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with Embedded(tmp_path, {"redis"}) as addresses:
        assert redis(addresses, "PING") == b"+PONG\r\n"


def test_failpoints_need_the_option(stores: Addresses) -> None:
    """Fails when `--enable-test-commands` is never passed by _secantus(); the stores of the tests
    have it. See `test_stores_answer_and_keep_their_data_across_a_restart` for always."""
    with MongoClient[Any](stores.mongo_url) as client:
        assert client.admin.command(DISARM)["ok"]


def test_secrets_are_made_once_for_the_owner_only_and_satisfy_the_configuration(
    tmp_path: Path,
) -> None:
    """Fails without save() in secrets.load(), without mode 0600, or with a key load() refuses."""
    first = secrets.load(tmp_path / "data")
    assert secrets.load(tmp_path / "data") == first
    file = tmp_path / "data" / secrets.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    known = secrets.Secrets(
        jwt_key=first.jwt_key,
        stripe_key=first.stripe_key,
        publishable_key=first.publishable_key,
        audit_key=first.audit_key,
        field_key=first.field_key,
        webhook_secrets=("whsec_a",),
    )
    secrets.save(tmp_path / "data", known)
    assert secrets.load(tmp_path / "data") == known
    addresses = {"MONGO_URL": "mongodb://localhost", "REDIS_URL": "redis://localhost"}
    settings = load(addresses | known.environment())
    assert settings.stripe_secret_key == first.stripe_key
    assert settings.stripe_publishable_key == first.publishable_key
    assert first.stripe_key[8:] != first.publishable_key[8:]
    assert settings.stripe_webhook_secrets == ("whsec_a",)


def test_idle_transactions_are_aborted_and_removed() -> None:
    """Guard: each branch of `mongo.prune_transactions`."""
    now, undone = 1000.0, []
    registry = TransactionRegistry(
        lifetime_seconds=60, time_func=lambda: now, rollback_func=lambda each: undone.append(each)
    )
    for session in (b"ended", b"left open"):
        registry.for_statement(session, None, 1, start=True)
    registry.commit(b"ended", 1)
    now += mongo.IDLE_SECONDS + 1
    registry.for_statement(b"going on", None, 1, start=True)
    mongo.prune_transactions(registry)
    assert [each.lsid_bytes for each in undone] == [b"left open"]
    assert registry.for_statement(b"left open", None, 1, start=False)[1]["code"] == 251
    assert registry.commit(b"ended", 1) is None
    now += 61 - mongo.IDLE_SECONDS
    registry.for_statement(b"going on", None, 1, start=False)
    mongo.prune_transactions(registry)
    assert list(registry._txns) == [b"going on"]
    registry.for_statement(b"ended", None, 2, start=True)
    assert registry.commit(b"ended", 2) is None


def test_idle_transactions_are_aborted_without_other_statements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guard: the thread of `mongo.abort_idle_transactions`; without it a row that a killed process
    had changed stays locked until another transaction runs a statement."""
    for name in ("__init__", "_prune_locked"):
        monkeypatch.setattr(TransactionRegistry, name, getattr(TransactionRegistry, name))
    monkeypatch.setattr(mongo, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(mongo, "IDLE_SECONDS", 0.02)
    mongo.abort_idle_transactions()
    given_up = threading.Event()
    registry = TransactionRegistry(rollback_func=lambda _: given_up.set())
    registry.for_statement(b"left open", None, 1, start=True)
    assert given_up.wait(10)


def test_indexes_made_amid_writes_find_everything(stores: Addresses) -> None:
    """Guard: `Catalogue.clear` with each request, and `Catalogue.changing`; a write by an older
    list of indexes leaves documents out of an index."""
    name = f"indexed_{os.getpid()}"
    with MongoClient[Any](stores.mongo_url) as client:
        rows = client.get_default_database()[name]
        done = threading.Event()

        def write(first: int) -> int:
            for number in itertools.count(first, 4):
                rows.insert_one({"_id": number, "n": number % 7, "tags": f"t{number % 5}"})
                rows.update_one({"_id": number}, {"$set": {"n": number % 11}})
                if done.is_set():
                    return number
            raise AssertionError("never")

        with ThreadPoolExecutor(4) as pool:
            written = [pool.submit(write, first) for first in range(4)]
            for field in ("n", "tags"):
                time.sleep(0.2)
                rows.create_index(field)
            time.sleep(0.2)
            done.set()
            last = [each.result() for each in written]
        rows.update_many({"_id": {"$lt": 3}}, {"$set": {"tags": ["t0", "other"]}})
    with MongoClient[Any](stores.mongo_url) as another:  # a writer may not know the index
        rows = another.get_default_database()[name]
        every = list(rows.find())
        assert len(every) == sum(number // 4 + 1 for number in last)
        for number in range(11):
            there = {row["_id"] for row in every if row["n"] == number}
            assert {row["_id"] for row in rows.find({"n": number})} == there
        for tag in ("t0", "t1", "other"):
            there = {row["_id"] for row in every if tag in row["tags"] or tag == row["tags"]}
            assert {row["_id"] for row in rows.find({"tags": tag})} == there
        rows.drop()


def test_what_another_client_has_dropped_is_gone(stores: Addresses) -> None:
    """Guard: `known.clear()` in `mongo_catalogue.share`."""
    name = f"dropped_{os.getpid()}"
    with MongoClient[Any](stores.mongo_url) as client, MongoClient[Any](stores.mongo_url) as other:
        rows, same = client.get_default_database()[name], other.get_default_database()[name]
        for field in ("a", "b"):
            rows.create_index(field)
            assert len(list(rows.list_indexes())) == 2
            same.drop()
            assert list(rows.list_indexes()) == []
            rows.insert_one({field: 1})
            assert [index["name"] for index in same.list_indexes()] == ["_id_"]
            same.drop()


@examples(50, deep=500)
@given(data=st.data())
def test_keys_are_packed_as_wiredtiger_does(data: st.DataObject) -> None:
    """Guard: each branch of `pack` and `unpack` in `mongo_keys.pack_whole_keys`; also other
    formats, which it passes on."""
    fmt = data.draw(st.sampled_from(("q", "u", "S", "SS", "SSS", "SSq", "SSu", "SSSu", "qS")))
    each = {"q": st.integers(-(2**63), 2**63 - 1), "u": st.binary(), "S": st.text("a0\0é€😀")}
    values = [data.draw(each[kind]) for kind in fmt]
    packing = sys.modules[wiredtiger.Cursor.__module__]
    packed = packing.pack(fmt, *values)
    unpacked = packing.unpack(fmt, packed)
    with pytest.MonkeyPatch.context() as patched:
        for name in ("pack", "unpack"):
            patched.setattr(packing, name, getattr(packing, name))
        mongo_keys.pack_whole_keys()
        assert wiredtiger.Cursor.set_key.__globals__["pack"](fmt, *values) == packed
        assert wiredtiger.Cursor.get_keys.__globals__["unpack"](fmt, packed) == unpacked


def test_pages_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `mongo.keep_pages_small`; existing tables stay as they are."""
    create = wiredtiger.Session.create
    monkeypatch.setattr(wiredtiger.Session, "create", lambda *given: create(*given))
    store = wiredtiger.wiredtiger_open(str(tmp_path), "create")
    session = store.open_session()
    session.create("table:old", "key_format=S,value_format=S")
    mongo.keep_pages_small()
    for name in ("old", "new"):
        session.create(f"table:{name}", "key_format=S,value_format=S")
    described = session.open_cursor("metadata:create")
    assert "memory_page_max=1MB" in described["table:new"]
    assert "memory_page_max=1MB" not in described["table:old"]
    store.close()


@needs("our launcher")
def test_writes_are_written_once(stores: Addresses) -> None:
    """Guard: `mongo.keep_no_oplog`."""
    with MongoClient[dict[str, Any]](stores.mongo_url) as client:
        database = client[f"test_{os.urandom(6).hex()}"]
        database.rows.insert_one({"_id": 1})
        assert database.rows.count_documents({}) == 1
        assert client.local["oplog.rs"].count_documents({}) == 0
        client.drop_database(database.name)


@pytest.mark.parametrize(("exists", "reason"), [(False, "is not a program"), (True, "exit code 3")])
def test_mongo_bin_names_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, reason: str
) -> None:
    """Guard: `store_kinds.rust_mongo` and its use in `store_kinds.kind_of`."""
    program = tmp_path / "secantusd-rs"
    if exists:
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o700)
    monkeypatch.setenv("MONGO_BIN", str(program))
    with pytest.raises(EmbeddedError, match=reason):
        Embedded(tmp_path / "data", {"mongo"}).start()
    assert (tmp_path / "data" / "mongo-rs").exists() is exists
