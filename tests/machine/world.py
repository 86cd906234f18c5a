"""The world of the machine: people, their deals, Stripe's dashboard, and processes that die.

A command that comes at a bad time is refused, and that is fine; what must never happen is a crash,
money from nowhere, or a state that goes back.
"""

import asyncio
from collections import Counter
from typing import Any

from domain import completion, disputes, janitor, offers
from domain.accounts import User
from domain.audit import audit
from domain.deal import OFFER_STEPS, PAYMENT_STEPS, MilestoneStatus, Offer, Payment
from domain.ledger import Balance
from domain.money import CURRENCIES
from domain.outbox import OutboxRow
from domain.timeline import STEPS as DISPUTE_STEPS
from domain.timeline import Dispute
from domain.transfers import STEPS as TRANSFER_STEPS
from domain.transfers import Transfer
from domain.wallets import STEPS as WITHDRAWAL_STEPS
from domain.wallets import Withdrawal
from tests.parties import Refused
from tests.test_webhooks import Post

NEVER = {"internal", "unavailable", "invalid", "forbidden", "unauthenticated"}
MACHINES = ((Offer, OFFER_STEPS), (Payment, PAYMENT_STEPS), (Transfer, TRANSFER_STEPS),
            (Withdrawal, WITHDRAWAL_STEPS), (Dispute, DISPUTE_STEPS))  # fmt: skip
M = MilestoneStatus
MILESTONE_STEPS = {
    M.PENDING: (M.DELIVERED, M.COMPLETED, M.CANCELLED), M.DELIVERED: (M.COMPLETED, M.CANCELLED),
}  # fmt: skip
PATIENCE = 60


