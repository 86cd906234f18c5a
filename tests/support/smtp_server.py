"""An SMTP server for tests that keeps received mails and gives the answers a test sets."""

import asyncio
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, AuthResult

MAIL_SECONDS = 10.0


class ReceivedMail(NamedTuple):
    """One received mail: the envelope's recipient and the message."""

    to: str
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def text(self) -> str:
        return str(self.message.get_content())

    @property
    def token(self) -> str:
        """The token of its link."""
        return re.findall(r"/#/[a-z-]+/(\S+)", self.text)[-1]

    def token_for(self, page: str) -> str:
        """The token of the link to this page."""
        [token] = re.findall(rf"/#/{page}/(\S+)", self.text)
        return str(token)

    @property
    def code(self) -> str:
        [code] = re.findall(r"code: ([0-9]{6})\b", self.text)
        return str(code)


class SmtpServer:
    """Gives each of `recipient_answers` and `data_answers` once, then accepts everything.

    While `accepting` is clear, senders wait.
    """

    def __init__(self) -> None:
        self.accepting = asyncio.Event()
        self.waiting = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self.forget()

    def forget(self) -> None:
        """Forget all mails, and accept the next ones."""
        self.mails: list[ReceivedMail] = []
        self.attempts: list[ReceivedMail] = []  # also refused ones
        self.recipient_answers: list[str] = []
        self.data_answers: list[str] = []
        self.senders: list[str] = []
        self.login: tuple[str, str] | None = None
        self.accepting.set()

    async def start(self, host: str = "127.0.0.1", **options: Any) -> "SmtpServer":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, loop=loop, **options), host, 0
        )
        self.url = f"smtp://{host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        self.accepting.set()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def mails_to(self, person: Any) -> list[ReceivedMail]:
        return [letter for letter in self.mails if letter.to == person.email]

    async def mail(self, address: str, subject: str) -> ReceivedMail:
        """The newest mail with this subject, as soon as there is one."""
        async with asyncio.timeout(MAIL_SECONDS):
            while True:
                for each in reversed(self.mails):
                    if (each.to, each.subject) == (address, subject):
                        return each
                await asyncio.sleep(0.02)

    def subjects(self, person: Any) -> list[str]:
        return [letter.subject for letter in self.mails_to(person)]

    # -- as aiosmtpd calls it ----------------------------------------------------------------

    def authenticate(self, server: Any, session: Any, envelope: Any, way: str, data: Any) -> Any:
        self.login = (data.login.decode(), data.password.decode())
        return AuthResult(success=True)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.waiting += 1
        await self.accepting.wait()
        self.waiting -= 1
        message: Any = message_from_bytes(envelope.content, policy=default)
        letters = [ReceivedMail(address, message) for address in envelope.rcpt_tos]
        self.attempts += letters
        self.senders.append(envelope.mail_from)
        if self.data_answers:
            return self.data_answers.pop(0)
        self.mails += letters
        return "250 OK"
