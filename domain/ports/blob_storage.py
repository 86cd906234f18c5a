"""Protocols: where the bytes of files are kept, and what inspects them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class BlobStorage(Protocol):
    """Bytes by a key. All methods raise Unavailable when their store is away."""

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """What fails on the way may leave something of it, even some time later."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """From byte `start` to before byte `end`."""
        ...

    async def remove(self, keys: Sequence[str]) -> None:
        """Harmless for keys that are not there."""
        ...


class Spool(Protocol):
    """Bytes on their way through, which are not in memory."""

    @property
    def size(self) -> int: ...

    def pieces(self) -> AsyncIterator[bytes]: ...


class InspectedFile(msgspec.Struct, frozen=True):
    """What a file is. A picture's `content` is a new one, drawn after what was sent."""

    type: str
    content: Spool
    width: int | None = None
    height: int | None = None
    thumbnail: Spool | None = None


class FileInspector(Protocol):
    def examine(self, spool: Spool, whose: str) -> AbstractAsyncContextManager[InspectedFile]:
        """Raises UnsupportedType, TooLarge, RateLimited."""
        ...
