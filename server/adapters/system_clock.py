"""The system clock, and one that can be moved."""

from datetime import UTC, datetime, timedelta


class SystemClock:
    """UTC in whole milliseconds, the precision of MongoDB."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


class MovableClock(SystemClock):
    """The system clock, moved `ahead`, or back when that is negative."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        moved = super().now() + self.ahead
        return moved.replace(microsecond=moved.microsecond // 1000 * 1000)
