"""Which wire the short run of the random tests tries an operation on.

Most operations are on both wires, and both call the same code. The full run tries all of them on
both; the short one tries each on one, so it still tries every operation.
"""

from collections.abc import Iterable

from tests.support.property_sizes import SEED


def of_sockets(commands: Iterable[str], requests: Iterable[str]) -> set[str]:
    """The commands that are tried as commands: all of them, or those that only sockets have and
    every second of the others."""
    return _chosen(set(commands), set(requests), first=0)


def of_http(commands: Iterable[str], requests: Iterable[str]) -> set[str]:
    """The operations that are tried as requests."""
    return _chosen(set(requests), set(commands), first=1)


def _chosen(own: set[str], others: set[str], first: int) -> set[str]:
    return own if SEED else (own - others) | set(sorted(own & others)[first::2])
