"""Live subscriptions to one job: its changes and its number of viewers.

The room `job:{id}` holds all subscribers and receives only public data: the job while it is open,
then `job.closed`. Those who may still read the job subscribe again and then also join its private
room, which receives every later change. So a former viewer learns nothing about a job that was
assigned to another contractor.
"""

from typing import Any

import msgspec

from domain.jobs.access import ReadJob, read_job
from domain.jobs.job import Job, JobStatus
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.rooms import job_room, private_job_room
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports


class Watched(msgspec.Struct, frozen=True):
    job: Job
    viewers: int


class Unwatch(Command, frozen=True):
    job_id: Id


def _rooms_to_join(answer: Any) -> list[str]:
    job = answer["job"]
    inner = [] if job["status"] == JobStatus.OPEN else [private_job_room(job["id"])]
    return [job_room(job["id"]), *inner]


def _rooms_to_leave(answer: Any) -> list[str]:
    return [job_room(answer["job_id"]), private_job_room(answer["job_id"])]


@operation("job.watch", roles=EVERYONE, style=Style.DIRECT, joins=_rooms_to_join)
async def watch(cmd: ReadJob, actor: Actor, ports: Ports, meta: Meta) -> Watched:
    """Subscribe this connection to a job and count its user as a viewer. Raises NotFound."""
    job = await read_job(cmd, actor, ports.store.single())
    return Watched(job, len(await ports.presence.viewers(job.id) | {actor.id}))


@operation("job.unwatch", roles=EVERYONE, style=Style.DIRECT, leaves=_rooms_to_leave)
async def unwatch(cmd: Unwatch, actor: Actor, ports: Ports, meta: Meta) -> dict[str, str]:
    """End the subscription of this connection to a job."""
    return {"job_id": cmd.job_id}
