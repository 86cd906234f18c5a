"""Files: upload, quotas, attachment, who may read them, and removal.

The row is written before the bytes and is `kept` when all bytes are stored, so an upload that a
crash interrupts leaves a row that `sweep` finds.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.files.file_names import safe_name
from domain.files.review import is_reviewed
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.bounds import Bounded
from domain.kernel.errors import (
    Conflict,
    NotFound,
    QuotaExceeded,
    TooLarge,
    Unavailable,
    UnsupportedType,
)
from domain.kernel.fields import about
from domain.kernel.independent import first_readable
from domain.kernel.mongo_client import WaitLimit
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.ports.blob_storage import InspectedFile, Spool
from domain.ports.ports import Ports

MAX_FILE = 20 * 2**20  # bytes
MAX_BYTES, MAX_FILES = 2**30, 2000  # of one user
THUMBNAIL = "image/webp"
TICKET_LIFE = timedelta(seconds=60)
STORING_SECONDS = 300.0
STORED_WITHIN, ATTACHED_WITHIN = timedelta(minutes=15), timedelta(hours=24)
CHUNK = 100  # files removed in one batch

MAX_ATTACHED = 10  # files of one job, message, delivery or entry
FileIds = Annotated[tuple[Id, ...], Limits(max_length=MAX_ATTACHED)]


class State(StrEnum):
    STORING = "storing"
    KEPT = "kept"
    DROPPED = "dropped"


class Attachment(msgspec.Struct, frozen=True):
    """The public view of a file. `size` is in bytes, `width` and `height` of a picture in
    pixels."""

    id: Annotated[str, about("The id of the file.")]
    name: Annotated[str, about("The name of the file.")]
    type: Annotated[str, about("The media type, found from the bytes.")]
    size: Annotated[int, about("In bytes.")]
    width: Annotated[int | None, about("Of a picture, in pixels; otherwise null.")] = None
    height: Annotated[int | None, about("Of a picture, in pixels; otherwise null.")] = None
    thumbnail: Annotated[bool, about("Whether `files.get` has a thumbnail of it.")] = False
    animated: Annotated[
        bool, about("Whether it is a picture that moves; its thumbnail does not.")
    ] = False


class File(Record, frozen=True):
    """`attached_to` is the id of the object it belongs to. `readers` are the users and role rooms
    (`role:admin`) that may read it besides its owner."""

    COLLECTION = "files"
    PREFIX = "file"
    INDEXES = (
        Index((("owner_id", 1), ("size", 1))),
        Index((("state", 1), ("attached_to", 1), ("created_at", 1))),
        Index((("expires_at", 1),), where={"expires_at": ANY_TIME}),
    )
    PERSONAL = frozenset({"name"})

    owner_id: str
    name: str
    type: str
    size: int
    width: int | None = None
    height: int | None = None
    thumbnail_size: int = 0
    animated: bool = False
    state: State = State.STORING
    attached_to: str | None = None
    readers: Annotated[tuple[str, ...], Bounded(10)] = ()
    expires_at: datetime | None = None

    @property
    def keys(self) -> list[str]:
        """The keys of its blobs."""
        return [self.id, *([thumbnail_of(self.id)] if self.thumbnail_size else [])]

    def seen(self) -> Attachment:
        return Attachment(
            self.id,
            self.name,
            self.type,
            self.size,
            self.width,
            self.height,
            self.thumbnail_size > 0,
            self.animated,
        )


def thumbnail_of(file_id: str) -> str:
    return f"{file_id}.thumb"


# -- upload ----------------------------------------------------------------------------------


class Received(msgspec.Struct, frozen=True):
    """A completely received upload that is not inspected yet."""

    name: str
    spool: Spool


class Upload(Command, frozen=True):
    """No fields of its own; the audit log has the name and type of the received file."""

    PERSONAL = frozenset({"name"})


@operation(
    "files.upload",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=(Limit(30, 60),),
    errors=(QuotaExceeded, TooLarge, UnsupportedType),
)
async def upload(cmd: Upload, actor: Actor, ports: Ports, received: Received) -> Attachment:
    """Store a file, which only its owner can read until it is attached.

    A refused upload leaves no data. Raises TooLarge, UnsupportedType, QuotaExceeded, RateLimited,
    Unavailable.
    """
    # An upload that fails while it is stored is left to `sweep`: the store may still be writing, so
    # bytes could arrive after an immediate removal.
    async with ports.examiner.examine(received.spool, actor.id) as found:
        file = ports.store.single().new(
            File,
            owner_id=actor.id,
            name=safe_name(received.name, found.type),
            type=found.type,
            size=found.content.size,
            width=found.width,
            height=found.height,
            thumbnail_size=found.thumbnail.size if found.thumbnail else 0,
            animated=found.animated,
        )
        await ports.store.single().add(file)
        try:
            await check_room(ports.store.single(), actor.id)
        except QuotaExceeded:
            await _remove(ports, [file])
            raise
        try:
            async with asyncio.timeout(STORING_SECONDS):
                with WaitLimit(STORING_SECONDS):
                    await _store(ports, file, found)
        except TimeoutError as late:
            raise Unavailable from late
    return file.seen()


async def check_room(uow: UnitOfWork, owner_id: str, more: int = 0) -> None:
    """Raises QuotaExceeded.

    Checked after the row is written, so that parallel uploads all count, and before the upload is
    received (`more` files), so that no bytes are read in vain.
    """
    used = await uow.aggregate(
        File,
        [
            {"$match": {"owner_id": owner_id}},
            {"$group": {"_id": None, "files": {"$sum": 1}, "bytes": {"$sum": "$size"}}},
        ],
    )
    if used and (used[0]["files"] + more > MAX_FILES or used[0]["bytes"] + more > MAX_BYTES):
        raise QuotaExceeded(limit_bytes=MAX_BYTES, limit_files=MAX_FILES)


async def _store(ports: Ports, file: File, found: InspectedFile) -> None:
    await ports.blobs.write(file.id, found.content.pieces())
    if found.thumbnail:
        await ports.blobs.write(thumbnail_of(file.id), found.thumbnail.pieces())
    kept = await ports.store.single().change(
        File, file.id, only_if={"state": State.STORING}, state=State.KEPT
    )
    if kept is None:
        raise Unavailable  # `sweep` removed it because storing took too long


async def attach(
    uow: UnitOfWork, file_ids: Sequence[str], owner_id: str, to: str, readers: Sequence[str]
) -> tuple[Attachment, ...]:
    """Attach files of `owner_id` to the object `to`, and let `readers` read them.

    Raises NotFound for a file that is not the owner's, Conflict for one that is attached to
    something else. A repeat with the same `to` changes only the readers.
    """
    ids = tuple(dict.fromkeys(file_ids))
    if not ids:
        return ()
    own = {"_id": ids, "owner_id": owner_id, "state": State.KEPT}
    files = {file.id: file for file in await uow.all(File, own, limit=len(ids))}
    if missing := [id for id in ids if id not in files]:
        raise NotFound("file_ids: there is no such file, or it is not yours.", file_ids=missing)
    free = {**own, "attached_to": (None, to)}
    taken = [id for id in ids if files[id].attached_to not in (None, to)]
    if taken or await uow.change_all(File, free, attached_to=to, readers=readers) < len(ids):
        raise Conflict("file_ids: a file belongs to one thing: upload it again.", file_ids=taken)
    return tuple(files[id].seen() for id in ids)


async def detach(uow: UnitOfWork, file_ids: Sequence[str], owner_id: str, to: str) -> None:
    """Take files of `owner_id` from the object `to`: only the owner reads them until `sweep`."""
    where = {"_id": tuple(file_ids), "owner_id": owner_id, "attached_to": to}
    if file_ids:
        await uow.change_all(File, where, attached_to=None, readers=())


async def change_readers(
    uow: UnitOfWork, file_ids: Sequence[str], owner_id: str, to: str, readers: Sequence[str]
) -> None:
    """Let `readers` and no others read these files of the object `to`, beside their owner."""
    where = {"_id": tuple(file_ids), "owner_id": owner_id, "attached_to": to}
    if file_ids:
        await uow.change_all(File, where, readers=readers)


async def store_generated(ports: Ports, file: File, content: AsyncIterator[bytes]) -> bool:
    """Store a file that the server makes; an earlier attempt with the same id is replaced.

    False if `sweep` removed it, because storing took too long.
    """
    await _remove(ports, [file])
    await ports.store.single().add(file)
    size = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for piece in content:
            size += len(piece)
            yield piece

    await ports.blobs.write(file.id, counted())
    only_if = {"state": State.STORING}
    kept = await ports.store.single().change(
        File, file.id, only_if=only_if, state=State.KEPT, size=size
    )
    return kept is not None


# -- download --------------------------------------------------------------------------------


class PictureSize(StrEnum):
    """Another size than the picture's own."""

    THUMBNAIL = "thumb"


