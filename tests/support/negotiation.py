"""A negotiation: a customer, an applicant and an open job, with the steps of an offer."""

import pytest

from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from domain.reconciliation.books_audit import audit
from tests.support.parties import Refused

TIMEOUT = 30


class Negotiation:
    """A customer, an applicant and an open job, ready for an offer."""

    def __init__(self, market, server):
        self.market, self.server, self.sandbox = market, server, server.sandbox

    async def prepare(self, **job):
        self.customer = await self.market.customer()
        self.contractor = await self.market.contractor()
        await self.add_job(**job)
        return self

    async def prepare_offer(self):
        """A pending offer, whose money is held, as `offer`."""
        await self.prepare()
        self.offer = await self.pending_offer()

    async def add_job(self, **job):
        """Another job with an application; from now on it is the one that is negotiated."""
        self.job = await self.market.job(self.customer, **job)
        await self.market.application(self.contractor, self.job)

    async def create_offer(self, payment_method="pm_card_visa", **fields):
        """The answer to `bidding.create`; its payment may be pending or failed."""
        return await self.customer.call(
            "/bidding",
            "create",
            {
                "job_id": self.job["id"],
                "contractor_id": self.contractor.id,
                "amount": 100_000,
                "currency": self.job["currency"],
                "description": "As discussed.",
                "timeline_days": 5,
                **({"payment_method": payment_method} if payment_method else {}),
                **fields,
            },
        )

    async def pending_offer(self):
        return await self.market.offer(self.customer, self.contractor, self.job)

    async def accept(self, offer):
        return await self.contractor.call("/bidding", "accept", {"offer_id": offer["id"]})

    async def wait_for_push(self, party, name, offer, seconds=TIMEOUT):
        return await party.push("/bidding", name, lambda o: o["id"] == offer["id"], seconds)

    async def stripe_intent(self, offer):
        payment = await self.server.store.single().get(Payment, offer["payment_id"])
        return await self.sandbox.api("GET", f"payment_intents/{payment.intent_id}")

    async def assert_ended_unbooked(self, offer, status, payment_status):
        """Assert the final states of offer and payment, no hold at Stripe, and an empty journal.

        Returns the payment.
        """
        await self.market.settled(TIMEOUT)
        shown = await self.customer.call("/bidding", "get", {"offer_id": offer["id"]})
        assert shown["status"] == status
        payment = await self.customer.call("/payment", "get", {"payment_id": offer["payment_id"]})
        assert payment["status"] == payment_status
        assert (await self.stripe_intent(offer))["status"] == "canceled"
        assert await self.market.rows(Transaction) == []
        assert (await audit(self.server.ports)).differences == []
        return payment

    async def assert_hidden_from_contractor(self, offer):
        """Assert that the contractor can neither read nor answer the offer, and got no push."""
        contractor = self.contractor
        assert (await contractor.call("/bidding", "list"))["items"] == []
        assert (await contractor.call("/payment", "list"))["items"] == []
        for namespace, event, fields in (
            ("/bidding", "get", {"offer_id": offer["id"]}),
            ("/bidding", "accept", {"offer_id": offer["id"]}),
            ("/bidding", "reject", {"offer_id": offer["id"]}),
            ("/payment", "get", {"payment_id": offer["payment_id"]}),
        ):
            with pytest.raises(Refused) as refused:
                await contractor.call(namespace, event, fields)
            assert refused.value.code == "not_found"
        assert not [p for p in contractor.pushes if p.namespace in ("/bidding", "/payment")]
