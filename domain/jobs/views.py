"""What of a job each reader sees. Every answer and push with a job takes its view from here.

Its parties (the customer and the assigned contractor) and administrators see the whole job. All
others see its public part: what the customer advertises, with a rounded place, and its files while
it is open. Fields that are not
in PUBLIC have their default value there, so that a new field is hidden until it is listed.
"""

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from domain.jobs.job import CLOSED, UPDATED, ClosedJob, Job, JobStatus, Location
from domain.kernel.actor import Actor, Role
from domain.kernel.record import Page
from domain.kernel.rooms import (
    job_room,
    open_job_room,
    party_job_room,
    private_job_room,
    role_room,
    user_room,
)
from domain.kernel.store import UnitOfWork
from domain.operations.limits import Limit, Usage, cost_of_push

J = TypeVar("J", bound=Job)

PUBLIC = frozenset(
    {
        "id",
        "version",
        "created_at",
        "updated_at",
        "customer_id",
        "customer_name",
        "title",
        "description",
        "category",
        "skills",
        "budget_min_amount",
        "budget_max_amount",
        "currency",
        "location",
        "status",
        "files",
    }
)


class JobView(StrEnum):
    PUBLIC = "public"
    PARTY = "party"
    ADMIN = "admin"


def view_for(actor: Actor, customer_id: str, contractor_id: str | None) -> JobView:
    """The view of a job of this customer, with this assigned contractor."""
    if actor.role is Role.ADMIN:
        return JobView.ADMIN
    return JobView.PARTY if actor.id in (customer_id, contractor_id) else JobView.PUBLIC


def seen_by(actor: Actor, job: J) -> J:
    """The job as this reader sees it."""
    if view_for(actor, job.customer_id, job.contractor_id) is JobView.PUBLIC:
        return public_part(job)
    return job


def page_seen_by(actor: Actor, page: Page[J]) -> Page[J]:
    return Page([seen_by(actor, job) for job in page.items], page.next_cursor)


def public_part(job: J) -> J:
    place = job.location
    rounded = Location(*place.rounded) if place else None
    files = job.files if job.status is JobStatus.OPEN else ()
    return msgspec.structs.replace(job, **_HIDDEN, location=rounded, files=files)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    assert field.default_factory is not msgspec.NODEFAULT, f"{field.name} needs a default"
    return field.default_factory()


_HIDDEN = {
    field.name: _default(field) for field in msgspec.structs.fields(Job) if field.name not in PUBLIC
}


# -- pushes ----------------------------------------------------------------------------------


def _market_cost(job: dict[str, Any], usage: Usage) -> float:
    """An open job is pushed to all contractors and to everybody who watches it."""
    return cost_of_push(job, (role_room(Role.CONTRACTOR), open_job_room(job["id"])), usage)


# What one user pushes to the market: 8 MiB at once, then 1 MiB a second.
MARKET_PUSHES = Limit(32, 8, bucket="market_pushes", later_cost=_market_cost)


def publish_job(uow: UnitOfWork, job: Job, *, market: bool = False) -> None:
    """Push a job to its two sides and its viewers, each in their view.

    With `market` every contractor receives its public part: the job is open, or was until this
    change. Viewers of a job that is no longer open receive `job.closed` and nothing after it,
    unless they may still read it. Each connection receives a change once.
    """
    public, contractors = public_part(job), role_room(Role.CONTRACTOR)
    parties = [job.customer_id, *([job.contractor_id] if job.contractor_id else [])]
    uow.publish(UPDATED, job, to=parties)
    told = [user_room(party) for party in parties]
    uow.publish(UPDATED, job, room=party_job_room(job.id), without=told)
    if market:
        uow.publish(UPDATED, public, room=contractors, without=told[1:])
        told.append(contractors)
    if job.status is JobStatus.OPEN:
        uow.publish(UPDATED, public, room=open_job_room(job.id), without=told)
    elif market:
        strangers = open_job_room(job.id), job_room(job.id)
        uow.publish(CLOSED, ClosedJob(job.id), room=job_room(job.id), ends=strangers)
    else:
        uow.publish(UPDATED, public, room=private_job_room(job.id), without=told)
