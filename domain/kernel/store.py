"""MongoDB, the one place that talks to it: records, transactions, guarded changes, outbox rows.

A body given to `transact` may run twice, so it touches nothing but its unit of work. Our own loop
retries it (motor's has no backoff): TransientTransactionError reruns the body,
UnknownTransactionCommitResult repeats the commit.
Source: MongoDB manual, "Drivers API", transaction error labels.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bson import ObjectId, binary
from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession
from pymongo import UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from domain.kernel import documents
from domain.kernel.documents import Sort, Where
from domain.kernel.errors import NotFound, Unavailable
from domain.kernel.outbox import OutboxRow, Outgoing
from domain.kernel.record import Change, Page, Record
from domain.kernel.settings import Clock, Rates
from domain.kernel.shield import run_to_completion

Item = TypeVar("Item")
R = TypeVar("R", bound=Record)
T = TypeVar("T")

NEWEST: Sort = (("_id", -1),)
MAX_PAGE, BATCH = 100, 200
DUPLICATE = 11000  # MongoDB's error code
TRANSACTION_SECONDS = 15.0
LONGEST_PAUSE = 1.0  # seconds between two attempts; a killed process's rows stay locked for longer
DURABLE = WriteConcern(w="majority", j=True)
UNREACHABLE = (ConnectionFailure,)  # the database does not answer
DatabaseError = PyMongoError  # the name by which callers outside of this file know it


class Duplicate(Exception):
    """A unique index refused a row; inside a transaction everything is rolled back.

    Outside of one the first `done` rows are in.
    """

    def __init__(self, message: str = "", done: int = 0) -> None:
        super().__init__(message)
        self.done = done


def new_id(prefix: str) -> str:
    """An id that sorts by time of creation, with its type in front: `job_665f...`."""
    return f"{prefix}_{ObjectId()}"


class Store:
    """A connection pool to one database. `worker` owns the outbox rows that it writes."""

    def __init__(self, url: str, clock: Clock, rates: Rates, worker: str = "") -> None:
        # After "no primary" the driver waits for the next heartbeat, so it comes before the time
        # for finding a server is over.
        self.client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            url,
            tz_aware=True,
            serverSelectionTimeoutMS=5000,
            heartbeatFrequencyMS=1500,
            maxPoolSize=50,
        )
        self.database = self.client.get_default_database(
            "jobsphere", codec_options=CodecOptions(tz_aware=True), write_concern=DURABLE
        )
        self.clock = clock
        self.rates = rates
        self.worker = worker or new_id("worker")
        self.collections: dict[str, Any] = {}  # motor makes each anew whenever it is asked
        self.sessions: set[bytes] = set()  # that have had a transaction
        self.committed: Callable[[list[OutboxRow]], None] = lambda rows: None
        self.follow: Callable[[UnitOfWork], None] = lambda uow: None

    @property
    def name(self) -> str:
        """The database's name; it also separates deployments that share one Redis."""
        return self.database.name

    async def prepare(self, kinds: Iterable[type[Record]]) -> None:
        """Create collections and indexes; harmless to repeat, several processes may do it."""
        existing = set(await self.database.list_collection_names())
        for kind in kinds:
            if kind.INDEXES:  # this creates the collection, too
                indexes = [index.definition for index in kind.INDEXES]
                await self.database.command("createIndexes", kind.COLLECTION, indexes=indexes)
            elif kind.COLLECTION not in existing:
                try:
                    # the driver's own look before would refuse with another error
                    await self.database.create_collection(kind.COLLECTION, check_exists=False)
                except OperationFailure as refused:
                    if refused.code != 48:  # NamespaceExists: another process was first
                        raise

    async def ping(self) -> None:
        """Raises Unavailable."""
        try:
            await self.database.command("ping")
        except PyMongoError as away:
            raise Unavailable from away

    def close(self) -> None:
        self.client.close()

    def single(self) -> "UnitOfWork":
        """Reads, and writes that are atomic one by one; nothing can be published from it."""
        return UnitOfWork(self, None)

    async def transact(self, work: Callable[["UnitOfWork"], Awaitable[T]]) -> T:
        """Run `work` in one transaction. Raises whatever it raises, or Unavailable after 15 s.

        A row that comes between a look and an insert is a write conflict, not a Duplicate: the
        rerun finds it. Who is cancelled meanwhile is so after its end: a statement that a thread
        has in hand cannot be called back, and would run outside of an aborted transaction.
        """
        return await run_to_completion(self._transact(work))

    async def transact_each(
        self, items: Iterable[Item], work: Callable[["UnitOfWork", Item], Awaitable[object]]
    ) -> int:
        """Run `work` for each item in a transaction of its own; returns the number of items.

        Raises what `transact` raises. The transactions before it stay committed.
        """
        count = 0
        for item in items:

            def work_on_item(uow: UnitOfWork, item: Item = item) -> Awaitable[object]:
                return work(uow, item)

            await self.transact(work_on_item)
            count += 1
        return count

    async def _transact(self, work: Callable[["UnitOfWork"], Awaitable[T]]) -> T:
        deadline = time.monotonic() + TRANSACTION_SECONDS
        async with await self.client.start_session() as session:
            self.sessions.add(bytes(session.session_id["id"]))  # type: ignore[index]  # its stub is wrong
            attempt = 0
            while True:
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=DURABLE
                )
                uow = UnitOfWork(self, session)
                try:
                    result = await work(uow)
                    await uow.flush()
                    await self._commit(session, deadline)
                    break
                except PyMongoError as failed:
                    await _abort(session)
                    if isinstance(failed, DuplicateKeyError):
                        raise Duplicate(str(failed)) from failed
                    if not _transient(failed) or time.monotonic() > deadline:
                        raise Unavailable from failed
                except BaseException:
                    await _abort(session)
                    raise
                attempt += 1
                await asyncio.sleep(random.random() * min(LONGEST_PAUSE, 0.004 * 2**attempt))
        if uow.rows:
            self.committed(uow.rows)
        return result

    async def end_sessions(self, ids: Iterable[bytes]) -> None:
        """Abort what these sessions have open. Raises DatabaseError."""
        sessions = [{"id": binary.Binary(id, binary.UUID_SUBTYPE)} for id in ids]
        await self.client.admin.command("killSessions", sessions)

    async def _commit(self, session: AsyncIOMotorClientSession, deadline: float) -> None:
        while True:
            try:
                return await session.commit_transaction()
            except PyMongoError as failed:
                unknown = failed.has_error_label("UnknownTransactionCommitResult")
                if not unknown or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)


