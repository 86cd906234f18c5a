"""Encrypts stored fields again after a new key was configured, batch by batch.

The position is stored after each batch, so an interrupted run continues there. It is removed at the
end: the next run reads everything, with what processes wrote under the old key in the meantime.
"""

from collections.abc import AsyncIterator
from typing import Any

from domain.kernel.field_codec import FieldCodec
from domain.kernel.record import Record
from domain.kernel.store import Store

BATCH = 50  # records: of chunks of files, 13 MB, which are read and sent with their old values


class RotationPosition(Record, frozen=True):
    """How far a rotation has come in one collection; the id names the key and the collection."""

    COLLECTION = "key_rotations"
    PREFIX = "rot"
    LOGGED = False

    after: str


async def remaining(store: Store, kind: type[Record], kid: str) -> int:
    """How many records the next run reads."""
    after = await _position(store, kind, kid)
    return await store.single().count(kind, {"_id": {"$gt": after}})


async def rotate(store: Store, kind: type[Record], kid: str) -> AsyncIterator[int]:
    """Yields, after each batch of up to BATCH records, how many of them were encrypted again.

    `kid` is the id of the current key. Raises UndecipherableField for a field whose key is missing.
    """
    uow, id = store.single(), _id(kind, kid)
    after: str | None = await _position(store, kind, kid)
    while after is not None:
        query = {"_id": {"$gt": after}}
        rows = [row async for row in uow.documents(kind, query, (("_id", 1),), BATCH)]
        stale = [row for row in rows if not store.codec.is_current(kind, row)]
        changed = await uow.set_stored(kind, [_again(store.codec, kind, row) for row in stale])
        after = str(rows[-1]["_id"]) if len(rows) == BATCH else None
        if after is not None and await uow.change(RotationPosition, id, after=after) is None:
            await uow.add(uow.new(RotationPosition, id=id, after=after))
        yield changed
    await uow.remove(RotationPosition, {"_id": id})


def _again(
    codec: FieldCodec, kind: type[Record], row: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The filter and the new values of one document. It must still be as it was read, so that a
    change at the same moment is kept."""
    names = {path.partition(".")[0] for path in kind.ENCRYPTED | kind.ENCRYPTED_MESSAGES}
    before = {name: row[name] for name in names & row.keys()}
    clear = codec.open(kind, row)
    sealed = codec.seal(kind, row["_id"], {name: clear[name] for name in before})
    return {"_id": row["_id"], **before}, sealed


async def _position(store: Store, kind: type[Record], kid: str) -> str:
    found = await store.single().find(RotationPosition, {"_id": _id(kind, kid)})
    return found.after if found else ""


def _id(kind: type[Record], kid: str) -> str:
    return f"{kid}:{kind.COLLECTION}"
