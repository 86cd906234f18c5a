"""The processes of the deployment and their health, for administrators."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from domain.kernel.actor import ADMINS, Actor
from domain.kernel.fields import about
from domain.kernel.process_figures import ProcessFigures
from domain.kernel.process_registry import ProcessHeartbeat, known_processes
from domain.kernel.store import UnitOfWork
from domain.operations.command import NoFields, Style
from domain.operations.operation import operation


class ProcessState(StrEnum):
    """`ended`: it said so. `lost`: it has not been heard of for too long."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class ProcessHealth(msgspec.Struct, frozen=True):
    """A process that runs, or has ended within ten minutes, and its last figures."""

    id: Annotated[str, about("Identifies the process.")]
    state: Annotated[ProcessState, about("Whether it runs.")]
    started_at: Annotated[datetime, about("When it started.")]
    beat_at: Annotated[datetime, about("When it was last heard of.")]
    ended_at: Annotated[datetime | None, about("When it ended; null if it runs.")]
    figures: Annotated[ProcessFigures, about("Its figures at that time.")]


def health_of(process: ProcessHeartbeat, now: datetime) -> ProcessHealth:
    silent = process.lost or (process.ended_at is None and process.alive_until <= now)
    ended = ProcessState.LOST if silent else ProcessState.ENDED
    running = process.ended_at is None and not silent
    return ProcessHealth(
        process.id,
        ProcessState.RUNNING if running else ended,
        process.created_at,
        process.updated_at if running or not process.lost else process.alive_until,
        process.ended_at,
        process.figures,
    )


@operation("admin.processes", roles=ADMINS, style=Style.READ, audited=False)
async def processes(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> list[ProcessHealth]:
    """The processes of the deployment and how they are, those that run first.

    Each tells of itself every four seconds. At most 100.
    """
    return [health_of(process, uow.now) for process in await known_processes(uow)]