class Get(Command, frozen=True):
    file_id: Annotated[Id, about("The id of the file.")]
    size: Annotated[PictureSize | None, about("`thumb` for the thumbnail.")] = None


class ById(Command, frozen=True):
    file_id: Annotated[Id, about("The id of the file.")]


class Ticket(msgspec.Struct, frozen=True):
    """Permits reading one file until `expires_at`, for URLs that cannot carry a token."""

    ticket: Annotated[str, about("Give it as the query `ticket` of `files.get`.")]
    expires_at: Annotated[datetime, about("When it expires.")]


@operation("files.get", roles=EVERYONE, style=Style.READ, errors=(NotFound,))
async def get(cmd: Get, actor: Actor, uow: UnitOfWork) -> File:
    """Download a file, or its thumbnail. Raises NotFound, also for a missing thumbnail."""
    file = await _get_readable(uow, cmd.file_id, actor)
    if cmd.size and not file.thumbnail_size:
        raise NotFound
    return file


@operation("files.ticket", roles=EVERYONE, style=Style.DIRECT, errors=(NotFound,))
async def ticket(cmd: ById, actor: Actor, ports: Ports, meta: Meta) -> Ticket:
    """A ticket for one file and 60 seconds, for `<img>`. Raises NotFound."""
    await _get_readable(ports.store.single(), cmd.file_id, actor)
    return Ticket(*ports.tickets.ticket(actor, cmd.file_id, TICKET_LIFE))


