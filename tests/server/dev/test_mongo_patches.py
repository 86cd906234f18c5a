"""The patches of SecantusDB change how fast it is and nothing else."""

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Code, Int64
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, OperationFailure
from secantus import collation, sortkey, storage

from server.dev import mongo, mongo_indexes, mongo_keys
from server.dev.stores import Addresses
from tests.support.databases import needs

Rows = Collection[dict[str, Any]]

IGNORING_CASE = collation.parse({"locale": "en", "strength": 2})
PATCHED_KEYS = {
    sortkey: ("_encode_number", "invert_bytes", "encode_value"),
    storage: ("encode_value", "_index_key_variants", "_index_field_values"),
}


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


def test_branches_and_bounds_find_what_a_scan_finds(rows: Rows) -> None:
    """Guard: `found_by` and `bounds_of` in mongo_indexes.py."""
    chosen = random.Random(11)
    rows.create_index([("talk", 1), ("seq", 1)])
    rows.create_index("by", partialFilterExpression={"open": True})
    there = [
        {"_id": n, "talk": f"t{n % 5}", "seq": n // 5, "by": chosen.choice(("x", "y", None))}
        | ({"open": chosen.random() < 0.5} if n % 3 else {})
        for n in range(100)
    ]
    rows.insert_many(there)
    for _ in range(40):
        ends = {f"t{chosen.randrange(6)}": chosen.randrange(22) for _ in range(3)}
        other, least = chosen.choice(("x", None)), chosen.randrange(100)
        branches: list[dict[str, Any]] = [
            {"talk": talk, "seq": {"$gt": end}, "by": {"$ne": other}, "gone": None}
            for talk, end in ends.items()
        ]
        expected = [
            row["_id"]
            for row in there
            if row["seq"] > ends.get(row["talk"], 99) and row["by"] != other
        ]
        found = [row["_id"] for row in rows.find({"$or": branches})]
        assert sorted(found) == expected
        counted = rows.aggregate([{"$match": {"$or": branches}}, {"$group": {"_id": "$talk"}}])
        assert {row["_id"] for row in counted} == {there[id]["talk"] for id in expected}
        query = {"_id": {"$gte": least}, "$or": [*branches, {"by": "y", "open": True}]}
        expected = [
            row["_id"]
            for row in there
            if row["_id"] >= least
            and (row["_id"] in expected or (row["by"] == "y" and row.get("open")))
        ]
        assert [row["_id"] for row in rows.find(query).sort("_id", 1)] == expected
        changed = rows.update_many({"$or": branches[:1]}, {"$inc": {"n": 1}})
        [talk, end] = next(iter(ends.items()))
        assert changed.matched_count == sum(
            row["talk"] == talk and row["seq"] > end and row["by"] != other for row in there
        )
    bounds = {"talk": "t1", "seq": {"$gt": 3, "$lte": 9}}
    rest = {"by": {"$ne": "x"}, "gone": None, "tags": ["a"], "$or": [bounds], "n": {"$in": [1]}}
    assert mongo_indexes.bounds_of(bounds | rest) == bounds


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
    """Guard: `mongo_keys.encode_fast`, with each of its encoders, and `make_plain_keys`: arrays,
    dotted fields, missing ones in a sparse index, and collations."""
    now, text = datetime.now(UTC), "text\0\xff"
    values = [0, 1, -1, 7_000_000_000, True, 1.5, -0.0, float("inf"), text, None, b"\0\xff"]
    values += [now, now.replace(tzinfo=None), Code(text), Int64(7), {"a": text}, [1, [text]]]
    documents = [{"a": value, "b": {"c": other}} for value in values for other in values]
    documents += [{}, {"a": None}, {"b": [{"c": 1}, {"c": 2}]}]
    indexes = [{"a": 1}, {"a": -1}, {"a": 1, "b": -1}, {"b.c": 1, "a": 1}, {"d": 1}]

    def encoded() -> list[Any]:
        single = [sortkey.encode_value_directed(v, way) for v in values for way in (1, -1)]
        collated = [sortkey.encode_value(text, collation=IGNORING_CASE)]
        return (
            single
            + collated
            + [
                (
                    keys(document, index, sparse=sparse, collation=collation),
                    multikey(document, index),
                )
                for keys in [storage._index_key_variants]
                for multikey in [storage._doc_makes_multikey]
                for document in documents
                for index in indexes
                for sparse in (True, False)
                for collation in (None, IGNORING_CASE)
            ]
        )

    before = encoded()
    for module, names in PATCHED_KEYS.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    mongo_keys.encode_fast()
    mongo_keys.make_plain_keys()
    for _ in range(2):
        assert encoded() == before


def test_a_collection_is_emptied_alone(rows: Rows) -> None:
    """Guard: `mongo_writes.truncate_emptied`: its range, its count, and the rows of a transaction
    that has not ended; `keep_sessions_of_transactions`: each begins without changes of the last."""
    others = [rows.database[name] for name in (rows.name[:-1], f"{rows.name}0")]
    for each in (rows, *others):
        each.create_index("name", unique=True)
        each.insert_many({"_id": n, "name": f"name {n}"} for n in range(3))
    client = rows.database.client
    with client.start_session() as session:
        for last in (False, True):
            with session.start_transaction():
                rows.insert_one({"_id": 3, "name": "name 3"}, session=session)
                assert rows.count_documents({}, session=session) == 4 - 3 * last
                assert rows.delete_many({}).deleted_count == 3 * (not last)
                assert rows.count_documents({}, session=session) == 4 - 3 * last
                if not last:
                    session.abort_transaction()
    assert [row["_id"] for row in rows.find({"name": "name 3"})] == [3]
    assert rows.find_one({"name": "name 1"}) is None
    rows.insert_one({"_id": 1, "name": "name 1"})
    for each in others:
        assert each.count_documents({}) == 3
        assert each.find_one({"name": "name 2"})
        each.drop()


@needs("our launcher")
def test_commands_of_sessions_are_answered_without_their_list(rows: Rows) -> None:
    """Guard: `mongo.keep_no_sessions`: `killSessions` and `endSessions` end transactions anyway."""
    client = rows.database.client
    for command in ("killSessions", "killAllSessions", "endSessions"):
        with client.start_session() as session, session.start_transaction():
            rows.insert_one({"_id": command}, session=session)
            ids = [] if command == "killAllSessions" else [session.session_id]
            assert client.admin.command(command, ids)["ok"]
            with pytest.raises(OperationFailure, match=r"NoSuchTransaction|aborted|number"):
                rows.find_one(session=session)
            session.abort_transaction()
    assert client.admin.command("startSession")["ok"]
    assert client.admin.command("refreshSessions", [])["ok"]
    assert rows.find_one() is None
