"""After a soak: what the clients know against the database and against what was acknowledged."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from domain.chat.conversation import Conversation, Message
from domain.jobs.job import Job
from domain.kernel.record import Record
from domain.notifications.feed import FeedRow
from tests.soak.client import Client, Happened, Said, happened
from tests.support.market import Market

MOST = 1_000_000  # rows


async def prove(market: Market, clients: Sequence[Client], counts: Counter[str]) -> list[str]:
    """What is wrong; `counts` are added to."""
    problems = [f"{client.id}: {problem}" for client in clients for problem in client.problems]
    talks: dict[str, list[Said]] = defaultdict(list)
    for row in await _every(market, Message):
        talks[row.conversation_id].append(Said(row.seq, row.author_id, row.client_id, row.text))
    for talk in talks.values():
        talk.sort()
    feeds: dict[str, list[tuple[int, Happened]]] = defaultdict(list)
    for row in await _every(market, FeedRow, seq={"$gt": 0}):
        feeds[row.user_id].append((row.seq, happened(row.namespace, row.name, row.data)))
    for feed in feeds.values():
        feed.sort(key=lambda numbered: numbered[0])
    conversations = await _every(market, Conversation)
    members = {found.id: set(found.members) for found in conversations}
    problems += _messages(talks, clients, counts)
    for client in clients:
        own = {id: talks[id] for id, both in members.items() if client.id in both}
        problems += _heard(client, own)
        problems += _fed(client, feeds[client.id])
    problems += _followed(clients, feeds, counts)
    problems += _once(await _every(market, Job), clients)
    counts["messages stored"] = sum(map(len, talks.values()))
    counts["events stored"] = sum(map(len, feeds.values()))
    return problems


async def _every(market: Market, kind: type[Record], **where: Any) -> list[Any]:
    return await market.store.single().all(kind, where, limit=MOST)


def _numbered(what: str, seqs: Sequence[int]) -> Iterable[str]:
    if list(seqs) != list(range(1, len(seqs) + 1)):
        yield f"{what} has gaps: {seqs}"


def _messages(
    talks: dict[str, list[Said]], clients: Sequence[Client], counts: Counter[str]
) -> Iterable[str]:
    """Without gaps; everything acknowledged is there once, where the answer said."""
    times = Counter(message.client_id for talk in talks.values() for message in talk)
    yield from (f"{id} is there {n} times" for id, n in times.items() if n != 1)
    for id, talk in talks.items():
        yield from _numbered(id, [message.seq for message in talk])
        turns: dict[str, list[int]] = defaultdict(list)
        for message in talk:
            turns[message.author].append(int(message.text.split()[1]))
        for told in turns.values():
            counts["messages out of their author's order"] += sum(a > b for a, b in pairwise(told))
    for client in clients:
        for command, data in client.acked:
            if command.name == "send":
                counts["acknowledged messages"] += 1
                talk, seq = talks[command.fields["conversation_id"]], data["seq"]
                there = talk[seq - 1].client_id if seq <= len(talk) else None
                if there != command.fields["client_id"]:
                    yield f"{client.id}: acknowledged and lost: {command} {data}, there: {there}"


def _heard(client: Client, own: dict[str, list[Said]]) -> Iterable[str]:
    for id, talk in own.items():
        if client.talks.get(id, []) != talk:
            known = len(client.talks.get(id, []))
            yield f"{client.id} knows {known} of {len(talk)} messages of {id}, or others"
    if strange := client.talks.keys() - own.keys():
        yield f"{client.id} knows conversations of others: {strange}"


def _fed(client: Client, feed: list[tuple[int, Happened]]) -> Iterable[str]:
    yield from _numbered(f"feed of {client.id}", [seq for seq, _ in feed])
    if client.feed != [event for _, event in feed]:
        yield f"{client.id} applied {len(client.feed)} of {len(feed)} events, or others"


def _once(jobs: Sequence[Job], clients: Sequence[Client]) -> Iterable[str]:
    """What was sent again after a lost acknowledgement was not done again."""
    made = Counter(
        data["id"]
        for client in clients
        for command, data in client.acked
        if command.name == "create"
    )
    stored = {job.id for job in jobs}
    if made.keys() != stored or made.total() != len(stored):
        yield f"{len(stored)} jobs are there, {made.total()} were acknowledged"


def _followed(
    clients: Sequence[Client], feeds: dict[str, list[tuple[int, Happened]]], counts: Counter[str]
) -> Iterable[str]:
    """Each acknowledged command left its event in the right feed once."""
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
            wanted = happened(command.namespace, name, data)
            times = sum(event == wanted for _, event in feeds[whose])
            if times != 1:
                yield f"{wanted} is {times} times in the feed of {whose}"
