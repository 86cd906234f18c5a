"""Lists for administrators: users, payments, wallets and the journal.

Each list has a view that names the fields shown. They include ids for Stripe's dashboard, but no
password hashes, client secrets or payment methods.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.deals.payment import Payment, PaymentStatus
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.documents import lowest_id
from domain.kernel.email_address import email_to_find
from domain.kernel.record import ANY_TIME, Page, Record
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import Balance
from domain.ledger.transaction import Posting, Transaction
from domain.operations.command import Command, CurrencyCode, Cursor, Id, Moment, PageSize, Style
from domain.operations.operation import operation

V = TypeVar("V", bound=msgspec.Struct)
OLDEST_ID = (("_id", 1),)

Fact = Annotated[str, Limits(min_length=1, max_length=200)]
Kind = Annotated[str, Limits(min_length=1, max_length=40)]


def view_of(view: type[V], record: Record, **renamed: Any) -> V:
    """The view of a record: its fields of the same names, and `renamed` ones."""
    own = {name: getattr(record, name) for name in view.__struct_fields__ if name not in renamed}
    return view(**own, **renamed)


# -- users -----------------------------------------------------------------------------------


class UserState(StrEnum):
    FROZEN = "frozen"
    BANNED = "banned"
    DELETED = "deleted"


class SeenUser(msgspec.Struct, frozen=True):
    """A user with the fields that administrators see."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    email: str
    name: str
    role: Role
    transfers_active: bool
    payouts_enabled: bool
    payout_currencies: tuple[str, ...]
    stripe_account_id: str | None
    stripe_customer_id: str | None
    frozen_at: datetime | None
    frozen_reason: str
    banned_at: datetime | None
    ban_reason: str
    deleted_at: datetime | None


class Users(Command, frozen=True):
    """`q` is a complete e-mail address or an id."""

    PERSONAL = frozenset({"q"})

    q: Annotated[str, Limits(min_length=1, max_length=254)] | None = None
    role: Role | None = None
    state: UserState | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


def seen_user(user: User) -> SeenUser:
    return view_of(
        SeenUser, user, stripe_account_id=user.connect_id, stripe_customer_id=user.customer_id
    )


@operation("admin.users", roles=ADMINS, style=Style.READ)
async def users(cmd: Users, actor: Actor, uow: UnitOfWork) -> Page:
    """List users, newest first."""
    where: dict[str, Any] = {}
    if cmd.q:
        where |= {"email": email_to_find(cmd.q)} if "@" in cmd.q else {"_id": cmd.q}
    if cmd.role:
        where["role"] = cmd.role
    if cmd.state:
        where[f"{cmd.state}_at"] = ANY_TIME
    page = await uow.page(User, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([seen_user(user) for user in page.items], page.next_cursor)


# -- payments --------------------------------------------------------------------------------


class SeenPayment(msgspec.Struct, frozen=True):
    """A payment with its ids at Stripe, without client secret and payment method."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    offer_id: str
    job_id: str
    customer_id: str
    contractor_id: str
    amount: int
    currency: str
    status: PaymentStatus
    captured_amount: int
    refunded_amount: int
    disputed_amount: int
    capture_before: datetime | None
    available_on: datetime | None
    failure: str | None
    intent_id: str | None
    charge_id: str | None


class Payments(Command, frozen=True):
    """`since` is a time with its time zone."""

    status: PaymentStatus | None = None
    customer_id: Id | None = None
    contractor_id: Id | None = None
    since: Moment | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.payments", roles=ADMINS, style=Style.READ)
async def payments(cmd: Payments, actor: Actor, uow: UnitOfWork) -> Page:
    """List all payments, newest first."""
    where = _filters(status=cmd.status, customer_id=cmd.customer_id)
    if cmd.contractor_id:  # all values of `visible`, which precedes `_id` in the index
        where |= {"contractor_id": cmd.contractor_id, "visible": (False, True)}
    if cmd.since:
        earliest = lowest_id(Payment.PREFIX, cmd.since)
        where |= {"created_at": {"$gte": cmd.since}, "_id": {"$gte": earliest}}
    page = await uow.page(Payment, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([view_of(SeenPayment, payment) for payment in page.items], page.next_cursor)


# -- money -----------------------------------------------------------------------------------


class AccountKind(StrEnum):
    """The kinds of accounts that have a balance row."""

    WALLET = "wallet"
    DEBT = "debt"
    ESCROW = "escrow"


class SeenBalance(msgspec.Struct, frozen=True):
    """One account in one currency; `owner_id` is a user, or an offer for money in escrow."""

    id: str
    version: int
    updated_at: datetime
    account: str
    kind: AccountKind
    owner_id: str
    currency: str
    amount: int


class Wallets(Command, frozen=True):
    """With `nonzero`, the default, only accounts whose balance is not zero."""

    user_id: Id | None = None
    currency: CurrencyCode | None = None
    kind: AccountKind | None = None
    nonzero: bool = True
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.wallets", roles=ADMINS, style=Style.READ)
async def wallets(cmd: Wallets, actor: Actor, uow: UnitOfWork) -> Page:
    """List wallets, debts and escrow accounts, sorted by account name."""
    where = _filters(owner=cmd.user_id, currency=cmd.currency)
    if cmd.kind or not cmd.user_id:  # accounts with an owner are all of these kinds
        where["kind"] = cmd.kind or tuple(AccountKind)
    if cmd.nonzero:
        where["balance"] = {"$ne": 0}
    page = await uow.page(Balance, where, sort=OLDEST_ID, cursor=cmd.cursor, limit=cmd.limit)
    rows = [view_of(SeenBalance, b, owner_id=b.owner, amount=b.balance) for b in page.items]
    return Page(rows, page.next_cursor)


class SeenTransaction(msgspec.Struct, frozen=True):
    """A transaction with all users who see it."""

    id: str
    created_at: datetime
    fact: str
    kind: str
    currency: str
    postings: tuple[Posting, ...]
    users: tuple[str, ...]
    offer_id: str | None
    withdrawal_id: str | None


class Transactions(Command, frozen=True):
    """`fact` is the unique name of one transaction, such as `capture:pay_...`."""

    user_id: Id | None = None
    offer_id: Id | None = None
    kind: Kind | None = None
    fact: Fact | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.transactions", roles=ADMINS, style=Style.READ)
async def transactions(cmd: Transactions, actor: Actor, uow: UnitOfWork) -> Page:
    """List the journal's transactions, newest first."""
    where = _filters(users=cmd.user_id, offer_id=cmd.offer_id, kind=cmd.kind, fact=cmd.fact)
    page = await uow.page(Transaction, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([view_of(SeenTransaction, row) for row in page.items], page.next_cursor)


def _filters(**filters: Any) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}
