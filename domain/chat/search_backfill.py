"""Writes the terms of messages that were stored by a version which found fewer words.

It goes through all messages once, a stretch at a time, and keeps its position. A higher VERSION,
for other terms, begins again. Messages that change at the same moment have their terms from that
change.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from domain.chat.conversation import SYSTEM, Message
from domain.chat.search_terms import message_terms
from domain.kernel.batches import batches
from domain.kernel.record import Record
from domain.kernel.store import Store
from domain.ports.ports import Ports

VERSION = 3  # of what `message_terms` makes of a text
BATCH, BATCHES = 200, 50  # messages that are changed together; such batches in one run
END = "~"  # after all ids


class TermsPosition(Record, frozen=True):
    """The id of the last message that was looked at; the id of the record has the version."""

    COLLECTION = "message_terms_positions"
    PREFIX = "mtp"
    LOGGED = False

    after: str


async def fill_message_terms(ports: Ports) -> int:
    """Returns how many messages it has changed. Damaged ones are reported and left as they are."""
    uow, id = ports.store.single(), f"{TermsPosition.PREFIX}_{VERSION}"
    position = await uow.find(TermsPosition, {"_id": id})
    if position is None:
        position = uow.new(TermsPosition, id=id, after="")
        await uow.add(position)
    if position.after == END:
        return 0
    query = {"_id": {"$gt": position.after}}
    found = uow.documents(Message, query, (("_id", 1),), BATCH * BATCHES)
    changed, last = 0, END
    async for batch in batches(uow.readable(Message, found), BATCH):
        changed += await uow.set_stored(Message, [*_changes(ports.store, batch)])
        last = batch[-1].id
        await uow.change(TermsPosition, id, after=last)
    if last == END:
        await uow.change(TermsPosition, id, after=END)
    return changed


def _changes(
    store: Store, messages: Sequence[Message]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Filter and new values of those whose terms are others."""
    for message in messages:
        terms = message_terms(message.text) if message.author_id != SYSTEM else ()
        if terms != message.terms:
            same = {"_id": message.id, "version": message.version}
            yield same, store.codec.seal(Message, message.id, {"terms": list(terms)})
