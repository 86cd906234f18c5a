"""Protocols: sessions and their tokens, devices, password hashing, and tickets for files."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Protocol

import msgspec

from domain.kernel.actor import Actor
from domain.kernel.fields import about
from domain.kernel.outbox import Event, Numbering

SESSION_LIFE = timedelta(days=30)  # without use
LONGEST_SESSION = timedelta(days=90)  # however often it is used; then one signs in again
MAX_SESSIONS = 100  # of one user; a further sign-in ends the one that was unused for longest
ACCESS_LIFE = timedelta(minutes=15)
EXTENDED = timedelta(hours=1)  # a longer life of access tokens while Redis is away
REFRESH_REPEATED = timedelta(seconds=30)  # a refresh token may be repeated for this long


class Tokens(msgspec.Struct, frozen=True):
    """An access token, valid until `expires_at`, and a refresh token, which can be exchanged for a
    new pair once."""

    access_token: Annotated[str, about("Authorizes requests and sockets until `expires_at`.")]
    refresh_token: Annotated[
        str, about("Can be exchanged once for new tokens, by `account.refresh`.")
    ]
    expires_at: Annotated[datetime, about("When the access token expires.")]


class SessionView(msgspec.Struct, frozen=True):
    """One session, as its user sees it: the name of its device, and the network of the address
    that it was started from."""

    id: Annotated[str, about("The id of the session.")]
    created_at: Annotated[datetime, about("When the user signed in.")]
    last_used_at: Annotated[datetime, about("When its tokens were last refreshed.")]
    address: Annotated[
        str,
        about(
            "The network of the address that it was started from, a /24 of IPv4 or a /64 of IPv6."
        ),
    ]
    device: Annotated[str, about("The name of the device.")] = ""
    current: Annotated[bool, about("Whether it is the session of this request.")] = False


class Confirmation(msgspec.Struct, frozen=True):
    """When a session was signed in, and until when its user counts as present after a step-up."""

    signed_in_at: datetime
    stepped_up_until: datetime | None


class Rotated(msgspec.Struct, frozen=True):
    """The new tokens of a session, and whose session it is."""

    tokens: Tokens
    user_id: str
    session_id: str
    generation: int
    limited: bool


class TokenReused(Exception):
    """A refresh token was used again after REFRESH_REPEATED: another person may have it."""

    def __init__(self, user_id: str, session_id: str) -> None:
        super().__init__()
        self.user_id = user_id
        self.session_id = session_id


class SessionEnded(Exception):
    """A refresh token of a session that ended with a ban of its user."""

    def __init__(self, user_id: str) -> None:
        super().__init__()
        self.user_id = user_id


class SessionEvent(msgspec.Struct, frozen=True):
    """What every process is notified of, as it has sockets of the session.

    `extended`: it lives until `until`. `revoked`: it ended. `all_revoked`: all sessions of the user
    ended that are of an earlier generation than `generation`, except `session_id`.
    """

    kind: str
    user_id: str
    session_id: str = ""
    until: datetime | None = None
    generation: int = 0


class RevokedSession(msgspec.Struct, frozen=True):
    """Why this connection ends: its session was ended, or its access token has expired."""

    reason: Annotated[
        Literal["revoked", "expired"],
        about("`revoked`: sign in again. `expired`: connect again with a new access token."),
    ]


REVOKED = Event(
    "/account",
    "session.revoked",
    RevokedSession,
    Numbering.NEVER,
    about="Just before the server disconnects a client of `/account`, to this client. It may have "
    "been disconnected from other namespaces before. If it `expired`, ask `account.refresh` and "
    "connect again, else sign in again; `details.banned` of its refusal is true after a ban.",
)


class Sessions(Protocol):
    """The sessions of users. All methods raise Unavailable while their store is unreachable.

    Those that end sessions close their connections on this process even then.
    """

    async def start(
        self,
        user_id: str,
        role: str,
        address: str,
        *,
        device: str = "",
        limited: bool = False,
        generation: int = 0,
    ) -> Tokens:
        """A `limited` session may only set up a second factor, until `lift_limit` and a refresh."""
        ...

    async def lift_limit(self, session_id: str) -> None: ...

    async def confirmation(self, session_id: str) -> Confirmation | None: ...

    async def step_up(self, session_id: str, until: datetime) -> None:
        """Note that the user has confirmed their identity. Without effect on an ended session."""
        ...

    async def rotate(self, refresh_token: str) -> Rotated:
        """Exchange a refresh token. Raises Unauthenticated, TokenReused, SessionEnded.

        The same token again within REFRESH_REPEATED gets the same new pair: two tabs refresh at the
        same time, and answers get lost. Later it ends the session in the store of sessions.
        """
        ...

    async def list(self, user_id: str) -> Sequence[SessionView]: ...

    async def end(self, user_id: str, session_id: str) -> bool:
        """End a session and close its connections on all processes; False if there is none."""
        ...

    async def end_all(self, user_id: str, before: int, kept: str, *, banned: bool = False) -> None:
        """The same for all sessions of generations before `before`, except the session `kept`.

        If the user is `banned`, `rotate` raises SessionEnded for their tokens, so that it can be
        told why, until the sessions would have expired.
        """
        ...


class Passwords(Protocol):
    """Password hashing. A hash and a check take tens of milliseconds of CPU, outside of the event
    loop. All raise RateLimited when too many wait."""

    async def hash(self, password: str) -> str:
        """A hash of the password in Unicode's form C."""
        ...

    async def verify(self, password: str, hash: str | None) -> bool:
        """Check a password; takes as long for an unknown account (`hash` None) as for a known
        one."""
        ...

    async def renewed(self, password: str, hash: str) -> str | None:
        """A new hash of the right password if `hash` was made at another cost than is in force, or
        of another form than Unicode's C."""
        ...


class Tickets(Protocol):
    def ticket(self, actor: Actor, file_id: str, life: timedelta) -> tuple[str, datetime]:
        """A token that lets `actor` read one file, and the time when it expires."""
        ...


class Device(msgspec.Struct, frozen=True):
    """A device with which a user has signed in, in a generation of their sessions."""

    id: str
    user_id: str
    generation: int


class Devices(Protocol):
    def remember(self, device: Device) -> str:
        """A signed token, valid for a year, which the device shows at its next sign-in."""
        ...

    def recall(self, token: Any) -> Device | None:
        """The device of a valid token; None for any other value."""
        ...
