"""The names of the users and the titles of the jobs that a list of administrators is about.

They are read with the list and not copied into its records, so nothing of a deleted account stays.
"""

from collections.abc import Iterable

from domain.accounts.user import User
from domain.jobs.job import Job
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork


async def names_of(uow: UnitOfWork, users: Iterable[str | None]) -> dict[str, str]:
    """User id -> name, of those that exist."""
    return await _field_of(uow, User, "name", users)


async def titles_of(uow: UnitOfWork, jobs: Iterable[str | None]) -> dict[str, str]:
    """Job id -> title, which is empty for a job that does not exist."""
    ids = [id for id in jobs if id]
    return dict.fromkeys(ids, "") | await _field_of(uow, Job, "title", ids)


async def _field_of(
    uow: UnitOfWork, kind: type[Record], field: str, ids: Iterable[str | None]
) -> dict[str, str]:
    """One field of several records, which is stored in clear, in one query."""
    wanted = tuple(sorted({id for id in ids if id}))
    if not wanted:
        return {}
    found = await uow.aggregate(
        kind, [{"$match": {"_id": {"$in": list(wanted)}}}, {"$project": {field: 1}}]
    )
    return {row["_id"]: row.get(field, "") for row in found}
