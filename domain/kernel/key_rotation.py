"""Encrypts stored fields again after a new key was configured, batch by batch.

The position is stored after each batch, so an interrupted run continues there. It is removed at the
end: the next run reads everything, with what processes wrote under the old key in the meantime.
"""

from collections.abc import AsyncIterator

from domain.kernel.record import Record
from domain.kernel.store import Store

BATCH = 500  # records


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
        after, changed = await store.encrypt_again(kind, after, BATCH)
        if after is not None and await uow.change(RotationPosition, id, after=after) is None:
            await uow.add(uow.new(RotationPosition, id=id, after=after))
        yield changed
    await uow.remove(RotationPosition, {"_id": id})


async def _position(store: Store, kind: type[Record], kid: str) -> str:
    found = await store.single().find(RotationPosition, {"_id": _id(kind, kid)})
    return found.after if found else ""


def _id(kind: type[Record], kid: str) -> str:
    return f"{kid}:{kind.COLLECTION}"
