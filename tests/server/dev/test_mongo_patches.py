"""The patches of SecantusDB change how fast it is and nothing else."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from secantus import sortkey
from secantus.sessions import SessionRegistry

from server.dev import mongo, mongo_indexes
from server.dev.stores import Addresses
from tests.support.databases import needs

Rows = Collection[dict[str, Any]]


@pytest.fixture
def rows(stores: Addresses) -> Iterator[Rows]:
    with MongoClient[dict[str, Any]](stores.mongo_url) as client:
        made = client.get_default_database()[f"patched_{os.getpid()}"]
        yield made
        made.drop()


def test_updates_leave_each_index_whole(rows: Rows) -> None:
    """Guard: `changed_indexes`: the fields of keys and of partial filters, dotted ones, and those
    that appear or vanish; `update.clear()` in `mongo_indexes.keep_equal_entries`: a refused update
    leaves the record to the delete that follows; `by_id` beside other fields."""
    rows.create_index("name", unique=True)
    rows.create_index([("place.town", -1), ("n", 1)])
    rows.create_index("n", partialFilterExpression={"open": True})
    rows.create_index("tags")
    chosen = random.Random(7)
    there: dict[int, dict[str, Any]] = {}
    for step in range(150):
        id = chosen.randrange(12)
        fields = {
            "name": f"name {chosen.randrange(10)}",
            "place": {"town": chosen.choice("ab")},
            "n": chosen.choice((1, 2.5, None)),
            "open": chosen.random() < 0.5,
            "tags": chosen.sample("xyz", chosen.randrange(3)),
        }
        some = dict(chosen.sample(list(fields.items()), 2))
        taken = {row["name"] for other, row in there.items() if other != id and "name" in row}
        try:
            if step % 7 == 0:
                rows.delete_many({"_id": id, "open": {"$in": [True, False]}})
                there.pop(id, None)
            elif id not in there:
                rows.insert_one({"_id": id} | fields)
                there[id] = {"_id": id} | fields
            elif step % 5 == 0 and "n" in there[id]:
                rows.update_many({"_id": id}, {"$unset": {"n": ""}, "$set": {"open": True}})
                there[id].pop("n")
                there[id]["open"] = True
            else:
                rows.update_one({"_id": id, "$or": [{"tags": {"$ne": "q"}}]}, {"$set": some})
                there[id] |= some
        except DuplicateKeyError:
            assert (some if id in there else fields)["name"] in taken
            if id in there:
                rows.delete_one({"_id": id})
                del there[id]
    assert sorted(rows.find(), key=lambda row: row["_id"]) == [there[id] for id in sorted(there)]
    for query in (
        *({"name": f"name {n}"} for n in range(10)),
        *({"place.town": town, "n": n} for town in "ab" for n in (1, 2.5)),
        *({"n": n, "open": True} for n in (1, 2.5)),
    ):
        expected = {
            id for id, row in there.items() if all(has(row, *each) for each in query.items())
        }
        assert {row["_id"] for row in rows.find(query)} == expected, query
    for tag in "xyz":
        tagged = {id for id, row in there.items() if tag in row["tags"]}
        assert {row["_id"] for row in rows.find({"tags": tag})} == tagged
    rows.delete_many({})
    rows.insert_many({"_id": n, "name": f"name {n}"} for n in range(10))  # no name is still taken


def has(row: dict[str, Any], path: str, value: Any) -> bool:
    for name in path.split("."):
        row = row.get(name)  # type: ignore[assignment]  # a value at the end
    return bool(row == value)


@needs("our launcher")
def test_messages_of_each_size_are_answered_without_a_time(rows: Rows) -> None:
    """Guard: both ways of `mongo.Buffered.recv`; `answer.pop` in `mongo.tell_no_time`."""
    for size in (1, mongo.READ_BYTES - 200, mongo.READ_BYTES, 300_000):
        rows.replace_one({"_id": 1}, {"text": "x" * size}, upsert=True)
        [row] = rows.find()
        assert len(row["text"]) == size
    for command in ({"find": rows.name}, {"ping": 1}):
        assert not {"$clusterTime", "operationTime"} & rows.database.command(command).keys()


def test_an_index_made_by_one_client_is_used_by_a_transaction_of_another(
    stores: Addresses, rows: Rows
) -> None:
    """Guard: the empty version that `mark_multikey` writes, and `Catalogue.changing`."""
    rows.create_index("tags")
    rows.insert_one({"_id": 1, "tags": "a"})
    assert rows.find_one({"tags": "a"})
    with MongoClient[dict[str, Any]](stores.mongo_url) as other:
        same = other.get_default_database()[rows.name]
        assert same.find_one({"tags": "a"})
        with other.start_session() as session:
            with session.start_transaction():
                same.insert_one({"_id": 2, "tags": ["a", "b"]}, session=session)
                assert rows.find_one({"tags": "b"}) is None
            assert rows.find_one({"tags": "b"})
            with pytest.raises(ValueError), session.start_transaction():
                same.insert_one({"_id": 3, "tags": ["c"]}, session=session)
                raise ValueError
        assert same.find_one({"tags": "c"}) is None
        rows.drop_index("tags_1")
        same.insert_one({"_id": 4, "tags": "d"})
        assert rows.find_one({"tags": "d"})


def test_keys_are_encoded_as_secantus_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `mongo_indexes.encode_fast`."""
    values = [0, 1, -1, 7_000_000_000, True, 1.5, -0.0, float("inf"), "text", None, b"\0\xff"]
    for direction in (1, -1):
        before = [sortkey.encode_value_directed(value, direction) for value in values]
        with monkeypatch.context() as patched:
            for name in ("_encode_number", "invert_bytes"):
                patched.setattr(sortkey, name, getattr(sortkey, name))
            mongo_indexes.encode_fast()
            for _ in range(2):
                assert [sortkey.encode_value_directed(v, direction) for v in values] == before


def test_sessions_are_pruned_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard: `prune_rarely` in `mongo.prune_sessions_rarely`."""
    monkeypatch.setattr(SessionRegistry, "_prune_locked", SessionRegistry._prune_locked)
    mongo.prune_sessions_rarely()
    now = 10_000.0
    registry = SessionRegistry(idle_ttl_seconds=10, time_func=lambda: now)
    registry.register(b"a" * 16)
    now += 59
    registry.register(b"b" * 16)
    assert len(registry) == 2
    now += 1
    registry.register(b"c" * 16)
    assert len(registry) == 2
