"""What administrators may read beside the people of a file: all that a dispute may be about.

While a dispute is not resolved they read the files that are attached to its job and to the
conversation of its two sides. Each reading has a row in the audit trail.
"""

from collections.abc import Iterable

from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork


class FileReview(Record, frozen=True):
    """Administrators read the files of one object while `because`, a dispute, is not resolved. The
    id is made of the object's."""

    COLLECTION = "file_reviews"
    PREFIX = "rvw"
    INDEXES = (Index((("because", 1),)),)
    LOGGED = False

    because: str


async def begin_review(uow: UnitOfWork, objects: Iterable[str], because: str) -> None:
    """Let administrators read the files that are or will be attached to these objects."""
    for id in map(_id_of, objects):
        if await uow.change(FileReview, id, because=because) is None:
            await uow.add(uow.new(FileReview, id=id, because=because))


async def end_review(uow: UnitOfWork, because: str) -> None:
    await uow.remove(FileReview, {"because": because})


async def is_reviewed(uow: UnitOfWork, attached_to: str | None) -> bool:
    """Whether administrators may read the files of this object."""
    return attached_to is not None and bool(
        await uow.find(FileReview, {"_id": _id_of(attached_to)})
    )


def _id_of(attached_to: str) -> str:
    return f"{FileReview.PREFIX}_{attached_to}"
