"""Offers: the customer creates one, and the contractor answers when the money is held.

An offer is visible to the contractor only after the hold succeeds. A contractor may counter with
other terms, which end the offer; the customer may then create a new one in the same thread.
"""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User, engage
from domain.chat.reach import require_reach
from domain.deals.offer import (
    MAX_MILESTONES,
    OPEN_OFFERS,
    CounterOffer,
    Milestone,
    Offer,
    OfferStatus,
    OfferStep,
    move_offer,
)
from domain.deals.payment import Payment, PaymentStatus, move_payment
from domain.jobs.applications import Application, active_application
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import PARTIES, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import (
    AmountNotPayable,
    CurrencyNotSupported,
    Invalid,
    JobNotOpen,
    JobTaken,
    NotAnApplicant,
    NotFound,
    OfferExists,
    OfferHasExpired,
    OfferNotPending,
    PaymentDisputed,
    Rule,
    Unavailable,
)
from domain.kernel.fields import about
from domain.kernel.independent import first_readable, transact_each
from domain.kernel.money import MAX_AMOUNT, check_chargeable
from domain.kernel.record import Page
from domain.kernel.store import NEWEST, Duplicate, UnitOfWork, new_id
from domain.kernel.text_types import line, prose
from domain.kernel.visibility import owned_by, visible_to
from domain.operations.command import (
    Command,
    CurrencyCode,
    Cursor,
    Id,
    PageSize,
    PaymentMethodId,
    Style,
)
from domain.operations.limits import MONEY_STEPS, Limit
from domain.operations.operation import operation
from domain.payments.card_attempts import require_attempt
from domain.payments.caused_refunds import require_new_offer, require_refund
from domain.payments.delayed import refuse_second_payment
from domain.payments.operations import PaymentSheet, payment_sheet
from domain.payments.processing import CHUNK, CapturePayment, HoldPayment, close_offer
from domain.payments.settlement_currency import require_settled
from domain.ports.ports import Ports

DEFAULT_EXPIRY_HOURS = 72


class MilestoneTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One milestone; `amount` is its part of the offer's amount, in minor units."""

    title: Annotated[str, line(120), about("What it is.")]
    amount: Annotated[
        int, Limits(ge=1, le=MAX_AMOUNT), about("Its part of the offer, in minor units.")
    ]


class Create(Command, frozen=True):
    """`amount` is in minor units. The amounts of milestones, if given, add up to it.

    Without `payment_method` the client confirms the payment with the client secret.
    """

    job_id: Annotated[Id, about("The id of the job.")]
    contractor_id: Annotated[Id, about("The id of the contractor, who has applied.")]
    amount: Annotated[
        int, Limits(ge=1, le=MAX_AMOUNT), about("What the customer pays, in minor units.")
    ]
    currency: Annotated[CurrencyCode, about("A code of three letters, such as USD.")]
    description: Annotated[str, prose(4000), about("What is agreed.")]
    timeline_days: Annotated[int, Limits(ge=1, le=730), about("How many days the work takes.")]
    milestones: Annotated[
        tuple[MilestoneTerms, ...],
        Limits(max_length=MAX_MILESTONES),
        about("Parts of the work, whose amounts add up; without them there is one."),
    ] = ()
    payment_method: Annotated[
        PaymentMethodId | None,
        about("A saved method; without it the client confirms with the client secret."),
    ] = None
    expires_in_hours: Annotated[
        int, Limits(ge=1, le=144), about("How long the contractor has to answer.")
    ] = DEFAULT_EXPIRY_HOURS


class ById(Command, frozen=True):
    offer_id: Annotated[Id, about("The id of the offer.")]


class CounterTerms(Command, frozen=True):
    """The contractor's terms; `amount` is in minor units of the offer's currency."""

    offer_id: Annotated[Id, about("The id of the offer.")]
    amount: Annotated[
        int,
        Limits(ge=1, le=MAX_AMOUNT),
        about("What the contractor asks for, in minor units of the offer's currency."),
    ]
    note: Annotated[str, prose(2000, least=0), about("Why.")] = ""


