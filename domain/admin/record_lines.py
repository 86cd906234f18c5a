"""Records in a line: what administrators read in lists of mixed kinds, and behind an id."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.user import User
from domain.kernel.fields import about

TITLES = ("name", "title", "job_title", "type", "reason")  # fields, the first that a record has
AMOUNTS = ("amount", "budget_max_amount")


class RecordLine(msgspec.Struct, frozen=True):
    """A record in a line: what it is called, its state and its amount."""

    id: Annotated[str, about("The id of the record; its beginning says what it is.")]
    created_at: Annotated[datetime, about("When it was created.")]
    status: Annotated[
        str | None,
        about("Its state, or the role of a user who is not banned or deleted; null if none."),
    ]
    title: Annotated[
        str,
        about("The name of the user, the title of the job, or what else it is called; or empty."),
    ]
    amount: Annotated[int | None, about("In minor units; null if it is about no amount.")]
    currency: Annotated[str | None, about("The currency of the amount; null without one.")]


def line_of(record: Any, names: Mapping[str, str] | None = None) -> RecordLine:
    """A record in a line, from those of these fields that its kind has. A record without a title
    is called after its user, by `names`."""
    title = str(_first(record, TITLES) or "")
    if not title and names:
        title = names.get(getattr(record, "user_id", ""), "")
    return RecordLine(
        id=record.id,
        created_at=record.created_at,
        status=_state_of(record) if isinstance(record, User) else getattr(record, "status", None),
        title=title,
        amount=_first(record, AMOUNTS),
        currency=getattr(record, "currency", None),
    )


def _first(record: Any, fields: tuple[str, ...]) -> Any:
    return next((getattr(record, field) for field in fields if hasattr(record, field)), None)


def _state_of(user: User) -> str:
    if user.deleted_at:
        return "deleted"
    return "banned" if user.banned_at else user.role
