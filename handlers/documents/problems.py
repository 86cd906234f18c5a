"""Refusals as clients get them: over HTTP, on sockets, and what their `details` have."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.kernel.errors import Code, DomainError, Rule
from domain.kernel.fields import about

ErrorCode = StrEnum("ErrorCode", [(code.name, code.value) for code in Code])  # type: ignore[misc]
ErrorCode.__doc__ = "What a program branches on. Values never change, and new ones may come."

Time = Annotated[datetime, Meta(tz=True, description="When it expires, in UTC.")]
Ids = Annotated[list[str], about("The ids that are refused.")]
Bytes = Annotated[int, about("In bytes.")]


class ErrorDetails(msgspec.Struct, frozen=True):
    """What a refusal is about. Which of these there are depends on the code."""

    field: Annotated[str, about("The field by its path: milestones[1].amount.")] | UnsetType = UNSET
    rule: Annotated[Rule, about("The rule that it breaks.")] | UnsetType = UNSET
    limit: Annotated[Any, about("The limit of the rule: a number, or all choices.")] = UNSET
    limit_bytes: Bytes | UnsetType = UNSET
    limit_files: Annotated[int, about("The most files of one user.")] | UnsetType = UNSET
    limit_pixels: Annotated[int, about("The most pixels of a picture.")] | UnsetType = UNSET
    minimum: Annotated[int, about("The least amount, in minor units.")] | UnsetType = UNSET
    maximum: Annotated[int, about("The greatest amount, in minor units.")] | UnsetType = UNSET
    step: Annotated[int, about("Amounts are multiples of this, in minor units.")] | UnsetType = (
        UNSET
    )
    retry_after: Annotated[float, about("Wait so many seconds.")] | UnsetType = UNSET
    allowed: Annotated[list[str], about("The roles or types that are.")] | UnsetType = UNSET
    found: Annotated[str | None, about("The detected type.")] | UnsetType = UNSET
    methods: (
        Annotated[list[str], about("Any of totp, passkey, recovery_code, password.")] | UnsetType
    ) = UNSET
    challenge: Annotated[str, about("For the second step of the sign-in.")] | UnsetType = UNSET
    expires_at: Time | UnsetType = UNSET
    approval_id: Annotated[str, about("The request that waits for approval.")] | UnsetType = UNSET
    amount: Annotated[int, about("In minor units of `currency`.")] | UnsetType = UNSET
    currency: Annotated[str, about("ISO 4217.")] | UnsetType = UNSET
    status: Annotated[str, about("The state that does not allow it.")] | UnsetType = UNSET
    refunded_amount: Annotated[int, about("What was refunded, in minor units.")] | UnsetType = UNSET
    disputed_amount: (
        Annotated[int, about("What the bank disputes, in minor units.")] | UnsetType
    ) = UNSET
    banned: Annotated[bool, about("Whether that is why the session ended.")] | UnsetType = UNSET
    by: Annotated[list[str], about("The users who have blocked the other.")] | UnsetType = UNSET
    outstanding: Annotated[list[str], about("What must be settled first.")] | UnsetType = UNSET
    dispute_id: Annotated[str | None, about("The open dispute.")] | UnsetType = UNSET
    file_ids: Ids | UnsetType = UNSET
    conversations: Ids | UnsetType = UNSET
    head: Annotated[int, about("The newest number: continue from here.")] | UnsetType = UNSET
    first: Annotated[int, about("The oldest number that is kept.")] | UnsetType = UNSET
    account: Annotated[str, about("The part of the wallet that is too low.")] | UnsetType = UNSET
    command: Annotated[str, about("The name that is no command.")] | UnsetType = UNSET


class Problem(msgspec.Struct, frozen=True):
    """A refusal over HTTP, RFC 9457."""

    type: Annotated[str, about("Always about:blank.")]
    title: Annotated[str, about("One sentence for a person.")]
    status: Annotated[int, about("The status code of the response.")]
    code: Annotated[ErrorCode, about("What went wrong.")]
    details: Annotated[ErrorDetails, about("What it is about.")]


class Error(msgspec.Struct, frozen=True):
    """A refusal on a socket: in an ack, and as `data` of a `connect_error`."""

    code: Annotated[ErrorCode, about("What went wrong.")]
    message: Annotated[str, about("One sentence for a person.")]
    details: Annotated[ErrorDetails, about("What it is about.")]


def error_classes() -> dict[Code, type[DomainError]]:
    """The error of each code."""
    return {error.code: error for error in _below(DomainError)}


def by_status(codes: Iterable[Code]) -> dict[int, list[Code]]:
    """Codes by the HTTP status that they come with, both in order."""
    known = error_classes()
    found: dict[int, list[Code]] = {}
    for code in sorted(codes):
        found.setdefault(known[code].status, []).append(code)
    return dict(sorted(found.items()))


def _below(kind: type[DomainError]) -> Iterable[type[DomainError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