class UnitOfWork(Outgoing):
    """Typed access to records. Within `transact` all of it is one transaction."""

    def __init__(self, store: Store, session: AsyncIOMotorClientSession | None) -> None:
        super().__init__(store.clock.now(), store.worker, new_id, owns=session is not None)
        self._store = store
        self._session = session
        self.rates = store.rates
        self.changes: list[Change] = []

    # -- reading -----------------------------------------------------------------------------

    async def find(self, kind: type[R], where: Where, sort: Sort | None = None) -> R | None:
        document = await self._of(kind).find_one(
            documents.filtered(where), sort=list(sort) if sort else None, session=self._session
        )
        return documents.record(kind, document) if document else None

    async def get(self, kind: type[R], id: str, **where: Any) -> R:
        """Raises NotFound also when the object exists but `where` (its owner) does not fit."""
        found = await self.find(kind, {"_id": id, **where})
        if found is None:
            raise NotFound
        return found

    async def all(
        self, kind: type[R], where: Where, sort: Sort | None = None, limit: int = 1000
    ) -> list[R]:
        cursor = self._of(kind).find(documents.filtered(where), session=self._session).limit(limit)
        if sort:
            cursor = cursor.sort(list(sort))
        return [documents.record(kind, document) for document in await cursor.to_list(limit)]

    async def each(self, kind: type[R], where: Where, sort: Sort) -> AsyncIterator[R]:
        """All of them, read as they are asked for."""
        async for document in self.documents(kind, where, sort):
            yield documents.record(kind, document)

    async def documents(
        self, kind: type[Record], where: Where, sort: Sort, limit: int = 0
    ) -> AsyncIterator[dict[str, Any]]:
        """The same as they are stored, for who has to read also what is no such record."""
        query = documents.filtered(where)
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
    ) -> Page:
        """One page after `cursor`, a key and never an offset. Raises Invalid for a broken one."""
        limit = max(1, min(limit, MAX_PAGE))
        query = documents.filtered(where)
        if cursor:
            after = documents.after_cursor(cursor, sort, kind)
            query = {"$and": [query, after]} if after.keys() & query.keys() else query | after
        found = self._of(kind).find(query, session=self._session).sort(list(sort)).limit(limit + 1)
        rows = await found.to_list(limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(
            items=[documents.record(kind, row) for row in rows],
            next_cursor=documents.cursor(rows[-1], sort) if more else None,
        )

    async def count(self, kind: type[Record], where: Where, limit: int = 0) -> int:
        extra = {"limit": limit} if limit else {}
        query = documents.filtered(where)
        return int(await self._of(kind).count_documents(query, session=self._session, **extra))

    async def aggregate(
        self, kind: type[Record], pipeline: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        found = self._of(kind).aggregate(list(pipeline), session=self._session)
        return list(await found.to_list(None))

    # -- writing -----------------------------------------------------------------------------

    async def add(self, record: Record) -> None:
        """Raises Duplicate."""
        await self.add_all([record])

    async def add_all(self, records: Sequence[Record]) -> None:
        """Insert in order, stopping at the first duplicate. Raises Duplicate."""
        if records:
            kind, rows = type(records[0]), [documents.document(record) for record in records]
            await self.put(kind, rows)
            self.changes += (Change(kind, None, row) for row in rows)

    async def put(self, kind: type[Record], rows: Sequence[dict[str, Any]]) -> None:
        """The same with documents as they are, even if they are no such records."""
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
        """Insert those that are not there yet."""
        rows = [documents.document(record) for record in records]
        try:
            if rows:
                await self._of(type(records[0])).insert_many(rows, ordered=False)
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
        """Change one record if its guard holds; None (and no effect) if it does not."""
        update = self._update(inc, fields)
        if push:
            update["$push"] = {field: documents.plain(value) for field, value in push.items()}
        where = documents.filtered({"_id": id, **(only_if or {})})
        # Not findAndModify, which is slow on some servers.
        if self._session is None:
            done = await self._of(kind).update_one(where, update)
            return await self.find(kind, {"_id": id}) if done.matched_count else None
        before = await self._of(kind).find_one(where, session=self._session)
        if before is None:
            return None
        # A transaction sees one state, and a change by somebody else since then ends it.
        await self._of(kind).update_one({"_id": id}, update, session=self._session)
        after = documents.apply_update(before, update)
        self.changes.append(Change(kind, before, after))
        return documents.record(kind, dict(after))

    async def change_all(
        self,
        kind: type[Record],
        where: Where,
        *,
        inc: Mapping[str, int] | None = None,
        **fields: Any,
    ) -> int:
        """Change every record that fits; returns how many."""
        done = await self._of(kind).update_many(
            documents.filtered(where), self._update(inc, fields), session=self._session
        )
        return int(done.modified_count)

    async def raise_each(
        self, kind: type[Record], changes: Sequence[tuple[Where, Mapping[str, Any]]]
    ) -> None:
        """Set fields of many records, each only if that makes it greater, in one request."""
        version = self._update(None, {})
        updates = [
            UpdateOne(documents.filtered(where), {**version, "$max": documents.plain(highest)})
            for where, highest in changes
        ]
        await self._of(kind).bulk_write(updates)

    async def mark(self, kind: type[Record], where: Where, **fields: Any) -> None:
        """Set private fields: no new version, as nothing that anybody sees is changed."""
        update = {"$set": documents.plain(fields)}
        await self._of(kind).update_many(documents.filtered(where), update)

    async def upsert(self, record: Record, inc: Mapping[str, int]) -> None:
        """Add to counters of a record, created from `record` if it is not there yet."""
        fresh = documents.document(record)
        for field in ("_id", "version", "updated_at", *inc):
            fresh.pop(field)
        await self._of(type(record)).update_one(
            {"_id": record.id},
            {**self._update(inc, {}), "$setOnInsert": fresh},
            upsert=True,
            session=self._session,
        )

    async def remove(self, kind: type[Record], where: Where) -> int:
        done = await self._of(kind).delete_many(documents.filtered(where), session=self._session)
        return int(done.deleted_count)

    def _update(self, inc: Mapping[str, int] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "$set": {**{k: documents.plain(v) for k, v in fields.items()}, "updated_at": self.now},
            "$inc": {"version": 1, **(inc or {})},
        }

    async def flush(self) -> None:
        self._store.follow(self)
        await self.add_all(self.rows)

    def _of(self, kind: type[Record]) -> Any:
        name, known = kind.COLLECTION, self._store.collections
        if name not in known:
            known[name] = self._store.database[name]
        return known[name]


def _transient(failed: PyMongoError) -> bool:
    return failed.has_error_label("TransientTransactionError") or isinstance(
        failed, ConnectionFailure
    )


async def _abort(session: AsyncIOMotorClientSession) -> None:
    with contextlib.suppress(PyMongoError):  # the server rolls back by itself at the session's end
        await session.abort_transaction()
