"""What a connection may send: each frame and each byte is charged to its bucket.

Decision: the bucket is one number, `due`, when it is empty again. A frame and a byte both cost
time, so that one comparison limits both. A refused charge takes nothing, so the wait that a
client is given is long enough. Refusals are counted instead: a client that goes on is cut.

A client that was offline sends its whole queue at once. Were all packets that are refused told the
same wait, they would come back together and be refused again, in another order. So all are refused
for HOLD_SECONDS from the first on, and each is given its own turn, after that of the packet before
and at the pace of commands, because half of the frames are for those that other limits refuse. Each
frame that is accepted makes a refusal good, and the count decays with time: so a client that waits
as it is told is not cut for a queue of 1,000 packets. One that sends more before it reads the first
answer cannot be told from a flood.
Source: GCRA, the leaky bucket as one number per key, from ITU-T I.371.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from server.token_buckets import HOLD_SECONDS, next_turn

FRAMES_PER_COMMAND = 2  # a signed-in user's commands a second allow twice as many frames
BYTES_PER_COMMAND, BYTES_PER_SECOND = 25 * 1024, 1280 * 1024  # the larger of the two
MAX_CUT = 10_000  # then users who may connect again are removed
ABUSE_BYTES = 8192  # of refused data weigh as much as one refused frame
FORGIVEN_SECONDS = 60.0  # in which as many refusals are forgiven as are allowed


class Allowance(NamedTuple):
    """Seconds that a frame and a byte cost, and how many seconds a connection may be ahead."""

    frame: float
    byte: float
    ahead: float
    refusals: float  # then the connection is cut


# For a socket without a namespace: a token for each namespace, heartbeats and an upgrade.
ANONYMOUS = Allowance(frame=1 / 8, byte=1 / 8192, ahead=8.0, refusals=32)


def signed_in(commands_per_second: int) -> Allowance:
    """The bytes are enough for a message of MAX_MESSAGE at once, which is read to be refused."""
    frame = 1 / (FRAMES_PER_COMMAND * commands_per_second)
    byte = 1 / max(BYTES_PER_SECOND, BYTES_PER_COMMAND * commands_per_second)
    return Allowance(frame, byte, ahead=4.0, refusals=1000)


class Charged(Protocol):
    """A connection: `unpaid` are the bytes that have arrived since its last charge, `turn` is when
    the packet that was refused last may come again."""

    due: float
    unpaid: int
    refusals: float
    refused_at: float
    turn: float

    @property
    def clients(self) -> dict[str, Any]: ...


class FrameBudget:
    """The allowances of a process's connections, with and without a namespace."""

    def __init__(
        self, commands_per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.signed_in = signed_in(commands_per_second)
        self.anonymous = ANONYMOUS
        self._clock = clock
        self._cut_until: dict[str, float] = {}  # by user

    def charge(self, connection: Charged, frames: float = 1) -> float:
        """Charge frames and the unpaid bytes; returns 0, or the seconds to wait. Accepted frames
        make as many refusals good."""
        allowed = self.signed_in if connection.clients else self.anonymous
        size, connection.unpaid = connection.unpaid, 0
        now, due = self._clock(), connection.due
        cost = frames * allowed.frame + size * allowed.byte
        due = (due if due > now else now) + cost
        if due - now > allowed.ahead:
            self.note_refusal(connection, max(1, frames) + size / ABUSE_BYTES)
            if connection.turn < now:  # the first that is refused
                connection.due = now + HOLD_SECONDS + allowed.ahead
                due = connection.due + cost
            pace = FRAMES_PER_COMMAND * cost
            connection.turn = next_turn(connection.turn, due - allowed.ahead, pace)
            return connection.turn - now
        connection.due = due
        if connection.refusals:
            connection.refusals = max(0.0, connection.refusals - frames)
        return 0.0

    def note_refusal(self, connection: Charged, weight: float = 1) -> None:
        """Count a refusal, less what has been forgiven since the last one."""
        now = self._clock()
        forgiven = (now - connection.refused_at) / FORGIVEN_SECONDS * self._allowed(connection)
        connection.refusals = max(0.0, connection.refusals - forgiven) + weight
        connection.refused_at = now

    def _allowed(self, connection: Charged) -> float:
        return (self.signed_in if connection.clients else self.anonymous).refusals

    def note_cut(self, user_id: str) -> None:
        """A connection of this user was cut. A new one would have a full bucket."""
        now = self._clock()
        if len(self._cut_until) >= MAX_CUT:
            self._cut_until = {user: at for user, at in self._cut_until.items() if at > now}
        self._cut_until[user_id] = now + self.signed_in.ahead

    def cooling(self, user_id: str) -> float:
        """The seconds until a user who was cut may connect again, or 0."""
        return max(0.0, self._cut_until.get(user_id, 0.0) - self._clock())

    def exhausted(self, connection: Charged) -> bool:
        """Whether a connection has gone on after enough refusals."""
        return connection.refusals > self._allowed(connection)
