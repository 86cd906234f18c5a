"""Sessions with rotating refresh tokens, in Redis.

Decision: the successor of a refresh token is stored encrypted under that token. So a client that
repeats the token within REFRESH_REPEATED gets the same new pair, and Redis holds no usable token.
Deriving it with a key of the server was rejected: two processes may have different first keys
while a key is rotated.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.kernel.errors import Unauthenticated, Unavailable
from domain.kernel.field_codec import FieldCipher, UndecipherableField
from domain.kernel.networks import NEIGHBOURS, network_of
from domain.kernel.settings import Clock
from domain.ports.sessions import (
    LONGEST_SESSION,
    MAX_SESSIONS,
    REFRESH_REPEATED,
    SESSION_LIFE,
    Confirmation,
    Rotated,
    SessionEnded,
    SessionEvent,
    SessionView,
    TokenReused,
    Tokens,
)
from server.adapters.jwt_tokens import AccessTokens

SECRET_BYTES = 32
NONCE_BYTES = 12  # of AES-GCM
LIFE_MILLISECONDS = int(SESSION_LIFE.total_seconds() * 1000)
CHUNK = 500  # sessions looked up in one request

# Atomic: of simultaneous uses of a refresh token, the first decides the successor that all get.
# ARGV: digest of the token, digest of the successor, the successor encrypted, now in milliseconds,
# now as text, how long a repetition is allowed, the life of a session, prefix of the users' keys,
# the session's id.
ROTATE = """
local s = redis.call('HMGET', KEYS[1], 'current', 'user', 'role', 'limited', 'generation',
                     'previous', 'successor', 'rotated', 'ends')
if not s[1] then
  local banned = redis.call('HMGET', KEYS[2], 'user', 'current', 'previous')
  if banned[2] == ARGV[1] or banned[3] == ARGV[1] then return {'banned', banned[1]} end
  return {'gone'}
end
local owner = ARGV[8] .. s[2]
local left = tonumber(ARGV[7])
if s[9] then left = math.min(left, tonumber(s[9]) - tonumber(ARGV[4])) end
if left <= 0 then
  redis.call('DEL', KEYS[1])
  redis.call('SREM', owner, ARGV[9])
  return {'gone'}
end
if s[1] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'current', ARGV[2], 'previous', ARGV[1], 'successor', ARGV[3],
             'rotated', ARGV[4], 'used', ARGV[5])
  redis.call('PEXPIRE', KEYS[1], left)
  redis.call('SADD', owner, ARGV[9])
  redis.call('PEXPIRE', owner, ARGV[7])
  return {'ok', s[2], s[3], s[4] or '', s[5] or '0', ARGV[3], ARGV[4]}
end
if s[6] == ARGV[1] and tonumber(ARGV[4]) - tonumber(s[8]) <= tonumber(ARGV[6]) then
  return {'ok', s[2], s[3], s[4] or '', s[5] or '0', s[7], s[8]}
end
redis.call('DEL', KEYS[1])
redis.call('SREM', owner, ARGV[9])
return {'reused', s[2]}
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

# Keep whose the session of a banned user was, as long as it would have lived.
BAN = """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[2], 'address', 'device', 'successor')
"""

Announce = Callable[[SessionEvent], Awaitable[None]]


