"""The rules of the state machine, and how a script of its steps runs again."""

import asyncio
import json
from random import Random
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.properties.machine.world import World

LONGEST = 300  # seconds for one step
CHECK_EVERY = 10
NUMBER = st.integers(0, 2**32 - 1)
# Relative frequency of each rule.
FREQUENCIES = {
    "deal": 30,
    "offer": 3,
    "answer": 4,
    "work": 6,
    "advance_dispute": 6,
    "refund": 4,
    "treasury": 4,
    "withdraw": 5,
    "evidence": 3,
    "dashboard": 6,
    "bank": 10,
    "unasked": 6,
    "api_fault": 8,
    "webhook_fault": 5,
    "late_webhooks": 3,
    "crash": 4,
    "time": 6,
    "scheduled": 3,
    "wait_until_idle": 5,
}


class Machine(RuleBasedStateMachine):
    """Each rule is one step. The world runs in `loop`; Hypothesis runs in a thread beside it."""

    steps: ClassVar[int] = 0
    runs: ClassVar[int] = 0
    failure: ClassVar[BaseException | None] = None
    world: ClassVar[World]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def __init__(self):
        super().__init__()
        self.script = []

    def do(self, name, **numbers):
        if Machine.failure:  # stop here; the failure is replayed from its script
            raise Machine.failure
        self.script.append((name, numbers))
        try:
            done = asyncio.run_coroutine_threadsafe(play(self.world, self.script), self.loop)
            done.result(LONGEST)
        except BaseException as failure:
            Machine.failure = failure
            print(shown(self.script))
            raise
        Machine.steps += name not in ("begin", "converge")

    @initialize(number=NUMBER)
    def begin(self, number):
        Machine.runs += 1
        self.do("begin", pick=Random(number).randrange(420))

    @rule(number=NUMBER)
    def step(self, number):
        """Choose rules evenly: Hypothesis alone repeats some rules and omits others."""
        dice = Random(f"{number} {len(self.script)}")
        [name] = dice.choices(list(FREQUENCIES), list(FREQUENCIES.values()))
        self.do(name, n=dice.randrange(3), pick=dice.randrange(420), share=dice.randint(1, 100))

    def teardown(self):
        if self.script:
            self.do("converge")


def shown(script):
    return f"MACHINE_SCRIPT='{json.dumps(script)}'"


async def play(world, script):
    """Run a script to its last line; check the invariants from time to time."""
    name, numbers = script[-1]
    await getattr(world, name)(**numbers)
    if name not in ("begin", "converge") and len(script) % CHECK_EVERY == 0:
        await world.proof.check_invariants()


async def fails(world, script):
    """Run all steps of a script; returns its failure, if any."""
    try:
        for end in range(1, len(script) + 1):
            await play(world, script[:end])
    except Exception as failure:
        return failure
    return None


async def reduce(world, script):
    """Remove steps that are not needed for the failure, until none can be removed."""
    first, *middle, last = script
    size = max(1, len(middle) // 2)
    while size:
        start, found = 0, False
        while start < len(middle):
            shorter = middle[:start] + middle[start + size :]
            if await fails(world, [first, *shorter, last]):
                middle, found = shorter, True
            else:
                start += size
        size = size if found and size == 1 else size // 2
    return [first, *middle, last]
