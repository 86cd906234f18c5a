"""Protocol: who is connected and who watches which job, across all processes."""

from collections.abc import Collection
from typing import Protocol


class Presence(Protocol):
    """Who is where, over all processes; what this process knows while they cannot be asked."""

    async def viewers(self, job_id: str) -> set[str]:
        """The users whose sockets are in the room `job:{id}`."""
        ...

    async def online(self, user_ids: Collection[str]) -> set[str]:
        """Those of them who are connected."""
        ...
