"""The base of every command, and the field types that commands share."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import msgspec
from msgspec import Meta as Limits


class Style(StrEnum):
    """What an operation is called with: a transaction, a unit of work for reading, or the ports."""

    WRITE = "write"
    READ = "read"
    DIRECT = "direct"


class Meta(msgspec.Struct, frozen=True):
    """The context of a call. With `text`, as in a query string, numbers are still strings."""

    request_id: str | None = None
    address: str = ""
    text: bool = False
    committed: Callable[[], None] = lambda: None


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of one operation.

    The audit log leaves out the fields in UNLOGGED and stores a keyed digest of those in PERSONAL.
    """

    UNLOGGED: ClassVar[frozenset[str]] = frozenset()
    PERSONAL: ClassVar[frozenset[str]] = frozenset()


Id = Annotated[str, Limits(min_length=1, max_length=64)]
CurrencyCode = Annotated[str, Limits(pattern="^[A-Za-z]{3}$", max_length=3)]
Cursor = Annotated[str, Limits(max_length=500)]
Reason = Annotated[str, Limits(min_length=3, max_length=1000, pattern=r"\S")]
PageSize = Annotated[int, Limits(ge=1, le=100)]


class NoFields(Command, frozen=True):
    """An operation without fields."""


Moment = Annotated[datetime, Limits(tz=True)]
Path = tuple[str, ...]


def currency_paths(kind: type[msgspec.Struct]) -> tuple[Path, ...]:
    """Where the fields of a struct, and of the structs in it, are a CurrencyCode."""
    found: list[Path] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for each in (hint, *get_args(hint)):
            if each == CurrencyCode:
                found.append((name,))
            elif isinstance(each, type) and issubclass(each, msgspec.Struct):
                found += [(name, *path) for path in currency_paths(each)]
    return tuple(found)


def in_upper_case(fields: Any, path: Path) -> Any:
    """A copy of the input with the text at `path` in upper case, if there is one."""
    if isinstance(fields, list):
        return [in_upper_case(each, path) for each in fields]
    name, *rest = path
    if not isinstance(fields, dict) or name not in fields:
        return fields
    value = fields[name]
    if rest:
        value = in_upper_case(value, tuple(rest))
    elif isinstance(value, str) and value.isascii():
        value = value.upper()
    return {**fields, name: value}
