"""All that may happen, in any order."""

import asyncio
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.machine.world import World

CARDS = ("pm_card_visa",) * 6 + ("pm_card_bypassPending", "pm_card_chargeDeclined",
                                 "pm_crypto_usdc")  # fmt: skip
PATHS = ("/v1/payment_intents", "/v1/payment_intents/*/capture", "/v1/payment_intents/*/cancel",
         "/v1/refunds", "/v1/transfers", "/v1/transfers/*/reversals", "/v1/payouts")  # fmt: skip
jobs, sides, shares = st.integers(0, 99), st.integers(0, 1), st.integers(1, 100)


class Machine(RuleBasedStateMachine):
    """Each rule is one step; the world lives in `loop`, this in a thread beside it."""

    steps: ClassVar[int] = 0
    world: ClassVar[World]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def do(self, work):
        Machine.steps += 1
        asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def job(self, number):
        return self.world.jobs[number % len(self.world.jobs)]

    @initialize(first=st.sampled_from(["USD", "JPY", "KWD"]))
    def begin(self, first):
        """One job is under way, in parts; the other waits for its first offer."""
        for currency in (first, "USD"):
            self.do(self.world.post_job(currency))
        self.do(self.world.get_going(self.world.jobs[0]))

    @rule(n=jobs, side=sides, units=st.integers(0, 9999), parts=st.integers(1, 4),
          card=st.sampled_from(CARDS))  # fmt: skip
    def offer(self, n, side, units, parts, card):
        self.do(self.world.offer(self.job(n), side, units, parts, card))

    @rule(n=jobs, side=sides, event=st.sampled_from(["accept", "accept", "accept", "reject",
                                                     "withdraw"]))  # fmt: skip
    def answer(self, n, side, event):
        self.do(self.world.answer(self.job(n), side, event))

    @rule(n=jobs, side=sides, amount=st.integers(5000, 9000))
    def counter(self, n, side, amount):
        self.do(self.world.answer(self.job(n), side, "counter", amount=amount * 10))

    @rule(n=jobs, event=st.sampled_from(["start", "start", "deliver", "complete", "cancel"]))
    def work(self, n, event):
        self.do(self.world.work(self.job(n), event))

    @rule(n=jobs, part=st.integers(1, 4), event=st.sampled_from(["deliver", "complete"]))
    def part(self, n, part, event):
        self.do(self.world.work(self.job(n), event, milestone=part))

    @rule(n=jobs, share=shares, event=st.sampled_from(["open", "propose", "agree", "escalate",
                                                       "resolve"]))  # fmt: skip
    def dispute(self, n, share, event):
        self.do(self.world.dispute(self.job(n), event, share))

    @rule(n=jobs, share=shares)
    def refund(self, n, share):
        self.do(self.world.refund(self.job(n), share))

    @rule(side=sides, amount=st.integers(-50, 50),
          event=st.sampled_from(["adjust", "freeze", "unfreeze"]))  # fmt: skip
    def treasury(self, side, amount, event):
        if amount or event != "adjust":
            self.do(self.world.treasury(side, event, amount))

    @rule(side=sides, share=shares)
    def take_out(self, side, share):
        self.do(self.world.take_out(side, share))

    @rule(n=jobs, share=shares, event=st.sampled_from(["capture", "refund", "fail_refund",
                                                       "chargeback", "reverse"]))  # fmt: skip
    def dashboard(self, n, share, event):
        self.do(self.world.dashboard(self.job(n), event, share))

    @rule(verdict=st.sampled_from(["won", "lost", "under_review"]))
    def bank(self, verdict):
        self.do(self.world.bank(verdict))

    @rule(side=sides)
    def dead_payout(self, side):
        self.do(self.world.dead_payout(side))

    @rule(path=st.sampled_from(PATHS), when=st.sampled_from(["before", "after"]),
          how=st.sampled_from([{"status": 500}, {"status": 409}, {"drop": True}]))  # fmt: skip
    def trouble(self, path, when, how):
        self.do(self.world.sandbox.fault(path=path, method="POST", when=when, **how))

    @rule(how=st.sampled_from([{"drop": True}, {"duplicate": 3}, {"hold": True},
                               {"delay": 0.2}]), times=st.integers(1, 6))  # fmt: skip
    def unreliable_courier(self, how, times):
        self.do(self.world.sandbox.fault(webhook="*", times=times, **how))

    @rule()
    def late_news(self):
        self.do(self.world.sandbox.release_events(newest_first=True))

    @rule()
    def crash(self):
        self.do(self.world.crash())

    @rule()
    def time_passes(self):
        self.do(self.world.time_passes())

    @invariant()
    def holds(self):
        if self.world.jobs and self.steps % 4 == 0:  # states that were skipped may follow, too
            asyncio.run_coroutine_threadsafe(self.world.check(), self.loop).result(60)

    def teardown(self):
        asyncio.run_coroutine_threadsafe(self.world.converge(), self.loop).result(240)
