"""The system clock."""

from datetime import UTC, datetime


class SystemClock:
    """UTC in whole milliseconds, the precision of MongoDB."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
