"""Protocol: sending e-mail."""

from typing import Protocol

import msgspec


class Mail(msgspec.Struct, frozen=True):
    """A plain-text e-mail to one user. `id` is the same for every attempt to send it."""

    id: str
    user_id: str
    address: str
    subject: str
    text: str


class MailUnsent(Exception):
    """The e-mail was not sent, for a temporary reason."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Send an e-mail; log and drop an undeliverable one. Raises MailUnsent."""
        ...
