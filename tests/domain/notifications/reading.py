"""Reads the notices in a user's feed."""

from domain.notifications.feed import FeedRow
from tests.support.job_in_progress import TIMEOUT

FENCE = "“Paint the fence”"


async def listed(market, person, *kinds):
    """The notices in a user's feed once all work is settled, oldest first."""
    await market.settled(TIMEOUT)
    rows = await market.store.single().all(
        FeedRow, {"user_id": person.id, "seq": {"$gt": 0}}, (("seq", 1),)
    )
    found = [row.data for row in rows if row.name == "notification"]
    return [notice for notice in found if not kinds or notice["kind"] in kinds]


async def titles(market, person):
    return [notice["title"] for notice in await listed(market, person)]
