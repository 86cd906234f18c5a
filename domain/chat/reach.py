"""Whether two people may reach each other: the one rule of every operation that addresses a person.

They may, unless one of them blocks the other or has deleted the account. Both facts are copied into
all conversations of the two, so that a message needs no further query.

What ends something stays possible while they may not reach each other: deleting one's messages,
rejecting, withdrawing. So does the work and the money of a deal that both have made.
`tests/architecture/test_reach.py` lists these operations.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from domain.accounts.user import User
from domain.chat.conversation import Conversation, find_between
from domain.kernel.errors import Blocked, Unreachable
from domain.kernel.store import UnitOfWork

DELETED = "The other account has been deleted."


class Between(Protocol):
    """What the rule looks at, of a conversation."""

    @property
    def blocked_by(self) -> tuple[str, ...]: ...

    @property
    def deleted_members(self) -> Mapping[str, datetime]: ...


def may_reach(between: Between) -> bool:
    """Whether the members of a conversation may reach each other."""
    return not (between.blocked_by or between.deleted_members)


def check_reach(between: Between) -> None:
    """Raises Unreachable if the members of a conversation may not reach each other."""
    if between.blocked_by:
        raise Unreachable
    if between.deleted_members:
        raise Unreachable(DELETED)


def check_writable(between: Between) -> None:
    """The same for a message, of which clients know who has blocked. Raises Blocked,
    Unreachable."""
    if between.blocked_by:
        raise Blocked(by=list(between.blocked_by))
    check_reach(between)


async def require_reach(uow: UnitOfWork, customer_id: str, contractor_id: str) -> None:
    """The same for two who may have no conversation.

    Their conversation is written, if they have one: that conflicts with a block at the same time,
    so one of the two transactions sees the other. Raises Unreachable.
    """
    if between := await find_between(uow, customer_id, contractor_id):
        check_reach(between)
        await uow.change(Conversation, between.id)
    deleted = {"_id": (customer_id, contractor_id), "deleted_at": {"$ne": None}}
    if await uow.find(User, deleted):
        raise Unreachable(DELETED)


async def blocked_pairs(uow: UnitOfWork, user_ids: Collection[str]) -> set[tuple[str, str]]:
    """The pairs with one of these users of whom one blocks the other: customer, contractor."""
    blocked = {"members": tuple(user_ids), "blocked_by": {"$gt": ""}}
    found = uow.each(Conversation, blocked, (("members", 1), ("_id", 1)))
    return {(each.customer_id, each.contractor_id) async for each in found}


async def blocked_with(
    uow: UnitOfWork, customer_id: str, contractor_ids: Collection[str]
) -> set[str]:
    """Those of the contractors who may not reach this customer because of a block."""
    ids = tuple(contractor_ids)
    if not ids:
        return set()
    blocked = {"customer_id": customer_id, "contractor_id": ids, "blocked_by": {"$gt": ""}}
    return set(map(str, await uow.distinct(Conversation, "contractor_id", blocked)))
