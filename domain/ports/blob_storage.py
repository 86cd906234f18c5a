"""Protocols: storage of file contents, and their inspection."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class BlobStorage(Protocol):
    """File contents by key. All methods raise Unavailable while their store is unreachable."""

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store the pieces. A failed write may leave a part behind, possibly some time later."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Read from byte `start` to before byte `end`."""
        ...

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove contents; keys that do not exist are ignored."""
        ...


class Spool(Protocol):
    """Received bytes, buffered outside of memory."""

    @property
    def size(self) -> int: ...

    def pieces(self) -> AsyncIterator[bytes]: ...


class InspectedFile(msgspec.Struct, frozen=True):
    """A file after its inspection. The `content` of a picture is re-encoded from the upload."""

    type: str
    content: Spool
    width: int | None = None
    height: int | None = None
    thumbnail: Spool | None = None
    animated: bool = False


class FileInspector(Protocol):
    def examine(self, spool: Spool, whose: str) -> AbstractAsyncContextManager[InspectedFile]:
        """Determine the type of an upload of user `whose`, and re-encode pictures.

        Raises UnsupportedType, TooLarge, RateLimited.
        """
        ...
