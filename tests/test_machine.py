"""A machine that does anything at any time: the books balance, and agree with Stripe's in the end.

MACHINE_STEPS sets how many steps it takes at least, MACHINE_SEED where it begins; a failure prints
the steps that led to it.
"""

import asyncio
import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

from tests.machine.world import World

STEPS = int(os.environ.get("MACHINE_STEPS", "2000"))
SEED = int(os.environ.get("MACHINE_SEED", "1"))
PER_RUN = 50
SOON = timedelta(seconds=1)

CARDS = ("pm_card_visa",) * 6 + ("pm_card_bypassPending", "pm_card_chargeDeclined",
                                 "pm_crypto_usdc")  # fmt: skip
PATHS = ("/v1/payment_intents", "/v1/payment_intents/*/capture", "/v1/payment_intents/*/cancel",
         "/v1/refunds", "/v1/transfers", "/v1/transfers/*/reversals", "/v1/payouts")  # fmt: skip
jobs, sides, shares = st.integers(0, 99), st.integers(0, 1), st.integers(1, 100)


@pytest.mark.timeout(900)
async def test_anything_at_any_time(monkeypatch, market, server):
    """Guards: the version in `change_offer`, `settle_refund` and `settle_dispute` by the state that
    is known, the idempotency keys, `begin` before a transfer, `uow.flush`; without any of them
    some order of steps books money twice, or loses some."""
    monkeypatch.setattr("domain.janitor.AGES", (SOON, SOON * 2, SOON * 3))
    monkeypatch.setattr("domain.janitor.THEN", SOON)
    world = await World(market, server).prepare()
    loop = asyncio.get_running_loop()

    class Machine(RuleBasedStateMachine):
        steps = 0

        def do(self, work):
            Machine.steps += 1
            asyncio.run_coroutine_threadsafe(work, loop).result(120)

        def job(self, number):
            return world.jobs[number % len(world.jobs)]

        @initialize(first=st.sampled_from(["USD", "JPY", "KWD"]))
        def begin(self, first):
            for currency in (first, "USD"):
                self.do(world.post_job(currency))

        @rule(n=jobs, side=sides, units=st.integers(0, 9999), parts=st.integers(1, 4),
              card=st.sampled_from(CARDS))  # fmt: skip
        def offer(self, n, side, units, parts, card):
            self.do(world.offer(self.job(n), side, units, parts, card))

        @rule(n=jobs, side=sides, event=st.sampled_from(["accept", "accept", "accept", "reject",
                                                         "withdraw"]))  # fmt: skip
        def answer(self, n, side, event):
            self.do(world.answer(self.job(n), side, event))

        @rule(n=jobs, side=sides, amount=st.integers(5000, 9000))
        def counter(self, n, side, amount):
            self.do(world.answer(self.job(n), side, "counter", amount=amount * 10))

        @rule(n=jobs, event=st.sampled_from(["start", "start", "deliver", "complete", "cancel"]))
        def work(self, n, event):
            self.do(world.work(self.job(n), event))

        @rule(n=jobs, part=st.integers(1, 4), event=st.sampled_from(["deliver", "complete"]))
        def part(self, n, part, event):
            self.do(world.work(self.job(n), event, milestone=part))

        @rule(n=jobs, share=shares, event=st.sampled_from(["open", "propose", "agree", "escalate",
                                                           "resolve"]))  # fmt: skip
        def dispute(self, n, share, event):
            self.do(world.dispute(self.job(n), event, share))

        @rule(n=jobs, share=shares)
        def refund(self, n, share):
            self.do(world.refund(self.job(n), share))

        @rule(side=sides, amount=st.integers(-50, 50),
              event=st.sampled_from(["adjust", "freeze", "unfreeze"]))  # fmt: skip
        def treasury(self, side, amount, event):
            if amount or event != "adjust":
                self.do(world.treasury(side, event, amount))

        @rule(side=sides, share=shares)
        def take_out(self, side, share):
            self.do(world.take_out(side, share))

        @rule(n=jobs, share=shares, event=st.sampled_from(["capture", "refund", "fail_refund",
                                                           "chargeback", "reverse"]))  # fmt: skip
        def dashboard(self, n, share, event):
            self.do(world.dashboard(self.job(n), event, share))

        @rule(verdict=st.sampled_from(["won", "lost", "under_review"]))
        def bank(self, verdict):
            self.do(world.bank(verdict))

        @rule(side=sides)
        def dead_payout(self, side):
            self.do(world.dead_payout(side))

        @rule(path=st.sampled_from(PATHS), when=st.sampled_from(["before", "after"]),
              how=st.sampled_from([{"status": 500}, {"status": 409}, {"drop": True}]))  # fmt: skip
        def trouble(self, path, when, how):
            self.do(world.sandbox.fault(path=path, method="POST", when=when, **how))

        @rule(how=st.sampled_from([{"drop": True}, {"duplicate": 3}, {"hold": True},
                                   {"delay": 0.2}]), times=st.integers(1, 6))  # fmt: skip
        def unreliable_courier(self, how, times):
            self.do(world.sandbox.fault(webhook="*", times=times, **how))

        @rule()
        def late_news(self):
            self.do(world.sandbox.release_events(newest_first=True))

        @rule()
        def crash(self):
            self.do(world.crash())

        @rule()
        def time_passes(self):
            self.do(world.time_passes())

        @invariant()
        def holds(self):
            if world.jobs:
                asyncio.run_coroutine_threadsafe(world.check(), loop).result(60)

        def teardown(self):
            asyncio.run_coroutine_threadsafe(world.converge(), loop).result(240)

    chosen = settings(
        max_examples=-(-STEPS // PER_RUN), stateful_step_count=PER_RUN, deadline=None,
        database=None, phases=(Phase.generate,), print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    number = SEED
    while Machine.steps < STEPS:
        await asyncio.to_thread(run, seed(number)(Machine), settings=chosen)
        number += 1
    print(f"{Machine.steps} steps, seeds {SEED} to {number - 1}", dict(world.seen))
    assert Machine.steps >= STEPS
