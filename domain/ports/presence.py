"""Protocol: who is connected and who watches which job, across all processes."""

from collections.abc import Collection
from typing import Protocol


class Presence(Protocol):
    """Who is connected, over all processes; of this process alone while Redis is unreachable."""

    async def viewers(self, job_id: str) -> set[str]:
        """The users whose sockets are in the room `job:{id}`."""
        ...

    async def online(self, user_ids: Collection[str]) -> set[str]:
        """The users among `user_ids` who are connected."""
        ...
