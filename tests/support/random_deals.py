"""Random deals played over the wire, and the check that our books and Stripe's agree."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from datetime import timedelta

import msgspec

from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.jobs.applications import Application
from domain.jobs.job import Job
from domain.kernel.money import CURRENCIES, Schedule, holdings
from domain.kernel.outbox import OutboxRow
from domain.kernel.store import new_id
from domain.ledger.balances import Balance
from domain.ledger.chart import BANK
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer
from domain.reconciliation.books_audit import audit
from domain.wallet.withdrawals import Withdrawal
from handlers import NAMESPACES
from tests.support.parties import Refused

OF_ONE_EXAMPLE = (Balance, Offer, Payment, Transaction, Transfer, Withdrawal)
NEVER = {"internal", "unavailable", "invalid", "forbidden", "conflict"}
ANSWERS = {f"offer.{end}" for end in ("created", "accepted", "failed", "expired", "blocked")}
ROUTES = {
    (namespace.name, exposed.event): exposed.route
    for namespace in NAMESPACES
    for exposed in namespace.exposed
    if exposed.route
}


class DealSimulation:
    """One server and the same users for many examples. Each example begins with empty books."""

    def __init__(self, market, server):
        self.market, self.server, self.sandbox = market, server, server.sandbox
        self.delivered, self.proved, self.withdrawn = 0, False, False

    async def prepare(self):
        # The model knows no refund that waits for the money of later deals.
        await self.sandbox.settings(fee_bps=290, payout_delay_seconds=0, refunds_wait=0)
        self.customers = [await self.market.customer(f"Customer {n}") for n in range(2)]
        self.contractors = [
            await self.market.contractor(f"Contractor {n}", onboarded=True) for n in range(3)
        ]
        self.recent = RecentGateway(self.server.ports.gateway)
        self.ports = msgspec.structs.replace(self.server.ports, gateway=self.recent)
        uow = self.server.store.single()
        self.accounts = {c.id: (await uow.get(User, c.id)).connect_id for c in self.contractors}
        return self

    async def play(self, deals):
        """Play the deals concurrently, then check the books."""
        await self.begin()
        played = [RandomDeal(self, place, *deal) for place, deal in enumerate(deals)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(deal.play() for deal in played))
            await self.settled()
        proof = BooksCheck(self)
        await proof.check(played)
        self.before, self.proved = proof.now, True
        return played

    async def begin(self):
        """Delete the last example's records. Stripe's objects stay: note where they end."""
        if not self.proved:
            await self.sandbox.clear_faults()
            await self.settled()
            self.before = await self.at_stripe()
            await audit(self.ports)
        self.recent.forget()
        self.proved = self.withdrawn = False
        uow = self.server.store.single()
        for kind in OF_ONE_EXAMPLE:
            await uow.remove(kind, {"_id": {"$gt": ""}})
        for party in (*self.customers, *self.contractors):
            party.clear_pushes()

    async def at_stripe(self):
        """(owner, currency) -> available and pending money on the Stripe account."""
        owners = [("platform", None), *self.accounts.items()]
        balances = await asyncio.gather(
            *(self.sandbox.api("GET", "balance", account=account) for _, account in owners)
        )
        found = Counter()
        for (owner, _), balance in zip(owners, balances, strict=True):
            for part in (*balance["available"], *balance["pending"]):
                found[owner, part["currency"].upper()] += part["amount"]
        return found

    async def settled(self):
        """Wait until no webhook, task or payout is pending."""
        uow = self.server.store.single()
        while True:
            if not (await self._news() or await self._busy(uow) or await self._news()):
                break
            await asyncio.sleep(0.01)
        assert not await uow.count(OutboxRow, {"dead": True}), "a task is a dead letter"

    async def _busy(self, uow):
        soon = {"$lte": self.server.ports.clock.now() + timedelta(seconds=60)}
        on_its_way = {"status": ("requested", "in_transit")}
        return await uow.count(OutboxRow, {"dead": False, "lease_until": soon}, 1) or (
            self.withdrawn and await uow.count(Withdrawal, on_its_way, 1)
        )

    async def _news(self):
        """Whether a webhook is pending. Reads on from the last delivered one."""
        rows = (await self.sandbox.control("GET", f"deliveries?after={self.delivered}"))["data"]
        for row in rows:
            if row["status"] == "pending":
                return True
            self.delivered = row["id"]
        return False


class RecentGateway:
    """The Stripe gateway without the objects of earlier examples. Lists are newest first."""

    def __init__(self, gateway):
        self.gateway, self.earlier, self.seen = gateway, set(), set()

    def intents(self, since):
        return self._until_earlier(self.gateway.intents(since))

    def transfers(self, since):
        return self._until_earlier(self.gateway.transfers(since))

    def disputes(self, since):
        return self._until_earlier(self.gateway.disputes(since))

    def payouts(self, account_id, since):
        return self._until_earlier(self.gateway.payouts(account_id, since))

    async def _until_earlier(self, listed):
        async with contextlib.aclosing(listed):
            async for item in listed:
                if item.id in self.earlier:
                    return
                self.seen.add(item.id)
                yield item

    def forget(self):
        self.earlier |= self.seen


class RandomDeal:
    """One job with two applicants, played by a script of moves."""

    def __init__(self, world, place, currency, units, script):
        self.world, self.script, self.currency = world, script, currency
        self.customer = world.customers[place % 2]
        self.sides = [world.contractors[place % 3], world.contractors[(place + 1) % 3]]
        known = CURRENCIES[currency]
        self.amount = known.minimum + units * known.step
        self.offers = [None, None]
        self.codes = Counter()
        self.open = set()  # (offer, whether it is being accepted)

    async def play(self):
        await self._post()
        for move, part in self.script:
            await getattr(self, move)(part)
            await self.wait_for_results()

    async def _post(self):
        """The job with its applications, straight into the database: no money moves by them."""
        uow, customer = self.world.server.store.single(), self.customer
        new = {
            "created_at": uow.now,
            "updated_at": uow.now,
            "currency": self.currency,
            "customer_id": customer.id,
        }
        self.job = new_id(Job.PREFIX)
        await uow.add(
            Job(
                id=self.job,
                customer_name=customer.name,
                title="Fence",
                description="Paint it.",
                category="painting",
                skills=(),
                budget_min_amount=1,
                budget_max_amount=10**6,
                location=None,
                **new,
            )
        )
        await uow.add_all(
            [
                Application(
                    id=new_id(Application.PREFIX),
                    job_id=self.job,
                    contractor_id=side.id,
                    contractor_name=side.name,
                    job_title="Fence",
                    cover_letter="I can.",
                    proposed_amount=self.amount,
                    timeline_days=3,
                    **new,
                )
                for side in self.sides
            ]
        )

    async def say(self, party, namespace, event, by_http, **fields):
        """A command on either wire; None if it is refused, as many are that come at a bad time."""
        if not by_http:
            try:
                return await party.call(namespace, event, fields)
            except Refused as refused:
                code = refused.code
        else:
            route = ROUTES[namespace, event]
            rest = {k: v for k, v in fields.items() if f"{{{k}}}" not in route.path}
            status, answer = await party.http(route.method, route.path.format(**fields), rest)
            if status < 300:
                return answer
            code = answer["code"]
        assert code not in NEVER, (event, fields, code)
        self.codes[code] += 1
        return None

    async def wait_for_results(self):
        """Wait until the results of all requests to Stripe are pushed to the customer."""

        def all_answered():
            for push in self.customer.pushes:
                if push.name in ANSWERS:
                    self.open.discard((push.data["id"], push.data["status"] != "pending"))
            return not self.open or None

        await self.customer.wait_until(all_answered, 30, "no answer from Stripe")

    # -- the moves ---------------------------------------------------------------------------

    async def _offer(self, side, part, card):
        answer = await self.say(
            self.customer,
            "/bidding",
            "create",
            part % 2,
            job_id=self.job,
            contractor_id=self.sides[side].id,
            amount=self.amount,
            currency=self.currency,
            description="Work",
            timeline_days=3,
            payment_method=card,
        )
        if answer:
            self.offers[side] = answer["offer"]["id"]
            if answer["offer"]["status"] == "awaiting_payment":
                self.open.add((answer["offer"]["id"], False))

    async def _answer(self, side, event, part, party=None):
        if self.offers[side]:
            party = party or self.sides[side]
            answer = await self.say(party, "/bidding", event, part % 2, offer_id=self.offers[side])
            if answer and answer["status"] == "accepting":
                self.open.add((answer["id"], True))

    async def _job(self, party, event, part):
        await self.say(party, "/job", event, part % 2, job_id=self.job)

    async def offer(self, part):
        await self._offer(0, part, "pm_card_visa")

    async def declined(self, part):
        await self._offer(0, part, "pm_card_chargeDeclined")

    async def rival(self, part):
        await self._offer(1, part, "pm_card_bypassPending")

    async def accept(self, part):
        await self._answer(0, "accept", part)

    async def both_accept(self, part):
        await asyncio.gather(self._answer(0, "accept", part), self._answer(1, "accept", part + 1))

    async def reject(self, part):
        await self._answer(part % 2, "reject", part)

    async def take_back(self, part):
        await self._answer(part % 2, "withdraw", part, self.customer)

    async def accept_or_take_back(self, part):
        await asyncio.gather(self.take_back(0), self.accept(part))

    async def accept_or_cancel(self, part):
        await asyncio.gather(self.cancel(part), self.accept(part + 1))

    async def start(self, part):
        await asyncio.gather(*(self._job(side, "start", part) for side in self.sides))

    async def complete(self, part):
        await self._job(self.customer, "complete", part)

    async def complete_twice(self, part):
        await asyncio.gather(self.complete(0), self.complete(1))

    async def cancel(self, part):
        await self._job(self.customer, "cancel", part)

    async def payout(self, part):
        """Withdraw `part` thousandths of each side's available balance."""
        for side in self.sides:
            await self._withdraw(side, part)

    async def failing_payout(self, part):
        await self.world.sandbox.fault(payout=self.world.accounts[self.sides[0].id])
        await self._withdraw(self.sides[0], part)

    async def _withdraw(self, side, part):
        step = CURRENCIES[self.currency].step
        wallet = await side.call("/wallet", "balance")
        available = sum(
            balances["available"]
            for balances in (wallet, *wallet["others"])
            if balances["currency"] == self.currency
        )
        amount = -(-available * part // 1000 // step) * step
        if amount:
            self.world.withdrawn = True
            await self.say(
                side, "/wallet", "withdraw", part % 2, amount=amount, currency=self.currency
            )


class BooksCheck:
    """Compares the money expected from the deals' states with journal, wallets and Stripe."""

    def __init__(self, world):
        self.world = world
        self.platform, self.escrow, self.earned = Counter(), Counter(), Counter()
        self.open_offers = set()

    async def check(self, deals):
        for deal in deals:
            await self._expect(deal)
        await self._our_journal()
        await self._our_wallets(deals)
        await self._stripe()
        held = await self.world.server.store.single().all(Payment, {"status": "authorized"})
        assert {payment.offer_id for payment in held} == self.open_offers
        assert (await audit(self.world.ports)).differences == []

    async def _expect(self, deal):
        """Add the money that a deal's state implies, as its customer sees the job."""
        fees = Schedule(1000, 2000)
        job = await deal.customer.call("/job", "get", {"job_id": deal.job})
        listed = await deal.customer.call("/bidding", "list", {"job_id": deal.job})
        taken = [offer for offer in listed["items"] if offer["status"] == "accepted"]
        assert [offer["id"] for offer in taken] == ([job["offer_id"]] if job["offer_id"] else [])
        self.open_offers |= {o["id"] for o in listed["items"] if o["status"] == "pending"}
        for offer in taken:
            amount, currency = offer["amount"], offer["currency"]
            done = amount if job["status"] == "completed" else 0
            back = amount if job["status"] == "cancelled" else 0
            parts = holdings(amount, back, done, fees)
            assert parts.platform + parts.contractor + parts.escrow == amount - back
            self.platform[currency] += parts.platform
            self.escrow[offer["id"], currency] += parts.escrow
            self.earned[offer["contractor_id"], currency] += parts.contractor
            if job["status"] in ("assigned", "in_progress", "completed"):
                assert job["contractor_id"] == offer["contractor_id"]

    async def _our_journal(self):
        """Check the journal's postings against the expected money and the balance rows."""
        uow = self.world.server.store.single()
        self.booked, bank = Counter(), Counter()
        for row in await uow.all(Transaction, {}):
            for posting in row.postings:
                assert posting.amount > 0
                self.booked[posting.source, row.currency] -= posting.amount
                self.booked[posting.destination, row.currency] += posting.amount
                if posting.destination == BANK:
                    bank[row.users[0], row.currency] += posting.amount
                elif posting.source == BANK:
                    bank[row.users[0], row.currency] -= posting.amount
        held = defaultdict(Counter)
        for (account, currency), amount in self.booked.items():
            kind, _, rest = account.partition(":")
            if kind == "escrow":
                held["escrow"][rest, currency] += amount
            elif kind == "wallet":
                held["earned"][rest.partition(":")[0], currency] += amount
            elif account in ("platform", "stripe_fees"):
                held["platform"][currency] += amount
        assert +held["escrow"] == +self.escrow
        assert +(held["earned"] + bank) == +self.earned
        assert +held["platform"] == +self.platform
        rows = await uow.all(Balance, {})
        assert all(row.balance >= 0 for row in rows)
        assert {(row.account, row.currency): row.balance for row in rows if row.balance} == {
            key: amount
            for key, amount in self.booked.items()
            if key[0].startswith(("wallet:", "escrow:")) and amount
        }

    async def _our_wallets(self, deals):
        """Check the wallets that contractors see."""
        for party in {side.id: side for deal in deals for side in deal.sides}.values():
            wallet = await party.call("/wallet", "balance")
            for balances in (wallet, *wallet["others"]):
                for part in ("available", "pending", "in_transit"):
                    account = f"wallet:{party.id}:{part}"
                    assert balances[part] == self.booked[account, balances["currency"]]
                assert balances["debt"] == 0 and balances["in_transit"] == 0
                assert balances["pending"] < CURRENCIES[balances["currency"]].step

    async def _stripe(self):
        """Check the balances of the platform and each contractor at Stripe."""
        self.now = await self.world.at_stripe()
        expected = Counter()
        for (account, currency), amount in self.booked.items():
            kind, _, rest = account.partition(":")
            user, _, part = rest.partition(":")
            if part == "available":
                expected[user, currency] += amount
            elif account == "platform" or kind == "escrow" or part == "pending":
                expected["platform", currency] += amount
        moved = {
            key: self.now[key] - self.world.before[key] for key in {*self.now, *self.world.before}
        }
        assert {k: v for k, v in moved.items() if v} == {k: v for k, v in expected.items() if v}
