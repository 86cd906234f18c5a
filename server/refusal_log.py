"""Logs refusals that may be an attack: who was refused what, from where.

Successes are in the audit trail. Every refusal with one of these codes is logged, but an attack
must not fill the log: in a window each code has a number of lines, and what exceeds it is counted.
No line has a personal field: users are named by their id, clients by the network of their address.
"""

import time
from collections.abc import Callable

import structlog

from domain.kernel.errors import Code
from domain.kernel.networks import NEIGHBOURS, network_of

log = structlog.get_logger()

WINDOW_SECONDS = 10.0
LINES = 20  # of one code in a window
# A wrong or second factor, a session or role that does not suffice, another user's record, input
# that no client of ours sends, and too much of anything.
LOGGED = frozenset(
    {
        Code.WRONG_CREDENTIALS,
        Code.SECOND_FACTOR_REQUIRED,
        Code.SECOND_FACTOR_SETUP_REQUIRED,
        Code.STEP_UP_REQUIRED,
        Code.UNAUTHENTICATED,
        Code.BANNED,
        Code.FORBIDDEN,
        Code.NOT_FOUND,
        Code.UNKNOWN_COMMAND,
        Code.INVALID,
        Code.UNSUPPORTED_TYPE,
        Code.TOO_LARGE,
        Code.RATE_LIMITED,
        Code.REQUEST_ID_REUSED,
    }
)


class RefusalLog:
    """One for each process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[Code, _Window] = {}

    def note(self, code: Code, operation: str, user_id: str, address: str) -> None:
        """Log one refusal, or count it. `operation` is a name of ours, never a client's text."""
        if code not in LOGGED:
            return
        now = self._clock()
        window = self._windows.get(code)
        if window is None or now - window.start >= WINDOW_SECONDS:
            window = self._windows[code] = _Window(now, window.left_out if window else 0)
        if window.lines >= LINES:
            window.left_out += 1
            return
        window.lines += 1
        fields: dict[str, object] = {"user": user_id} if user_id else {}
        if window.before:
            fields["left_out"], window.before = window.before, 0
        network = network_of(address, NEIGHBOURS)
        log.info("refused", code=code.value, operation=operation, network=network, **fields)


class _Window:
    """The lines of one code since `start`; `before` is what the last window has left out."""

    def __init__(self, start: float, before: int) -> None:
        self.start = start
        self.before = before
        self.lines = 0
        self.left_out = 0
