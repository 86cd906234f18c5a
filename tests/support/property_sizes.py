"""How much the property tests try: a part in `make test`, all of it in `make test-deep`.

`make test` repeats the same examples on every run. `make test-deep` sets TEST_SEED to the date, so
that each day tries others. The same TEST_SEED repeats a run.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings

SEED = int(os.environ.get("TEST_SEED") or 0)


def size(usual: int, *, deep: int) -> int:
    """`deep` when TEST_SEED is set, else `usual`."""
    return deep if SEED else usual


def examples(usual: int, *, deep: int) -> Callable[[Any], Any]:
    """The Hypothesis settings of a test: how many examples, and which."""
    chosen = settings(
        max_examples=size(usual, deep=deep),
        deadline=None,
        derandomize=not SEED,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Any) -> Any:
        return seed(SEED)(chosen(test)) if SEED else chosen(test)

    return decorate
