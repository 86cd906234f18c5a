"""What waits for one side of the market, by kind: how much there is, and the first of it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

from domain.accounts.user import User
from domain.deals.offer import MilestoneStatus, Offer, OfferStatus
from domain.disputes.dispute import Dispute
from domain.jobs.applications import Application, ApplicationStatus
from domain.jobs.job import Job, JobStatus
from domain.kernel.documents import Sort
from domain.kernel.fields import about
from domain.kernel.record import Record
from domain.kernel.store import NEWEST, UnitOfWork
from domain.payouts.transfer import UNSENT, Transfer
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

SHOWN, MOST = 5, 100  # subjects of a kind; and up to how many are counted
LATEST = 20  # counter-offers and withdrawals that are looked at
# The parts of an answer's bytes that a list, and one of offers in progress, may read.
SHARE, SHARE_OF_OFFERS = 8, 2
BY_DUE: Sort = (("due_at", 1), ("_id", 1))
BY_EXPIRY: Sort = (("expires_at", 1), ("_id", 1))
BY_ANSWER: Sort = (("answer_by", 1), ("_id", 1))

R = TypeVar("R", bound=Record)


class WaitingFor(StrEnum):
    """What a person has to do. `counter_offers`: to make a new offer of them, or to leave it.
    `money_to_set_up`: to set up payouts, which earned money waits for."""

    APPLICATIONS = "applications"
    OFFERS_TO_PAY = "offers_to_pay"
    COUNTER_OFFERS = "counter_offers"
    WORK_TO_APPROVE = "work_to_approve"
    OFFERS_TO_ANSWER = "offers_to_answer"
    JOBS_TO_START = "jobs_to_start"
    WORK_TO_DELIVER = "work_to_deliver"
    DISPUTES = "disputes"
    MONEY_TO_SET_UP = "money_to_set_up"
    FAILED_WITHDRAWALS = "failed_withdrawals"


class Subject(msgspec.Struct, frozen=True):
    """One thing that waits."""

    id: Annotated[str | None, about("The id of what waits; null for an amount of money.")]
    job_id: Annotated[str | None, about("The id of the job; null if it is about none.")]
    title: Annotated[str, about("The title of the job; empty if it is about none.")]
    at: Annotated[datetime | None, about("Since when it waits; null if that is not known.")]
    due_at: Annotated[
        datetime | None, about("Until when it should be done; null if there is no such time.")
    ] = None
    amount: Annotated[
        int | None, about("What it is about, in minor units of `currency`; null if no money.")
    ] = None
    currency: Annotated[str | None, about("The currency of `amount`, ISO 4217.")] = None


class Waiting(msgspec.Struct, frozen=True):
    """All that waits of one kind."""

    kind: Annotated[WaitingFor, about("What is to be done.")]
    count: Annotated[int, about("How much waits, up to 100.")]
    subjects: Annotated[list[Subject], about("The first of it, up to five.")]


async def waiting_for_customer(uow: UnitOfWork, user: User) -> list[Waiting]:
    """What waits for a customer; kinds without anything are left out."""
    own = {"customer_id": user.id}
    return await _existing(
        _offers_to_pay(uow, user.id),
        _work_to_approve(uow, user.id),
        _counter_offers(uow, user.id),
        _list(
            uow,
            WaitingFor.APPLICATIONS,
            Application,
            own | {"status": ApplicationStatus.PENDING},
            NEWEST,
            lambda each: Subject(
                each.id,
                each.job_id,
                each.job_title,
                each.created_at,
                amount=each.proposed_amount,
                currency=each.currency,
            ),
        ),
        _disputes(uow, user.id),
    )


async def waiting_for_contractor(uow: UnitOfWork, user: User) -> list[Waiting]:
    """What waits for a contractor; kinds without anything are left out."""
    own = {"contractor_id": user.id}
    to_answer = own | {"status": OfferStatus.PENDING}
    return await _existing(
        _list(uow, WaitingFor.OFFERS_TO_ANSWER, Offer, to_answer, BY_EXPIRY, _of_open_offer),
        _list(
            uow,
            WaitingFor.JOBS_TO_START,
            Job,
            own | {"status": JobStatus.ASSIGNED},
            NEWEST,
            lambda job: Subject(job.id, job.id, job.title, job.updated_at),
        ),
        _work_to_deliver(uow, user.id),
        _disputes(uow, user.id),
        _money_to_set_up(uow, user),
        _failed_withdrawals(uow, user.id),
    )


async def _existing(*lists: Coroutine[Any, Any, Waiting]) -> list[Waiting]:
    return [found for found in await asyncio.gather(*lists) if found.count]


async def _list(
    uow: UnitOfWork,
    kind: WaitingFor,
    record: type[R],
    where: dict[str, Any],
    sort: Sort,
    subject: Callable[[R], Subject],
) -> Waiting:
    page = await uow.page(record, where, sort=sort, limit=SHOWN, share=SHARE)
    count = len(page.items)
    if page.next_cursor:
        count = await uow.count(record, where, limit=MOST)
    return Waiting(kind, count, [subject(found) for found in page.items])


async def _offers_to_pay(uow: UnitOfWork, customer_id: str) -> Waiting:
    """Those whose payment the customer has yet to confirm, not those that a bank works on."""
    where = {"customer_id": customer_id, "status": OfferStatus.AWAITING_PAYMENT}
    found = await uow.first(Offer, where, NEWEST, MOST, SHARE)
    unpaid = [each for each in found if each.processing_since is None]
    return _shown(WaitingFor.OFFERS_TO_PAY, map(_of_open_offer, unpaid))


def _shown(kind: WaitingFor, subjects: Iterable[Subject]) -> Waiting:
    found = list(subjects)
    return Waiting(kind, len(found), found[:SHOWN])


def _disputes(uow: UnitOfWork, user_id: str) -> Coroutine[Any, Any, Waiting]:
    return _list(
        uow,
        WaitingFor.DISPUTES,
        Dispute,
        {"waits_for": user_id},
        BY_ANSWER,
        lambda each: Subject(
            each.id,
            each.job_id,
            each.job_title,
            each.created_at,
            each.answer_by,
            each.amount,
            each.currency,
        ),
    )


def _of_open_offer(offer: Offer) -> Subject:
    return Subject(
        offer.id,
        offer.job_id,
        offer.job_title,
        offer.created_at,
        offer.expires_at,
        offer.amount,
        offer.currency,
    )


def _numbers(offer: Offer, status: MilestoneStatus) -> list[int]:
    """The milestones in this state, from 1, that are not in dispute."""
    return [
        number
        for number, milestone in enumerate(offer.milestones, 1)
        if milestone.status is status and not milestone.dispute_id
    ]


async def _work_to_approve(uow: UnitOfWork, user_id: str) -> Waiting:
    """Delivered work that neither a dispute nor a bank has frozen, the next to complete first."""
    where = {"customer_id": user_id, "milestones.status": MilestoneStatus.DELIVERED}
    offers = await uow.first(Offer, where, BY_DUE, MOST, SHARE_OF_OFFERS)

    def subject(offer: Offer, numbers: Sequence[int]) -> Subject:
        times = [at for number in numbers if (at := offer.milestones[number - 1].delivered_at)]
        return Subject(
            offer.id,
            offer.job_id,
            offer.job_title,
            min(times, default=None),
            offer.due_at,
            offer.open_amount(numbers),
            offer.currency,
        )

    return _shown(
        WaitingFor.WORK_TO_APPROVE,
        (
            subject(offer, numbers)
            for offer in offers
            if not offer.contested_amount
            and (numbers := _numbers(offer, MilestoneStatus.DELIVERED))
        ),
    )


async def _counter_offers(uow: UnitOfWork, user_id: str) -> Waiting:
    """Those on open jobs that no later offer of their negotiation has answered."""
    where = {"customer_id": user_id, "status": OfferStatus.COUNTERED}
    countered = await uow.first(Offer, where, NEWEST, LATEST, SHARE)
    if not countered:
        return _shown(WaitingFor.COUNTER_OFFERS, ())
    threads = tuple({offer.thread_id for offer in countered})
    answered = {"thread_id": threads, "previous_id": tuple(offer.id for offer in countered)}
    jobs = {"_id": tuple({offer.job_id for offer in countered}), "status": JobStatus.OPEN}
    newer, open_jobs = await asyncio.gather(
        uow.distinct(Offer, "previous_id", answered), uow.distinct(Job, "_id", jobs)
    )
    return _shown(
        WaitingFor.COUNTER_OFFERS,
        (
            Subject(
                offer.id,
                offer.job_id,
                offer.job_title,
                offer.counter.at,
                amount=offer.counter.amount,
                currency=offer.currency,
            )
            for offer in countered
            if offer.counter and offer.id not in newer and offer.job_id in open_jobs
        ),
    )


async def _work_to_deliver(uow: UnitOfWork, user_id: str) -> Waiting:
    """Of jobs that are started. It is due when the agreed days are over."""
    assigned = {"contractor_id": user_id, "status": JobStatus.ASSIGNED}
    where = {
        "contractor_id": user_id,
        "status": OfferStatus.ACCEPTED,
        "milestones.status": MilestoneStatus.PENDING,
    }
    unstarted, offers = await asyncio.gather(
        uow.distinct(Job, "_id", assigned),
        uow.first(Offer, where, NEWEST, MOST, SHARE_OF_OFFERS),
    )

    def subject(offer: Offer, numbers: Sequence[int]) -> Subject:
        since = offer.accepted_at or offer.created_at
        return Subject(
            offer.id,
            offer.job_id,
            offer.job_title,
            since,
            since + timedelta(days=offer.timeline_days),
            offer.open_amount(numbers),
            offer.currency,
        )

    return _shown(
        WaitingFor.WORK_TO_DELIVER,
        (
            subject(offer, numbers)
            for offer in offers
            if offer.job_id not in unstarted
            and (numbers := _numbers(offer, MilestoneStatus.PENDING))
        ),
    )


async def _money_to_set_up(uow: UnitOfWork, user: User) -> Waiting:
    """Transfers that cannot be made before the contractor has set up payouts, by currency."""
    if user.transfers_active:
        return _shown(WaitingFor.MONEY_TO_SET_UP, ())
    sums = await uow.aggregate(
        Transfer,
        [
            {"$match": {"user_id": user.id, "status": {"$in": list(UNSENT)}}},
            {
                "$group": {
                    "_id": "$currency",
                    "amount": {"$sum": "$amount"},
                    "since": {"$min": "$created_at"},
                }
            },
            {"$sort": {"_id": 1}},
        ],
    )
    return _shown(
        WaitingFor.MONEY_TO_SET_UP,
        (
            Subject(None, None, "", each["since"], amount=each["amount"], currency=each["_id"])
            for each in sums
            if each["amount"]
        ),
    )


async def _failed_withdrawals(uow: UnitOfWork, user_id: str) -> Waiting:
    """Those that no later withdrawal of the same currency has followed."""
    latest = await uow.first(Withdrawal, {"user_id": user_id}, NEWEST, LATEST, SHARE)
    return _shown(
        WaitingFor.FAILED_WITHDRAWALS,
        (
            Subject(each.id, None, "", each.failed_at, amount=each.amount, currency=each.currency)
            for each in _newest_of_each_currency(latest)
            if each.status is WithdrawalStatus.FAILED
        ),
    )


def _newest_of_each_currency(withdrawals: Sequence[Withdrawal]) -> Iterable[Withdrawal]:
    newest: dict[str, Withdrawal] = {}
    for each in withdrawals:
        newest.setdefault(each.currency, each)
    return newest.values()
