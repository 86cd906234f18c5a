"""After a soak test: compares the clients' state with the database and the acknowledgements."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from domain.chat.conversation import Conversation, Message
from domain.jobs.job import Job
from domain.kernel.record import Record
from domain.notifications.feed import FeedRow
from tests.soak.client import Client, FeedEvent, KnownMessage, feed_event
from tests.soak.javascript import Summary
from tests.support.market import Market

MAX_ROWS = 1_000_000

Observer = Client | Summary


async def verify(market: Market, clients: Sequence[Observer], counts: Counter[str]) -> list[str]:
    """The problems found. Adds to `counts`."""
    problems = [f"{client.id}: {problem}" for client in clients for problem in client.problems]
    talks: dict[str, list[KnownMessage]] = defaultdict(list)
    for row in await _all_rows(market, Message):
        talks[row.conversation_id].append(
            KnownMessage(row.seq, row.author_id, row.client_id, row.text)
        )
    for talk in talks.values():
        talk.sort()
    feeds: dict[str, list[tuple[int, FeedEvent]]] = defaultdict(list)
    for row in await _all_rows(market, FeedRow, seq={"$gt": 0}):
        feeds[row.user_id].append((row.seq, feed_event(row.namespace, row.name, row.data)))
    for feed in feeds.values():
        feed.sort(key=lambda numbered: numbered[0])
    conversations = await _all_rows(market, Conversation)
    members = {found.id: set(found.members) for found in conversations}
    problems += _check_messages(talks, clients, counts)
    for client in clients:
        own = {id: talks[id] for id, both in members.items() if client.id in both}
        problems += _check_conversations(client, own)
        problems += _check_feed(client, feeds[client.id])
    problems += _check_events(clients, feeds, counts)
    problems += _check_executed_once(await _all_rows(market, Job), clients)
    counts["messages stored"] = sum(map(len, talks.values()))
    counts["events stored"] = sum(map(len, feeds.values()))
    return problems


async def _all_rows(market: Market, kind: type[Record], **where: Any) -> list[Any]:
    return await market.store.single().all(kind, where, limit=MAX_ROWS)


def _numbered(what: str, seqs: Sequence[int]) -> Iterable[str]:
    if list(seqs) != list(range(1, len(seqs) + 1)):
        yield f"{what} has gaps: {seqs}"


def _check_messages(
    talks: dict[str, list[KnownMessage]], clients: Sequence[Observer], counts: Counter[str]
) -> Iterable[str]:
    """Conversations have no gaps; each acknowledged message is stored once, at its seq. Those of a
    JavaScript client are in the order of its calls."""
    in_order = {client.id for client in clients if isinstance(client, Summary)}
    times = Counter(message.client_id for talk in talks.values() for message in talk)
    yield from (f"{id} is stored {n} times" for id, n in times.items() if n != 1)
    for id, talk in talks.items():
        yield from _numbered(id, [message.seq for message in talk])
        turns: dict[str, list[int]] = defaultdict(list)
        for message in talk:
            turns[message.author].append(int(message.text.split()[1]))
        for author, numbers in turns.items():
            overtaken = sum(a > b for a, b in pairwise(numbers))
            counts["messages out of their author's order"] += overtaken
            if overtaken and author in in_order:
                yield f"{author}: {overtaken} messages of {id} are out of order: {numbers}"
    for client in clients:
        for command, data in client.acked:
            if command.name == "send":
                counts["acknowledged messages"] += 1
                talk, seq = talks[command.fields["conversation_id"]], data["seq"]
                stored = talk[seq - 1].client_id if seq <= len(talk) else None
                if stored != command.fields["client_id"]:
                    yield f"{client.id}: acknowledged and lost: {command} {data}, stored: {stored}"


def _check_conversations(client: Observer, own: dict[str, list[KnownMessage]]) -> Iterable[str]:
    for id, talk in own.items():
        if client.talks.get(id, []) != talk:
            known = len(client.talks.get(id, []))
            yield f"{client.id} knows {known} of {len(talk)} messages of {id}, or others"
    if strange := client.talks.keys() - own.keys():
        yield f"{client.id} knows conversations of others: {strange}"


def _check_feed(client: Observer, feed: list[tuple[int, FeedEvent]]) -> Iterable[str]:
    yield from _numbered(f"feed of {client.id}", [seq for seq, _ in feed])
    if client.feed != [event for _, event in feed]:
        yield f"{client.id} applied {len(client.feed)} of {len(feed)} events, or others"


def _check_executed_once(jobs: Sequence[Job], clients: Sequence[Observer]) -> Iterable[str]:
    """Commands resent after a lost acknowledgement were executed once."""
    made = Counter(
        data["id"]
        for client in clients
        for command, data in client.acked
        if command.name == "create"
    )
    stored = {job.id for job in jobs}
    if made.keys() != stored or made.total() != len(stored):
        yield f"{len(stored)} jobs are stored, {made.total()} were acknowledged"


def _check_events(
    clients: Sequence[Observer], feeds: dict[str, list[tuple[int, FeedEvent]]], counts: Counter[str]
) -> Iterable[str]:
    """Each acknowledged command has its event in the right feed once."""
    for client in clients:
        for command, data in client.acked:
            match command.name:
                case "create" | "update":
                    name, whose = "job.updated", data["customer_id"]
                case "apply":
                    name, whose = "application.created", data["customer_id"]
                case "accept":
                    name, whose = "application.updated", data["contractor_id"]
                case _:
                    continue
            counts["acknowledged commands with an event"] += 1
            wanted = feed_event(command.namespace, name, data)
            times = sum(event == wanted for _, event in feeds[whose])
            if times != 1:
                yield f"{wanted} is {times} times in the feed of {whose}"
