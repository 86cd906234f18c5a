"""What signing in needs from outside: sessions with their tokens, and passwords."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from domain.kernel.actor import Actor


class Tokens(msgspec.Struct, frozen=True):
    """A pair: the access token opens every door until `expires_at`, the refresh token makes a
    new pair and works once."""

    access_token: str
    refresh_token: str
    expires_at: datetime


class SessionView(msgspec.Struct, frozen=True):
    """One signed-in device."""

    id: str
    created_at: datetime
    last_used_at: datetime
    address: str
    current: bool = False


class Sessions(Protocol):
    """Signed-in devices. All methods raise Unavailable when their store is away."""

    async def start(self, user_id: str, role: str, address: str) -> Tokens: ...

    async def rotate(self, refresh_token: str) -> Tokens:
        """Raises Unauthenticated; a token used twice ends its session everywhere."""
        ...

    async def list(self, user_id: str) -> Sequence[SessionView]: ...

    async def end(self, user_id: str, session_id: str) -> bool:
        """End one session and close its sockets on all processes; False if it is not there."""
        ...


class Passwords(Protocol):
    """Both take tens of milliseconds of CPU and run off the event loop."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, hash: str | None) -> bool:
        """Takes the same time for an unknown account (`hash` None) as for a wrong password."""
        ...


class Tickets(Protocol):
    def ticket(self, actor: Actor, file_id: str, life: timedelta) -> tuple[str, datetime]: ...
