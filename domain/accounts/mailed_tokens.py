"""Mailed tokens and codes: what was asked for, for how long it is valid, and that it works once.

Decision: neither tokens nor codes are stored, not even their digests. Both are derived from the id
of a row under a key of the server (`ports/mailed_secrets.py`). The task that sends the mail derives
them, so they are in no outbox row, log or audit row, and a mail that is sent twice has the same
link. A digest of six digits would be as good as the digits.

Decision: an address has an allowance of mails for each purpose, so what a stranger may ask for with
a foreign address (registrations, changes of address) takes nothing from what its owner asks for.
A stranger may ask for a reset, too, and use the allowance up. So a mail is withheld only if the
address has a link that does the same and has more than half of its life left, and a request voids
no link. A hard limit for each day was rejected, because anybody could use it up every day.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from domain.kernel.bounds import Bounded
from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import expected
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork, new_id
from domain.kernel.text_types import opaque
from domain.operations.task import TryAgain
from domain.ports.mail import Mail, MailUnsent
from domain.ports.ports import Ports

Token = Annotated[str, opaque(200, least=1)]
Code = Annotated[str, expected("A code of six digits.", pattern=r"^[0-9]{6}$", max_length=6)]

DAY = timedelta(days=1)
# How many mails an address gets for one purpose, and in which time. Beyond that it gets one in half
# of a link's life: 12 a day with links that are valid for a day, and 106 with one for a password.
MAILS = 3
ALLOWANCES = ((MAILS, timedelta(minutes=30)), (10, DAY))
CODES = 10  # in a day; later mails have a link only
ATTEMPTS = 5  # of a code
SENT_WITHIN = timedelta(hours=1)  # a mail that could not be sent for so long is dropped
ROW_KEPT = timedelta(days=1)  # after its end, so that a repeated task does not revive it


class Purpose(StrEnum):
    """What a token is good for."""

    RESET = "reset"
    VERIFY = "verify"
    REGISTER = "register"
    EMAIL_CHANGE = "email_change"
    EMAIL_AGREE = "email_agree"
    EMAIL_UNDO = "email_undo"


LIFE = {
    Purpose.RESET: timedelta(minutes=30),
    Purpose.VERIFY: timedelta(hours=24),
    Purpose.REGISTER: timedelta(hours=24),
    Purpose.EMAIL_CHANGE: timedelta(hours=24),
    Purpose.EMAIL_AGREE: timedelta(hours=24),
    Purpose.EMAIL_UNDO: timedelta(days=7),
}


class MailedToken(Record, frozen=True):
    """A token for one `purpose`, mailed to `email`.

    `account` is the id of its user, or a digest of the address of a person who has no account yet.
    `attempts` counts how often its code was tried; with ATTEMPTS the code is void.

    Two tokens confirm a change of address: `awaits` of the one for the new address says which of
    them were not opened yet, and `change_id` of the one for the old address is the id of the other.
    """

    COLLECTION = "mailed_tokens"
    PREFIX = "mtk"
    INDEXES = (
        Index((("account", 1), ("purpose", 1), ("_id", -1))),
        Index((("account", 1), ("purpose", 1), ("number", -1)), unique=True),
        Index((("email_digest", 1), ("purpose", 1), ("_id", -1))),
        Index((("removed_at", 1),), ttl_seconds=0),
    )
    ENCRYPTED = frozenset({"email"})
    LOOKUP = frozenset({"email"})
    LOGGED = False

    account: str
    purpose: Purpose
    email: str
    expires_at: datetime
    removed_at: datetime
    number: int
    used_at: datetime | None = None
    attempts: int = 0
    awaits: Annotated[tuple[Purpose, ...], Bounded(2)] = ()
    change_id: str = ""


async def add_token(
    uow: UnitOfWork, id: str, account: str, purpose: Purpose, email: str, **fields: Any
) -> MailedToken:
    """Store a new token. Its number is unique, so that of two transactions at the same time one is
    run again, and counts the token of the other."""
    alike = {"account": account, "purpose": purpose}
    last = await uow.find(MailedToken, alike, (("number", -1),))
    expires_at = uow.now + LIFE[purpose]
    token = uow.new(
        MailedToken,
        id=id,
        account=account,
        purpose=purpose,
        email=email,
        expires_at=expires_at,
        removed_at=expires_at + ROW_KEPT,
        number=last.number + 1 if last else 1,
        **fields,
    )
    await uow.add(token)
    return token


async def issue(
    ports: Ports, id: str, account: str, purpose: Purpose, email: str
) -> MailedToken | None:
    """The row of a token that is about to be mailed; None if it must not be, see ALLOWANCES.

    It begins to be valid now. A task that runs again finds its row, and does not send a token that
    has been used since.
    """

    async def work(uow: UnitOfWork) -> MailedToken | None:
        if await uow.find(MailedToken, {"_id": id}):
            until = uow.now + LIFE[purpose]
            return await uow.change(
                MailedToken,
                id,
                only_if={"used_at": None},
                expires_at=until,
                removed_at=until + ROW_KEPT,
            )
        if await _is_used_up(uow, account, purpose, email):
            return None
        return await add_token(uow, id, account, purpose, email)

    return await ports.store.transact(work)


async def may_have_code(ports: Ports, token: MailedToken) -> bool:
    """Whether a mail may show a code, too. Many codes in a day would add up to many guesses."""
    return await count_recent(ports.store.single(), token.email, token.purpose) <= CODES


async def _is_used_up(uow: UnitOfWork, account: str, purpose: Purpose, email: str) -> bool:
    """Whether the address has had its mails, and the account a link with enough life left."""
    fresh = {
        "account": account,
        "purpose": purpose,
        "email": email,
        "used_at": None,
        "expires_at": {"$gt": uow.now + LIFE[purpose] / 2},
    }
    if await uow.find(MailedToken, fresh) is None:
        return False
    counts = [(await count_recent(uow, email, purpose, time), most) for most, time in ALLOWANCES]
    return any(count >= most for count, most in counts)


async def count_recent(
    uow: UnitOfWork,
    email: str,
    purpose: Purpose,
    time: timedelta = DAY,
    before: MailedToken | None = None,
) -> int:
    """How many tokens the address got for this purpose lately (`before` another); up to 100."""
    recent = {"email": email, "purpose": purpose, "created_at": {"$gt": uow.now - time}}
    if before:
        recent["_id"] = {"$lt": before.id}
    return await uow.count(MailedToken, recent, limit=100)


async def find_token(ports: Ports, text: str, *purposes: Purpose) -> MailedToken | None:
    """The row of a token that is valid for one of the purposes."""
    id = ports.mailed_secrets.read(text)
    return await _find_valid(ports, id, purposes) if id else None


async def get_token(ports: Ports, text: str, *purposes: Purpose) -> MailedToken:
    """Raises Invalid."""
    token = await find_token(ports, text, *purposes)
    if token is None:
        raise invalid_link()
    return token


async def _find_valid(ports: Ports, id: str, purposes: tuple[Purpose, ...]) -> MailedToken | None:
    uow = ports.store.single()
    valid = {"_id": id, "used_at": None, "expires_at": {"$gt": uow.now}}
    token = await uow.find(MailedToken, valid)
    return token if token and token.purpose in purposes else None


async def find_token_by_code(
    ports: Ports, account: str, purpose: Purpose, code: str
) -> MailedToken | None:
    """The row of the account's token with this code. Counts the attempt before it compares."""
    uow = ports.store.single()
    valid = {"account": account, "purpose": purpose, "used_at": None}
    found = None
    for token in await uow.all(MailedToken, valid, (("_id", -1),), MAILS):
        if token.expires_at <= uow.now:
            continue
        only_if = {"attempts": {"$lt": ATTEMPTS}}
        counted = await uow.change(MailedToken, token.id, only_if=only_if, inc={"attempts": 1})
        if counted and ports.mailed_secrets.code_fits(token.id, code):
            found = token
    return found


