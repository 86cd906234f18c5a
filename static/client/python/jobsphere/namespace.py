"""The base of the generated namespaces: how a typed command or subscription reaches the client."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Protocol

from jobsphere.pushes import QUEUE, Key, Subscription

# What may be done when an answer was lost: repeat the command under the same request id, repeat
# it as it is, or nothing, because a second execution could do something twice.
Repeat = Literal["request_id", "safe", "no"]
Fields = Mapping[str, object]


class Caller(Protocol):
    """What a namespace needs of the client."""

    async def command(
        self,
        namespace: str,
        name: str,
        fields: Fields,
        repeat: Repeat,
        *,
        http: str | None = None,
        request_id: str | None = None,
        joins: bool = False,
    ) -> Any: ...

    async def request(
        self,
        http: str,
        fields: Fields,
        repeat: Repeat,
        *,
        request_id: str | None = None,
        signed_in: bool = True,
    ) -> Any: ...

    def subscribe(self, keys: Collection[Key] | None, size: int) -> Subscription[Any]: ...


class Namespace:
    """Commands raise Refusal. `pushes` of a namespace opens a subscription."""

    NAME: ClassVar[str]

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _command(
        self,
        name: str,
        http: str | None,
        fields: Fields,
        repeat: Repeat,
        request_id: str | None = None,
    ) -> Any:
        """`http` is the route that a client without a connection takes."""
        return await self._caller.command(
            self.NAME, name, fields, repeat, http=http, request_id=request_id
        )

    async def _join(self, name: str, fields: Fields) -> Any:
        """A command that subscribes this connection, and is repeated on the next one."""
        return await self._caller.command(self.NAME, name, fields, "safe", joins=True)

    async def _request(
        self,
        http: str,
        fields: Fields,
        repeat: Repeat,
        *,
        request_id: str | None = None,
        signed_in: bool = True,
    ) -> Any:
        """A command that there is over HTTP only."""
        return await self._caller.request(
            http, fields, repeat, request_id=request_id, signed_in=signed_in
        )

    def _pushes(self, names: Collection[str], size: int = QUEUE) -> Subscription[Any]:
        return self._caller.subscribe({(self.NAME, name) for name in names}, size)