class World:
    """One server and the same people for all runs; each run has jobs of its own."""

    def __init__(self, market, server):
        self.market, self.server, self.sandbox = market, server, server.sandbox
        self.seen: Counter[str] = Counter()
        self.states: dict[str, Any] = {}
        self.jobs: list[dict[str, Any]] = []

    async def prepare(self):
        await self.sandbox.settings(fee_bps=290, fee_fixed=30, payout_delay_seconds=0)
        self.customers = [await self.market.customer(f"Customer {n}") for n in range(2)]
        self.contractors = [
            await self.market.contractor(f"Contractor {n}", onboarded=True) for n in range(2)
        ]
        self.admin = await self.market.admin()
        uow = self.server.store.single()
        self.accounts = [(await uow.get(User, c.id)).connect_id for c in self.contractors]
        self.post = Post(self)
        return self

    # -- people --------------------------------------------------------------------------------

    async def say(self, party, namespace, event, **fields):
        """A command; None if it is refused."""
        self.seen[f"{namespace}.{event}"] += 1
        try:
            return await party.call(namespace, event, fields)
        except Refused as refused:
            assert refused.code not in NEVER, (event, fields, refused)
            self.seen[refused.code] += 1
            return None

    async def post_job(self, currency):
        customer = self.customers[len(self.jobs) % 2]
        job = await self.market.job(customer, currency=currency)
        for contractor in self.contractors:
            await self.market.application(contractor, job)
        self.jobs.append({"id": job["id"], "customer": customer, "currency": currency})

    async def offer(self, job, side, units, parts, card):
        known = CURRENCIES[job["currency"]]
        amount = (known.minimum + units * known.step) * parts
        given = [{"title": f"Part {n}", "amount": amount // parts} for n in range(parts)]
        await self.say(
            job["customer"], "/bidding", "create", job_id=job["id"],
            contractor_id=self.contractors[side].id, amount=amount, currency=job["currency"],
            description="Work", timeline_days=3, payment_method=card,
            **({"milestones": given} if parts > 1 else {}),
        )  # fmt: skip
        for _ in range(20):  # mostly Stripe answers soon
            waiting = await self.found(Offer, job_id=job["id"], status="awaiting_payment")
            if not waiting:
                break
            await asyncio.sleep(0.02)

    async def get_going(self, job):
        await self.offer(job, 0, 5000, 3, "pm_card_visa")
        await self.answer(job, 0, "accept")
        await self.market.settled(PATIENCE)
        await self.work(job, "start")

    async def answer(self, job, side, event, **fields):
        for offer in await self.found(Offer, job_id=job["id"]):
            contractor = self.contractors[side]
            if offer.contractor_id == contractor.id and offer.live:
                party = job["customer"] if event == "withdraw" else contractor
                await self.say(party, "/bidding", event, offer_id=offer.id, **fields)

    async def work(self, job, event, **fields):
        """Whoever may do it does."""
        parties = self.contractors if event in ("start", "deliver") else [job["customer"]]
        await asyncio.gather(
            *(self.say(party, "/job", event, job_id=job["id"], **fields) for party in parties)
        )

    async def dispute(self, job, event, share):
        found = await self.found(Dispute, job_id=job["id"])
        if event == "open" or not found:
            await self.say(
                job["customer"], "/payment", "dispute_open", job_id=job["id"], reason="quality",
                text="Look at it.",
            )  # fmt: skip
            return
        last = found[-1]
        step = CURRENCIES[last.currency].step
        part = last.amount * share // 100 // step * step
        id = {"dispute_id": last.id}
        contractor = next(c for c in self.contractors if c.id == last.contractor_id)
        match event:
            case "propose":
                await self.say(contractor, "/payment", "dispute_propose", **id, refund_amount=part)
            case "agree" if last.proposal:
                amount = last.proposal.refund_amount
                await self.say(
                    job["customer"], "/payment", "dispute_agree", **id, refund_amount=amount
                )
            case "escalate":
                await self.say(contractor, "/payment", "dispute_escalate", **id)
            case "resolve":
                await self.say(
                    self.admin, "/admin", "resolve", **id, refund_amount=part, reason="So it is"
                )

    async def refund(self, job, share):
        for offer in await self.found(Offer, job_id=job["id"]):
            step = CURRENCIES[offer.currency].step
            amount = max(step, offer.captured_amount * share // 100 // step * step)
            await self.say(
                self.admin, "/admin", "refund", payment_id=offer.payment_id, amount=amount,
                reason="Goodwill",
            )  # fmt: skip

    async def treasury(self, side, event, amount):
        user = {"user_id": self.contractors[side].id, "reason": "As it must be"}
        extra = {"amount": amount * 10, "currency": "USD"} if event == "adjust" else {}
        await self.say(self.admin, "/admin", event, **user, **extra)

    async def take_out(self, side, share):
        contractor = self.contractors[side]
        wallet = await contractor.call("/wallet", "balance")
        for purse in (wallet, *wallet["others"]):
            step = CURRENCIES[purse["currency"]].step
            if amount := purse["available"] * share // 100 // step * step:
                await self.say(
                    contractor, "/wallet", "withdraw", amount=amount, currency=purse["currency"]
                )

    # -- Stripe's side ---------------------------------------------------------------------------

    async def dashboard(self, job, event, share):
        """Somebody acts at Stripe, past us; Stripe refuses what makes no sense."""
        self.seen[f"dashboard.{event}"] += 1
        for payment in await self.found(Payment, job_id=job["id"]):
            intent, step = payment.intent_id, CURRENCIES[payment.currency].step
            part = max(step, payment.amount * share // 100 // step * step)
            if intent is None:
                continue
            if event == "capture":
                path = f"payment_intents/{intent}/capture"
                await self.sandbox.attempt("POST", path, amount_to_capture=part)
            elif event == "refund":
                await self.sandbox.attempt("POST", "refunds", payment_intent=intent, amount=part)
            elif event == "fail_refund":
                listed = await self.sandbox.api("GET", "refunds", payment_intent=intent)
                for refund in listed["data"][:1]:
                    if refund["status"] == "succeeded" and refund["balance_transaction"]:
                        await self.sandbox.fail_refund(refund["id"])
            elif event == "chargeback":
                await self._charge_back(payment)
        if event == "reverse":
            listed = (await self.sandbox.api("GET", "transfers"))["data"]
            for transfer in listed[:1]:
                left = transfer["amount"] - transfer["amount_reversed"]
                if left >= 100:
                    path = f"transfers/{transfer['id']}/reversals"
                    await self.sandbox.attempt("POST", path, amount=left * share // 100 // 10 * 10)

    async def _charge_back(self, payment):
        if not payment.captured_amount or payment.payment_method == "pm_crypto_usdc":
            return
        charge = await self.sandbox.api("GET", f"charges/{payment.charge_id}")
        if not charge["disputed"] and charge["amount_refunded"] < charge["amount"]:
            await self.sandbox.dispute(charge["id"])

    async def bank(self, verdict):
        """The newest card dispute is decided, perhaps not for the first time."""
        self.seen[f"bank.{verdict}"] += 1
        for dispute in (await self.sandbox.api("GET", "disputes"))["data"][:1]:
            await self.sandbox.move_dispute(dispute["id"], verdict)

    async def dead_payout(self, side):
        account = self.accounts[side]
        for payout in (await self.sandbox.api("GET", "payouts", account))["data"][:1]:
            if payout["status"] == "paid":
                await self.sandbox.dead_payout(payout["id"])

    # -- trouble ---------------------------------------------------------------------------------

    async def crash(self):
        """The process dies wherever it is: what it had in hand is left to the next one."""
        self.seen["crash"] += 1
        relay = self.server.web.relay
        self.server.store.committed = lambda rows: None
        await relay.stop(0)
        uow = self.server.store.single()
        in_hand = {"dead": False, "owner": self.server.store.worker}
        # It dies more often than a row may; how many times that is, is tested elsewhere.
        await uow.change_all(OutboxRow, in_hand, owner="dead", lease_until=uow.now, attempts=0)
        relay.__init__(relay._tasks, relay._push)  # the next process knows nothing
        relay.start(self.server.ports)

    async def time_passes(self):
        ports = self.server.ports
        for work in (offers.expire_due, completion.complete_due, disputes.escalate_due,
                     janitor.ask_again):  # fmt: skip
            await work(ports)

    # -- what must hold --------------------------------------------------------------------------

    async def found(self, kind, **where):
        return await self.server.store.single().all(kind, where, (("_id", 1),))

    async def check(self):
        """States only follow their tables, and no bounded account is beyond its bound."""
        jobs = tuple(job["id"] for job in self.jobs)
        for kind, steps in MACHINES:
            where = {"job_id": jobs} if "job_id" in kind.__struct_fields__ else {}
            for record in await self.found(kind, **where):
                self._follows(record.id, record.status, steps)
                if kind is Offer:
                    for number, part in enumerate(record.milestones):
                        self._follows(f"{record.id}#{number}", part.status, MILESTONE_STEPS)
        uow = self.server.store.single()
        beyond = {"$or": [
            {"kind": {"$in": ["escrow", "wallet"]}, "balance": {"$lt": 0}},
            {"kind": "debt", "balance": {"$gt": 0}},
        ]}  # fmt: skip
        assert await uow.find(Balance, beyond) is None

    def _follows(self, id, status, steps):
        before = self.states.get(id, status)
        assert status in reachable(before, steps), (id, before, status)
        self.states[id] = status

    async def converge(self):
        """No more trouble: everything that was begun comes to its end, and all books agree."""
        await self.sandbox.clear_faults()
        await self.sandbox.release_events()
        for side in range(2):
            await self.say(
                self.admin, "/admin", "unfreeze", user_id=self.contractors[side].id, reason="End"
            )
        for _ in range(3):
            await self.market.settled(PATIENCE)
            for event in await self.post.lost():
                await self.post.send(event)
            await self.time_passes()
        await self.market.settled(PATIENCE)
        await self.check()
        assert await self.server.store.single().find(OutboxRow, {"dead": True}) is None
        report = await audit(self.server.ports)
        assert report.differences == [], report.differences
        for party in (*self.customers, *self.contractors):
            await self._gapless(party)
        self.jobs.clear()
        self.states.clear()

    async def _gapless(self, party):
        since, head = 0, 1
        while since < head:
            answer = await party.call("/account", "sync", {"since": since, "limit": 500})
            numbers = [item["seq"] for item in answer["items"]]
            assert numbers == list(range(since + 1, since + 1 + len(numbers)))
            since, head = numbers[-1] if numbers else answer["head"], answer["head"]


def reachable(status, steps):
    """All states that may follow, after any number of steps."""
    known, new = set(), {status}
    while new:
        known |= new
        new = {after for before in new for after in steps.get(before, ())} - known
    return known
