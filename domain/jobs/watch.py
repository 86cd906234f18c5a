"""Watching: who looks at a job right now, and its changes as they happen.

The room `job:{id}` is for everybody who watches, and is told what is public: the job as long as it
is open, then `job.closed`. Who may still read it watches again, and is then also in the room of
those who are told the rest. So a stranger who stays learns nothing of a job that was given away.
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


def _joined(answer: Any) -> list[str]:
    job = answer["job"]
    inner = [] if job["status"] == JobStatus.OPEN else [private_job_room(job["id"])]
    return [job_room(job["id"]), *inner]


def _left(answer: Any) -> list[str]:
    return [job_room(answer["job_id"]), private_job_room(answer["job_id"])]


@operation("job.watch", roles=EVERYONE, style=Style.DIRECT, joins=_joined)
async def watch(cmd: ReadJob, actor: Actor, ports: Ports, meta: Meta) -> Watched:
    """Subscribe this socket to a job; it counts as watched from now on. Raises NotFound."""
    job = await read_job(cmd, actor, ports.store.single())
    return Watched(job, len(await ports.presence.viewers(job.id) | {actor.id}))


@operation("job.unwatch", roles=EVERYONE, style=Style.DIRECT, leaves=_left)
async def unwatch(cmd: Unwatch, actor: Actor, ports: Ports, meta: Meta) -> dict[str, str]:
    return {"job_id": cmd.job_id}
