"""A state machine runs random steps; the books must balance and finally agree with Stripe.

MACHINE_STEPS is the minimal number of steps, MACHINE_SEED the seed. A failure prints its script:
MACHINE_SCRIPT runs it again, and MACHINE_REDUCE=1 shortens it first.
"""

import asyncio
import json
import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test as run

from tests.properties.machine.rules import Machine, fails, reduce, shown
from tests.properties.machine.world import World
from tests.support import property_sizes
from tests.support.property_sizes import size

STEPS = int(os.environ.get("MACHINE_STEPS") or size(120, deep=2000))
SEED = int(os.environ.get("MACHINE_SEED") or property_sizes.SEED * 1000 or 1)
PER_RUN = size(121, deep=251)


@pytest.fixture
async def world(monkeypatch, market, server):
    monkeypatch.setattr("server.workers.outbox_relay.POLL_SECONDS", 0.05)
    world = await World(market, server).prepare()
    yield world
    await world.close()


@pytest.mark.slow
@pytest.mark.timeout(max(900, STEPS))
async def test_random_steps_keep_the_books_balanced(world, record_property):
    """Guards: version and snapshot of `change_offer`, the known state in `settle_refund` and
    `settle_dispute`, the idempotency keys, `start_sending` before a transfer, `uow.flush`. Without
    any of them some order of steps books money twice or loses it."""
    if script := os.environ.get("MACHINE_SCRIPT"):
        return await replay_script(world, json.loads(script))
    Machine.world, Machine.loop = world, asyncio.get_running_loop()
    Machine.steps, Machine.runs, Machine.failure = 0, 0, None
    number = SEED
    while Machine.steps < STEPS and not Machine.failure:
        chosen = settings(
            max_examples=-(-(STEPS - Machine.steps) // (PER_RUN - 1)),
            stateful_step_count=PER_RUN,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        try:
            await asyncio.to_thread(run, seed(number)(Machine), settings=chosen)
        except Exception:
            assert Machine.failure, "the machine itself is broken"
        number += 1
    taken = f"{Machine.steps} steps in {Machine.runs} runs, seeds {SEED} to {number - 1}"
    record_property("machine", taken)
    print(taken)
    print(dict(world.seen))
    if Machine.failure:
        raise Machine.failure
    assert Machine.steps >= STEPS


async def replay_script(world, script):
    failure = await fails(world, script)
    if failure and os.environ.get("MACHINE_REDUCE"):
        print(shown(await reduce(world, script)))
    if failure:
        raise failure
