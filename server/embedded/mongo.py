"""SecantusDB as a program, without what makes it slower the longer it serves.

It looks through all transactions that any session has ever had at each statement of another, and
asks its store after each command whether that is to be profiled: the more tests or days it has
served, the more of its time goes there. The rest is its own `secantusd-py`. These parts are not
public; pyproject.toml names the one version that they belong to.
"""

import gc
import sys
from typing import Any

from secantus import cli, commands
from secantus.transactions import TransactionRegistry, TxnState

LOOK_SECONDS = 1.0


def main() -> None:
    # A full garbage collection stops its every client for up to 0.2 s, and finds next to nothing.
    gc.set_threshold(10_000, 10, 100)
    forget_ended_transactions()
    commands._maybe_record_profile = lambda *_: None
    sys.exit(cli.main())


def forget_ended_transactions() -> None:
    """Look for those that are too old once a second, and then forget the ended ones as well."""
    look = TransactionRegistry._prune_locked

    def seldom(registry: Any) -> int:
        now = registry._time()
        if now < getattr(registry, "_look_at", 0.0):
            return 0
        registry._look_at = now + LOOK_SECONDS
        given_up: int = look(registry)
        for session, last in list(registry._txns.items()):
            ended = last.state is not TxnState.IN_PROGRESS
            if ended and last.last_use < now - registry._lifetime:
                del registry._txns[session]
        return given_up

    TransactionRegistry._prune_locked = seldom


if __name__ == "__main__":
    main()
