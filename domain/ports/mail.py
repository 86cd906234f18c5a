"""A mail, and the port of whoever sends it."""

from typing import Protocol

import msgspec


class Mail(msgspec.Struct, frozen=True):
    """Plain text for one person; `id` stays the same however often it is sent."""

    id: str
    user_id: str
    address: str
    subject: str
    text: str


class MailUnsent(Exception):
    """Not sent, for a reason that may pass."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Send it; what can never be delivered is logged and dropped. Raises MailUnsent."""
        ...
