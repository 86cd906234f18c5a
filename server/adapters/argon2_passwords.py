"""Password hashing with argon2id, off the event loop, in a fair queue."""

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from server.caller import CALLER
from server.runtime.fair_queue import FairQueue

P = ParamSpec("P")
T = TypeVar("T")

COST = RFC_9106_LOW_MEMORY
WAITING_PER_SLOT = 16  # about two seconds on a busy machine
PRIORITY = 10  # nice value of the threads: the event loop comes first


class Argon2Passwords:
    """At most one hash per core at a time, which bounds the memory that a burst of sign-ins takes.

    Networks take turns, and accounts within one. What would wait for long is refused. One who is
    known to the account is a group of their own, so that a flood from many networks, or from within
    their own, delays them little.
    """

    def __init__(self) -> None:
        slots = os.cpu_count() or 1
        self._hasher = PasswordHasher.from_parameters(COST)
        self._threads = ThreadPoolExecutor(slots, "argon2", initializer=_yield_to_others)
        most = WAITING_PER_SLOT * slots
        self._queue = FairQueue(slots, most_waiting=most, most_of_group=most // 2)

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, _one_form(password))

    async def verify(self, password: str, hash: str | None) -> bool:
        usable = hash if hash and hash.startswith("$argon2") else None  # not that of NO_PASSWORD
        fits = await self._run(self._fits, usable, password)
        return fits and usable is not None

    async def renewed(self, password: str, hash: str) -> str | None:
        form = _one_form(password)
        renew = self._hasher.check_needs_rehash(hash) or (
            form != password and not await self._run(self._matches, hash, form)
        )
        return await self.hash(password) if renew else None

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        caller = CALLER.get()
        group = f"{caller.network} {caller.account}" if caller.known else caller.network
        async with self._queue.turn(group, caller.account, caller.known):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    @cached_property
    def _decoy(self) -> str:
        return self._hasher.hash("an account that does not exist")

    def _fits(self, hash: str | None, password: str) -> bool:
        """Older hashes are of passwords as they were typed, which may be in another form."""
        forms = dict.fromkeys((_one_form(password), password))
        return any(self._matches(hash or self._decoy, form) for form in forms)

    def _matches(self, hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _one_form(password: str) -> str:
    """Keyboards write the same character in several ways (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFC", password)


def _yield_to_others() -> None:
    """Lower the priority of this thread; on Linux each has its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
