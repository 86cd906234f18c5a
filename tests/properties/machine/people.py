"""Steps of customers, contractors and an administrator; a job goes through its stages.

A command at the wrong time is refused, which is fine; an internal error is not.
"""

import asyncio
import contextlib
from collections import Counter

from aiohttp import ClientError

from domain.accounts.user import User
from domain.deals.chargeback import Chargeback
from domain.deals.offer import OPEN_OFFERS, Offer, OfferStatus
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.applications import Application
from domain.jobs.job import Job, JobStatus
from domain.kernel.money import CURRENCIES
from domain.kernel.store import new_id
from domain.payouts.transfer import Transfer
from handlers import NAMESPACES

NEVER = {"internal", "unavailable", "invalid", "forbidden", "unauthenticated", "not_onboarded"}
CARDS = (
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_bypassPending",
    "pm_card_bypassPending",
    "pm_crypto_usdc",
    "pm_card_threeDSecureRequired",
    None,
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_refundFail",
    "pm_card_pendingRefund",
    "pm_card_chargeDeclined",
)
ROUTES = {
    (namespace.name, exposed.event): exposed.route
    for namespace in NAMESPACES
    for exposed in namespace.exposed
    if exposed.route
}


class People:
    """Two customers and two contractors, new in every run, and an administrator."""

    def __init__(self, market, workers):
        self.market, self.workers, self.sandbox = market, workers, workers.sandbox
        self.seen = Counter()
        self.jobs = []
        self.former = {}  # user -> the account that Stripe closed

    async def arrive(self):
        market, quiet = self.market, {"connect": False}
        self.customers = [await market.customer(f"Customer {n}", **quiet) for n in range(2)]
        self.contractors = [await market.contractor(f"Contractor {n}", **quiet) for n in range(2)]
        self.admin = await market.admin(**quiet)
        await asyncio.gather(*(self._onboard(side) for side in self.contractors))
        users = await self.found(User, _id=tuple(side.id for side in self.contractors))
        self.accounts = {user.id: user.connect_id for user in users}

    async def _onboard(self, contractor):
        link = await self.try_command(contractor, "/account", "onboard")
        await self.sandbox.fill_in_onboarding(link["url"], contractor.name, "usd,jpy,kwd")
        async with asyncio.timeout(20):
            while not await self.found(User, _id=contractor.id, payouts_enabled=True):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def post_job(self, currency, place=None):
        """A job with two applicants, written to the database, because it moves no money."""
        uow = self.workers.store.single()
        place = len(self.jobs) if place is None else place
        customer = self.customers[place % 2]
        new = {
            "created_at": uow.now,
            "updated_at": uow.now,
            "currency": currency,
            "customer_id": customer.id,
        }
        job = Job(
            id=new_id(Job.PREFIX),
            customer_name=customer.name,
            title="Fence",
            category="painting",
            description="Paint it.",
            skills=(),
            budget_min_amount=1,
            budget_max_amount=10**6,
            location=None,
            **new,
        )
        await uow.add(job)
        await uow.add_all(
            [
                Application(
                    id=new_id(Application.PREFIX),
                    job_id=job.id,
                    contractor_id=side.id,
                    contractor_name=side.name,
                    job_title="Fence",
                    cover_letter="I can.",
                    proposed_amount=1000,
                    timeline_days=3,
                    **new,
                )
                for side in self.contractors
            ]
        )
        self.jobs[place : place + 1] = [(job.id, customer, currency)]

    # -- commands and helpers --------------------------------------------------------------------

    async def try_command(self, party, namespace, event, **fields):
        """Run a command; None if it is refused."""
        self.seen[f"{namespace} {event}"] += 1
        route = ROUTES[namespace, event]
        rest = {k: v for k, v in fields.items() if f"{{{k}}}" not in route.path}
        status, answer = await party.http(route.method, route.path.format(**fields), rest)
        if status < 300:
            return answer
        without_account = answer["code"] == "not_onboarded" and party.id in self.former
        assert answer["code"] not in NEVER or without_account, (event, fields, answer)
        self.seen[answer["code"]] += 1
        return None

    async def found(self, kind, **where):
        return await self.workers.store.single().all(kind, where, (("_id", 1),))

    def pick(self, n):
        return self.jobs[n % len(self.jobs)]

    def contractor(self, id):
        return next(side for side in self.contractors if side.id == id)

    def rounded(self, amount, share, currency):
        """A percentage of an amount, a multiple of Stripe's step, at least one step."""
        step = CURRENCIES[currency].step
        return max(step, amount * share // 100 // step * step)

    # -- the deal --------------------------------------------------------------------------------

    async def deal(self, n, pick, share):
        """The next step of this job if all goes well, or almost."""
        job_id, customer, _ = self.pick(n)
        job = (await self.found(Job, _id=job_id))[0]
        offers = await self.found(Offer, job_id=job_id, live=True)
        match job.status:
            case JobStatus.OPEN if not offers:
                await self.offer(n, pick, share)
            case JobStatus.OPEN:
                await self._agree(customer, offers[pick % len(offers)], pick)
            case JobStatus.ASSIGNED:
                await self.work(n, 0, 0)
            case JobStatus.IN_PROGRESS if job.dispute_id:
                await self.advance_dispute(n, pick, share)
            case JobStatus.IN_PROGRESS:
                await self.work(n, 1 + pick % 3, pick)
            case _:
                await self.post_job(("USD", "USD", "JPY", "KWD")[pick % 4], n % len(self.jobs))

    async def _agree(self, customer, offer, pick):
        """The customer pays if that is still open, otherwise the contractor accepts."""
        if offer.status is not OfferStatus.AWAITING_PAYMENT:
            contractor = self.contractor(offer.contractor_id)
            await self.try_command(contractor, "/bidding", "accept", offer_id=offer.id)
            return
        payment = (await self.found(Payment, _id=offer.payment_id))[0]
        if payment.redirect_url:
            with contextlib.suppress(ClientError, AssertionError):  # a repeat would change nothing
                await self.sandbox.answer_challenge(payment.redirect_url, passed=pick % 4 > 0)
            await self.try_command(customer, "/payment", "confirm", payment_id=payment.id)
        elif payment.client_secret and payment.payment_method is None:
            with contextlib.suppress(ClientError):
                path = f"payment_intents/{payment.intent_id}/confirm"
                await self.sandbox.attempt("POST", path, payment_method="pm_card_visa")

    async def offer(self, n, pick, share):
        job_id, customer, currency = self.pick(n)
        known, parts = CURRENCIES[currency], 1 + pick // 7 % 4
        part = known.minimum + share * known.step * 7
        split = [{"title": f"Part {k}", "amount": part} for k in range(parts)]
        card = CARDS[pick % len(CARDS)]
        await self.try_command(
            customer,
            "/bidding",
            "create",
            job_id=job_id,
            currency=currency,
            amount=part * parts,
            contractor_id=self.contractors[pick % 2].id,
            description="Work",
            timeline_days=3,
            **({"payment_method": card} if card else {}),
            **({"milestones": split} if parts > 1 else {}),
        )

    async def answer(self, n, pick, share):
        """Answer an open offer, as a user who may."""
        job_id, customer, _ = self.pick(n)
        event = ("accept", "accept", "reject", "withdraw", "counter")[pick % 5]
        extra = {"amount": share * 1000} if event == "counter" else {}
        offers = await self.found(
            Offer, job_id=job_id, status=(*OPEN_OFFERS, OfferStatus.ACCEPTING)
        )
        await asyncio.gather(
            *(
                self.try_command(
                    customer if event == "withdraw" else self.contractor(offer.contractor_id),
                    "/bidding",
                    event,
                    offer_id=offer.id,
                    **extra,
                )
                for offer in offers
            )
        )

    async def work(self, n, pick, share):
        """Deliver or complete one or all milestones, sometimes twice at once."""
        job_id, customer, _ = self.pick(n)
        event = ("start", "deliver", "complete", "complete", "cancel")[pick % 5]
        of_contractor = event in ("start", "deliver")
        parties = self.contractors if of_contractor else [customer] * (1 + share % 2)
        one = share % 3 and event in ("deliver", "complete")
        number = {"milestone": 1 + share % 4} if one else {}
        await asyncio.gather(
            *(self.try_command(party, "/job", event, job_id=job_id, **number) for party in parties)
        )

    async def advance_dispute(self, n, pick, share):
        """Open a dispute, or take its next step."""
        job_id, customer, _ = self.pick(n)
        open_disputes = [
            d for d in await self.found(Dispute, job_id=job_id) if d.status != "resolved"
        ]
        if not open_disputes:
            number = {"milestone": 1 + pick % 3} if pick % 2 else {}
            await self.try_command(
                customer,
                "/payment",
                "dispute_open",
                job_id=job_id,
                reason="quality",
                text="Look at it.",
                **number,
            )
            return
        last = open_disputes[-1]
        sides = (customer, self.contractor(last.contractor_id))
        step, id = CURRENCIES[last.currency].step, {"dispute_id": last.id}
        amount = {"refund_amount": last.amount * (share % 101) // 100 // step * step}
        match pick % 5:
            case 0:
                await self.try_command(
                    sides[share % 2], "/payment", "dispute_say", **id, text="And yet."
                )
            case 1 if last.status != "escalated":
                await self.try_command(sides[share % 2], "/payment", "dispute_escalate", **id)
            case 2 if last.proposal:
                other = sides[last.proposal.by == customer.id]
                amount = {"refund_amount": last.proposal.refund_amount}
                await self.try_command(other, "/payment", "dispute_agree", **id, **amount)
            case 3:
                await self.try_command(
                    self.admin, "/admin", "resolve", **id, **amount, reason="So it is"
                )
            case _:
                await self.try_command(
                    sides[share % 2], "/payment", "dispute_propose", **id, **amount
                )

    # -- the treasury ----------------------------------------------------------------------------

    async def refund(self, n, pick, share):
        for offer in await self.found(Offer, job_id=self.pick(n)[0]):
            amount = {"amount": self.rounded(offer.captured_amount, share, offer.currency)}
            await self.try_command(
                self.admin,
                "/admin",
                "refund",
                payment_id=offer.payment_id,
                reason="Goodwill",
                **(amount if pick % 3 else {}),
            )

    async def treasury(self, n, pick, share):
        user = {"user_id": self.contractors[n % 2].id, "reason": "As it must be"}
        match pick % 5:
            case 0 | 1:
                amount = share * 10 * (1 if pick % 3 else -1)
                fields = {"amount": amount, "currency": ("USD", "JPY", "KWD")[n % 3]}
                await self.try_command(self.admin, "/admin", "adjust", **user, **fields)
            case 2:
                await self.try_command(self.admin, "/admin", "freeze", **user)
            case 3:
                await self.try_command(self.admin, "/admin", "unfreeze", **user)
            case 4:
                for transfer in await self.found(Transfer, status=("parked", "waiting")):
                    await self.try_command(
                        self.admin, "/admin", "release", transfer_id=transfer.id, reason="It is due"
                    )

    async def withdraw(self, n, pick, share):
        contractor = self.contractors[n % 2]
        wallet = await self.try_command(contractor, "/wallet", "balance")
        for balances in (wallet, *wallet["others"]):
            if balances["available"] >= CURRENCIES[balances["currency"]].step:
                amount = self.rounded(balances["available"], share, balances["currency"])
                fields = {"amount": amount, "currency": balances["currency"]}
                await asyncio.gather(
                    *(
                        self.try_command(contractor, "/wallet", "withdraw", **fields)
                        for _ in range(1 + pick % 2)
                    )
                )

    async def evidence(self, n, pick, share):
        text = {"uncategorized_text": ("winning_evidence", "losing_evidence", "See.")[pick % 3]}
        for chargeback in (await self.found(Chargeback))[-1:]:
            await self.try_command(
                self.admin,
                "/admin",
                "evidence",
                chargeback_id=chargeback.id,
                **text,
                submit=pick % 4 > 0,
            )
