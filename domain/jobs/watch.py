"""Live subscriptions to one job: its changes and its number of viewers.

The room `job:{id}` holds all subscribers; it receives `job.closed` and the number of viewers. The
job itself goes to another room, by the subscriber's view of it: parties and administrators get the
whole job, others its public part. They get it while the job is open, and leave both rooms with
`job.closed`. Those who may still read it afterwards subscribe again, and join the room for later
changes. So a former viewer learns nothing about a job that was assigned to another contractor.
"""

from typing import Annotated, Any

import msgspec

from domain.jobs.access import ReadJob, read_job
from domain.jobs.job import Job, JobStatus
from domain.jobs.views import JobView, view_for
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import JobId, about
from domain.kernel.rooms import job_room, open_job_room, party_job_room, private_job_room
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports


class WatchedJob(msgspec.Struct, frozen=True):
    """The job that this connection watches from now on."""

    job: Annotated[Job, about("The job.")]
    viewers: Annotated[int, about("How many users watch it, with the caller.")]


class Unwatch(Command, frozen=True):
    job_id: Annotated[Id, about("The id of the job.")]


class UnwatchedJob(msgspec.Struct, frozen=True):
    """The job that this connection no longer watches."""

    job_id: JobId


def _rooms_to_join(answer: Any, actor: Actor) -> list[str]:
    """The public part of a job names no contractor; then the actor is not the contractor."""
    job = answer["job"]
    if view_for(actor, job["customer_id"], job["contractor_id"]) is not JobView.PUBLIC:
        changes = party_job_room
    else:
        changes = open_job_room if job["status"] == JobStatus.OPEN else private_job_room
    return [job_room(job["id"]), changes(job["id"])]


def _rooms_to_leave(answer: Any) -> list[str]:
    rooms = job_room, open_job_room, private_job_room, party_job_room
    return [room(answer["job_id"]) for room in rooms]


@operation(
    "job.watch", roles=EVERYONE, style=Style.DIRECT, joins=_rooms_to_join, errors=(NotFound,)
)
async def watch(cmd: ReadJob, actor: Actor, ports: Ports, meta: Meta) -> WatchedJob:
    """Subscribe this connection to a job and count its user as a viewer. Raises NotFound."""
    job = await read_job(cmd, actor, ports.store.single())
    return WatchedJob(job, len(await ports.presence.viewers(job.id) | {actor.id}))


@operation("job.unwatch", roles=EVERYONE, style=Style.DIRECT, leaves=_rooms_to_leave)
async def unwatch(cmd: Unwatch, actor: Actor, ports: Ports, meta: Meta) -> UnwatchedJob:
    """End the subscription of this connection to a job."""
    return UnwatchedJob(cmd.job_id)
