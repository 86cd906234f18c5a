"""The amount that a person saw when they confirmed a step which moves money."""

from typing import Annotated

from msgspec import Meta as Limits

from domain.kernel.errors import Conflict
from domain.kernel.fields import about
from domain.kernel.money import MAX_AMOUNT, display

ExpectedAmount = Annotated[
    Annotated[int, Limits(ge=0, le=MAX_AMOUNT)] | None,
    about(
        "The amount that this moves, as the caller knows it, in minor units: if it is another one "
        "by now, the answer is `conflict` and nothing happens."
    ),
]


def check_expected(expected: int | None, amount: int, currency: str) -> None:
    """Raises Conflict if a caller expects another amount."""
    if expected not in (None, amount):
        raise Conflict(f"The amount is {display(amount, currency)} by now: read it again.")
