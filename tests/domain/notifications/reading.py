"""What people were told, as it stands in their feeds."""

from domain.notifications.feed import FeedRow
from tests.support.job_in_progress import TIMEOUT

FENCE = "“Paint the fence”"


async def listed(market, person, *kinds):
    """The notices in somebody's feed once all is settled, oldest first."""
    await market.settled(TIMEOUT)
    rows = await market.store.single().all(
        FeedRow, {"user_id": person.id, "seq": {"$gt": 0}}, (("seq", 1),)
    )
    found = [row.data for row in rows if row.name == "notification"]
    return [notice for notice in found if not kinds or notice["kind"] in kinds]


async def titles(market, person):
    return [notice["title"] for notice in await listed(market, person)]
