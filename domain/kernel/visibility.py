"""Which records of a customer and a contractor an actor may act on or read, as database filters."""

from typing import Any

from domain.kernel.actor import Actor, Role
from domain.kernel.record import Record


def owned_by(actor: Actor, kind: type[Record]) -> dict[str, Any]:
    """The records of `kind` in which the actor is the customer or the contractor.

    A contractor's are only those that `CONTRACTOR_SEES` selects.
    """
    if actor.role is Role.CONTRACTOR:
        return {"contractor_id": actor.id, **kind.CONTRACTOR_SEES}
    return {"customer_id": actor.id}


def visible_to(actor: Actor, kind: type[Record]) -> dict[str, Any]:
    """The records of `kind` that the actor may read: their own, or all for an administrator."""
    return {} if actor.role is Role.ADMIN else owned_by(actor, kind)
