"""Writes the terms of messages that were stored by a version which found fewer words.

It goes through all messages once, a stretch at a time, and keeps its position. A higher VERSION,
for other terms, begins again. Messages that change at the same moment have their terms from that
change.
"""

from domain.chat.conversation import SYSTEM, Message
from domain.chat.search_terms import message_terms
from domain.kernel.record import Record
from domain.ports.ports import Ports

VERSION = 1  # of what `message_terms` makes of a text
BATCH, BATCHES = 200, 50  # messages in one query; queries in one run
END = "~"  # after all ids


class TermsPosition(Record, frozen=True):
    """The id of the last message that was looked at; the id of the record has the version."""

    COLLECTION = "message_terms_positions"
    PREFIX = "mtp"
    LOGGED = False

    after: str


async def fill_message_terms(ports: Ports) -> int:
    """Returns how many messages it has changed."""
    uow, id = ports.store.single(), f"{TermsPosition.PREFIX}_{VERSION}"
    position = await uow.find(TermsPosition, {"_id": id})
    if position is None:
        position = uow.new(TermsPosition, id=id, after="")
        await uow.add(position)
    changed, after = 0, position.after
    for _ in range(BATCHES):
        if after == END:
            break
        query = {"_id": {"$gt": after}}
        rows = [row async for row in uow.documents(Message, query, (("_id", 1),), BATCH)]
        changes = []
        for row in rows:
            message = uow.record(Message, dict(row))
            terms = message_terms(message.text) if message.author_id != SYSTEM else ()
            if terms != message.terms:
                same = {"_id": message.id, "version": message.version}
                sealed = ports.store.codec.seal(Message, message.id, {"terms": list(terms)})
                changes.append((same, sealed))
        changed += await uow.set_stored(Message, changes)
        after = str(rows[-1]["_id"]) if len(rows) == BATCH else END
        await uow.change(TermsPosition, id, after=after)
    return changed