class RedisSessions:
    """A session is a hash with the digest of its one valid refresh token.

    `announce` notifies every process that sessions were extended or revoked, so that it updates its
    sockets.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        tokens: AccessTokens,
        clock: Clock,
        cipher: FieldCipher,
        announce: Announce,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._tokens = tokens
        self._clock = clock
        self._cipher = cipher
        self._announce = announce
        self._rotate = redis.register_script(ROTATE)
        self._end = redis.register_script(END)
        self._ban = redis.register_script(BAN)
        self._step_up = redis.register_script(STEP_UP)

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
        session_id, secret = f"ses_{secrets.token_hex(12)}", _new_secret()
        at = self._clock.now()
        now, ends = at.isoformat(), int((at + LONGEST_SESSION).timestamp() * 1000)
        fields: dict[Any, Any] = {
            "user": user_id,
            "role": role,
            "address": self._encrypted(session_id, "address", network_of(address, NEIGHBOURS)),
            "device": self._encrypted(session_id, "device", device),
            "generation": generation,
            "created": now,
            "used": now,
            "ends": ends,
            "current": _digest(secret),
            **({"limited": "1"} if limited else {}),
        }
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(self._key(session_id), mapping=fields)
                pipe.pexpire(self._key(session_id), SESSION_LIFE)
                pipe.sadd(self._user_key(user_id), session_id)
                pipe.pexpire(self._user_key(user_id), SESSION_LIFE)
                pipe.scard(self._user_key(user_id))
                *_, count = await pipe.execute()
        except RedisError as away:
            raise Unavailable from away
        if count > MAX_SESSIONS:
            await self._end_unused(user_id)
        token, expires_at = self._tokens.sign(user_id, role, session_id, limited, generation)
        return Tokens(token, f"{session_id}.{secret}", expires_at)

    async def _end_unused(self, user_id: str) -> None:
        """End the sessions beyond MAX_SESSIONS, and forget those that have expired."""
        found, expired = await self._sessions(user_id)
        by_use = sorted(found, key=lambda session: session.last_used_at, reverse=True)
        for session in by_use[MAX_SESSIONS:]:
            await self.end(user_id, session.id)
        if expired:
            try:
                await self._redis.srem(self._user_key(user_id), *expired)
            except RedisError as away:
                raise Unavailable from away

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

    async def rotate(self, refresh_token: str) -> Rotated:
        session_id, _, old = refresh_token.partition(".")
        secret, now = _new_secret(), self._clock.now()
        try:
            outcome = await self._rotate(
                keys=[self._key(session_id), self._banned_key(session_id)],
                args=[
                    _digest(old),
                    _digest(secret),
                    _encrypt(old, session_id, secret),
                    int(now.timestamp() * 1000),
                    now.isoformat(),
                    int(REFRESH_REPEATED.total_seconds() * 1000),
                    LIFE_MILLISECONDS,
                    self._user_key(""),
                    session_id,
                ],
            )
        except RedisError as away:
            raise Unavailable from away
        verdict, *rest = [_text(part) for part in outcome]
        if verdict == "reused":
            await self._announce(SessionEvent("revoked", rest[0], session_id))
            raise TokenReused(rest[0], session_id)
        if verdict == "banned":
            raise SessionEnded(rest[0])
        if verdict != "ok":
            raise Unauthenticated("The refresh token is not valid any more: sign in again.")
        user_id, role, limited, generation, successor, rotated = rest
        issued = datetime.fromtimestamp(int(rotated) / 1000, UTC)
        token, expires_at = self._tokens.sign(
            user_id, role, session_id, bool(limited), int(generation), issued
        )
        pair = Tokens(token, f"{session_id}.{_decrypt(old, session_id, successor)}", expires_at)
        await self._announce(SessionEvent("extended", user_id, session_id, expires_at))
        return Rotated(pair, user_id, session_id, int(generation), bool(limited))

    async def list(self, user_id: str) -> Sequence[SessionView]:
        return (await self._sessions(user_id))[0]

    async def _sessions(self, user_id: str) -> tuple[Sequence[SessionView], Sequence[str]]:
        """The sessions of a user, and the ids of those that have expired."""
        try:
            ids = [_text(raw) for raw in await self._redis.smembers(self._user_key(user_id))]
            async with self._redis.pipeline(transaction=False) as pipe:
                for id in ids:
                    pipe.hgetall(self._key(id))
                rows = dict(zip(ids, await pipe.execute(), strict=True))
        except RedisError as away:
            raise Unavailable from away
        found = [self._view(id, row) for id, row in rows.items() if row]
        return found, [id for id, row in rows.items() if not row]

    async def end(self, user_id: str, session_id: str) -> bool:
        await self._announce(SessionEvent("revoked", user_id, session_id))
        try:
            ended = await self._end(
                keys=[self._key(session_id), self._user_key(user_id)], args=[user_id, session_id]
            )
        except RedisError as away:
            raise Unavailable from away
        return bool(ended)

    async def end_all(self, user_id: str, before: int, kept: str, *, banned: bool = False) -> None:
        await self._announce(SessionEvent("all_revoked", user_id, kept, generation=before))
        owner = self._user_key(user_id)
        try:
            ids = [_text(raw) for raw in await self._redis.smembers(owner)]
            async with self._redis.pipeline(transaction=False) as pipe:
                for id in ids:
                    pipe.hget(self._key(id), "generation")
                generations = await pipe.execute()
            ended = [
                id
                for id, generation in zip(ids, generations, strict=True)
                if int(generation or 0) < before and id != kept
            ]
            if ended:
                async with self._redis.pipeline(transaction=True) as pipe:
                    if banned:
                        for id in ended:
                            keys = [self._key(id), self._banned_key(id)]
                            await self._ban(keys=keys, client=pipe)  # queued, as the others
                    pipe.delete(*(self._key(id) for id in ended))
                    pipe.srem(owner, *ended)
                    await pipe.execute()
        except RedisError as away:
            raise Unavailable from away

    async def alive(self, session_ids: Iterable[str]) -> set[str] | None:
        """Those of the sessions that have not ended; None while Redis is away."""
        ids, found = list(session_ids), set[str]()
        try:
            for start in range(0, len(ids), CHUNK):
                chunk = ids[start : start + CHUNK]
                async with self._redis.pipeline(transaction=False) as pipe:
                    for id in chunk:
                        pipe.exists(self._key(id))
                    exist = await pipe.execute()
                found.update(id for id, exists in zip(chunk, exist, strict=True) if exists)
        except RedisError:
            return None
        return found

    async def reachable(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    def _view(self, id: str, row: dict[bytes, bytes]) -> SessionView:
        address, device = (
            self._decrypted(id, name, row.pop(name.encode(), None))
            for name in ("address", "device")
        )
        fields = {_text(name): _text(value) for name, value in row.items()}
        created, used = (datetime.fromisoformat(fields[name]) for name in ("created", "used"))
        return SessionView(id, created, used, address, device)

    def _decrypted(self, session_id: str, field: str, stored: bytes | None) -> str:
        """Empty for a session of an earlier version, or from before a key that was removed:
        `rotate-keys` encrypts MongoDB only."""
        try:
            return self._cipher.decrypt(stored or b"", _context(session_id, field)).decode()
        except UndecipherableField:
            return ""

    def _encrypted(self, session_id: str, field: str, text: str) -> bytes:
        return self._cipher.encrypt(text.encode(), _context(session_id, field))

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}:session:{session_id}"

    def _banned_key(self, session_id: str) -> str:
        return f"{self._prefix}:banned:{session_id}"

    def _user_key(self, user_id: str) -> str:
        return f"{self._prefix}:sessions:{user_id}"


def _new_secret() -> str:
    return _as_text(secrets.token_bytes(SECRET_BYTES))


def _as_text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _encrypt(old: str, session_id: str, secret: str) -> str:
    """The successor `secret` under a key that only the old one yields."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return (nonce + _cipher(old, session_id).encrypt(nonce, secret.encode(), None)).hex()


def _decrypt(old: str, session_id: str, encrypted: str) -> str:
    raw = bytes.fromhex(encrypted)
    cipher = _cipher(old, session_id)
    return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode()


def _cipher(old: str, session_id: str) -> AESGCM:
    purpose = f"successor of {session_id}".encode()
    return AESGCM(hmac.digest(old.encode(), purpose, hashlib.sha256))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _context(session_id: str, field: str) -> bytes:
    return f"{session_id}\0{field}".encode()
