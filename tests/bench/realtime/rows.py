"""The measured rows: each function loads one running server and returns figures by name."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tests.bench.realtime.generator import (
    Counter,
    Refused,
    Socket,
    close,
    closed_loop,
    command,
    connect,
    open_loop,
)
from tests.bench.realtime.seeding import Pair, World
from tests.bench.realtime.targets import Target, cpu_of_all

CHATS = 50
WINDOW = 4  # messages in flight of one sender
DELIVERIES, MAX_TIMES = 80_000, 2000  # for each number of receivers
DEVICES = (1, 10, 100, 200, 1000)
# A change costs some milliseconds: the cost of ten deliveries is within its noise.
WATCHERS = (100, 200, 1000)
WARM_UP = 0.5  # seconds
IDLE_CPU = 0.25  # cores; server and stores below this have finished deferred work
IDLE_SECONDS = 5  # deferred work may start later than this
MAX_IDLE_WAIT = 60.0  # seconds
TEXT = "x" * 80
Figures = dict[str, float]


class Load(msgspec.Struct):
    """One running server and the seconds to load it. `rate` (messages/s) is set by `chat`."""

    target: Target
    world: World
    seconds: float
    idle: Sequence[int]  # numbers of idle connections
    rate: float = 0


class Effort(msgspec.Struct):
    """CPU seconds of the server for `count` operations."""

    cpu: float = 0
    count: int = 0

    @property
    def micros(self) -> float:
        return self.cpu / self.count * 1e6


async def ack(load: Load) -> Figures:
    """Commands without a write: `typing` to an absent member, and to a connected one."""
    pairs = load.world.pairs
    found = {
        "ack, 1 connection": await _acks(load, pairs[:1], 16, _typing),
        "ack, 100 connections": await _acks(load, pairs, 1, _typing),
    }
    others = await connect(
        load.target.port, load.world.sign(*(pair.contractor for pair in pairs)), "/chat"
    )
    found["ack and one push"] = await _acks(load, pairs, 1, _typing)
    await close(others)
    return found


async def read(load: Load) -> Figures:
    """The last 20 messages of a conversation."""

    def history(pair: Pair) -> list[bytes]:
        fields = {"conversation_id": pair.conversation_id, "limit": 20}
        return [command("/chat", "history", fields)]

    return {"read": await _acks(load, load.world.pairs, 1, history)}


async def _acks(
    load: Load, pairs: Sequence[Pair], window: int, frames: Callable[[Pair], list[bytes]]
) -> float:
    """Microseconds of CPU for an acknowledged command."""
    tokens = load.world.sign(*(pair.customer for pair in pairs))
    sockets = await connect(load.target.port, tokens, "/chat")
    work = [(socket, frames(pair)) for socket, pair in zip(sockets, pairs, strict=True)]
    try:
        await closed_loop(work, window, WARM_UP)
        before = load.target.cpu()
        done = await closed_loop(work, window, load.seconds)
        return Effort(load.target.cpu() - before, done.acked).micros
    finally:
        await close(sockets)


def _typing(pair: Pair) -> list[bytes]:
    fields = [{"conversation_id": pair.conversation_id, "typing": on} for on in (True, False)]
    return [command("/chat", "typing", each, id) for id, each in enumerate(fields)]


async def delivery(load: Load) -> Figures:
    """CPU per delivery: `job.update` with watchers, less the same without watchers."""
    world, found = load.world, {}
    (owner,) = await connect(load.target.port, world.sign(world.owner), "/job")
    owner.pushes = b'42/job,["job.updated"'
    for size in WATCHERS:
        tokens = world.sign(*world.crowd[:size])
        watchers = await connect(load.target.port, tokens, "/job")
        watch = command("/job", "watch", {"job_id": world.watched_job})
        await asyncio.gather(*(watcher.ask(watch) for watcher in watchers))
        for watcher in watchers:
            watcher.pushes = owner.pushes
        watched, lonely = (
            [
                command("/job", "update", {"job_id": job, "title": f"Fence {number}"})
                for number in range(10)
            ]
            for job in (world.watched_job, world.lonely_job)
        )
        found[f"delivery, room of {size}"] = await _compared(
            load, size, 1, [(owner, watched, [owner, *watchers]), (owner, lonely, [owner])]
        )
        await close(watchers)
    await close([owner])
    return found


async def devices(load: Load) -> Figures:
    """CPU per delivery without a write, which is more exact: `typing` to a user's connections."""
    world, found = load.world, {}
    crowded, absent = world.pairs[:2]
    tokens = world.sign(crowded.customer, absent.customer)
    sender, lonely = await connect(load.target.port, tokens, "/chat")
    for size in DEVICES:
        tokens = world.sign(crowded.contractor) * size
        receivers = await connect(load.target.port, tokens, "/chat")
        for receiver in receivers:
            receiver.pushes = b'42/chat,["typing"'
        found[f"delivery, connections of a user: {size}"] = await _compared(
            load, size, 2, [(sender, _typing(crowded), receivers), (lonely, _typing(absent), [])]
        )
        await close(receivers)
    await close([sender, lonely])
    return found


Sending = tuple[Socket, list[bytes], Sequence[Socket]]  # sender, frames, receivers


