"""The user record, creating it, and marking users as bound to money."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from domain.accounts.search_keys import MAX_KEYS, search_keys
from domain.kernel.actor import Role
from domain.kernel.bounds import Bounded
from domain.kernel.email_address import normalized_email
from domain.kernel.errors import EmailTaken, NotFound, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.outbox import Event
from domain.kernel.record import ANY_TIME, Index, Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.kernel.text_types import line
from domain.ports.ports import Ports

NO_PASSWORD = "!"  # no password has this hash
Name = Annotated[str, line(80)]
Skill = Annotated[str, line(40)]


class NoticeGroup(StrEnum):
    """Notices that a user may switch off. Those about security are in none."""

    OFFERS = "offers"
    WORK = "work"
    PAYMENTS = "payments"
    DISPUTES = "disputes"
    WALLET = "wallet"


class PayoutSetup(StrEnum):
    """`started`: Stripe has questions. `waiting`: it checks the answers. `done`: it pays out.
    `rejected`: it never will."""

    NONE = "none"
    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"
    REJECTED = "rejected"


MAX_REQUIREMENTS = 100  # of Stripe, for one account
MAX_CLOSED_ACCOUNTS = 50  # at Stripe, of one user


class User(Record, frozen=True):
    """A person in one role. The e-mail address is unique and stored in its normalized form.

    `verified_at` is when they proved their address. `engagements` counts the offers that they made
    and received; see `engage`. `totp_enabled` and `passkey_count` say which second factors they
    have. `bank` is a digest of their bank accounts at Stripe, `bank_changed_at` when it changed
    since the last withdrawal. `payout_attempts` and `customer_attempts` count what Stripe refused,
    `payout_agreement` is that of their account at Stripe (see `payouts/countries.py`). Sessions of
    a generation before `sessions_valid_from` ended, except `kept_session`; see `sessions.py`.
    Administrators find them by `search_keys`.
    """

    COLLECTION = "users"
    PREFIX = "usr"
    INDEXES = (
        Index((("email_digest", 1),), unique=True),
        Index((("search_keys_digest", 1), ("_id", -1))),
        Index((("connect_id", 1),), unique=True, where={"connect_id": {"$gt": ""}}),
        Index((("customer_id", 1),), where={"customer_id": {"$gt": ""}}),
        Index((("payouts_enabled", 1), ("updated_at", 1)), where={"connect_id": {"$gt": ""}}),
        Index((("closed_accounts", 1),), where={"closed_accounts": {"$gt": ""}}),
        Index((("role", 1), ("_id", -1))),
        Index((("frozen_at", 1), ("_id", -1)), where={"frozen_at": ANY_TIME}),
        Index((("banned_at", 1), ("_id", -1)), where={"banned_at": ANY_TIME}),
        Index((("deleted_at", 1), ("_id", -1)), where={"deleted_at": ANY_TIME}),
    )
    PRIVATE = frozenset(
        {
            "password_hash",
            "connect_id",
            "closed_accounts",
            "customer_id",
            "customer_refusal",
            "customer_attempts",
            "payout_attempts",
            "payout_agreement",
            "default_method",
            "frozen_reason",
            "banned_at",
            "ban_reason",
            "deleted_at",
            "engagements",
            "keeps_devices",
            "bank",
            "bank_changed_at",
            "sessions_valid_from",
            "kept_session",
            "search_keys",
        }
    )
    UNLOGGED = frozenset({"password_hash", "search_keys"})
    ENCRYPTED = frozenset({"email", "search_keys"})
    LOOKUP = frozenset({"email", "search_keys"})
    PERSONAL = frozenset({"email", "name", "headline", "bio"})

    email: Annotated[str, about("The e-mail address.")]
    name: Annotated[str, about("The name that others see.")]
    role: Annotated[Role, about("What the user is: a customer, a contractor or an administrator.")]
    password_hash: str
    headline: Annotated[str, about("One line about the user.")] = ""
    bio: Annotated[str, about("Some sentences about the user.")] = ""
    skills: Annotated[tuple[str, ...], Bounded(30), about("What a contractor is good at.")] = ()
    connect_id: str | None = None
    transfers_active: Annotated[bool, about("Whether Stripe takes money for this contractor.")] = (
        False
    )
    payouts_enabled: Annotated[
        bool, about("Whether Stripe pays out to the contractor's bank account.")
    ] = False
    payout_currencies: Annotated[
        tuple[str, ...],
        Bounded(200),
        about("The currencies of the contractor's bank accounts, ISO 4217."),
    ] = ()
    payout_requirements: Annotated[
        tuple[str, ...],
        Bounded(MAX_REQUIREMENTS),
        about("What Stripe still wants to know for payouts, by its codes."),
    ] = ()
    payout_past_due: Annotated[
        tuple[str, ...],
        Bounded(MAX_REQUIREMENTS),
        about("Those of `payout_requirements` that are overdue."),
    ] = ()
    payout_deadline: Annotated[
        datetime | None,
        about("Until when Stripe wants the others; null if it names no time."),
    ] = None
    payout_problem: Annotated[
        str | None,
        about("Stripe's code of why payouts are disabled; null if they are not, or not set up."),
    ] = None
    payout_setup: Annotated[PayoutSetup, about("How far payouts are set up.")] = PayoutSetup.NONE
    payout_refusal: Annotated[
        str | None,
        about("Why Stripe refused to set up payouts, in words; null if it did not."),
    ] = None
    payout_attempts: int = 0
    payout_agreement: str = ""
    payouts_changed_at: Annotated[
        datetime | None, about("When `payouts_enabled` last changed; null if never.")
    ] = None
    mail_notices: Annotated[bool, about("Whether the user gets mails about their money.")] = True
    muted_mail: Annotated[
        tuple[NoticeGroup, ...],
        Bounded(len(NoticeGroup)),
        about("The kinds of notices that are not mailed, although `mail_notices` is on."),
    ] = ()
    muted_feed: Annotated[
        tuple[NoticeGroup, ...],
        Bounded(len(NoticeGroup)),
        about("The kinds of notices that are neither listed nor pushed."),
    ] = ()
    show_presence: Annotated[bool, about("Whether others see when the user is online.")] = True
    show_receipts: Annotated[bool, about("Whether others see how far the user has read.")] = True
    frozen_at: Annotated[
        datetime | None, about("When the wallet was frozen; null if it is not.")
    ] = None
    frozen_reason: str = ""
    customer_id: str | None = None
    customer_refusal: str | None = None
    customer_attempts: int = 0
    default_method: str | None = None
    closed_accounts: Annotated[tuple[str, ...], Bounded(MAX_CLOSED_ACCOUNTS)] = ()
    banned_at: datetime | None = None
    ban_reason: str = ""
    deleted_at: datetime | None = None
    verified_at: Annotated[
        datetime | None, about("When the user proved the address; null if they have not.")
    ] = None
    engagements: int = 0
    keeps_devices: bool = False
    totp_enabled: Annotated[bool, about("Whether an authenticator app is set up.")] = False
    passkey_count: Annotated[int, about("How many passkeys the user has.")] = 0
    bank: str = ""
    bank_changed_at: datetime | None = None
    sessions_valid_from: int = 0
    kept_session: str = ""
    search_keys: Annotated[tuple[str, ...], Bounded(2 * MAX_KEYS)] = ()

    @property
    def is_gone(self) -> bool:
        """Whether they were banned or deleted, so that they cannot act on their money."""
        return self.banned_at is not None or self.deleted_at is not None

    @property
    def has_second_factor(self) -> bool:
        return self.totp_enabled or self.passkey_count > 0


UPDATED = Event(
    "/account",
    "account.updated",
    User,
    about="When the profile, the address, a second factor, or what Stripe takes and pays changes, "
    "to this user. `payouts_enabled` becomes true at the end of the onboarding.",
)


async def new_user(
    ports: Ports, *, email: str, password: str, name: str, role: Role, verified: bool = False
) -> User:
    """Raises ValueError if `email` is not an address."""
    uow, email = ports.store.single(), normalized_email(email)
    return uow.new(
        User,
        email=email,
        name=name,
        search_keys=search_keys(name, email),
        role=role,
        password_hash=await ports.passwords.hash(password),
        verified_at=uow.now if verified else None,
    )


async def create_user(ports: Ports, **fields: Any) -> User:
    """The fields of `new_user`. Raises EmailTaken."""
    user = await new_user(ports, **fields)
    try:
        await ports.store.single().add(user)
    except Duplicate as taken:
        raise EmailTaken from taken
    return user


async def verify_password(ports: Ports, user_id: str, password: str) -> User:
    """Raises WrongCredentials, NotFound."""
    user = await ports.store.single().find(User, {"_id": user_id})
    if user is None:
        raise NotFound
    if not await ports.passwords.verify(password, user.password_hash):
        raise WrongCredentials("The password is wrong.")
    return user


async def engage(uow: UnitOfWork, user_id: str) -> User:
    """Write the user's row in a transaction that binds them to money.

    The write conflicts with deleting the account, so one of the two sees the other. Raises
    NotFound for a deleted or banned account.
    """
    free = {"deleted_at": None, "banned_at": None}
    user = await uow.change(User, user_id, only_if=free, inc={"engagements": 1})
    if user is None:
        raise NotFound("This account has been closed.")
    return user
