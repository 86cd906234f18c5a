"""Talks to MongoDB: records, transactions, guarded updates, outbox rows.

The function given to `transact` may run several times, so it uses only its unit of work. The retry
loop is our own, as motor's has no backoff: TransientTransactionError reruns the function,
UnknownTransactionCommitResult repeats the commit.
Source: MongoDB manual, "Drivers API", transaction error labels.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, TypeVar

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from domain.kernel import documents
from domain.kernel.documents import Sort, Where
from domain.kernel.errors import NotFound, Unavailable
from domain.kernel.field_codec import FieldCodec
from domain.kernel.mongo_client import (
    SELECTION_SECONDS,
    STATEMENT_SECONDS,
    abort,
    commit,
    connect,
    create_collections,
    is_transient,
    lost_answer,
    object_id,
    seconds_left,
)
from domain.kernel.outbox import OutboxRow, Outgoing
from domain.kernel.paging import read_within, without_damaged
from domain.kernel.recent_names import RecentNames
from domain.kernel.record import Change, Page, Record
from domain.kernel.settings import Clock, Rates
from domain.kernel.shield import run_to_completion

R = TypeVar("R", bound=Record)
T = TypeVar("T")

NEWEST: Sort = (("_id", -1),)
MAX_PAGE, BATCH = 100, 200
MAX_ABANDONED = 500
SMALL_BATCH = 26  # records, of a list for an answer
DUPLICATE = 11000  # MongoDB's error code
TRANSACTION_SECONDS = 15.0
MAX_BACKOFF = 1.0  # seconds between two attempts
DURABLE = WriteConcern(w="majority", j=True)
UNREACHABLE = (ConnectionFailure,)  # errors of a database that does not answer
DatabaseError = PyMongoError  # for callers, which do not import the driver


class Duplicate(Exception):
    """A unique index refused a row. A transaction is rolled back; without one, the first `done`
    rows are stored."""

    def __init__(self, message: str = "", done: int = 0) -> None:
        super().__init__(message)
        self.done = done


def new_id(prefix: str) -> str:
    """An id with its type in front, which sorts by time of creation: `job_665f...`."""
    return f"{prefix}_{object_id()}"


class Store:
    """A connection pool to one database. `worker` owns the outbox rows that it writes, unless the
    process does not deliver any (`delivers`). `committed` and `changed` get the outbox rows and the
    changed records of each transaction."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        rates: Rates,
        codec: FieldCodec,
        worker: str = "",
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        self.client = connect(url, statement_seconds)
        self.database = self.client.get_default_database(
            "jobsphere", codec_options=CodecOptions(tz_aware=True), write_concern=DURABLE
        )
        self.clock = clock
        self.rates = rates
        self.codec = codec
        self.names = RecentNames()
        self.worker = worker or new_id("worker")
        self.delivers = True
        self.collections: dict[str, Any] = {}  # a cache: motor builds a new object at each access
        self.sessions: dict[bytes, None] = {}  # used for transactions, the last one at the end
        self.abandoned: deque[bytes] = deque(maxlen=MAX_ABANDONED)  # sessions, see `lost_answer`
        self.committed: Callable[[list[OutboxRow]], None] = lambda rows: None
        self.changed: Callable[[list[Change]], None] = lambda changes: None
        self.on_damaged: Callable[[str, Sequence[str]], None] = lambda collection, ids: None
        self.before_commit: Callable[[UnitOfWork], Awaitable[None]] | None = None

    @property
    def name(self) -> str:
        """The database's name; it also separates deployments that share one Redis."""
        return self.database.name

    async def prepare(self, kinds: Iterable[type[Record]]) -> None:
        """Create collections and indexes. Idempotent, also for several processes at once."""
        await create_collections(self.database, kinds)

    async def ping(self) -> None:
        """Read something, as a server whose engine has stopped still answers a `ping`. Raises
        Unavailable."""
        try:
            await self.database["processes"].find_one({"_id": self.worker}, {"_id": 1})
        except PyMongoError as away:
            raise Unavailable from away

    def close(self) -> None:
        self.client.close()

    def single(self) -> "UnitOfWork":
        """A unit of work without a transaction: each write is atomic, nothing is published."""
        return UnitOfWork(self, None)

    async def transact(self, work: Callable[["UnitOfWork"], Awaitable[T]]) -> T:
        """Run `work` in one transaction. Raises what it raises, or Unavailable after 15 seconds or
        the time of its command.

        A row that another transaction inserts between a read and an insert is a write conflict, not
        a Duplicate: the rerun reads it. A cancelled caller gets its CancelledError after the end of
        the transaction, because the driver's thread cannot stop a statement that it has begun, and
        that statement would run outside of the aborted transaction.
        """
        return await run_to_completion(self._transact(work))

    async def _transact(self, work: Callable[["UnitOfWork"], Awaitable[T]]) -> T:
        deadline = time.monotonic() + min(TRANSACTION_SECONDS, seconds_left())
        session = AsyncIOMotorClientSession(self.client.delegate.start_session(), self.client)
        try:
            used = bytes(session.session_id["id"])  # type: ignore[index]  # its stub is wrong
            self.sessions[used] = self.sessions.pop(used, None)
            attempt = 0
            while True:
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=DURABLE
                )
                uow = UnitOfWork(self, session)
                try:
                    result = await work(uow)
                    await uow.flush()
                    await commit(session, deadline)
                    break
                except PyMongoError as failed:
                    await abort(session)
                    if isinstance(failed, DuplicateKeyError):
                        raise Duplicate(str(failed)) from failed
                    # Without a server the next attempt takes this long again.
                    wait = SELECTION_SECONDS if isinstance(failed, ConnectionFailure) else 0
                    if not is_transient(failed) or time.monotonic() + wait > deadline:
                        raise Unavailable from failed
                except BaseException:
                    await abort(session)
                    raise
                attempt += 1
                await asyncio.sleep(random.random() * min(MAX_BACKOFF, 0.004 * 2**attempt))
        finally:
            if lost_answer(session):
                self.abandoned.append(used)
            session.delegate.end_session()
        self.changed(uow.changes)
        if uow.rows:
            self.committed(uow.rows)
        return result


