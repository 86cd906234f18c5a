"""The clock and the rates that every operation of a deployment uses."""

from datetime import datetime
from typing import Protocol

import msgspec

from domain.kernel.money import Schedule


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, cut to milliseconds as MongoDB keeps it."""
        ...


class Rates(msgspec.Struct, frozen=True):
    """The business settings: fees in basis points, the currencies that the platform settles,
    and after how many days delivered work completes by itself (0: never)."""

    schedule: Schedule
    currencies: tuple[str, ...]
    auto_complete_days: int = 7
