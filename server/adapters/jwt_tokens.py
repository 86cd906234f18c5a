"""Access tokens, file tickets, device tokens and challenges as signed JWTs."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

import jwt
import msgspec
from msgspec import Meta as Limits

from domain.kernel.actor import Actor, Role
from domain.kernel.errors import TokenExpired, Unauthenticated
from domain.kernel.settings import Clock
from domain.ports.second_factors import Challenge, Purpose
from domain.ports.sessions import ACCESS_LIFE, Device
from server.config import SecretKey

ALGORITHM = "HS256"
ISSUER, AUDIENCE = "jobsphere", "jobsphere-clients"
ACCESS, FILE, DEVICE, CHALLENGE = "access", "file", "device", "challenge"  # types of tokens
DEVICE_LIFE = timedelta(days=365)
DECODED = 1024  # tokens whose claims are kept; a client shows its token for each namespace
MAX_SECONDS = 250_000_000_000  # in the year 9892
# What a token that is no token raises in PyJWT and msgspec.
UNREADABLE = (
    jwt.InvalidTokenError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
)


class Claims(msgspec.Struct, frozen=True):
    """The claims that are read. `exp` is in seconds since 1970, and a year that a date can have."""

    typ: str
    sub: str
    exp: Annotated[int, Limits(ge=0, le=MAX_SECONDS)]
    role: Role | None = None
    sid: str | None = None
    lim: bool = False
    gen: Annotated[int, Limits(ge=0, le=2**53)] = 0
    file: str | None = None
    device: str | None = None
    purpose: str | None = None
    jti: str | None = None


class AccessTokens:
    """Signs with the first key, verifies with any, by the `kid` in the header."""

    def __init__(self, keys: Sequence[SecretKey], clock: Clock) -> None:
        self._signing = keys[0]
        self._keys = {key.kid: key.secret for key in keys}
        self._clock = clock
        self._decoded = lru_cache(DECODED)(self._decode)

    def sign(
        self,
        user_id: str,
        role: str,
        session_id: str,
        limited: bool = False,
        generation: int = 0,
        at: datetime | None = None,
    ) -> tuple[str, datetime]:
        """A token issued `at` a time, now by default. The same input gives the same token."""
        actor = Actor(user_id, Role(role), session_id, limited, generation)
        return self._sign(ACCESS, ACCESS_LIFE, at, **_claims(actor))

    def verify(self, token: Any, leeway: timedelta = timedelta()) -> tuple[Actor, datetime]:
        """The caller, and when the token expires. `leeway` extends its life.

        Raises Unauthenticated or TokenExpired.
        """
        claims = self._verify(ACCESS, token, leeway)
        return _actor(claims), datetime.fromtimestamp(claims.exp, UTC)

    def ticket(self, actor: Actor, file_id: str, life: timedelta) -> tuple[str, datetime]:
        """A ticket with which its bearer reads one file as `actor`."""
        return self._sign(FILE, life, **_claims(actor), file=file_id)

    def holder(self, ticket: Any, file_id: str) -> Actor:
        """Raises Unauthenticated or TokenExpired."""
        claims = self._verify(FILE, ticket)
        if claims.file != file_id:
            raise Unauthenticated
        return _actor(claims)

    def remember(self, device: Device) -> str:
        named: dict[str, Any] = {"sub": device.user_id, "gen": device.generation}
        return self._sign(DEVICE, DEVICE_LIFE, device=device.id, **named)[0]

    def recall(self, token: Any) -> Device | None:
        try:
            claims = self._verify(DEVICE, token)
        except (Unauthenticated, TokenExpired):
            return None
        return Device(claims.device, claims.sub, claims.gen) if claims.device else None

    def issue(
        self, purpose: Purpose, subject: str, life: timedelta, generation: int = 0
    ) -> tuple[str, datetime]:
        id = secrets.token_hex(16)
        return self._sign(
            CHALLENGE, life, sub=subject, purpose=purpose.value, jti=id, gen=generation
        )

    def read(self, purpose: Purpose, text: str) -> Challenge:
        try:
            claims = self._verify(CHALLENGE, text)
        except TokenExpired as expired:
            raise Unauthenticated("This took too long: start again.") from expired
        if claims.purpose != purpose.value or claims.jti is None:
            raise Unauthenticated
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
        return Challenge(claims.jti, claims.sub, claims.gen, expires_at)

    def _sign(
        self, type: str, life: timedelta, at: datetime | None = None, **claims: Any
    ) -> tuple[str, datetime]:
        now = at or self._clock.now()
        expires_at = (now + life).replace(microsecond=0)
        common = {"iss": ISSUER, "aud": AUDIENCE, "typ": type, "iat": now, "exp": expires_at}
        header = {"kid": self._signing.kid}
        token = jwt.encode({**common, **claims}, self._signing.secret, ALGORITHM, headers=header)
        return token, expires_at

    def _verify(self, type: str, token: Any, leeway: timedelta = timedelta()) -> Claims:
        if not isinstance(token, str) or len(token) > 2000:
            raise Unauthenticated
        try:
            claims = self._decoded(token)
        except UNREADABLE as refused:
            raise Unauthenticated from refused
        if claims.exp <= time.time() - leeway.total_seconds():
            raise TokenExpired
        if claims.typ != type:
            raise Unauthenticated
        return claims

    def _decode(self, token: str) -> Claims:
        """The claims of a token with a valid signature, expired or not. Raises UNREADABLE."""
        decoded = jwt.decode(
            token,
            self._keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False},
        )
        return msgspec.convert(decoded, Claims)


def _claims(actor: Actor) -> dict[str, Any]:
    named = {
        "sub": actor.id,
        "role": actor.role,
        "sid": actor.session_id,
        "gen": actor.generation,
    }
    return {**named, "lim": True} if actor.limited else named


def _actor(claims: Claims) -> Actor:
    """Raises Unauthenticated."""
    if claims.role is None or claims.sid is None:
        raise Unauthenticated
    return Actor(claims.sub, claims.role, claims.sid, claims.lim, claims.gen)
