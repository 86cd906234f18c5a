"""How a notice is worded: its shape, and the small pieces that sentences are made of."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from domain.kernel.money import display

Data = Mapping[str, Any]
TITLE_LENGTH = 60
WALLET = "/#/wallet"


class Side(StrEnum):
    """What a recipient is in an event: one of its two parties, or the one it is all about."""

    CUSTOMER = "customer"
    CONTRACTOR = "contractor"
    SELF = "self"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell one person.

    `fact` is told once. Of several about one `topic` (the subject, if nothing else is said) in
    one transaction, the highest `rank` is told, or the last. `always` is mailed also to people
    who want no mails.
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


Words = Callable[[Data, Side], Notice | Sequence[Notice] | None]


def side_of(data: Data, user_id: str) -> Side:
    if data.get("customer_id") == user_id:
        return Side.CUSTOMER
    return Side.CONTRACTOR if data.get("contractor_id") == user_id else Side.SELF


def one_line(text: str, length: int) -> str:
    """Without line ends and other control characters, cut to `length`."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + "…"


def date_text(at: str | datetime) -> str:
    """For people: `5 March 2026, 14:00 UTC`."""
    time = msgspec.convert(at, datetime)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def job_path(job_id: str) -> str:
    return f"/#/job/{job_id}"


def quoted(text: str) -> str:
    return f"“{one_line(text, TITLE_LENGTH)}”"


def job_of(data: Data) -> str:
    return quoted(str(data.get("job_title") or data.get("title") or "your job"))


def sum_of(data: Data, field: str = "amount") -> str:
    return display(int(data.get(field) or 0), str(data.get("currency")))


def until(data: Data, field: str, words: str) -> str:
    return f"{words} until {date_text(data[field])}." if data.get(field) else f"{words}."


def just(data: Data, at: Any) -> bool:
    """Whether this happened in the change that the event tells of."""
    return at is not None and at == data.get("updated_at")


def reason(code: str | None) -> str:
    """Stripe's word for why something failed, readable."""
    return one_line(str(code or "").replace("_", " "), TITLE_LENGTH)


def lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
