"""Presence over all processes: which users are connected, and which users view a job.

A room (`user:{id}`: connections, `job:{id}`: viewers) is a hash in Redis with one field for each
process and user. Fields count only while their process sends heartbeats. The first process that
finds a dead one removes its fields. A process whose own heartbeat has expired (it was suspended, or
Redis lost its data) continues under a new name and writes all its fields again, so that the cleanup
of the old name cannot remove them.

A script in Redis counts the users of a room and compares with the last reported number. The process
that gets a new number reports it; then the room is quiet for a second, so that no older number
follows a newer one. While Redis is away a process reports the users that it knows itself.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.kernel.rooms import job_room, user_room
from server.runtime.background_tasks import end

log = structlog.get_logger()

ALIVE_SECONDS = 10.0  # after a heartbeat
HEARTBEAT_SECONDS = 2.5
GATHER_SECONDS = 0.1  # changes within it are written together
RETRY_SECONDS = 1.0
STOP_SECONDS = 3.0  # for removing the fields of this process
QUIET_MS = 1000  # between two reports of one room
CHUNK = 500
UNREPORTED, LATER, SAME = -3, -2, -1  # instead of a number

NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000 "

# KEYS: processes. ARGV: name, seconds, whether the name is new. Returns the expired processes, or
# false when this one has expired.
BEAT = (
    NOW
    + """
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if ARGV[3] == '0' and ends <= now then return false end
redis.call('ZADD', KEYS[1], string.format('%.6f', now + ARGV[2]), ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
"""
)

# KEYS: room, last number, quiet marker, processes. ARGV: quiet time, whether an unchanged number is
# reported too, whether to ignore the quiet marker. Returns the number, LATER or SAME.
COUNT = (
    NOW
    + f"""
if ARGV[3] == '0' and redis.call('EXISTS', KEYS[3]) == 1 then return {LATER} end
local alive, seen, count = {{}}, {{}}, 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], now, '+inf')) do alive[name] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local name, user = string.match(field, '(%S+) (%S+)')
  if alive[name] and not seen[user] then seen[user] = true count = count + 1 end
