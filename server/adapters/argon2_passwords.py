"""Password hashing with argon2id, off the event loop."""

import asyncio
import os
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Passwords:
    """At most one hash per core at a time, which bounds the memory that a burst of logins takes."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, hash: str | None) -> bool:
        async with self._slots:
            fits = await asyncio.to_thread(self._fits, hash, password)
        return fits and hash is not None

    @cached_property
    def _decoy(self) -> str:
        return self._hasher.hash("an account that does not exist")

    def _fits(self, hash: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hash or self._decoy, password)
        except (VerificationError, InvalidHashError):
            return False
