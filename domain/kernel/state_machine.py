"""State machines: a table of allowed transitions, and a guarded update that makes one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork

R = TypeVar("R", bound=Record)
Steps = Mapping[StrEnum, tuple[StrEnum, ...]]


def states_before(steps: Steps, status: StrEnum) -> tuple[StrEnum, ...]:
    """The states from which `status` can be reached."""
    return tuple(before for before, following in steps.items() if status in following)


async def move(
    uow: UnitOfWork,
    kind: type[R],
    id: str,
    to: StrEnum,
    *,
    steps: Steps,
    only_if: Mapping[str, Any] | None = None,
    by: str | None = None,
    **fields: Any,
) -> R | None:
    """Make a transition if the table and `only_if` allow it. Returns None, without effect, if not.

    With `by`, the transition is appended to the record's `history`.
    """
    push = {"history": {"at": uow.now, "status": to, "by": by}} if by else None
    return await uow.change(
        kind,
        id,
        only_if={"status": states_before(steps, to), **(only_if or {})},
        push=push,
        status=to,
        **fields,
    )
