"""The timeline of a dispute: one record for each entry, limited for each side.

Decision: entries are not an array of the dispute. Every entry would write and push all entries
before it, so 200 of 32 KB would become 3.2 MB for each change. The dispute carries the latest
entries only, within SHOWN_ENTRIES and SHOWN_BYTES, and `payment.dispute_entries` reads the others.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from domain.files.file import MAX_ATTACHED, Attachment
from domain.kernel.bounds import Bounded
from domain.kernel.errors import TooMany
from domain.kernel.fields import about
from domain.kernel.record import Index, Record

SHOWN_ENTRIES, SHOWN_BYTES = 20, 16 * 1024  # in the dispute itself; the latest is always shown
MAX_ENTRIES, MAX_BYTES = 100, 512 * 1024  # of one side in one dispute
SYSTEM = "system"


class TimelineEntry(msgspec.Struct, frozen=True):
    """A timeline entry. `kind` is the name of its command; `by` is a user id or `system`."""

    at: Annotated[datetime, about("When it was written.")]
    by: Annotated[str, about("The id of the user who wrote it, or `system`.")]
    kind: Annotated[
        str, about("What was done: open, say, evidence, propose, agree, escalate or resolve.")
    ]
    text: Annotated[str, about("What was written; may be empty.")] = ""
    refund_amount: Annotated[
        int | None, about("The proposed or decided refund, in minor units; otherwise null.")
    ] = None
    attachments: Annotated[
        tuple[Attachment, ...], Bounded(MAX_ATTACHED), about("The files of the entry.")
    ] = ()
    seq: Annotated[int, about("Its number in the dispute, from 1.")] = 0

    @property
    def size(self) -> int:
        """Its size as JSON, in bytes."""
        return len(msgspec.json.encode(self))


class DisputeEntry(Record, frozen=True):
    """Entry number `seq` of a dispute, from 1; it never changes. Its id has both."""

    COLLECTION = "dispute_entries"
    PREFIX = "dse"
    INDEXES = (Index((("dispute_id", 1), ("seq", -1)), unique=True),)
    ENCRYPTED_MESSAGES = frozenset({"entry"})

    dispute_id: str
    seq: int
    entry: TimelineEntry


class Written(msgspec.Struct, frozen=True):
    """What one side has written: the number of its entries, and their size in bytes."""

    entries: int = 0
    size: int = 0

    def plus(self, entry: TimelineEntry) -> "Written":
        return Written(self.entries + 1, self.size + entry.size)

    def check(self) -> None:
        """Raises TooMany."""
        if self.entries > MAX_ENTRIES or self.size > MAX_BYTES:
            raise TooMany(
                f"One side writes up to {MAX_ENTRIES} entries of {MAX_BYTES} bytes in total: "
                "agree to a proposal, or escalate the dispute to an administrator.",
                limit=MAX_ENTRIES,
                limit_bytes=MAX_BYTES,
            )


def latest(entries: Iterable[TimelineEntry]) -> tuple[TimelineEntry, ...]:
    """The latest entries, oldest first, as many as a dispute carries."""
    newest, *older = reversed(tuple(entries))
    shown, size = [newest], newest.size
    for entry in older[: SHOWN_ENTRIES - 1]:
        size += entry.size
        if size > SHOWN_BYTES:
            break
        shown.append(entry)
    return tuple(reversed(shown))