async def _compared(load: Load, size: int, often: int, ways: list[Sending]) -> float:
    """CPU microseconds per delivery: the cost of the first way above the second, measured in turn.
    `often` multiplies the number of turns."""
    times = int(min(MAX_TIMES, DELIVERIES / size) * often * load.seconds / 3)
    efforts = [Effort(), Effort()]
    block = 10
    for part in range(times // block + 1):
        for effort, (sender, frames, receivers) in zip(efforts, ways, strict=True):
            arrived = Counter()
            for receiver in receivers:
                receiver.pushed = arrived
            before = load.target.cpu()
            for number in range(block):
                await sender.ask(frames[number % len(frames)])
                await arrived.reached((number + 1) * len(receivers))
            await asyncio.sleep(0.01)  # deferred work counts too
            if part:  # the first warms up
                effort.cpu += load.target.cpu() - before
                effort.count += block
    full, base = efforts
    return (full.micros - base.micros) / size


async def chat(load: Load) -> Figures:
    """The maximal rate of durable messages; then, at half the peer's rate, the latency from the
    due time of a message to its delivery."""
    pairs = load.world.pairs[:CHATS]
    port, sign = load.target.port, load.world.sign
    senders = await connect(port, sign(*(pair.customer for pair in pairs)), "/chat")
    others = await connect(port, sign(*(pair.contractor for pair in pairs)), "/chat")
    for socket in (*senders, *others):
        socket.pushes = b'42/chat,["message"'
    try:
        found = await _maximal_rate(load, senders, others, pairs)
        load.rate = load.rate or found["messages"] / 2
        await _wait_until_idle()
        return found | await _steady_rate(load, senders, others, pairs)
    finally:
        await close([*senders, *others])


async def _wait_until_idle() -> None:
    """Wait until server and stores are idle for IDLE_SECONDS, at most MAX_IDLE_WAIT."""
    deadline = time.monotonic() + MAX_IDLE_WAIT
    idle = 0
    while idle < IDLE_SECONDS and time.monotonic() < deadline:
        before = cpu_of_all()
        await asyncio.sleep(1)
        idle = idle + 1 if cpu_of_all() - before < IDLE_CPU else 0


async def _maximal_rate(
    load: Load, senders: list[Socket], others: list[Socket], pairs: Sequence[Pair]
) -> Figures:
    numbers: list[list[int]] = [[] for _ in pairs]
    arrived = Counter()
    for sender, other, seqs in zip(senders, others, numbers, strict=True):
        sender.pushed = arrived
        other.pushed = _numbered(seqs, arrived)
    work = [
        (
            sender,
            [command("/chat", "send", _message(pair, f"{id} {TEXT}"), id) for id in range(WINDOW)],
        )
        for sender, pair in zip(senders, pairs, strict=True)
    ]
    warm = await closed_loop(work, WINDOW, WARM_UP)
    await arrived.reached(2 * warm.acked)
    before = load.target.cpu()
    done = await closed_loop(work, WINDOW, 2 * load.seconds)
    await arrived.reached(2 * (warm.acked + done.acked))
    cpu = Effort(load.target.cpu() - before, done.acked).micros
    for seqs in numbers:
        if sorted(seqs) != list(range(min(seqs), min(seqs) + len(seqs))):
            raise Refused("the numbers of a conversation have gaps")
    return {"messages": done.acked / done.seconds, "CPU of a message": cpu}


def _numbered(seqs: list[int], arrived: Counter) -> Callable[[bytes, int, int], None]:
    def pushed(data: bytes, begin: int, end: int) -> None:
        at = data.index(b'"seq":', begin, end) + 6
        seqs.append(int(data[at : data.index(b",", at)]))
        arrived()

    return pushed


async def _steady_rate(
    load: Load, senders: list[Socket], others: list[Socket], pairs: Sequence[Pair]
) -> Figures:
    times: dict[int, float] = {}
    arrived, answered = Counter(), Counter()
    for sender, other in zip(senders, others, strict=True):
        sender.acked, sender.pushed, other.pushed = answered, Counter(), _timed(times, arrived)

    def send(number: int) -> None:
        each = number % len(pairs)
        fields = _message(pairs[each], f"n{number:06d} {TEXT}")
        senders[each].transport.write(command("/chat", "send", fields, number))

    total, due = await open_loop(load.rate, 5 * load.seconds, send)
    await arrived.reached(total)
    await answered.reached(total)
    for sender in senders:
        sender.check()
    waits = sorted((at - due(number)) * 1000 for number, at in times.items())
    return {"p50": statistics.median(waits), "p99": waits[int(len(waits) * 0.99)]}


def _timed(times: dict[int, float], arrived: Counter) -> Callable[[bytes, int, int], None]:
    def pushed(data: bytes, begin: int, end: int) -> None:
        at = data.index(b'"text":"n', begin, end) + 9
        times[int(data[at : at + 6])] = time.perf_counter()
        arrived()

    return pushed


def _message(pair: Pair, text: str) -> dict[str, str]:
    return {"conversation_id": pair.conversation_id, "text": text}


async def memory(load: Load) -> Figures:
    """KiB per idle connection with the two namespaces that every client uses."""
    world, found = load.world, {}
    names = ("/account", "/chat")
    await close(await connect(load.target.port, world.sign(*world.crowd[:200]), *names))
    before = await load.target.memory()
    sockets: list[Socket] = []
    for count in load.idle:
        people = world.crowd[len(sockets) : count]
        sockets += await connect(load.target.port, world.sign(*people), *names)
        found[f"memory, {count} connections"] = (await load.target.memory() - before) / count
    for socket in sockets:
        socket.check()
    await close(sockets)
    return found


ROWS: dict[str, Callable[[Load], Awaitable[Figures]]] = {
    "memory": memory,
    "ack": ack,
    "read": read,
    "devices": devices,
    "delivery": delivery,
    "chat": chat,
}
