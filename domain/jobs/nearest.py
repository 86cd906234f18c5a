"""Lists jobs by their distance from a place.

Decision: such a list ends after the NEAREST jobs. Places are rounded to about 1 km, so many jobs
of one town are at the same distance; an order among them that survives from page to page needs a
sort after the geospatial index, and this bounds what is sorted.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from domain.jobs.geo import Point
from domain.jobs.job import Job
from domain.kernel.documents import filtered, pack_cursor, unpack_cursor
from domain.kernel.paging import read_within
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork

NEAREST = 200


async def page_of_nearest(
    uow: UnitOfWork,
    place: Point,
    radius_km: float,
    where: Mapping[str, Any],
    cursor: str | None,
    limit: int,
) -> Page[Job]:
    """Jobs within the radius that match `where`, the nearest first. Raises Invalid."""
    after = unpack_cursor(cursor, tuple[float, str]) if cursor else (-1.0, "")
    near = {
        "near": {"type": "Point", "coordinates": list(place)},
        "key": "point",
        "spherical": True,
        "maxDistance": radius_km * 1000,
        "distanceField": "distance",  # in metres
        "query": filtered(where),
    }
    found = await uow.aggregate(
        Job,
        [
            {"$geoNear": near},
            {"$limit": NEAREST},
            {"$project": {"distance": 1}},
            {"$sort": {"distance": 1, "_id": 1}},
        ],
    )
    distances = {
        each["_id"]: each["distance"] for each in found if (each["distance"], each["_id"]) > after
    }
    wanted = list(distances)[: limit + 1]
    jobs = {job.id: job for job in await uow.all(Job, {"_id": tuple(wanted)}, limit=limit + 1)}
    items, more = await read_within(_in_order(wanted, jobs), limit)
    if not more:
        return Page(items)
    last = items[-1].id
    return Page(items, pack_cursor((distances[last], last)))


async def _in_order(ids: list[str], jobs: Mapping[str, Job]) -> AsyncIterator[Job]:
    for id in ids:
        if id in jobs:
            yield jobs[id]