class UnitOfWork(Outgoing):
    """Typed access to records. Within `transact`, all calls are part of one transaction."""

    def __init__(self, store: Store, session: AsyncIOMotorClientSession | None) -> None:
        worker = store.worker if store.delivers else ""
        super().__init__(store.clock.now(), worker, new_id, owns=session is not None)
        self._store = store
        self._session = session
        self._codec = store.codec
        self.rates = store.rates
        self.changes: list[Change] = []

    # -- reading -----------------------------------------------------------------------------

    async def find(self, kind: type[R], where: Where, sort: Sort | None = None) -> R | None:
        document = await self._of(kind).find_one(
            self._query(kind, where), sort=list(sort) if sort else None, session=self._session
        )
        return self.record(kind, document) if document else None

    async def get(self, kind: type[R], id: str, **where: Any) -> R:
        """Read one record. Raises NotFound, also if `where` (such as its owner) does not match."""
        found = await self.find(kind, {"_id": id, **where})
        if found is None:
            raise NotFound
        return found

    async def all(
        self, kind: type[R], where: Where, sort: Sort | None = None, limit: int = 1000
    ) -> list[R]:
        cursor = self._of(kind).find(self._query(kind, where), session=self._session).limit(limit)
        if sort:
            cursor = cursor.sort(list(sort))
        return [self.record(kind, document) for document in await cursor.to_list(limit)]

    async def first(
        self, kind: type[R], where: Where, sort: Sort, limit: int, share: int = 1
    ) -> list[R]:
        """The first matching records for an answer that has `share` such lists. They end before
        `limit` at their share of PAGE_BYTES."""
        return (await self._read(kind, self._query(kind, where), sort, limit, share))[0]

    async def each(self, kind: type[R], where: Where, sort: Sort) -> AsyncIterator[R]:
        """All matching records, read in batches."""
        async for document in self.documents(kind, where, sort):
            yield self.record(kind, document)

    def readable(
        self, kind: type[R], found: AsyncIterable[dict[str, Any]]
    ) -> AsyncGenerator[R, None]:
        """The records of documents, for a list that users read: damaged ones are left out."""
        report = partial(self._store.on_damaged, kind.COLLECTION)
        return without_damaged(found, partial(self.record, kind), report)

    async def documents(
        self, kind: type[Record], where: Where, sort: Sort, limit: int = 0
    ) -> AsyncIterator[dict[str, Any]]:
        """All matching documents as they are stored, also those that do not convert to `kind`."""
        query = self._query(kind, where)
        found = self._of(kind).find(query, session=self._session, batch_size=BATCH, limit=limit)
        async for document in found.sort(list(sort)):
            yield document

    async def page(
        self,
        kind: type[R],
        where: Where,
        *,
        sort: Sort = NEWEST,
        cursor: str | None = None,
        limit: int = 20,
        share: int = 1,
    ) -> Page[R]:
        """Read the page after `cursor`, which is a key and not an offset. It ends before `limit` at
        its share of PAGE_BYTES. Raises Invalid."""
        limit = max(1, min(limit, MAX_PAGE))
        query = self._query(kind, where)
        if cursor:
            after = documents.after_cursor(cursor, sort, kind)
            query = {"$and": [query, after]} if after.keys() & query.keys() else query | after
        items, more = await self._read(kind, query, sort, limit, share)
        return Page(items, documents.cursor(items[-1], sort) if more else None)

    async def _read(
        self, kind: type[R], query: Where, sort: Sort, limit: int, share: int
    ) -> tuple[list[R], bool]:
        """Read from the start of `sort`; see `read_within`. The batches are small, because a list
        of large records uses only its first ones."""
        found = self._of(kind).find(
            query, session=self._session, batch_size=SMALL_BATCH, limit=limit + 1
        )
        found = found.sort(list(sort))
        try:
            async with contextlib.aclosing(self.readable(kind, found)) as records:
                return await read_within(records, limit, share)
        finally:
            if found.alive:  # there is more
                await found.close()

    async def count(self, kind: type[Record], where: Where, limit: int = 0) -> int:
        extra = {"limit": limit} if limit else {}
        query = self._query(kind, where)
        return int(await self._of(kind).count_documents(query, session=self._session, **extra))

    async def distinct(self, kind: type[Record], field: str, where: Where) -> list[Any]:
        """The distinct values of a field that is stored in clear; up to 16 MB of them."""
        query = self._query(kind, where)
        return list(await self._of(kind).distinct(field, query, session=self._session))

    async def aggregate(
        self, kind: type[Record], pipeline: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        found = self._of(kind).aggregate(list(pipeline), session=self._session)
        return list(await found.to_list(None))

    # -- writing -----------------------------------------------------------------------------

    def new(self, kind: type[R], /, *, id: str | None = None, **fields: Any) -> R:
        """Build a record to be added: created now, with a fresh id unless one is given."""
        now = {"created_at": self.now, "updated_at": self.now}
        return kind(id=id or new_id(kind.PREFIX), **(now | fields))

    async def add(self, record: Record) -> None:
        """Insert a record. Raises Duplicate."""
        await self.add_all([record])

    async def add_all(self, records: Sequence[Record]) -> None:
        """Insert in order, stopping at the first duplicate. Raises Duplicate."""
        if records:
            kind, rows = type(records[0]), [documents.document(record) for record in records]
            await self.put(kind, [self._codec.seal(kind, row["_id"], row) for row in rows])
            self.changes += (Change(kind, None, row) for row in rows)

    async def put(self, kind: type[Record], rows: Sequence[dict[str, Any]]) -> None:
        """Insert documents without conversion or audit. Raises Duplicate."""
        if not rows:
            return
        try:
            await self._of(kind).insert_many(rows, session=self._session)
        except BulkWriteError as refused:
            errors = (refused.details or {}).get("writeErrors", [])
            if any(error.get("code") == DUPLICATE for error in errors):
                raise Duplicate(str(errors[0].get("errmsg")), errors[0]["index"]) from refused
            raise
        except DuplicateKeyError as refused:
            raise Duplicate(str(refused)) from refused

    async def add_missing(self, records: Sequence[Record]) -> None:
        """Insert the records whose ids do not exist yet."""
        if not records:
            return
        kind = type(records[0])
        rows = [self._codec.seal(kind, record.id, documents.document(record)) for record in records]
        try:
            await self._of(kind).insert_many(rows, ordered=False)
        except BulkWriteError as refused:
            errors = (refused.details or {}).get("writeErrors", [])
            if any(error.get("code") != DUPLICATE for error in errors):
                raise

    async def change(
        self,
        kind: type[R],
        id: str,
        *,
        only_if: Where | None = None,
        inc: Mapping[str, int] | None = None,
        push: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> R | None:
        """Update one record if `only_if` holds. Returns None, without effect, if it does not."""
        update = self._update(kind, inc, fields, push)
        parts = {path: value for path, value in fields.items() if "." in path}
        self._codec.require_clear(kind, {**parts, **(push or {})})
        stored = {**update, "$set": self._codec.seal(kind, id, update["$set"])}
        where = self._query(kind, {"_id": id, **(only_if or {})})
        change = self._of(kind).find_one_and_update
        if self._session is None:
            now = await change(where, stored, return_document=ReturnDocument.AFTER)
            return self.record(kind, now) if now else None
        found = await change(where, stored, session=self._session)
        if found is None:
            return None
        before = self._codec.open(kind, found)
        after = documents.apply_update(before, update)
        self.changes.append(Change(kind, before, after))
        return documents.record(kind, self._store.names.shown(kind, dict(after)))

    async def change_all(
        self,
        kind: type[Record],
        where: Where,
        *,
        inc: Mapping[str, int] | None = None,
        **fields: Any,
    ) -> int:
        """Update all matching records in fields that are stored in clear. Returns their number."""
        self._codec.require_clear(kind, fields)
        done = await self._of(kind).update_many(
            self._query(kind, where), self._update(kind, inc, fields), session=self._session
        )
        return int(done.modified_count)

    async def raise_fields(
        self, kind: type[Record], changes: Sequence[tuple[Where, Mapping[str, Any]]]
    ) -> None:
        """Raise fields of many records in one request; greater stored values stay.

        Each filter names the id of its record.
        """
        version = self._update(kind, None, {})
        updates = [
            UpdateOne(
                self._query(kind, where),
                {**version, "$max": self._codec.seal(kind, where["_id"], documents.plain(highest))},
            )
            for where, highest in changes
        ]
        await self._of(kind).bulk_write(updates)

    async def set_private(self, kind: type[Record], where: Where, **fields: Any) -> None:
        """Set private fields without a new version, as clients see no change."""
        self._codec.require_clear(kind, fields)
        await self._of(kind).update_many(
            self._query(kind, where), {"$set": documents.plain(fields)}
        )

    async def set_stored(
        self, kind: type[Record], changes: Sequence[tuple[Where, Mapping[str, Any]]]
    ) -> int:
        """Set stored values, without conversion or a new version. Returns how many were set."""
        updates = [UpdateOne(dict(where), {"$set": dict(fields)}) for where, fields in changes]
        done = await self._of(kind).bulk_write(updates, ordered=False) if updates else None
        return int(done.modified_count) if done else 0

    async def upsert(self, record: Record, inc: Mapping[str, int], **fields: Any) -> None:
        """Add to counters of a record and set `fields`, which are stored in clear; it is created
        from `record` if it does not exist."""
        kind = type(record)
        self._codec.require_clear(kind, fields)
        fresh = self._codec.seal(kind, record.id, documents.document(record))
        for field in ("_id", "version", "updated_at", *inc, *fields):
            fresh.pop(field)
        await self._of(kind).update_one(
            {"_id": record.id},
            {**self._update(kind, inc, fields), "$setOnInsert": fresh},
            upsert=True,
            session=self._session,
        )

    async def remove(self, kind: type[Record], where: Where) -> int:
        done = await self._of(kind).delete_many(self._query(kind, where), session=self._session)
        return int(done.deleted_count)

    def _update(
        self,
        kind: type[Record],
        inc: Mapping[str, int] | None,
        fields: Mapping[str, Any],
        push: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The update in clear; the caller seals its `$set`."""
        update: dict[str, Any] = {
            "$set": {**documents.plain_fields(kind, fields), "updated_at": self.now},
            "$inc": {"version": 1, **(inc or {})},
        }
        if push:
            update["$push"] = {field: documents.plain(value) for field, value in push.items()}
        return update

    def _query(self, kind: type[Record], where: Where) -> dict[str, Any]:
        return self._codec.where(kind, documents.filtered(where))

    def record(self, kind: type[R], document: dict[str, Any]) -> R:
        """The record of a stored document. Raises msgspec.ValidationError, KeyError and
        UndecipherableField for a damaged one."""
        opened = self._codec.open(kind, document)
        return documents.record(kind, self._store.names.shown(kind, opened))

    async def flush(self) -> None:
        if self._store.before_commit:
            await self._store.before_commit(self)
        await self.add_all(self.rows)

    def _of(self, kind: type[Record]) -> Any:
        name, known = kind.COLLECTION, self._store.collections
        if name not in known:
            known[name] = self._store.database[name]
        return known[name]
