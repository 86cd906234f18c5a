"""The timeline of one payment: what happened to its money, from all records about it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from domain.audit_trail.listing import AuditListing
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.disputes.dispute import Dispute
from domain.kernel.fields import about
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer
from domain.stripe_events.inbox import WebhookEvent


class Source(StrEnum):
    """Which record an entry is from; `administrator` is from the audit trail."""

    OFFER = "offer"
    JOURNAL = "journal"
    REFUND = "refund"
    TRANSFER = "transfer"
    DISPUTE = "dispute"
    CHARGEBACK = "chargeback"
    STRIPE = "stripe"
    ADMINISTRATOR = "administrator"


class TimelineFact(msgspec.Struct, frozen=True):
    """One fact of the timeline; `what` is a state, a kind of movement, an event or a command."""

    at: Annotated[datetime, about("When it happened.")]
    source: Annotated[Source, about("Which record it is from.")]
    what: Annotated[
        str,
        about(
            "What happened: a state of the record, the kind of a transaction, the type of Stripe's "
            "event or the name of the administrator's command."
        ),
    ]
    subject: Annotated[str, about("The id of the record.")]
    amount: Annotated[
        int | None,
        about("In minor units of the payment's currency; null if it is about no amount."),
    ] = None
    by: Annotated[
        str | None,
        about("The id of the user who did it, `stripe` or `system`; null if it is not known."),
    ] = None


class Facts(msgspec.Struct, frozen=True):
    """The records that a timeline is made of."""

    offer: Offer
    transactions: Sequence[Transaction]
    transfers: Sequence[Transfer]
    disputes: Sequence[Dispute]
    chargebacks: Sequence[Chargeback]
    events: Sequence[WebhookEvent]
    audit: Sequence[AuditListing]


def timeline(facts: Facts) -> list[TimelineFact]:
    """All facts, the oldest first."""
    found = [*_of_offer(facts.offer), *_of_money(facts), *_of_disagreements(facts)]
    found += (TimelineFact(e.created_at, Source.STRIPE, e.type, e.id) for e in facts.events)
    found += (
        TimelineFact(row.at, Source.ADMINISTRATOR, row.operation, row.id, by=row.actor_id)
        for row in facts.audit
        if row.role == "admin"
    )
    return sorted(found, key=lambda fact: fact.at)


def _of_offer(offer: Offer) -> Iterable[TimelineFact]:
    yield TimelineFact(
        offer.created_at, Source.OFFER, "created", offer.id, offer.amount, offer.customer_id
    )
    for step in offer.history:
        yield TimelineFact(step.at, Source.OFFER, step.status, offer.id, by=step.by)
    for milestone in offer.milestones:
        if milestone.delivered_at:
            yield TimelineFact(
                milestone.delivered_at,
                Source.OFFER,
                "delivered",
                offer.id,
                milestone.amount,
                offer.contractor_id,
            )
    for refund in offer.refunds:
        yield TimelineFact(
            refund.asked_at, Source.REFUND, refund.status, refund.id, refund.amount, refund.by
        )


def _of_money(facts: Facts) -> Iterable[TimelineFact]:
    for row in facts.transactions:
        total = sum(posting.amount for posting in row.postings)
        yield TimelineFact(row.created_at, Source.JOURNAL, row.kind, row.id, total)
    for transfer in facts.transfers:
        moments = (
            ("created", transfer.created_at),
            ("made", transfer.made_at),
            ("available", transfer.available_at),
        )
        for what, at in moments:
            if at:
                yield TimelineFact(at, Source.TRANSFER, what, transfer.id, transfer.amount)


def _of_disagreements(facts: Facts) -> Iterable[TimelineFact]:
    for dispute in facts.disputes:
        yield TimelineFact(
            dispute.created_at,
            Source.DISPUTE,
            "opened",
            dispute.id,
            dispute.amount,
            dispute.opened_by,
        )
        if dispute.resolved_at:
            yield TimelineFact(
                dispute.resolved_at,
                Source.DISPUTE,
                "resolved",
                dispute.id,
                dispute.refund_amount,
            )
    for chargeback in facts.chargebacks:
        yield TimelineFact(
            chargeback.created_at, Source.CHARGEBACK, "opened", chargeback.id, chargeback.amount
        )
        if chargeback.updated_at > chargeback.created_at:
            yield TimelineFact(
                chargeback.updated_at,
                Source.CHARGEBACK,
                chargeback.status,
                chargeback.id,
                chargeback.amount,
            )
