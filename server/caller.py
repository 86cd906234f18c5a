"""On whose behalf the present code runs, for what shares expensive work fairly.

The rate limits set it for operations that check a password. So no operation has to pass it on.
"""

from contextvars import ContextVar
from typing import NamedTuple


class Caller(NamedTuple):
    """The network of an address, and the account whose password is checked; `known` if it is the
    account's own session, or a device or network from which its user signed in before."""

    network: str
    account: str
    known: bool = False


NO_CALLER = Caller("", "")
CALLER: ContextVar[Caller] = ContextVar("caller", default=NO_CALLER)
