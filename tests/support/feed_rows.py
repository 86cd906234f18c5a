"""Stores events in a user's feed directly, for tests of long and large feeds."""

from datetime import timedelta
from typing import Any

from domain.kernel.store import Store
from domain.notifications.feed import FeedRow


async def store_events(
    store: Store, party: Any, count: int, size: int = 10, text: str = "x"
) -> None:
    """Give the party's feed the numbers 1 to `count`, each with `size` times the text as data."""
    uow = store.single()
    rows = [
        uow.new(
            FeedRow,
            user_id=party.id,
            seq=seq,
            event=f"{party.id}.{seq}",
            namespace="/job",
            name="job.updated",
            data={"description": text * size},
            expires_at=uow.now + timedelta(days=1),
        )
        for seq in range(1, count + 1)
    ]
    await uow.add_all(rows)
