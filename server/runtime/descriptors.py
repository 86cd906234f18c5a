"""How many file descriptors this process may use, and how many of them for connections.

An accepted connection takes one. Without a reserve a process full of connections cannot reach its
stores, write files or accept and refuse the next client.
"""

import contextlib
import resource

MOST = 65_536  # more are not needed, and some libraries close all that there may be
RESERVE = 512  # stores, Stripe, mails and files; for a small limit a quarter of it, at least MIN
MIN_RESERVE = 128


def raise_limit() -> int:
    """Raise the soft limit to the hard one. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def for_connections(limit: int) -> int:
    reserve = max(MIN_RESERVE, min(RESERVE, limit // 4))
    return max(limit - reserve, limit // 4)
