"""Slots for uploads and downloads: a share for each user and network, and a least speed.

When all slots are taken, one who has fewer takes a slot from the user with the most, and otherwise
from the slowest of those that are slow. So clients that send a byte now and then, from however many
accounts, do not keep others out; and a refusal is answered at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from domain.kernel.errors import RateLimited

GRACE_SECONDS = 10.0  # at any speed
LEAST_SPEED = 8 * 1024  # bytes per second on average, after that
SLOW = 64 * 1024  # bytes per second; faster ones keep their slot while all slots are taken
YOUNG_SECONDS = 2.0  # too early to measure a speed
RETRY_SECONDS = 2.0


class Transfer:
    """One upload or download, while it holds a slot."""

    def __init__(self, user_id: str, network: str, seconds: float | None) -> None:
        self.user_id = user_id
        self.network = network
        self.bytes = 0
        self.running = True  # bytes are moving; False while a received file is worked on
        self.evicted = False
        self._started = asyncio.get_running_loop().time()
        self._until = self._started + seconds if seconds is not None else float("inf")
        self._timeout = asyncio.timeout_at(self._deadline())

    @property
    def age(self) -> float:
        return asyncio.get_running_loop().time() - self._started

    @property
    def speed(self) -> float:
        return self.bytes / max(self.age, 0.001)

    @property
    def late(self) -> bool:
        return self._timeout.expired()

    def _deadline(self) -> float:
        return min(self._until, self._started + GRACE_SECONDS + self.bytes / LEAST_SPEED)

    def moved(self, count: int) -> None:
        """Count bytes; more of them may take more time."""
        self.bytes += count
        self._reschedule(self._deadline())

    @contextmanager
    def server_works(self) -> Iterator[None]:
        """The client does not pay for the time that the server takes, such as for a query."""
        began = asyncio.get_running_loop().time()
        self._reschedule(self._until)
        try:
            yield
        finally:
            self._started += asyncio.get_running_loop().time() - began
            self._reschedule(self._deadline())

    def complete(self) -> None:
        """No more bytes: what follows has no time limit, and keeps the slot."""
        self.running = False
        self._reschedule(float("inf"))

    def _reschedule(self, until: float) -> None:
        if not self.late and not self.evicted:
            self._timeout.reschedule(until if until < float("inf") else None)

    def evict(self) -> None:
        self.evicted = True
        self._timeout.reschedule(asyncio.get_running_loop().time())


class TransferSlots:
    """At most `total` on this process, `of_network` of them of one network, `of_user` of one user.

    Each may take `seconds` in all, if given.
    """

    def __init__(
        self, of_user: int, of_network: int, total: int, seconds: float | None = None
    ) -> None:
        self._of_user, self._of_network, self._total = of_user, of_network, total
        self._seconds = seconds
        self._transfers: set[Transfer] = set()
        self.active: Counter[str] = Counter()  # slots of each user

    @asynccontextmanager
    async def transfer(self, user_id: str, network: str) -> AsyncIterator[Transfer]:
        """Hold a slot. Raises RateLimited, also when another one takes the slot, and TimeoutError
        when the transfer is too slow."""
        self._make_room(user_id, network)
        transfer = Transfer(user_id, network, self._seconds)
        self._transfers.add(transfer)
        self.active[user_id] += 1
        try:
            async with transfer._timeout:
                yield transfer
        except TimeoutError as ended:
            if transfer.evicted:
                raise RateLimited(retry_after=RETRY_SECONDS) from ended
            raise
        finally:
            self._release(transfer)

    def _release(self, transfer: Transfer) -> None:
        if transfer in self._transfers:
            self._transfers.remove(transfer)
            self.active[transfer.user_id] -= 1
            if not self.active[transfer.user_id]:
                del self.active[transfer.user_id]

    def _make_room(self, user_id: str, network: str) -> None:
        """Raises RateLimited."""
        own = self.active[user_id]
        if own >= self._of_user:
            raise RateLimited(retry_after=RETRY_SECONDS)
        neighbours = {each for each in self._transfers if each.network == network}
        if len(neighbours) >= self._of_network:
            self._evict_one(neighbours, own)
        elif len(self._transfers) >= self._total:
            self._evict_one(self._transfers, own)

    def _evict_one(self, among: set[Transfer], own: int) -> None:
        """Raises RateLimited if all have a right to their slots."""
        running = [each for each in among if each.running]
        most = max((self.active[each.user_id] for each in running), default=0)
        if most > own + 1:
            choice = [each for each in running if self.active[each.user_id] == most]
        else:
            choice = [each for each in running if each.age > YOUNG_SECONDS and each.speed < SLOW]
        if not choice:
            raise RateLimited(retry_after=RETRY_SECONDS)
        slowest = min(choice, key=lambda each: each.speed)
        self._release(slowest)
        slowest.evict()
