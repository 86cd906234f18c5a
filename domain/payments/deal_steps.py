"""What a payment does to its offer, job and application: assigned, answered, failed."""

from domain.deals.offer import Offer, OfferStatus, move_offer
from domain.jobs.applications import UPDATED as APPLICATION_UPDATED
from domain.jobs.applications import Application, ApplicationStatus
from domain.jobs.job import Job, JobStatus
from domain.jobs.job_files import restrict_files
from domain.jobs.views import publish_job
from domain.kernel.store import UnitOfWork


async def answer_application(
    uow: UnitOfWork, application: Application, status: ApplicationStatus
) -> None:
    """Accept or reject a pending application as a consequence of an offer or of the job's end."""
    changed = await uow.change(
        Application,
        application.id,
        only_if={"status": ApplicationStatus.PENDING},
        status=status,
        live=status is ApplicationStatus.ACCEPTED,
    )
    if changed:
        uow.publish(APPLICATION_UPDATED, changed, to=[changed.contractor_id, changed.customer_id])


async def assign_job(uow: UnitOfWork, offer: Offer) -> None:
    job = await uow.change(
        Job,
        offer.job_id,
        only_if={"status": JobStatus.OPEN, "accepting_offer_id": offer.id},
        status=JobStatus.ASSIGNED,
        contractor_id=offer.contractor_id,
        offer_id=offer.id,
        accepting_offer_id=None,
    )
    if job:
        await restrict_files(uow, job)
        publish_job(uow, job, market=True)


async def fail_offer(uow: UnitOfWork, offer: Offer, ending: OfferStatus) -> None:
    """End an offer whose payment failed, with the status `ending`. One that is being accepted
    becomes failed, and its job can accept another offer."""
    ended = await move_offer(
        uow, offer.id, OfferStatus.FAILED, by="stripe", only_if={"status": OfferStatus.ACCEPTING}
    )
    if ended is None:
        await move_offer(uow, offer.id, ending, by="stripe")
        return
    job = await uow.change(
        Job, offer.job_id, only_if={"accepting_offer_id": offer.id}, accepting_offer_id=None
    )
    if job:
        publish_job(uow, job)
