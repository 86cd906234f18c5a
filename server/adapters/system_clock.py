"""The one clock."""

from datetime import UTC, datetime


class SystemClock:
    """UTC, cut to milliseconds: what MongoDB stores compares equal to what was written."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
