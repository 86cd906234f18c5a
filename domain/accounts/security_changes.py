"""Changes to how a user signs in. Each is pushed and mailed to them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from domain.kernel.fields import UserId, about
from domain.kernel.outbox import Event
from domain.kernel.store import UnitOfWork


class SecurityFact(StrEnum):
    """What has changed in how a user signs in."""

    # `notifications/templates/security.py` has the text of each.
    PASSWORD_CHANGED = "password_changed"
    EMAIL_CHANGED = "email_changed"
    NEW_DEVICE = "new_device"
    TOTP_ENABLED = "totp_enabled"
    TOTP_DISABLED = "totp_disabled"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_SUSPECT = "passkey_suspect"
    CODES_GUESSED = "codes_guessed"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    SECOND_FACTORS_RESET = "second_factors_reset"


class SecurityChange(msgspec.Struct, frozen=True):
    """A change of how a user signs in."""

    id: UserId
    kind: Annotated[SecurityFact, about("What changed.")]
    detail: Annotated[str, about("The name of a passkey or device, or a number; may be empty.")]
    at: Annotated[datetime, about("When it changed.")]


SECURITY_CHANGED = Event(
    "/account",
    "security.changed",
    SecurityChange,
    about="When the way in which a user signs in has changed, to this user. If it was not them, "
    "they should change their password.",
)


def announce(uow: UnitOfWork, user_id: str, kind: SecurityFact, detail: str = "") -> None:
    """Notify the user. Needs a transaction."""
    uow.publish(SECURITY_CHANGED, SecurityChange(user_id, kind, detail, uow.now), to=[user_id])