async def use_up(uow: UnitOfWork, token: MailedToken) -> None:
    """Within the transaction of what the token allows. Raises Invalid at its second use."""
    if not await uow.change(MailedToken, token.id, only_if={"used_at": None}, used_at=uow.now):
        raise invalid_link()


async def void(uow: UnitOfWork, account: str, *purposes: Purpose) -> None:
    """End the account's tokens for these purposes."""
    where = {"account": account, "purpose": purposes, "used_at": None}
    await uow.change_all(MailedToken, where, used_at=uow.now)


async def void_with_password(uow: UnitOfWork, account: str) -> None:
    """End the links that a person who knew the old password may have asked for.

    A link to confirm another address would give them the account back. The link that undoes a
    change of the address stays, because it is the owner's.
    """
    await void(uow, account, Purpose.RESET, Purpose.EMAIL_CHANGE, Purpose.EMAIL_AGREE)


def invalid_link() -> Invalid:
    return Invalid(
        "this link is not valid any more: ask for a new one.", field="token", rule=Rule.VALUE
    )


def invalid_code() -> Invalid:
    return Invalid("this code is wrong or not valid any more.", field="code", rule=Rule.VALUE)


async def send(ports: Ports, mail: Mail, requested_at: datetime) -> None:
    """Send a mail with a token, or try again for an hour. Raises TryAgain."""
    try:
        await ports.mail.send(mail)
    except MailUnsent as unsent:
        if ports.clock.now() - requested_at < SENT_WITHIN:
            raise TryAgain(str(unsent)) from unsent


def new_token_id() -> str:
    return new_id(MailedToken.PREFIX)
