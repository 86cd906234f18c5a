"""The mailbox of a dev server without SMTP_URL: the last mails, for `/dev/mails`."""

from collections import deque
from datetime import datetime

import msgspec
import structlog

from domain.kernel.settings import Clock
from domain.ports.mail import Mail

log = structlog.get_logger()

KEPT = 100


class KeptMail(msgspec.Struct, frozen=True):
    at: datetime
    to: str
    subject: str
    text: str


class DevMailbox:
    """Keeps mails in memory. The log names them, without their links and codes."""

    def __init__(self, clock: Clock) -> None:
        self.mails: deque[KeptMail] = deque(maxlen=KEPT)  # the newest first
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        kept = KeptMail(self._clock.now(), mail.address, mail.subject, mail.text)
        self.mails.appendleft(kept)
        log.info("mail kept, read it at /dev/mails", user=mail.user_id, subject=mail.subject)
