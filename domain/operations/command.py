"""The base of every command, and the field types that commands share."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta as Limits

from domain.kernel.email_address import AROUND, MAX_EMAIL, email_to_find, normalized_email
from domain.kernel.fields import about, expected
from domain.kernel.moments import DATE_AND_TIME, completed, in_utc
from domain.kernel.text_types import opaque, prose
from domain.operations.normalization import Normalized


class Style(StrEnum):
    """What an operation is called with: a transaction, a unit of work for reading, or the ports."""

    WRITE = "write"
    READ = "read"
    DIRECT = "direct"


class Meta(msgspec.Struct, frozen=True):
    """The context of a call. `agent` is the `User-Agent` of an HTTP request. With `text`, as in a
    query string, numbers are still strings. `size` is the length of the input in bytes or
    characters."""

    request_id: str | None = None
    address: str = ""
    agent: str = ""
    text: bool = False
    size: int = 0
    committed: Callable[[], None] = lambda: None


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of one operation.

    The audit log leaves out the fields in UNLOGGED and stores a keyed digest of those in PERSONAL.
    """

    UNLOGGED: ClassVar[frozenset[str]] = frozenset()
    PERSONAL: ClassVar[frozenset[str]] = frozenset()


def _currency_code(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and value.isascii() else value


def _email(value: Any) -> Any:
    if not isinstance(value, str) or len(value := value.strip(AROUND)) > MAX_EMAIL:
        return value
    try:
        return normalized_email(value)
    except ValueError as refused:
        raise ValueError("this is not an e-mail address.") from refused


def _email_to_find(value: Any) -> Any:
    return email_to_find(value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Raises ValueError for other text, also for a number, which msgspec takes in a query."""
    if isinstance(value, str):
        value = completed(value)
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError as refused:
        if isinstance(value, str):
            raise ValueError(f"give {DATE_AND_TIME}.") from refused
        return value
    return in_utc(moment).isoformat() if moment.tzinfo else value


# Of a pattern, refusals and the documents say what is expected instead.
Id = Annotated[str, opaque(64, least=1)]
CurrencyCode = Annotated[
    str,
    expected(
        "A currency code of three letters, such as USD.", pattern="^[A-Za-z]{3}$", max_length=3
    ),
    Normalized(_currency_code),
]
Email = Annotated[
    str,
    expected(
        "An e-mail address.",
        min_length=3,
        max_length=MAX_EMAIL,
        extra_json_schema={"format": "email"},
    ),
    Normalized(_email),
]
KnownEmail = Annotated[str, Limits(max_length=MAX_EMAIL), Normalized(_email_to_find)]
Moment = Annotated[
    datetime,
    Limits(tz=True),
    about("A time with its zone, or a date: when it begins in UTC."),
    Normalized(_moment),
]
Cursor = Annotated[str, opaque(500), about("The `next_cursor` of the page before.")]
Reason = Annotated[str, prose(1000, least=3), about("Why, for the audit trail.")]
OptionalReason = Annotated[
    Annotated[str, prose(1000, least=3)] | None, about("Why, for the audit trail.")
]
PaymentMethodId = Annotated[
    str,
    expected(
        "The id of a payment method, which begins with pm_.",
        pattern=r"^pm_[A-Za-z0-9_]{1,80}(?!\n)$",
    ),
]
PageSize = Annotated[int, Limits(ge=1, le=100), about("At most so many items.")]


class NoFields(Command, frozen=True):
    """An operation without fields."""


class Done(msgspec.Struct, frozen=True):
    """An answer without fields: the command was carried out."""
