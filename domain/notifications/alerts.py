"""Alerts to administrators: problems that need their attention."""

from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.fields import about
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork

MAX_ADMINS = 100


class Alert(msgspec.Struct, frozen=True):
    """A problem that administrators should know of.

    An alert that is not `urgent` needs no action: it is listed, and not mailed.
    """

    kind: Annotated[str, about("What happened, such as refund_failed.")]
    subject: Annotated[str, about("The id of what it is about.")]
    message: Annotated[str, about("What happened and what to do, for a person.")]
    urgent: Annotated[bool, about("Whether somebody has to act.")] = True


ALERT = Event(
    "/admin",
    "alert",
    Alert,
    about="When something happened that administrators should know of, to all administrators.",
)


async def alert(
    uow: UnitOfWork, kind: str, subject: str, message: str, *, urgent: bool = True
) -> None:
    """Publish an alert in the feed of each administrator, the newest `MAX_ADMINS` of them."""
    admins = await uow.all(User, {"role": Role.ADMIN}, (("_id", -1),), MAX_ADMINS)
    uow.publish(ALERT, Alert(kind, subject, message, urgent), to=[admin.id for admin in admins])
