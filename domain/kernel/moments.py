"""Points in time: one conversion for all that comes from outside."""

from datetime import UTC, datetime

DATE_AND_TIME = "a date and time with a time zone, such as 2026-01-31T12:00:00Z"
OUT_OF_RANGE = "give a date in the years 1 to 9999, in UTC."


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError where UTC is outside of the years 1 to 9999."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as beyond:
        raise ValueError(OUT_OF_RANGE) from beyond
