"""The shape of a notice, and the helpers that templates build its sentences with."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from domain.kernel.money import display

Data = Mapping[str, Any]
TITLE_LENGTH = 60
WALLET = "/wallet"


class Side(StrEnum):
    """A recipient's part in an event: one of its two parties, or the only user it concerns."""

    CUSTOMER = "customer"
    CONTRACTOR = "contractor"
    SELF = "self"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one user.

    A user is notified once of each `fact`. Of several notices about one `topic` (default: the
    subject) in one transaction, the one with the highest `rank` is sent; of equals, the last. `own`
    marks the user's own action: listed, not mailed. `always` overrides the `mail_notices` setting.
    """

    kind: str
    title: str
    text: str
    subject_id: str
    fact: str = ""
    path: str = "/"
    own: bool = False
    always: bool = False
    rank: int = 0
    topic: str = ""


Template = Callable[[Data, Side], Notice | Sequence[Notice] | None]


def one_line(text: str, length: int) -> str:
    """`text` without line breaks and control characters, cut to `length` characters."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + "…"


def date_text(at: str | datetime) -> str:
    """The one format of dates in texts for users: `5 March 2026, 14:00 UTC`."""
    time = msgspec.convert(at, datetime)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def job_path(job_id: str) -> str:
    return f"/jobs/{job_id}"


def quoted_title(text: str) -> str:
    return f"“{one_line(text, TITLE_LENGTH)}”"


def job_name(data: Data) -> str:
    return quoted_title(str(data.get("job_title") or data.get("title") or "your job"))


def amount_of(data: Data, field: str = "amount") -> str:
    return display(int(data.get(field) or 0), str(data.get("currency")))


def with_deadline(data: Data, field: str, words: str) -> str:
    """A sentence, with the time in `field` as its deadline if that is set."""
    return f"{words} until {date_text(data[field])}." if data.get(field) else f"{words}."


def happened_now(data: Data, at: Any) -> bool:
    """Whether the change that the event reports happened at `at`."""
    return at is not None and at == data.get("updated_at")


def failure_text(code: str | None) -> str:
    """Stripe's failure code as readable text."""
    return one_line(str(code or "").replace("_", " "), TITLE_LENGTH)


def join_lines(*sentences: str) -> str:
    """One sentence a line; empty ones are left out."""
    return "\n".join(sentence for sentence in sentences if sentence)