end
if ARGV[2] == '0' and tonumber(redis.call('GET', KEYS[2]) or '0') == count then return {SAME} end
if count == 0 then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], count) end
redis.call('SET', KEYS[3], 1, 'PX', ARGV[1])
return count
"""
)

Report = Callable[[Mapping[str, int]], Awaitable[None]]
Place = tuple[str, str]  # room, user


class Presence:
    """`report` is called with the changed numbers of users by room. `name` is the process's.
    An instance that is never started only reads."""

    def __init__(self, redis: Redis, prefix: str, name: str, report: Report) -> None:
        self._redis = redis
        self._prefix = prefix
        self._names = (f"{name}.{number}" for number in itertools.count(1))
        self._name = ""
        self._report = report
        self._heartbeat_script = redis.register_script(BEAT)
        self._count_script = redis.register_script(COUNT)
        self._here: dict[str, dict[str, int]] = {}
        self._unwritten: set[Place] = set()
        self._uncounted: set[str] = set()
        self._unconfirmed: dict[str, int] = {}  # rooms with an unconfirmed report: its number
        self._heartbeat_at = 0.0
        self._away = False
        self._wake = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Remove the fields of this process."""
        if self._loop is None:
            return
        await end([self._loop])
        self._stopping = True
        self._unwritten |= set(self._places())
        self._here.clear()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._share()
                await self._redis.zadd(self._processes, {self._name: 0}, xx=True)
        except Exception as failed:
            log.warning("presence not removed: it expires", reason=str(failed))

    # -- this process --------------------------------------------------------------------------

    def entered(self, room: str, user_id: str) -> None:
        """A connection of this process has entered a room; called once for each connection."""
        users = self._here.setdefault(room, {})
        users[user_id] = users.get(user_id, 0) + 1
        if users[user_id] == 1:
            self._changed(room, user_id)

    def left(self, room: str, user_id: str) -> None:
        users = self._here.get(room, {})
        if users.get(user_id, 0) > 1:
            users[user_id] -= 1
        elif users.pop(user_id, 0):
            if not users:
                del self._here[room]
            self._changed(room, user_id)

    def _changed(self, room: str, user_id: str) -> None:
        self._unwritten.add((room, user_id))
        self._wake.set()

    def _places(self) -> Iterable[Place]:
        return ((room, user) for room, users in self._here.items() for user in users)

    # -- all processes -------------------------------------------------------------------------

    async def viewers(self, job_id: str) -> set[str]:
        """The viewers of a job; those of this process only while Redis is away."""
        return (await self._users_in([job_room(job_id)]))[0]

    async def online(self, user_ids: Collection[str]) -> set[str]:
        """The connected users of `user_ids`; those of this process only while Redis is away."""
        ids = list(user_ids)
        found = await self._users_in([user_room(id) for id in ids])
        return {id for id, users in zip(ids, found, strict=True) if users}

    async def _users_in(self, rooms: Sequence[str]) -> list[set[str]]:
        here = [set(self._here.get(room, ())) for room in rooms]
        if self._away or not rooms:
            return here
        try:
            pipe = self._redis.pipeline(transaction=False)
            pipe.time()
            pipe.zrange(self._processes, 0, -1, withscores=True)
            for room in rooms:
                pipe.hkeys(self._key("room", room))
            (seconds, micros), lives, *fields = await pipe.execute()
        except (RedisError, OSError):
            return here
        now = seconds + micros / 1_000_000
        others = {name for name, ends in lives if ends > now} - {self._name.encode()}
        for users, found in zip(here, fields, strict=True):
            pairs = (field.split(b" ") for field in found)
            users |= {user.decode() for name, user in pairs if name in others}
        return here

    # -- sharing -------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._share()
                self._away = False
                pause = (
                    GATHER_SECONDS * 2 if self._unwritten or self._uncounted else HEARTBEAT_SECONDS
                )
            except (RedisError, OSError) as away:
                if not self._away:
                    log.warning("presence is limited to this process", reason=str(away))
                self._away = True
                await self._report_local()
                pause = RETRY_SECONDS
            except Exception:
                log.warning("presence not shared", exc_info=True)
                pause = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()

    async def _share(self) -> None:
        """Send a heartbeat when due, write the changes, report new numbers."""
        if not self._name or time.monotonic() - self._heartbeat_at > HEARTBEAT_SECONDS * 0.9:
            for expired in await self._heartbeat():
                await self._remove_process(expired)
        while self._unwritten:
            await self._write()
        self._uncounted |= self._unconfirmed.keys()
        rooms = list(self._uncounted)
        for start in range(0, len(rooms), CHUNK):
            await self._count(rooms[start : start + CHUNK])

    async def _heartbeat(self) -> list[str]:
        """Returns the names of expired processes."""
        dead = await self._send_heartbeat(self._name, new=False) if self._name else None
        if dead is None:
            self._name = next(self._names)
            self._unwritten |= set(self._places())
            dead = await self._send_heartbeat(self._name, new=True)
        self._heartbeat_at = time.monotonic()
        return dead or []

    async def _send_heartbeat(self, name: str, *, new: bool) -> list[str] | None:
        dead = await self._heartbeat_script(
            keys=[self._processes], args=[name, ALIVE_SECONDS, int(new)]
        )
        return None if dead is None else [gone.decode() for gone in dead]

    async def _write(self) -> None:
        """Write fields. The set of the process's places is written before its fields and removed
        after them, so that every field can be found by the name of its process."""
        places = list(itertools.islice(self._unwritten, CHUNK))
        self._unwritten.difference_update(places)
        pipe, mine = self._redis.pipeline(transaction=False), self._key("places", self._name)
        for room, user in places:
            key, field, place = self._key("room", room), f"{self._name} {user}", f"{room} {user}"
            if user in self._here.get(room, ()):
                pipe.sadd(mine, place)
                pipe.hset(key, field, 1)
            else:
                pipe.hdel(key, field)
                pipe.srem(mine, place)
        try:
            await pipe.execute()
        except BaseException:
            self._unwritten.update(places)
            raise
        # Reported even if unchanged: a client may have read the number between two changes.
        for room, _ in places:
            self._unconfirmed.setdefault(room, UNREPORTED)

    async def _count(self, rooms: Sequence[str]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for room in rooms:
            keys = [self._key(kind, room) for kind in ("room", "count", "quiet")]
            args = [QUIET_MS, int(room in self._unconfirmed), int(self._stopping)]
            await self._count_script(keys=[*keys, self._processes], args=args, client=pipe)
        counts = dict(zip(rooms, await pipe.execute(), strict=True))
        self._uncounted -= {room for room, count in counts.items() if count != LATER}
        new = {room: count for room, count in counts.items() if count >= 0}
        if not new:
            return
        self._unconfirmed |= new
        await self._report(new)
        for room in new:
            del self._unconfirmed[room]

    async def _remove_process(self, name: str) -> None:
        """Remove the fields of an expired process, and count its rooms again."""
        if name == self._name:
            return
        theirs = self._key("places", name)
        while members := cast(list[bytes], await self._redis.srandmember(theirs, CHUNK)):
            places = [member.decode().split(" ") for member in members]
            pipe = self._redis.pipeline(transaction=False)
            for room, user in places:
                pipe.hdel(self._key("room", room), f"{name} {user}")
            await pipe.execute()
            self._uncounted |= {room for room, _ in places}
            await self._redis.srem(theirs, *members)
        await self._redis.zrem(self._processes, name)

    async def _report_local(self) -> None:
        """Report the numbers of this process; corrected when Redis is back."""
        rooms = {room for room, _ in self._unwritten} | self._uncounted
        new = {room: len(self._here.get(room, ())) for room in rooms}
        new = {room: count for room, count in new.items() if self._unconfirmed.get(room) != count}
        if not new:
            return
        try:
            await self._report(new)
            self._unconfirmed |= new
        except Exception:
            log.warning("presence not reported", exc_info=True)

    @property
    def _processes(self) -> str:
        return f"{self._prefix}:processes"

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"
