"""An ending process hands its clients to another one, and no message is lost."""

import asyncio
import json
import time
from asyncio.subprocess import PIPE
from collections import Counter

from server.dev.stores import ROOT
from tests.domain.chat.test_conversations import meet
from tests.support.load_balancer import LoadBalancer
from tests.support.market import Market
from tests.support.parties import Json
from tests.support.processes import Processes

PAIRS = 4
DRAIN_SECONDS = 3
PATIENCE = 60.0


async def pairs(market: Market, count: int) -> list[Json]:
    """Pairs of users with a conversation, signed in and not connected."""

    async def pair() -> list[Json]:
        talk = await meet(market)
        both = talk.customer, talk.contractor
        await asyncio.gather(*(each.disconnect() for each in both))
        return [
            {
                "user": {"id": each.id, "name": each.name},
                "access_token": each.token,
                "conversation_id": talk.id,
            }
            for each in both
        ]

    made = await asyncio.gather(*(pair() for _ in range(count)))
    return [person for two in made for person in two]


async def test_javascript_clients_reconnect_elsewhere_and_lose_nothing(
    client: None, processes: Processes
) -> None:
    """Guard: `Engine.drain` ends transports, because clients do not reconnect after a Socket.IO
    disconnect; `_ready` and `_handle_connect` check `draining`."""
    first = await processes.web(DRAIN_SECONDS=str(DRAIN_SECONDS))
    second = await processes.web(DRAIN_SECONDS=str(DRAIN_SECONDS))
    people = await pairs(processes.market, PAIRS)
    async with LoadBalancer(first.url, second.url) as load_balancer, asyncio.timeout(PATIENCE):
        node = await asyncio.create_subprocess_exec(
            "node",
            str(ROOT / "tests" / "stories" / "node" / "drain.mjs"),
            load_balancer.url,
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
            limit=2**24,
        )
        try:
            assert node.stdin and node.stdout
            node.stdin.write(json.dumps(people).encode() + b"\n")
            assert await node.stdout.readline() == b"talking\n"
            leaving, staying = sorted(
                load_balancer.open_connections, key=lambda url: -load_balancer.open_connections[url]
            )
            ending = first if leaving == first.url else second
            moving = load_balancer.open_connections[leaving]
            asked = time.time()
            assert await ending.stop() == 0
            ended = time.time()
            while load_balancer.open_connections[staying] < 2 * PAIRS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            node.stdin.write(b"end\n")
            found = json.loads(await node.stdout.readline())
        finally:
            if node.returncode is None:
                node.kill()
            await node.wait()
    unready = next(
        look.at
        for look in load_balancer.readiness_changes
        if look.url == leaving and not look.ready
    )
    check_moves(found, moving, asked, unready, ended)
    check_talk(found)


def check_moves(found: list[Json], moving: int, asked: float, unready: float, ended: float) -> None:
    moved = [person for person in found if person["lost"]]
    assert len(moved) == moving >= PAIRS / 2
    lost = sorted(when / 1000 - asked for person in moved for when in person["lost"])
    back = sorted(person["back"][-1] / 1000 - asked for person in moved)
    print(
        f"{moving} of {len(found)} clients moved: not ready after {unready - asked:.2f} s, ended "
        f"{lost[0]:.2f}-{lost[-1]:.2f} s, back {back[0]:.2f}-{back[-1]:.2f} s, process gone after "
        f"{ended - asked:.2f} s; sent again: {sum(person['again'] for person in found)}"
    )
    assert len(lost) == len(moved)  # no client was sent to the ending process again
    assert unready - asked < lost[len(lost) // 2]


def check_talk(found: list[Json]) -> None:
    """Both received the same; every acknowledged message arrived once."""
    heard = {tuple(person["heard"]) for person in found}
    assert [person["problems"] for person in found if person["problems"]] == []
    assert len(heard) == PAIRS
    times = Counter(message for talk in heard for message in talk)
    acked = [message for person in found for message in person["acked"]]
    print(f"{len(acked)} acknowledged messages, {times.total()} heard")
    assert {message: times[message] for message in acked if times[message] != 1} == {}
    assert set(times.values()) == {1}
