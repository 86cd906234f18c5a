"""Who is where, over all processes: counted here, shared through Redis, never trusted to the dead.

A room (`user:{id}`: who is connected, `job:{id}`: who watches) is a hash in Redis with one field
for each process and user. A process is alive as long as it says so; the fields of one that has
stopped count no more, and whoever notices first takes them away. A process whose life was found to
be over (it slept, or Redis forgot everything) comes back under a new name and writes all anew, so
that nobody who still cleans up after the old one can hurt it.

How many are in a room is told by whoever makes Redis say a new number: one script counts, compares
with what was told last and keeps silent for a second afterwards, so that a number that is told is
never followed by an older one. While Redis is away this process tells what it knows by itself.
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

ALIVE_SECONDS = 10.0
BEAT_SECONDS = 2.5
GATHER_SECONDS = 0.1  # changes that come together are written together
RETRY_SECONDS = 1.0
GOODBYE_SECONDS = 3.0
QUIET_MS = 1000  # between two numbers of one room
CHUNK = 500
UNTOLD, LATER, SAME = -3, -2, -1

NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000 "

# KEYS: processes. ARGV: name, seconds, whether it is a new name. False: this life is over.
BEAT = (
    NOW
    + """
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if ARGV[3] == '0' and ends <= now then return false end
redis.call('ZADD', KEYS[1], string.format('%.6f', now + ARGV[2]), ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
"""
)

# KEYS: room, told, quiet, processes. ARGV: silence, whether the same number is told again, and
# whether it cannot wait.
COUNT = (
    NOW
    + f"""
if ARGV[3] == '0' and redis.call('EXISTS', KEYS[3]) == 1 then return {LATER} end
local living, seen, count = {{}}, {{}}, 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], now, '+inf')) do living[name] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local name, user = string.match(field, '(%S+) (%S+)')
  if living[name] and not seen[user] then seen[user] = true count = count + 1 end