async def _get_readable(uow: UnitOfWork, id: str, actor: Actor) -> File:
    """A file that this user may read, as one of its people or to decide about a dispute.

    Raises NotFound.
    """
    file = await uow.find(File, {"_id": id, **readable(actor)})
    if file is None and actor.role is Role.ADMIN:
        kept = await uow.find(File, {"_id": id, "state": State.KEPT})
        file = kept if kept and await is_reviewed(uow, kept.attached_to) else None
    if file is None:
        raise NotFound
    return file


def readable(actor: Actor) -> dict[str, Any]:
    """The filter for files that this user may read."""
    named = {"readers": {"$in": [actor.id, role_room(actor.role)]}}
    return {"state": State.KEPT, "$or": [{"owner_id": actor.id}, named]}


# -- removal ---------------------------------------------------------------------------------


async def sweep(ports: Ports) -> int:
    """Remove expired files, files that were never attached, and interrupted uploads.

    Returns their number.
    """
    swept = 0
    while some := await _sweep_some(ports):
        swept += some
    return swept


async def _sweep_some(ports: Ports) -> int:
    uow = ports.store.single()
    old = {
        "$or": [
            {"state": state, "attached_to": None, "created_at": {"$lt": uow.now - age}}
            for state, age in ((State.STORING, STORED_WITHIN), (State.KEPT, ATTACHED_WITHIN))
        ]
    }
    expired = {"expires_at": {"$lt": uow.now, **ANY_TIME}}
    store = ports.store
    for unwanted, sort in ((old, (("created_at", 1),)), (expired, (("expires_at", 1),))):
        found = await first_readable(store, File, unwanted, sort, CHUNK)
        # This state comes first: a dropped file can be neither attached nor read.
        ids = tuple(file.id for file in found)
        await uow.change_all(File, {**unwanted, "_id": ids}, state=State.DROPPED)
    by_age = (("attached_to", 1), ("created_at", 1))
    dropped = await first_readable(store, File, {"state": State.DROPPED}, by_age, CHUNK)
    await _remove(ports, dropped)
    return len(dropped)


async def _remove(ports: Ports, files: Sequence[File]) -> None:
    """Remove blobs, then rows, so that an interrupted removal is repeated."""
    if files:
        await ports.blobs.remove([key for file in files for key in file.keys])
        await ports.store.single().remove(File, {"_id": tuple(file.id for file in files)})
