"""Sends mails by SMTP, one connection each; without SMTP_URL it only logs them.

Only a permanent refusal of the recipient or the text is final. A wrong password, a refused sender
or a missing STARTTLS is a fault of the configuration: the mails wait until it is corrected.
Source: RFC 5321, section 4.2.1 (4yz: try again, 5yz: do not).
"""

import asyncio
import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from domain.kernel.settings import Clock
from domain.ports.mail import Mail, Mailer, MailUnsent
from server.adapters.dev_mailbox import DevMailbox
from server.config import Settings

log = structlog.get_logger()

STEP_SECONDS = 10.0
SEND_SECONDS = 40.0
LOCAL = ("localhost", "127.0.0.1", "::1")
PLAIN = re.compile(r'[^\s@<>()\[\],;:"\\]+')  # a part of an address that needs no quotes
PORTS = {"smtps": 465, "smtp": 587}


def mailer(settings: Settings, clock: Clock) -> Mailer:
    if settings.smtp_url is None:
        return DevMailbox(clock) if settings.demo else LoggedMail()
    return SmtpMail(settings.smtp_url, settings.mail_from, clock)


class LoggedMail:
    """Replaces a mail server: logs the recipient and the subject, without the address."""

    async def send(self, mail: Mail) -> None:
        log.info("mail not sent, SMTP_URL is not set", user=mail.user_id, subject=mail.subject)


class SmtpMail:
    """Encrypted from the start (smtps) or by STARTTLS; only a server on this host needs neither."""

    def __init__(self, url: str, sender: str, clock: Clock) -> None:
        self._route = route(url)
        self._sender = sender
        self._address = parseaddr(sender)[1]
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        try:
            message = self.compose(mail)
        except ValueError:
            log.warning("mail dropped, not an address", mail=mail.id, user=mail.user_id)
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await aiosmtplib.send(
                    message, sender=self._address, recipients=[mail.address], **self._route
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as failed:
            if not final(failed):
                raise MailUnsent(_reason(failed)) from failed
            log.warning(
                "mail refused permanently", mail=mail.id, user=mail.user_id, code=_code(failed)
            )
        else:
            log.info("mail sent", mail=mail.id, user=mail.user_id, subject=mail.subject)

    def compose(self, mail: Mail) -> EmailMessage:
        """Raises ValueError for an invalid address."""
        name, _, host = mail.address.partition("@")
        if not (PLAIN.fullmatch(name) and PLAIN.fullmatch(host)):
            raise ValueError("not the address of one person")
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(username=name, domain=host)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{mail.id}@{self._address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        return message


def route(url: str) -> dict[str, Any]:
    """The options of `aiosmtplib.send` for an smtp:// or smtps:// URL."""
    parts = urlsplit(url)
    secure, local = parts.scheme == "smtps", parts.hostname in LOCAL
    return {
        "hostname": parts.hostname,
        "port": parts.port or (25 if local and not secure else PORTS[parts.scheme]),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "use_tls": secure,
        "start_tls": not secure and not local,
        "timeout": STEP_SECONDS,
    }


def final(failed: Exception) -> bool:
    """Whether another attempt would fail the same way."""
    if isinstance(failed, aiosmtplib.SMTPRecipientsRefused):
        return all(refused.code >= 500 for refused in failed.recipients)
    if isinstance(failed, aiosmtplib.SMTPNotSupported):
        return "SMTPUTF8" in failed.message  # an address that this server can never reach
    return isinstance(failed, aiosmtplib.SMTPDataError) and failed.code >= 500


def _code(failed: Exception) -> int | None:
    if isinstance(failed, aiosmtplib.SMTPRecipientsRefused):
        return failed.recipients[0].code
    return getattr(failed, "code", None)


def _reason(failed: Exception) -> str:
    """Without the server's reply, which may repeat the address."""
    code = _code(failed)
    return f"{type(failed).__name__} {code}" if code else type(failed).__name__
