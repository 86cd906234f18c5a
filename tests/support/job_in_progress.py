"""A job in progress with captured money, and the steps that tests take with it."""

from typing import Any

import msgspec

from domain import ledger
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.reconciliation.books_audit import compare_records
from tests.support.parties import Refused

TIMEOUT = 30


class JobInProgress:
    """An accepted and started job with its customer and contractor. Amounts in minor units."""

    def __init__(self, market, server):
        self.market, self.server, self.sandbox = market, server, server.sandbox

    async def start(
        self,
        amount=100_000,
        *,
        customer=None,
        contractor=None,
        onboarded=True,
        currency="USD",
        **offer,
    ):
        market = self.market
        self.customer = customer or await market.customer()
        self.contractor = contractor or await market.contractor(onboarded=onboarded)
        self.job = await market.job(self.customer, currency=currency)
        await market.application(self.contractor, self.job)
        self.offer = await market.offer(self.customer, self.contractor, self.job, amount, **offer)
        await market.accept(self.contractor, self.offer)
        self.job = await market.start(self.contractor, self.job)
        return self

    async def start_and_complete(self, amount=100_000, **options):
        """Start the job, complete it, and wait until its share is in the contractor's wallet."""
        await self.start(amount, **options)
        await self.complete()
        await self.market.settled(TIMEOUT)
        return self

    # -- steps ---------------------------------------------------------------------------------

    async def deliver(self, **fields):
        return await self.contractor.call("/job", "deliver", {"job_id": self.job["id"], **fields})

    async def complete(self, **fields):
        return await self.customer.call("/job", "complete", {"job_id": self.job["id"], **fields})

    async def open_dispute(self, party=None, **fields):
        party = party or self.customer
        return await party.call(
            "/payment",
            "dispute_open",
            {
                "job_id": self.job["id"],
                "reason": "quality",
                "text": "It is bare.",
                **fields,
            },
        )

    async def as_admin(self, event, **fields):
        """Send an admin command."""
        if not hasattr(self, "_admin"):
            self._admin = await self.market.admin()
        return await self._admin.call("/admin", event, fields)

    async def refund(self, amount=None, **fields):
        some = {"amount": amount} if amount else {}
        payment = self.offer["payment_id"]
        return await self.as_admin(
            "refund", payment_id=payment, reason="Goodwill", **some, **fields
        )

    async def decide_refund(self, decision):
        """Decide about the refund that the bank returned: again, paid_otherwise or undo."""
        payment = self.offer["payment_id"]
        details = await self.as_admin("payment", payment_id=payment)
        [parked] = [refund for refund in details["refunds"] if refund["parked"]]
        return await self.as_admin(
            "refund_decide",
            payment_id=payment,
            refund_id=parked["id"],
            decision=decision,
            reason="The card is closed",
        )

    async def open_chargeback(self, **fields):
        """The bank withdraws the payment. Returns the chargeback as pushed to the customer."""
        payment = await self.stored_payment()
        await self.sandbox.control("POST", "disputes", {"charge": payment.charge_id, **fields})
        return await self.customer.push(
            "/payment", "chargeback.updated", lambda found: found["status"] == "open", TIMEOUT
        )

    async def decide_chargeback(self, chargeback, won):
        evidence = "winning_evidence" if won else "losing_evidence"
        await self.as_admin("evidence", chargeback_id=chargeback["id"], uncategorized_text=evidence)
        return await self.customer.push(
            "/payment",
            "chargeback.updated",
            lambda found: found["status"] == ("won" if won else "lost"),
            TIMEOUT,
        )

    async def withdraw(self, amount):
        """Withdraw to the bank, and wait until the payout is paid."""
        await self.sandbox.settings(payout_delay_seconds=0.1)
        await self.market.withdraw(self.contractor, amount)
        await self.contractor.push(
            "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
        )
        await self.market.settled(TIMEOUT)

    async def pass_time(self, span):
        """Move the dates of the automatic completion back by `span`."""
        offer = await self.stored_offer()
        milestones = tuple(_move_back(each, span) for each in offer.milestones)
        fields = {
            name: getattr(_move_back(offer, span), name) for name in ("due_at", "announce_at")
        }
        uow = self.server.store.single()
        await uow.change(Offer, offer.id, milestones=milestones, **fields)

    # -- state -------------------------------------------------------------------------------

    async def wallet(self, *parts, contractor=None):
        wallet = await (contractor or self.contractor).call("/wallet", "balance")
        return tuple(wallet[part] for part in parts)

    async def stored_offer(self) -> Offer:
        return await self.server.store.single().get(Offer, self.offer["id"])

    async def stored_payment(self) -> Payment:
        return await self.server.store.single().get(Payment, self.offer["payment_id"])

    async def current_job(self):
        return await self.customer.call("/job", "get", {"job_id": self.job["id"]})

    async def platform_and_escrow(self):
        """(platform, escrow) balances in USD, once all is settled. Fails if the audit differs."""
        await self.market.settled(TIMEOUT)
        report = await compare_records(self.server.ports)
        assert report.differences == []
        uow = self.server.store.single()
        platform = (await ledger.balance_of(uow, ledger.PLATFORM)).get("USD", 0)
        return platform, (await ledger.total_of(uow, "escrow")).get("USD", 0)

    async def stripe_list(self, what, **params):
        """Objects of a type at Stripe, oldest first."""
        return (await self.sandbox.api("GET", what, **params))["data"][::-1]

    async def assert_refused(self, party, namespace, event, fields: dict[str, Any], code):
        """Assert that a command is refused with `code` and leaves no trace."""
        before = await self.market.traces()
        try:
            await party.call(namespace, event, fields)
        except Refused as refused:
            assert refused.code == code, refused
        else:
            raise AssertionError(f"{event} was not refused")
        assert await self.market.traces() == before


def _move_back(thing, span):
    times = {name: getattr(thing, name, None) for name in ("due_at", "announced_at", "announce_at")}
    return msgspec.structs.replace(thing, **{name: at - span for name, at in times.items() if at})
