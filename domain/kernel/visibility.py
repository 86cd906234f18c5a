"""Which records of a customer and a contractor an actor may read, as database filters."""

from typing import Any

from domain.kernel.actor import Actor, Role
from domain.kernel.record import Record


def owned_by(actor: Actor) -> dict[str, Any]:
    """The records that belong to the actor, as their customer or as their contractor."""
    return {"contractor_id" if actor.role is Role.CONTRACTOR else "customer_id": actor.id}


def visible_to(actor: Actor, kind: type[Record]) -> dict[str, Any]:
    """The records of `kind` that the actor may read: their own, or all for an administrator."""
    if actor.role is Role.ADMIN:
        return {}
    if actor.role is Role.CONTRACTOR:
        return {**owned_by(actor), **kind.CONTRACTOR_SEES}
    return owned_by(actor)
