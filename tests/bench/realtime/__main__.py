"""The command of the realtime benchmark: starts stores and servers, prints the tables.

`python -m tests.bench.realtime --rows ack,delivery --rounds 3 --quick`
"""

import argparse
import base64
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import uvloop

from server.config import load
from server.dev.stores import Addresses, Embedded
from tests.bench.realtime import table
from tests.bench.realtime.echo import ceiling
from tests.bench.realtime.generator import Refused
from tests.bench.realtime.rows import ROWS, Load
from tests.bench.realtime.seeding import World, seed
from tests.bench.realtime.targets import OTHER_CORES, CannotStart, Target, bun, echo, ours, peer

IDLE = (1000, 3000, 10_000)
SPARE_FILES = 500
Figures = dict[str, dict[str, list[float]]]


class Run:
    """Measures servers in turn over some rounds. `figures` has results, `notes` failures."""

    def __init__(self, world: World, options: argparse.Namespace) -> None:
        self.world = world
        self.options = options
        self.figures: Figures = defaultdict(lambda: defaultdict(list))
        self.notes: list[str] = []
        self.rate = 0.0

    async def go(self, targets: Sequence[Target], rounds: int) -> None:
        for number in range(rounds):
            for target in targets:
                for row in self.options.rows:
                    if row == "memory" and number:  # once: it hardly varies
                        continue
                    began = time.monotonic()
                    await self._measure(target, row)
                    took = time.monotonic() - began
                    print(f"round {number + 1} {target.name:6} {row:9} {took:5.1f} s", flush=True)

    async def _measure(self, target: Target, row: str) -> None:
        """Measure one row in a new process, so that rows do not affect each other."""
        quick = self.options.quick
        idle = [n for n in IDLE[: 2 if quick else 3] if n <= _most_connections()]
        async with target:
            server_load = Load(target, self.world, 1.0 if quick else 3.0, idle, self.rate)
            try:
                found = await ROWS[row](server_load)
            except (Refused, TimeoutError, ConnectionError) as failed:
                self.notes.append(f"{target.name}, {row}: {failed or type(failed).__name__}")
                return
        self.rate = server_load.rate
        for name, number in found.items():
            self.figures[name][target.name].append(number)


def _most_connections() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES


def environment(stores: Addresses) -> dict[str, str]:
    suffix = os.urandom(8).hex()
    key = base64.b64encode(os.urandom(32)).decode()
    return {
        "MONGO_URL": stores.database(f"bench_{suffix}"),
        "REDIS_URL": str(stores.redis_url),
        "STRIPE_SECRET_KEY": f"sk_test_{suffix}",
        "STRIPE_API_BASE": str(stores.stripe_api_base),
        "STRIPE_WEBHOOK_SECRETS": "whsec_none",
        "JWT_KEYS": f"bench:{key}",
        "AUDIT_KEY": f"bench:{key}",
        "FIELD_KEYS": f"bench:{key}",
        "DRAIN_SECONDS": "1",
    }


async def bench(stores: Addresses, folder: Path, options: argparse.Namespace) -> None:
    env = environment(stores)
    world = await seed(load(env), max(IDLE))
    speed = await ceiling(echo(folder))
    note = (
        f"The generator: {speed['ack']:.1f} us of its CPU for an ack, {speed['push']:.1f} us for "
        f"a delivery; {speed['acks']:,.0f} acks/s from an echo on one core."
    )
    run = Run(world, options)
    await run.go([peer(env, folder), bun(env, folder), ours(env, folder)], options.rounds)
    rate = f"p50 and p99: from due to delivered, at {run.rate:.0f} messages a second."
    notes = [note, rate, *table.growth(run.figures, "ours"), *run.notes]
    table.show("Our server and the peer on Node", run.figures, "ours", "peer", notes)
    table.show("Our server and the peer on Bun", run.figures, "ours", "bun", ())
    if options.stock:
        run = Run(world, options)
        fast, stock = ours(env, folder, "fast"), ours(env, folder, "stock", REALTIME="stock")
        try:
            await run.go([fast, stock], max(1, options.rounds // 2))
        except CannotStart as refused:
            print(f"No table of the stock path: {str(refused).splitlines()[-1]}")
        else:
            table.show("Fast and stock path", run.figures, "fast", "stock", run.notes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.realtime", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), type=lambda text: text.split(","))
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--quick", action="store_true", help="a third of the time, less exact")
    parser.add_argument("--no-stock", dest="stock", action="store_false")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")
    # Inherited by the stores: the server has a core for itself.
    os.sched_setaffinity(0, OTHER_CORES)
    with tempfile.TemporaryDirectory(prefix="jobsphere-bench-") as folder:
        with Embedded(Path(folder), {"mongo", "redis", "stripe"}) as stores:
            uvloop.run(bench(stores, Path(folder), options))


if __name__ == "__main__":
    main()
