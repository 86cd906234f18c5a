"""Protocols: sessions and their tokens, devices, password hashing, and tickets for files."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from domain.kernel.actor import Actor


class Tokens(msgspec.Struct, frozen=True):
    """An access token, valid until `expires_at`, and a refresh token, which can be exchanged for a
    new pair once."""

    access_token: str
    refresh_token: str
    expires_at: datetime


class SessionView(msgspec.Struct, frozen=True):
    """One session, as its user sees it."""

    id: str
    created_at: datetime
    last_used_at: datetime
    address: str
    current: bool = False


class Confirmation(msgspec.Struct, frozen=True):
    """When a session was signed in, and until when its user counts as present after a step-up."""

    signed_in_at: datetime
    stepped_up_until: datetime | None


class Sessions(Protocol):
    """The sessions of users. All methods raise Unavailable while their store is unreachable."""

    async def start(
        self, user_id: str, role: str, address: str, *, limited: bool = False
    ) -> Tokens:
        """A `limited` session may only set up a second factor, until `lift_limit` and a refresh."""
        ...

    async def lift_limit(self, session_id: str) -> None: ...

    async def confirmation(self, session_id: str) -> Confirmation | None: ...

    async def step_up(self, session_id: str, until: datetime) -> None:
        """Note that the user has confirmed their identity. Without effect on an ended session."""
        ...

    async def rotate(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token. Raises Unauthenticated.

        A token that is used twice ends its session on all processes.
        """
        ...

    async def list(self, user_id: str) -> Sequence[SessionView]: ...

    async def end(self, user_id: str, session_id: str) -> bool:
        """End a session and close its connections on all processes; False if there is none."""
        ...


class Passwords(Protocol):
    """Password hashing. Both methods take tens of milliseconds of CPU, outside of the event
    loop."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, hash: str | None) -> bool:
        """Check a password; takes as long for an unknown account (`hash` None) as for a known
        one."""
        ...


class Tickets(Protocol):
    def ticket(self, actor: Actor, file_id: str, life: timedelta) -> tuple[str, datetime]:
        """A token that lets `actor` read one file, and the time when it expires."""
        ...


class Device(msgspec.Struct, frozen=True):
    """A device with which a user has signed in."""

    id: str
    user_id: str


class Devices(Protocol):
    def remember(self, device: Device) -> str:
        """A signed token, valid for a year, which the device shows at its next sign-in."""
        ...

    def recall(self, token: Any) -> Device | None:
        """The device of a valid token; None for any other value."""
        ...
