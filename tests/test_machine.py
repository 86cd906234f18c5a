"""A machine that does anything at any time: the books balance, and agree with Stripe's in the end.

MACHINE_STEPS sets how many steps it takes at least, MACHINE_SEED where it begins; a failure prints
the steps that led to it.
"""

import asyncio
import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test as run

from tests.machine.rules import Machine
from tests.machine.world import World

STEPS = int(os.environ.get("MACHINE_STEPS", "2000"))
SEED = int(os.environ.get("MACHINE_SEED", "1"))
PER_RUN, RUNS = 100, 4
SOON = timedelta(seconds=1)


@pytest.mark.timeout(900)
async def test_anything_at_any_time(monkeypatch, market, server):
    """Guards: the version in `change_offer`, `settle_refund` and `settle_dispute` by the state that
    is known, the idempotency keys, `begin` before a transfer, `uow.flush`; without any of them
    some order of steps books money twice, or loses some."""
    monkeypatch.setattr("domain.janitor.AGES", (SOON, SOON * 2, SOON * 3))
    monkeypatch.setattr("domain.janitor.THEN", SOON)
    world = await World(market, server).prepare()

    Machine.world, Machine.loop, Machine.steps = world, asyncio.get_running_loop(), 0
    chosen = settings(
        max_examples=RUNS, stateful_step_count=PER_RUN, deadline=None,
        database=None, phases=(Phase.generate,), print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    number = SEED
    while Machine.steps < STEPS:
        await asyncio.to_thread(run, seed(number)(Machine), settings=chosen)
        number += 1
    print(f"{Machine.steps} steps, seeds {SEED} to {number - 1}", dict(world.seen))
    assert Machine.steps >= STEPS