end
if ARGV[2] == '0' and tonumber(redis.call('GET', KEYS[2]) or '0') == count then return {SAME} end
if count == 0 then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], count) end
redis.call('SET', KEYS[3], 1, 'PX', ARGV[1])
return count
"""
)

Told = Callable[[Mapping[str, int]], Awaitable[None]]
Place = tuple[str, str]  # a room and a user


class Presence:
    """`told` is called with the rooms whose number of people has changed. `name` is the process's;
    one that is never started only reads."""

    def __init__(self, redis: Redis, prefix: str, name: str, told: Told) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lives = (f"{name}.{life}" for life in itertools.count(1))
        self._name = ""
        self._told = told
        self._beat_script = redis.register_script(BEAT)
        self._count_script = redis.register_script(COUNT)
        self._here: dict[str, dict[str, int]] = {}
        self._unwritten: set[Place] = set()
        self._uncounted: set[str] = set()
        self._doubtful: dict[str, int] = {}  # what this process alone has told, if anything
        self._beaten = 0.0
        self._away = False
        self._wake = asyncio.Event()
        self._leaving = False
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Say goodbye: what is left here is nobody's any more."""
        if self._loop is None:
            return
        await end([self._loop])
        self._leaving = True
        self._unwritten |= set(self._places())
        self._here.clear()
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._share()
                await self._redis.zadd(self._processes, {self._name: 0}, xx=True)
        except Exception as failed:
            log.warning("presence not given up: the others will notice", reason=str(failed))

    # -- here --------------------------------------------------------------------------------

    def entered(self, room: str, user_id: str) -> None:
        """A socket of this process has come in; as often as there are sockets."""
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

    # -- everywhere --------------------------------------------------------------------------

    async def viewers(self, job_id: str) -> set[str]:
        """Who watches a job; of this process only while Redis is away."""
        return (await self._people([job_room(job_id)]))[0]

    async def online(self, user_ids: Collection[str]) -> set[str]:
        """Those of `user_ids` who are connected; to this process while Redis is away."""
        ids = list(user_ids)
        found = await self._people([user_room(id) for id in ids])
        return {id for id, people in zip(ids, found, strict=True) if people}

    async def _people(self, rooms: Sequence[str]) -> list[set[str]]:
        here = [set(self._here.get(room, ())) for room in rooms]
        if self._away or not rooms:
            return here
        try:
            pipe = self._redis.pipeline(transaction=False)
            pipe.time()
            pipe.zrange(self._processes, 0, -1, withscores=True)
            for room in rooms:
                pipe.hkeys(self._key("at", room))
            (seconds, micros), lives, *fields = await pipe.execute()
        except (RedisError, OSError):
            return here
        now = seconds + micros / 1_000_000
        others = {name for name, ends in lives if ends > now} - {self._name.encode()}
        for people, found in zip(here, fields, strict=True):
            pairs = (field.split(b" ") for field in found)
            people |= {user.decode() for name, user in pairs if name in others}
        return here

    # -- sharing -----------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._share()
                self._away = False
                pause = GATHER_SECONDS * 2 if self._unwritten or self._uncounted else BEAT_SECONDS
            except (RedisError, OSError) as away:
                if not self._away:
                    log.warning("presence is of this process alone", reason=str(away))
                self._away = True
                await self._tell_alone()
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
        """One round: say that we live, write what has changed, tell the numbers that are new."""
        if not self._name or time.monotonic() - self._beaten > BEAT_SECONDS * 0.9:
            for gone in await self._beat():
                await self._bury(gone)
        while self._unwritten:
            await self._write()
        self._uncounted |= self._doubtful.keys()
        rooms = list(self._uncounted)
        for start in range(0, len(rooms), CHUNK):
            await self._count(rooms[start : start + CHUNK])

    async def _beat(self) -> list[str]:
        """The names of those who have stopped."""
        dead = await self._beat_as(self._name, new=False) if self._name else None
        if dead is None:
            self._name = next(self._lives)
            self._unwritten |= set(self._places())
            dead = await self._beat_as(self._name, new=True)
        self._beaten = time.monotonic()
        return dead or []

    async def _beat_as(self, name: str, *, new: bool) -> list[str] | None:
        dead = await self._beat_script(keys=[self._processes], args=[name, ALIVE_SECONDS, int(new)])
        return None if dead is None else [gone.decode() for gone in dead]

    async def _write(self) -> None:
        """What a process has written can be found by its name, so it is noted before, and
        forgotten after."""
        places = list(itertools.islice(self._unwritten, CHUNK))
        self._unwritten.difference_update(places)
        pipe, mine = self._redis.pipeline(transaction=False), self._key("of", self._name)
        for room, user in places:
            key, field, place = self._key("at", room), f"{self._name} {user}", f"{room} {user}"
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
        # Told even if it is the same again: somebody may have looked between two changes.
        for room, _ in places:
            self._doubtful.setdefault(room, UNTOLD)

    async def _count(self, rooms: Sequence[str]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for room in rooms:
            keys = [self._key(kind, room) for kind in ("at", "told", "quiet")]
            args = [QUIET_MS, int(room in self._doubtful), int(self._leaving)]
            await self._count_script(keys=[*keys, self._processes], args=args, client=pipe)
        counts = dict(zip(rooms, await pipe.execute(), strict=True))
        self._uncounted -= {room for room, count in counts.items() if count != LATER}
        new = {room: count for room, count in counts.items() if count >= 0}
        if not new:
            return
        self._doubtful |= new
        await self._told(new)
        for room in new:
            del self._doubtful[room]

    async def _bury(self, gone: str) -> None:
        """Count the rooms of a process that has stopped without it, and then forget it."""
        if gone == self._name:
            return
        theirs = self._key("of", gone)
        while members := cast(list[bytes], await self._redis.srandmember(theirs, CHUNK)):
            places = [member.decode().split(" ") for member in members]
            pipe = self._redis.pipeline(transaction=False)
            for room, user in places:
                pipe.hdel(self._key("at", room), f"{gone} {user}")
            await pipe.execute()
            self._uncounted |= {room for room, _ in places}
            await self._redis.srem(theirs, *members)
        await self._redis.zrem(self._processes, gone)

    async def _tell_alone(self) -> None:
        """What is known here; corrected when Redis is back."""
        rooms = {room for room, _ in self._unwritten} | self._uncounted
        new = {room: len(self._here.get(room, ())) for room in rooms}
        new = {room: count for room, count in new.items() if self._doubtful.get(room) != count}
        if not new:
            return
        try:
            await self._told(new)
            self._doubtful |= new
        except Exception:
            log.warning("presence not told", exc_info=True)

    @property
    def _processes(self) -> str:
        return f"{self._prefix}:processes"

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"
