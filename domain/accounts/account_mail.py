"""Texts of mails about the account itself. They contain nothing that a user wrote, because the
address may belong to another person."""

from domain.accounts.mailed_tokens import MailedToken, Purpose
from domain.ports.mail import Mail
from domain.ports.ports import Ports

IGNORE = "If it was not you, ignore this mail: nothing changes."
PAGES = {
    Purpose.RESET: "reset",
    Purpose.VERIFY: "verify",
    Purpose.REGISTER: "verify",
    Purpose.EMAIL_CHANGE: "confirm-email",
    Purpose.EMAIL_AGREE: "agree-email",
    Purpose.EMAIL_UNDO: "undo-email",
}


def account_mail(
    ports: Ports,
    token: MailedToken,
    subject: str,
    *paragraphs: str,
    user_id: str = "",
    id: str = "",
) -> Mail:
    text = "\n\n".join(("Hello,", *(part for part in paragraphs if part), "JobSphere"))
    return Mail(id or token.id, user_id, token.email, subject, f"{text}\n")


def link(ports: Ports, token: MailedToken) -> str:
    """The page that uses the token. Browsers send no part after `#` to a server."""
    page = PAGES[token.purpose]
    return f"{ports.public_url}/#/{page}/{ports.mailed_secrets.token(token.id)}"
