"""Messages per second: group commit against an update and an insert for each message.

Both sides write to the same store and push in the same way. The plain side writes no audit row, no
search terms and no read mark, so the comparison favors it. Senders have several messages in flight.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pymongo import ReturnDocument

from domain.chat.conversation import MESSAGE, Conversation, Message
from domain.chat.messages import send
from domain.kernel import documents
from domain.kernel.actor import Actor, Role
from domain.kernel.outbox import Delivery
from domain.kernel.record import wire
from domain.kernel.store import new_id
from domain.operations.command import Meta
from domain.operations.operation import execute
from server.app import Web

CONVERSATIONS = 50
AT_ONCE = 8  # messages in flight of one sender
EACH = 3  # messages sent one after the other
ROUNDS = 3
TEXT = "The second coat goes on Thursday if the weather holds, shall I bring brushes?"

Send = Callable[[Web, Conversation, Actor], Awaitable[object]]


class Round(NamedTuple):
    """Messages per second, and the median and 99th percentile latency in seconds."""

    rate: float
    median: float
    slow: float


async def together(served: Web, place: Conversation, actor: Actor) -> object:
    fields = {"conversation_id": place.id, "text": TEXT, "client_id": new_id("c")}
    return await execute(send.operation, fields, actor, Meta(), served.ports)  # type: ignore[attr-defined]


async def plain(served: Web, place: Conversation, actor: Actor) -> object:
    """Increment the conversation's head, insert the message, push it."""
    database, now = served.store.database, served.store.clock.now()
    last = {"author_id": actor.id, "text": TEXT, "at": now}
    found = await database.conversations.find_one_and_update(
        {"_id": place.id, "members": actor.id},
        {"$inc": {"head": 1}, "$set": {"last_message": last, "active_at": now}},
        return_document=ReturnDocument.AFTER,
    )
    message = Message(
        id=new_id(Message.PREFIX),
        created_at=now,
        updated_at=now,
        conversation_id=place.id,
        author_id=actor.id,
        seq=found["head"],
        text=TEXT,
        client_id=new_id("c"),
    )
    await database.messages.insert_one(documents.document(message))
    shown = wire(message)
    await served._push(
        Delivery(MESSAGE.namespace, MESSAGE.name, shown, place.members, seq=message.seq), now, {}
    )
    return shown


async def measure(served: Web, way: Send) -> Round:
    places = [_place(served, number) for number in range(CONVERSATIONS)]
    await served.store.single().add_all(places)
    times: list[float] = []

    async def talk(place: Conversation, user_id: str) -> None:
        actor = Actor(user_id, Role.CUSTOMER, "ses_bench")
        for _ in range(EACH):
            began = time.perf_counter()
            await way(served, place, actor)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(
        *(talk(place, place.members[n % 2]) for place in places for n in range(AT_ONCE))
    )
    took = time.perf_counter() - began
    times.sort()
    return Round(len(times) / took, statistics.median(times), times[len(times) * 99 // 100])


def _place(served: Web, number: int) -> Conversation:
    now, members = served.store.clock.now(), (new_id("usr"), new_id("usr"))
    return Conversation(
        id=new_id(Conversation.PREFIX),
        created_at=now,
        updated_at=now,
        job_id=new_id("job"),
        job_title=f"Fence {number}",
        customer_id=members[0],
        contractor_id=members[1],
        members=members,
        names={},
        active_at=now,
        read=dict.fromkeys(members, 0),
    )


async def compare(served: Web) -> dict[str, list[Round]]:
    """Measure both in turn, so that changes of the machine's speed affect both."""
    ways: dict[str, Send] = {"one by one": plain, "together": together}
    rounds: dict[str, list[Round]] = {name: [] for name in ways}
    for name in [*ways, *list(ways) * ROUNDS]:
        rounds[name].append(await measure(served, ways[name]))
    return {name: found[1:] for name, found in rounds.items()}  # the first is the warm-up


def ratio(rounds: dict[str, list[Round]]) -> float:
    pairs = zip(*rounds.values(), strict=True)
    return statistics.median(together.rate / plain.rate for plain, together in pairs)


def table(rounds: dict[str, list[Round]]) -> str:
    lines = [f"{'':12}{'messages/s':>12}{'median ms':>12}{'p99 ms':>10}"]
    for name, found in rounds.items():
        rate, median, slow = (statistics.median(column) for column in zip(*found, strict=True))
        lines.append(f"{name:12}{rate:12.0f}{1000 * median:12.0f}{1000 * slow:10.0f}")
    return "\n".join([*lines, f"ratio (median of {ROUNDS} pairs): {ratio(rounds):.2f}"])
