"""Mails over real SMTP: retries, permanent refusals, and header injection."""

import pytest
from structlog.testing import capture_logs

from domain.ports.mail import Mail, MailUnsent
from server.adapters.smtp import LoggedMail, SmtpMail, mailer, route
from server.adapters.system_clock import SystemClock
from server.config import ConfigError, load
from tests.server.test_config import GOOD
from tests.support.smtp_server import SmtpServer

MAIL = Mail("mail_1", "usr_1", "carla@people.test", "You have an offer", "Hello Carla,\n\nGrüße.\n")
SENDER = "JobSphere <no-reply@jobs.test>"


def smtp_mail(url: str) -> SmtpMail:
    return SmtpMail(url, SENDER, SystemClock())


async def test_a_mail_arrives_as_plain_text_with_its_headers(smtp: SmtpServer) -> None:
    """Fails without the Message-ID made of the mail's id, or `Auto-Submitted` in `compose`."""
    await smtp_mail(smtp.url).send(MAIL)
    [letter] = smtp.mails
    headers = {name: str(letter.message[name]) for name in letter.message}
    assert headers.pop("Date").endswith("+0000")
    assert headers == {
        "From": SENDER,
        "To": "carla@people.test",
        "Subject": "You have an offer",
        "Message-ID": "<mail_1@jobs.test>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": headers["Content-Transfer-Encoding"],
    }
    assert letter.text.replace("\r\n", "\n") == MAIL.text
    assert smtp.senders == ["no-reply@jobs.test"]


@pytest.mark.parametrize("place", ["recipient_answers", "data_answers"])
async def test_a_temporary_refusal_is_tried_again_with_the_same_id(
    smtp: SmtpServer, place: str
) -> None:
    """Fails when `final` takes 4yz for a permanent refusal, or a second try makes another
    Message-ID."""
    getattr(smtp, place).append("451 Later, please")
    with pytest.raises(MailUnsent):
        await smtp_mail(smtp.url).send(MAIL)
    await smtp_mail(smtp.url).send(MAIL)
    assert [letter.id for letter in smtp.mails] == ["<mail_1@jobs.test>"]
    assert len({letter.id for letter in smtp.attempts}) == 1


@pytest.mark.parametrize(("place", "code"), [("recipient_answers", 550), ("data_answers", 554)])
async def test_a_permanent_refusal_is_logged_and_dropped(
    smtp: SmtpServer, place: str, code: int
) -> None:
    """Fails without `final`: such a mail would be tried for days; or if the log has the address."""
    getattr(smtp, place).append(f"{code} No such user as carla@people.test")
    with capture_logs() as logs:
        await smtp_mail(smtp.url).send(MAIL)
    assert [(each["event"], each["code"]) for each in logs] == [("mail refused permanently", code)]
    assert smtp.mails == [] and "carla" not in str(logs)


async def test_no_server_and_no_encryption_are_temporary_failures(smtp: SmtpServer) -> None:
    """Fails without OSError in `send`; or with `start_tls` off for a host that is not this one."""
    with pytest.raises(MailUnsent):
        await smtp_mail("smtp://127.0.0.1:1").send(MAIL)
    elsewhere = await SmtpServer().start("127.0.0.2")
    with pytest.raises(MailUnsent):
        await smtp_mail(elsewhere.url).send(MAIL)
    assert elsewhere.mails == []
    await elsewhere.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hello\r\nBcc: eve@evil.test"},
        {"subject": "Hello\nBcc: eve@evil.test"},
        {"address": "carla@people.test\r\nBcc: eve@evil.test"},
        {"address": "carla@people.test>,<eve@evil.test"},
        {"address": "carla@people.test, eve@evil.test"},
        {"address": "@."},
    ],
)
async def test_header_and_envelope_injection_is_refused(
    smtp: SmtpServer, changes: dict[str, str]
) -> None:
    """Fails when `compose` puts an unchecked address or text into the message."""
    fields = {name: getattr(MAIL, name) for name in MAIL.__struct_fields__}
    await smtp_mail(smtp.url).send(Mail(**(fields | changes)))
    assert smtp.attempts == []


async def test_characters_of_every_language_arrive(smtp: SmtpServer) -> None:
    """Fails without EmailMessage's encoding of headers and text."""
    await smtp_mail(smtp.url).send(
        Mail("mail_2", "usr_1", "jürgen@people.test", "“Zaun” → 漆", "漆\n")
    )
    [letter] = smtp.mails
    assert (letter.to, letter.subject, letter.text.strip()) == (
        "jürgen@people.test",
        "“Zaun” → 漆",
        "漆",
    )


async def test_user_and_password_are_decoded_and_sent_to_the_server() -> None:
    """Fails without `unquote` in `route`."""
    smtp = SmtpServer()
    await smtp.start(authenticator=smtp.authenticate, auth_require_tls=False, auth_required=True)
    await smtp_mail(smtp.url.replace("smtp://", "smtp://job%40sphere:p%3Ass%2F@")).send(MAIL)
    assert smtp.login == ("job@sphere", "p:ss/")
    assert len(smtp.mails) == 1
    await smtp.stop()


def test_only_the_local_host_is_used_without_encryption() -> None:
    """Fails without `local` or `secure` in `route`."""
    ways = {
        url: tuple(route(url)[name] for name in ("port", "use_tls", "start_tls"))
        for url in (
            "smtp://mail.example.com",
            "smtp://u:p@mail.example.com:2525",
            "smtps://u:p@mail.test",
            "smtp://localhost",
            "smtp://[::1]:1025",
            "smtps://127.0.0.1",
        )
    }
    assert list(ways.values()) == [
        (587, False, True),
        (2525, False, True),
        (465, True, False),
        (25, False, False),
        (1025, False, False),
        (465, True, False),
    ]


async def test_without_an_smtp_url_the_log_names_the_recipient() -> None:
    """Fails when `mailer` needs SMTP_URL, or when the log shows the address."""
    settings = load(GOOD)
    assert (settings.smtp_url, settings.mail_from) == (None, "no-reply@localhost")
    sender = mailer(settings, SystemClock())
    assert isinstance(sender, LoggedMail)
    with capture_logs() as logs:
        await sender.send(MAIL)
    [line] = logs
    assert (line["user"], line["subject"]) == ("usr_1", "You have an offer")
    assert "carla" not in str(line)


def test_the_configuration_hides_the_password_and_explains_refusals() -> None:
    """Fails without `smtp_url` in HIDDEN, or without `_smtp_url` and `_sender`."""
    good = GOOD | {"SMTP_URL": "smtp://user:hush@mail.test:587", "MAIL_FROM": SENDER}
    settings = load(good)
    assert isinstance(mailer(settings, SystemClock()), SmtpMail)
    assert (settings.mail_from, "hush" in repr(settings)) == (SENDER, False)
    for bad in (
        "http://hush",
        "smtp://",
        "smtp://user:hush@mail.test:99999",
        "smtp://:hush@mail.test",
        "smtp://user:hu#sh@mail.test",
        "smtp://mail.test/hush",
        "smtp://[hush",
        "smtp://hush@a.test",
    ):
        with pytest.raises(ConfigError) as refused:
            load(good | {"SMTP_URL": bad})
        assert "hush" not in str(refused.value) and "SMTP_URL must" in str(refused.value)
    for bad in ("nobody", "a b <c d@e>", "a@b\nBcc: c@d"):
        with pytest.raises(ConfigError):
            load(good | {"MAIL_FROM": bad})
