"""Sessions with rotating refresh tokens, in Redis."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.kernel.errors import Unauthenticated, Unavailable
from domain.kernel.settings import Clock
from domain.ports.sessions import Confirmation, SessionView, Tokens
from server.adapters.jwt_tokens import AccessTokens

SESSION_LIFE = timedelta(days=30)

# Atomic: of two simultaneous uses of a refresh token, one is the second and ends the session.
ROTATE = """
local s = redis.call('HMGET', KEYS[1], 'current', 'user', 'role', 'limited')
if not s[1] then return {'gone'} end
if s[1] ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('SREM', ARGV[5] .. s[2], ARGV[6])
  return {'reused'}
end
redis.call('HSET', KEYS[1], 'current', ARGV[2], 'used', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SADD', ARGV[5] .. s[2], ARGV[6])
redis.call('PEXPIRE', ARGV[5] .. s[2], ARGV[4])
return {'ok', s[2], s[3], s[4] or ''}
"""

STEP_UP = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'stepped_up', ARGV[1]) end
"""

END = """
local owner = redis.call('HGET', KEYS[1], 'user')
redis.call('SREM', KEYS[2], ARGV[2])
if owner ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisSessions:
    """A session is a hash with the digest of its one valid refresh token.

    `announce(kind, session_id, until)` notifies every process that a session was `extended` or
    `revoked`, so that it updates its sockets.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        tokens: AccessTokens,
        clock: Clock,
        announce: Callable[[str, str, datetime | None], Awaitable[None]],
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._tokens = tokens
        self._clock = clock
        self._announce = announce
        self._rotate = redis.register_script(ROTATE)
        self._end = redis.register_script(END)
        self._step_up = redis.register_script(STEP_UP)

    async def start(
        self, user_id: str, role: str, address: str, *, limited: bool = False
    ) -> Tokens:
        session_id, secret = f"ses_{secrets.token_hex(12)}", secrets.token_urlsafe(32)
        now = self._clock.now().isoformat()
        fields: dict[Any, Any] = {
            "user": user_id,
            "role": role,
            "address": address,
            "created": now,
            "used": now,
            "current": _digest(secret),
            **({"limited": "1"} if limited else {}),
        }
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(self._key(session_id), mapping=fields)
                pipe.pexpire(self._key(session_id), SESSION_LIFE)
                pipe.sadd(self._user_key(user_id), session_id)
                pipe.pexpire(self._user_key(user_id), SESSION_LIFE)
                await pipe.execute()
        except RedisError as away:
            raise Unavailable from away
        return self._tokens_for(user_id, role, session_id, secret, limited)

    async def lift_limit(self, session_id: str) -> None:
        try:
            await self._redis.hdel(self._key(session_id), "limited")
        except RedisError as away:
            raise Unavailable from away

    async def confirmation(self, session_id: str) -> Confirmation | None:
        try:
            found = await self._redis.hmget(self._key(session_id), ["created", "stepped_up"])
        except RedisError as away:
            raise Unavailable from away
        created, stepped_up = (datetime.fromisoformat(_text(raw)) if raw else None for raw in found)
        return Confirmation(created, stepped_up) if created else None

    async def step_up(self, session_id: str, until: datetime) -> None:
        try:
            await self._step_up(keys=[self._key(session_id)], args=[until.isoformat()])
        except RedisError as away:
            raise Unavailable from away

    async def rotate(self, refresh_token: str) -> Tokens:
        session_id, _, old = refresh_token.partition(".")
        secret = secrets.token_urlsafe(32)
        life = int(SESSION_LIFE.total_seconds() * 1000)
        try:
            outcome = await self._rotate(
                keys=[self._key(session_id)],
                args=[
                    _digest(old),
                    _digest(secret),
                    self._clock.now().isoformat(),
                    life,
                    self._user_key(""),
                    session_id,
                ],
            )
        except RedisError as away:
            raise Unavailable from away
        verdict, *owner = [_text(part) for part in outcome]
        if verdict == "reused":
            await self._announce("revoked", session_id, None)
        if verdict != "ok":
            raise Unauthenticated("The refresh token is not valid any more: sign in again.")
        user_id, role, limited = owner
        pair = self._tokens_for(user_id, role, session_id, secret, bool(limited))
        await self._announce("extended", session_id, pair.expires_at)
        return pair

    async def list(self, user_id: str) -> Sequence[SessionView]:
        try:
            ids = [_text(raw) for raw in await self._redis.smembers(self._user_key(user_id))]
            async with self._redis.pipeline(transaction=False) as pipe:
                for id in ids:
                    pipe.hgetall(self._key(id))
                found = await pipe.execute()
        except RedisError as away:
            raise Unavailable from away
        return [_view(id, row) for id, row in zip(ids, found, strict=True) if row]

    async def end(self, user_id: str, session_id: str) -> bool:
        try:
            ended = await self._end(
                keys=[self._key(session_id), self._user_key(user_id)], args=[user_id, session_id]
            )
        except RedisError as away:
            raise Unavailable from away
        if ended:
            await self._announce("revoked", session_id, None)
        return bool(ended)

    async def alive(self, session_id: str) -> bool:
        """True also while Redis is away: then a valid token suffices."""
        try:
            return bool(await self._redis.exists(self._key(session_id)))
        except RedisError:
            return True

    async def reachable(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    def _tokens_for(
        self, user_id: str, role: str, session_id: str, secret: str, limited: bool
    ) -> Tokens:
        token, expires_at = self._tokens.sign(user_id, role, session_id, limited)
        return Tokens(token, f"{session_id}.{secret}", expires_at)

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}:session:{session_id}"

    def _user_key(self, user_id: str) -> str:
        return f"{self._prefix}:sessions:{user_id}"


def _view(id: str, row: dict[bytes, bytes]) -> SessionView:
    fields = {_text(name): _text(value) for name, value in row.items()}
    created, used = (datetime.fromisoformat(fields[name]) for name in ("created", "used"))
    return SessionView(id, created, used, fields["address"])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
