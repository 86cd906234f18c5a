"""Points in time: one conversion for all that comes from outside."""

import re
from datetime import UTC, datetime

DATE_AND_TIME = "a date and time with a time zone, such as 2026-01-31T12:00:00Z, or a date"
OUT_OF_RANGE = "give a date in the years 1 to 9999, in UTC."


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WITH_SPACE = re.compile(r"([0-9-]{10}[Tt ][0-9:.]+) ([0-9]{2}:[0-9]{2})")


def completed(text: str) -> str:
    """A date as the time at which it begins in UTC; a time whose `+` became a space in a query
    string, where it stands for one, with its `+` again. Other text is returned unchanged."""
    if _DATE.fullmatch(text):
        return f"{text}T00:00:00Z"
    if found := _WITH_SPACE.fullmatch(text):
        return f"{found[1]}+{found[2]}"
    return text


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError where UTC is outside of the years 1 to 9999."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as beyond:
        raise ValueError(OUT_OF_RANGE) from beyond
