"""Completes delivered work by itself when its customer does not answer in time."""

from collections.abc import Sequence
from datetime import timedelta

from domain.deals.offer import Offer, change_offer, with_milestones
from domain.fulfillment.work import CHUNK, complete_milestones, finish
from domain.jobs.job import Job, JobStatus
from domain.kernel.record import EVER, wire
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.templates.work import completes_soon
from domain.ports.ports import Ports

TO_ANSWER = timedelta(hours=24)  # from the announcement to what then happens by itself
ANNOUNCE_BEFORE = TO_ANSWER + timedelta(hours=2)
LATE = timedelta(hours=24)


# -- by itself -------------------------------------------------------------------------------


async def announce_due(ports: Ports) -> int:
    """Tell customers a day before that their work will be completed by itself."""
    uow = ports.store.single()
    soon = {"announce_at": {**EVER, "$lte": uow.now + ANNOUNCE_BEFORE}}
    offers = await uow.all(Offer, soon, (("announce_at", 1),), CHUNK)
    return await ports.store.transact_each(offers, _announce_due)


async def _announce_due(uow: UnitOfWork, found: Offer) -> None:
    offer = await uow.get(Offer, found.id)
    soon = [n for n, at in offer.completing.items() if at <= uow.now + ANNOUNCE_BEFORE]
    await _announce(uow, offer, offer.unannounced(soon))


async def _announce(uow: UnitOfWork, offer: Offer, numbers: Sequence[int]) -> None:
    """One word about all of them: they complete together, when there was time to answer."""
    if not numbers:
        return
    at = max(uow.now + TO_ANSWER, *(offer.completing[number] for number in numbers))
    milestones = with_milestones(offer, numbers, due_at=at, announced_at=uow.now)
    offer = await change_offer(uow, offer, milestones=milestones)
    title, text = completes_soon(wire(offer), numbers, offer.at_stake(numbers), at)
    await notices.tell(uow, [offer.customer_id], "completes_soon", title, text, offer.job_id)


async def complete_due(ports: Ports) -> int:
    """Complete delivered work whose time for complaints is over; returns how many offers."""
    uow = ports.store.single()
    past = {"due_at": {**EVER, "$lte": uow.now}}
    due = await uow.all(Offer, past, (("due_at", 1),), CHUNK)
    return await ports.store.transact_each(due, _complete_due)


async def _complete_due(uow: UnitOfWork, found: Offer) -> None:
    """What was not announced is announced now, and so is a time that has passed unseen: while
    nothing ran, nobody could object."""
    offer = await uow.get(Offer, found.id)
    job = await uow.get(Job, offer.job_id)
    if job.status is not JobStatus.IN_PROGRESS:
        return
    due = {number: at for number, at in offer.completing.items() if at <= uow.now}
    missed = [number for number, at in due.items() if uow.now - at > LATE]
    again = sorted({*missed, *offer.unannounced(due)})
    ready = [number for number in due if number not in again]
    if ready:
        offer = await complete_milestones(uow, offer, ready)
        await finish(uow, job, offer)
        await notices.tell(
            uow,
            [offer.customer_id],
            "completed_by_itself",
            f"{offer.job_title}: completed",
            "The delivered work was completed by itself, since you did not object.",
            offer.job_id,
        )
    await _announce(uow, offer, again)
