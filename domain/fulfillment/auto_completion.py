"""Completes delivered work automatically if the customer does not object in time."""

from collections.abc import Sequence
from datetime import timedelta

from domain.deals.offer import Offer, change_offer, with_milestones
from domain.fulfillment.work import CHUNK, complete_milestones, end_if_finished
from domain.jobs.job import Job, JobStatus
from domain.kernel.independent import transact_due
from domain.kernel.record import ANY_TIME, wire
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.templates.work import completes_soon
from domain.ports.ports import Ports

ANSWER_TIME = timedelta(hours=24)  # from the announcement to the automatic completion
ANNOUNCE_BEFORE = ANSWER_TIME + timedelta(hours=2)
MISSED_AFTER = timedelta(hours=24)  # past its time: no process ran, so it is announced again


async def announce_due(ports: Ports) -> int:
    """Notify customers a day before work completes; returns the number of offers."""
    uow = ports.store.single()
    soon = {"announce_at": {**ANY_TIME, "$lte": uow.now + ANNOUNCE_BEFORE}}
    by_time = (("announce_at", 1),)
    return await transact_due(ports.store, Offer, soon, by_time, CHUNK, _announce_due)


async def _announce_due(uow: UnitOfWork, found: Offer) -> None:
    offer = await uow.get(Offer, found.id)
    latest = uow.now + ANNOUNCE_BEFORE
    soon = [number for number, at in offer.auto_completions.items() if at <= latest]
    await _announce_milestones(uow, offer, offer.unannounced(soon))


async def _announce_milestones(uow: UnitOfWork, offer: Offer, numbers: Sequence[int]) -> None:
    """Notify the customer once, and set one time at which all of these milestones complete.

    The customer has at least ANSWER_TIME to object.
    """
    if not numbers:
        return
    at = max(uow.now + ANSWER_TIME, *(offer.auto_completions[number] for number in numbers))
    milestones = with_milestones(offer, numbers, due_at=at, announced_at=uow.now)
    offer = await change_offer(uow, offer, milestones=milestones)
    title, text = completes_soon(wire(offer), numbers, offer.open_amount(numbers), at)
    await notices.notify(uow, [offer.customer_id], "completes_soon", title, text, offer.job_id)


async def complete_due(ports: Ports) -> int:
    """Complete delivered work after the time for objections; returns the number of offers."""
    uow = ports.store.single()
    past = {"due_at": {**ANY_TIME, "$lte": uow.now}}
    return await transact_due(ports.store, Offer, past, (("due_at", 1),), CHUNK, _complete_due)


async def _complete_due(uow: UnitOfWork, found: Offer) -> None:
    """Complete the milestones of an offer that are due.

    A milestone that was not announced, or that fell due while no process ran, is announced now
    instead: its customer had no chance to object.
    """
    offer = await uow.get(Offer, found.id)
    job = await uow.get(Job, offer.job_id)
    if job.status is not JobStatus.IN_PROGRESS:
        return
    due = {number: at for number, at in offer.auto_completions.items() if at <= uow.now}
    missed = [number for number, at in due.items() if uow.now - at > MISSED_AFTER]
    to_announce = sorted({*missed, *offer.unannounced(due)})
    ready = [number for number in due if number not in to_announce]
    if ready:
        offer = await complete_milestones(uow, offer, ready)
        await end_if_finished(uow, job, offer)
        await notices.notify(
            uow,
            [offer.customer_id],
            "completed_by_itself",
            f"{offer.job_title}: completed",
            "The delivered work was completed by itself, since you did not object.",
            offer.job_id,
        )
    await _announce_milestones(uow, offer, to_announce)