class List(Command, frozen=True):
    """`thread_id` selects a negotiation: all offers of one job to one contractor."""

    job_id: Annotated[Id | None, about("Only offers on this job.")] = None
    thread_id: Annotated[Id | None, about("Only offers of this negotiation.")] = None
    status: Annotated[OfferStatus | None, about("Only offers in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class OfferWithPayment(msgspec.Struct, frozen=True):
    """A new offer, and what its customer needs to pay."""

    offer: Annotated[Offer, about("The offer.")]
    payment: Annotated[PaymentSheet, about("What the customer's client needs to pay.")]


async def with_payment(offer_id: str, actor: Actor, ports: Ports) -> OfferWithPayment:
    """Wait for Stripe and return the offer; `client_secret` is null if Stripe is slow."""
    offer = await ports.store.single().get(Offer, offer_id)
    await ports.waiter.settled(offer.payment_id)
    uow = ports.store.single()
    offer = await uow.get(Offer, offer_id)
    return OfferWithPayment(offer, payment_sheet(await uow.get(Payment, offer.payment_id), actor))


@operation(
    "bidding.create",
    roles={Role.CUSTOMER},
    reply=with_payment,
    limits=(Limit(60, 60),),
    errors=(
        AmountNotPayable,
        CurrencyNotSupported,
        JobNotOpen,
        JobTaken,
        NotAnApplicant,
        NotFound,
        OfferExists,
    ),
)
async def create(cmd: Create, actor: Actor, uow: UnitOfWork) -> Offer:
    """Offer the job to an applicant and start the hold of the money.

    Who tries many cards has to wait. Raises NotFound, JobNotOpen, JobTaken, NotAnApplicant,
    OfferExists, CurrencyNotSupported, AmountNotPayable, Invalid, RateLimited.
    """
    check_chargeable(cmd.amount, cmd.currency, uow.rates.currencies)
    _check_milestones(cmd, uow.rates.currencies)
    job = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    _require_open(job)
    await require_reach(uow, actor.id, cmd.contractor_id)
    await require_attempt(uow, actor.id, cmd.payment_method)
    await require_new_offer(uow, actor.id)
    application = await active_application(uow, job.id, cmd.contractor_id)
    if application is None:
        raise NotAnApplicant
    await require_settled(uow, cmd.currency)
    await _require_accepted_currency(uow, cmd.contractor_id, cmd.currency)
    between = {"job_id": job.id, "contractor_id": cmd.contractor_id}
    previous = await uow.find(Offer, between, NEWEST)
    if await uow.find(Offer, {**between, "live": True}):
        raise OfferExists
    await refuse_second_payment(uow, job.id)
    for user_id in (actor.id, cmd.contractor_id):
        await engage(uow, user_id)
    offer, payment = _new_offer(cmd, job, application, uow, previous)
    try:
        await uow.add(offer)
    except Duplicate as taken:
        raise OfferExists from taken
    await uow.add(payment)
    uow.later(HoldPayment(payment.id))
    return offer


def _check_milestones(cmd: Create, currencies: tuple[str, ...]) -> None:
    """Check that the milestones add up, and that each is large enough for its fees.

    Raises Invalid, AmountNotPayable.
    """
    for part in cmd.milestones:
        check_chargeable(part.amount, cmd.currency, currencies)
    if cmd.milestones and sum(part.amount for part in cmd.milestones) != cmd.amount:
        raise Invalid("their amounts must add up to `amount`.", field="milestones", rule=Rule.VALUE)


def _new_offer(
    cmd: Create, job: Job, application: Application, uow: UnitOfWork, previous: Offer | None
) -> tuple[Offer, Payment]:
    now, id = uow.now, new_id(Offer.PREFIX)
    parts = cmd.milestones or (MilestoneTerms(job.title, cmd.amount),)
    shared: dict[str, Any] = {
        "job_id": job.id,
        "job_title": job.title,
        "customer_id": job.customer_id,
        "contractor_id": cmd.contractor_id,
        "customer_name": job.customer_name,
        "contractor_name": application.contractor_name,
        "amount": cmd.amount,
        "currency": cmd.currency,
    }
    offer = uow.new(
        Offer,
        id=id,
        payment_id=new_id(Payment.PREFIX),
        milestones=tuple(Milestone(part.title, part.amount) for part in parts),
        thread_id=previous.thread_id if previous else id,
        previous_id=previous.id if previous else None,
        description=cmd.description,
        timeline_days=cmd.timeline_days,
        schedule=uow.rates.schedule,
        expires_at=now + timedelta(hours=cmd.expires_in_hours),
        answer_hours=cmd.expires_in_hours,
        history=(OfferStep(now, OfferStatus.AWAITING_PAYMENT, job.customer_id),),
        **shared,
    )
    payment = uow.new(
        Payment,
        id=offer.payment_id,
        offer_id=offer.id,
        payment_method=cmd.payment_method,
        network=uow.network,
        **shared,
    )
    return offer, payment


@operation(
    "bidding.withdraw",
    roles={Role.CUSTOMER},
    limits=(MONEY_STEPS,),
    errors=(NotFound, OfferNotPending),
)
async def withdraw(cmd: ById, actor: Actor, uow: UnitOfWork) -> Offer:
    """Withdraw the offer and release its hold, or refund it where nothing could be held.

    Who causes many refunds in a day has to wait. Raises NotFound, OfferNotPending, RateLimited.
    """
    offer = await uow.get(Offer, cmd.offer_id, customer_id=actor.id)
    if offer.live and offer.captured_amount:
        await require_refund(uow, actor.id)
    closed = await close_offer(uow, offer, OfferStatus.WITHDRAWN, by=actor.id)
    if closed is None:
        raise OfferNotPending(status=offer.status)
    return closed


@operation(
    "bidding.reject",
    roles={Role.CONTRACTOR},
    limits=(MONEY_STEPS,),
    errors=(NotFound, OfferNotPending),
)
async def reject(cmd: ById, actor: Actor, uow: UnitOfWork) -> Offer:
    """Reject the offer and release its hold. Raises NotFound, OfferNotPending."""
    offer = await uow.get(Offer, cmd.offer_id, **owned_by(actor, Offer))
    closed = await close_offer(uow, offer, OfferStatus.REJECTED, by=actor.id)
    if closed is None:
        raise OfferNotPending(status=offer.status)
    return closed


@operation(
    "bidding.counter",
    roles={Role.CONTRACTOR},
    limits=(MONEY_STEPS,),
    errors=(
        AmountNotPayable,
        CurrencyNotSupported,
        NotFound,
        OfferNotPending,
    ),
)
async def counter(cmd: CounterTerms, actor: Actor, uow: UnitOfWork) -> Offer:
    """Reject the offer with other terms; the customer may create a new offer from them.

    Raises NotFound, OfferNotPending, AmountNotPayable.
    """
    offer = await uow.get(Offer, cmd.offer_id, **owned_by(actor, Offer))
    await require_reach(uow, offer.customer_id, offer.contractor_id)
    check_chargeable(cmd.amount, offer.currency, uow.rates.currencies)
    terms = CounterOffer(cmd.amount, cmd.note, uow.now)
    countered = await close_offer(uow, offer, OfferStatus.COUNTERED, by=actor.id, counter=terms)
    if countered is None:
        raise OfferNotPending(status=offer.status)
    return countered


@operation(
    "bidding.accept",
    roles={Role.CONTRACTOR},
    limits=(MONEY_STEPS,),
    errors=(
        CurrencyNotSupported,
        JobNotOpen,
        JobTaken,
        NotFound,
        OfferHasExpired,
        OfferNotPending,
        PaymentDisputed,
    ),
)
async def accept(cmd: ById, actor: Actor, uow: UnitOfWork) -> Offer:
    """Reserve the job and start the capture; `offer.accepted` is pushed when it succeeds.

    Raises NotFound, OfferNotPending, OfferHasExpired, JobTaken, JobNotOpen, CurrencyNotSupported,
    PaymentDisputed.
    """
    offer = await uow.get(Offer, cmd.offer_id, **owned_by(actor, Offer))
    if offer.status is not OfferStatus.PENDING:
        raise OfferNotPending(status=offer.status)
    await require_reach(uow, offer.customer_id, offer.contractor_id)
    if not offer.captured_amount:
        await require_settled(uow, offer.currency)
    await _require_accepted_currency(uow, actor.id, offer.currency)
    if offer.expires_at <= uow.now:
        raise OfferHasExpired
    if offer.contested_amount:
        raise PaymentDisputed
    job = await uow.change(
        Job,
        offer.job_id,
        only_if={"status": JobStatus.OPEN, "accepting_offer_id": None},
        accepting_offer_id=offer.id,
    )
    if job is None:
        _require_open(await uow.get(Job, offer.job_id))
    accepting = await move_offer(uow, offer.id, OfferStatus.ACCEPTING, by=actor.id)
    if accepting is None:
        raise OfferNotPending
    await move_payment(uow, offer.payment_id, PaymentStatus.CAPTURING)
    uow.later(CapturePayment(offer.payment_id))
    return accepting


@operation("bidding.get", roles=PARTIES, style=Style.READ, errors=(NotFound,))
async def get(cmd: ById, actor: Actor, uow: UnitOfWork) -> Offer:
    """Read one offer with its history. Raises NotFound."""
    return await uow.get(Offer, cmd.offer_id, **visible_to(actor, Offer))


@operation("bidding.list", roles=PARTIES, style=Style.READ)
async def list_offers(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Offer]:
    """List the offers that the actor has sent or received, newest first."""
    filters = given(job_id=cmd.job_id, thread_id=cmd.thread_id, status=cmd.status)
    where = visible_to(actor, Offer) | filters
    return await uow.page(Offer, where, cursor=cmd.cursor, limit=cmd.limit)


async def _require_accepted_currency(uow: UnitOfWork, contractor_id: str, currency: str) -> None:
    """Raises CurrencyNotSupported if the contractor's bank accounts accept only other currencies.

    Contractors without bank accounts may accept any.
    """
    contractor = await uow.get(User, contractor_id)
    accepted = contractor.payout_currencies
    if accepted and currency not in accepted:
        raise CurrencyNotSupported(
            f"currency: the contractor can receive {', '.join(accepted)}.", field="currency"
        )


def _require_open(job: Job) -> None:
    """Raises JobTaken or JobNotOpen."""
    if job.accepting_offer_id:
        raise JobTaken
    if job.status is not JobStatus.OPEN:
        raise JobNotOpen(status=job.status)


async def expire_due(ports: Ports, limit: int = 100) -> int:
    """Expire offers after `expires_at`; returns their number. Several processes may run it."""
    store = ports.store
    late = {"status": OPEN_OFFERS, "expires_at": {"$lte": store.clock.now()}}
    due = await first_readable(store, Offer, late, (("expires_at", 1),), limit)
    chunks = [due[start : start + CHUNK] for start in range(0, len(due), CHUNK)]
    try:
        await transact_each(store, chunks, _expire)
    except Unavailable:
        raise
    except Exception:  # of one offer: the others in its chunk expire one by one
        await transact_each(store, ([offer] for offer in due), _expire)
    return len(due)


async def _expire(uow: UnitOfWork, offers: list[Offer]) -> None:
    for offer in offers:
        await close_offer(uow, offer, OfferStatus.EXPIRED, by="system")
