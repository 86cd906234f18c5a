"""The soak test: clients see everything acknowledged exactly once, despite failures."""

import os

from tests.soak.failures import Plan
from tests.soak.run import soak
from tests.support.processes import Processes

SHORT = Plan(
    seconds=7,
    clients=12,
    javascript=4,
    pause=1,
    cut_every=4,
    kill_every=4,
    redis_after=1,
    redis_away=2,
)


def plan() -> Plan:
    """The short plan, or the one of `python -m tests.soak`."""
    seconds, clients = (int(os.environ.get(f"SOAK_{n}", 0)) for n in ("SECONDS", "CLIENTS"))
    if not seconds:
        return SHORT
    return Plan(
        seconds=seconds,
        clients=clients,
        javascript=clients // 20 * 2,
        pause=clients / 12,
        cut_every=40,
        kill_every=20,
        redis_after=seconds / 3,
        redis_away=5,
    )


async def test_everything_acknowledged_is_seen_exactly_once(
    client: None,
    isolated_processes: Processes,
) -> None:
    """Guard: outbox rows written in the command's own transaction, feed rows at head + 1, the note
    of messages being written, unique (author, client_id), stored replies by request id, and
    `Fanout.send` to the other processes. The JavaScript client repeats, catches up and drops
    duplicates by itself; two of them have a second tab."""
    problems, counts = await soak(plan(), isolated_processes)
    for name, count in sorted(counts.items()):
        print(f"{count:8,} {name}")
    assert problems[:20] == []
    assert counts["acknowledged messages"] > 50 and counts["events stored"] > 20
    assert counts["web processes killed"] and counts["Redis stopped"] == 2
