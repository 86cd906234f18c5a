"""Lists for administrators: users, payments, wallets, withdrawals and the journal.

Each list has a view that names the fields shown. They include ids for Stripe's dashboard, but no
password hashes, client secrets or payment methods.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta as Limits

from domain.accounts.search_keys import conditions
from domain.accounts.user import User
from domain.deals.payment import MAX_SIGNALS, FraudSignal, Payment, PaymentStatus
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.bounds import Bounded
from domain.kernel.documents import created_between, given
from domain.kernel.email_address import email_to_find
from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import (
    ContractorId,
    Currency,
    CustomerId,
    JobId,
    JobTitle,
    MinorUnits,
    OfferId,
    about,
)
from domain.kernel.money import MAX_AMOUNT
from domain.kernel.record import ANY_TIME, Page
from domain.kernel.store import NEWEST, UnitOfWork
from domain.kernel.text_types import line, opaque
from domain.ledger.balances import Balance
from domain.ledger.transaction import Posting, Transaction
from domain.operations.command import Command, CurrencyCode, Cursor, Id, Moment, PageSize, Style
from domain.operations.operation import operation
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

V = TypeVar("V", bound=msgspec.Struct)
OLDEST_ID = (("_id", 1),)
LARGEST = (("amount", -1), ("_id", -1))
HOLD_EXPIRY = (("capture_before", 1), ("_id", 1))
# The field of an id, by its beginning.
USER_IDS = {User.PREFIX: "_id", "acct": "connect_id", "cus": "customer_id"}
PAYMENT_IDS = {"pi": "intent_id", "ch": "charge_id", "py": "charge_id"}

Fact = Annotated[str, opaque(200, least=1)]
Kind = Annotated[str, opaque(40, least=1)]


def view_of(view: type[V], record: msgspec.Struct, **renamed: Any) -> V:
    """The view of a record: its fields of the same names, and `renamed` ones."""
    own = {name: getattr(record, name) for name in view.__struct_fields__ if name not in renamed}
    return view(**own, **renamed)


# -- users -----------------------------------------------------------------------------------


class UserState(StrEnum):
    """The states that users are listed by."""

    FROZEN = "frozen"
    BANNED = "banned"
    DELETED = "deleted"


class SeenUser(msgspec.Struct, frozen=True):
    """A user with the fields that administrators see."""

    id: Annotated[str, about("The id of the user.")]
    version: Annotated[int, about("Counts the changes.")]
    created_at: Annotated[datetime, about("When the account was opened.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    email: Annotated[str, about("The e-mail address.")]
    name: Annotated[str, about("The name that others see.")]
    role: Annotated[Role, about("What the user is.")]
    transfers_active: Annotated[bool, about("Whether Stripe takes money for this contractor.")]
    payouts_enabled: Annotated[
        bool, about("Whether Stripe pays out to the contractor's bank account.")
    ]
    payout_currencies: Annotated[
        tuple[str, ...], about("The currencies of the contractor's bank accounts, ISO 4217.")
    ]
    stripe_account_id: Annotated[
        str | None, about("The contractor's connected account at Stripe; null if there is none.")
    ]
    stripe_customer_id: Annotated[
        str | None, about("The customer at Stripe; null if there is none.")
    ]
    frozen_at: Annotated[datetime | None, about("When the wallet was frozen; null if it is not.")]
    frozen_reason: Annotated[str, about("Why it was frozen.")]
    banned_at: Annotated[datetime | None, about("When the user was banned; null if they are not.")]
    ban_reason: Annotated[str, about("Why they were banned.")]
    deleted_at: Annotated[
        datetime | None, about("When the account was deleted; null if it was not.")
    ]


class Users(Command, frozen=True):
    """`q` is an id of the user here or at Stripe, an e-mail address, or beginnings of the words of
    a name and an address."""

    PERSONAL = frozenset({"q"})

    q: Annotated[
        Annotated[str, line(254)] | None,
        about(
            "An id, also a connected account's or a customer's at Stripe; or an e-mail address; or "
            "the first letters of words of the name and the address, three or more of each word."
        ),
    ] = None
    role: Annotated[Role | None, about("Only users with this role.")] = None
    state: Annotated[UserState | None, about("Only users in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


def seen_user(user: User) -> SeenUser:
    return view_of(
        SeenUser, user, stripe_account_id=user.connect_id, stripe_customer_id=user.customer_id
    )


@operation("admin.users", roles=ADMINS, style=Style.READ)
async def users(cmd: Users, actor: Actor, uow: UnitOfWork) -> Page[SeenUser]:
    """List users, newest first."""
    where = await users_found_by(uow, cmd.q) if cmd.q else {}
    if where is None:
        return Page([])
    if cmd.role:
        where["role"] = cmd.role
    if cmd.state:
        where[f"{cmd.state}_at"] = ANY_TIME
    page = await uow.page(User, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([seen_user(user) for user in page.items], page.next_cursor)


async def users_found_by(uow: UnitOfWork, query: str) -> dict[str, Any] | None:
    """The filter for users found by a query; None if there can be none."""
    query = query.strip()
    kind, _, rest = query.partition("_")
    if rest and kind in USER_IDS and "@" not in query:
        where: dict[str, Any] = {USER_IDS[kind]: query}
        if kind == "acct" and not await uow.find(User, where):
            where = {"closed_accounts": query}
        return where
    if "@" in query and await uow.find(User, whole := {"email": email_to_find(query)}):
        return whole
    return conditions(query)


# -- payments --------------------------------------------------------------------------------


class SeenPayment(msgspec.Struct, frozen=True):
    """A payment with its ids at Stripe, without client secret and payment method."""

    id: Annotated[str, about("The id of the payment.")]
    version: Annotated[int, about("Counts the changes.")]
    created_at: Annotated[datetime, about("When the offer was made.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    offer_id: OfferId
    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    contractor_id: ContractorId
    amount: MinorUnits
    currency: Currency
    status: Annotated[PaymentStatus, about("Its state.")]
    captured_amount: Annotated[int, about("What was taken from the customer, in minor units.")]
    refunded_amount: Annotated[int, about("What went back to the customer, in minor units.")]
    disputed_amount: Annotated[int, about("What the customer's bank disputes, in minor units.")]
    capture_before: Annotated[
        datetime | None, about("When the hold expires; null if nothing is held.")
    ]
    available_on: Annotated[
        datetime | None,
        about("When Stripe makes the money available; null if it is not known yet."),
    ]
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as generic_decline; null if it did not."),
    ]
    intent_id: Annotated[str | None, about("The PaymentIntent at Stripe; null until there is one.")]
    charge_id: Annotated[str | None, about("The charge at Stripe; null until there is one.")]
    decline_code: Annotated[
        str | None,
        about("The bank's reason, also where `failure` says less; null if it was not declined."),
    ] = None
    fraud_signals: Annotated[
        tuple[FraudSignal, ...], Bounded(MAX_SIGNALS), about("Why it may be fraud, oldest first.")
    ] = ()
    release_held_at: Annotated[
        datetime | None,
        about("Since when a fraud signal holds its release; null if none does."),
    ] = None


class Payments(Command, frozen=True):
    """`since`, `until` and `hold_until` are times with their time zone.

    With `hold_until` these are the holds that expire before it, the first to expire first; with
    `min_amount` the largest payments first.
    """

    PERSONAL = frozenset({"q"})

    status: Annotated[PaymentStatus | None, about("Only payments in this state.")] = None
    customer_id: Annotated[Id | None, about("Only payments of this customer.")] = None
    contractor_id: Annotated[Id | None, about("Only payments to this contractor.")] = None
    offer_id: Annotated[Id | None, about("Only the payment of this offer.")] = None
    job_id: Annotated[Id | None, about("Only payments for this job.")] = None
    since: Annotated[Moment | None, about("Only offers made from this time on.")] = None
    until: Annotated[Moment | None, about("Only offers made before this time.")] = None
    q: Annotated[
        Id | None,
        about("Only the payment with this id, or with this one at Stripe: pi_..., ch_..."),
    ] = None
    currency: Annotated[CurrencyCode | None, about("Only payments in this currency.")] = None
    min_amount: Annotated[
        Annotated[int, Limits(ge=1, le=MAX_AMOUNT)] | None,
        about("Only payments of this amount or more, in minor units of `currency`."),
    ] = None
    failure: Annotated[
        Kind | None, about("Only payments that failed for this reason, such as generic_decline.")
    ] = None
    hold_until: Annotated[
        Moment | None, about("Only money that is held, and only until before this time.")
    ] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.payments", roles=ADMINS, style=Style.READ)
async def payments(cmd: Payments, actor: Actor, uow: UnitOfWork) -> Page[SeenPayment]:
    """List all payments, newest first. Raises Invalid for `min_amount` without `currency`."""
    if cmd.min_amount and not cmd.currency:
        raise Invalid("give the currency of the amount.", field="currency", rule=Rule.REQUIRED)
    where, sort = _payments_where(cmd), LARGEST if cmd.min_amount else NEWEST
    if cmd.hold_until:
        where |= {"capture_before": {"$lt": cmd.hold_until}}
        where["status"] = PaymentStatus.AUTHORIZED
        sort = HOLD_EXPIRY
    page = await uow.page(Payment, where, sort=sort, cursor=cmd.cursor, limit=cmd.limit)
    return Page([view_of(SeenPayment, payment) for payment in page.items], page.next_cursor)


def _payments_where(cmd: Payments) -> dict[str, Any]:
    where = given(
        status=cmd.status,
        customer_id=cmd.customer_id,
        offer_id=cmd.offer_id,
        job_id=cmd.job_id,
        currency=cmd.currency,
        failure=cmd.failure,
    )
    if cmd.contractor_id:  # all values of `visible`, which precedes `_id` in the index
        where |= {"contractor_id": cmd.contractor_id, "visible": (False, True)}
    if cmd.min_amount:
        where["amount"] = {"$gte": cmd.min_amount}
    where |= created_between(Payment.PREFIX, cmd.since, cmd.until)
    if cmd.q:
        field = PAYMENT_IDS.get(cmd.q.partition("_")[0], "_id")
        where = {"$and": [where, {field: cmd.q}]} if field in where else where | {field: cmd.q}
    return where


# -- money -----------------------------------------------------------------------------------


class AccountKind(StrEnum):
    """The kinds of accounts that have a balance row."""

    WALLET = "wallet"
    DEBT = "debt"
    ESCROW = "escrow"


class SeenBalance(msgspec.Struct, frozen=True):
    """One account in one currency; `owner_id` is a user, or an offer for money in escrow."""

    id: Annotated[str, about("Identifies the balance.")]
    version: Annotated[int, about("Counts the changes.")]
    updated_at: Annotated[datetime, about("When it last changed.")]
    account: Annotated[str, about("The name of the account in the journal.")]
    kind: Annotated[AccountKind, about("What kind of account it is.")]
    owner_id: Annotated[str, about("The id of the user, or of the offer for money in escrow.")]
    currency: Currency
    amount: MinorUnits


class Wallets(Command, frozen=True):
    """With `nonzero`, the default, only accounts whose balance is not zero."""

    user_id: Annotated[Id | None, about("Only accounts of this user.")] = None
    currency: Annotated[CurrencyCode | None, about("Only accounts in this currency.")] = None
    kind: Annotated[AccountKind | None, about("Only accounts of this kind.")] = None
    nonzero: Annotated[bool, about("Whether to leave out balances of zero.")] = True
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.wallets", roles=ADMINS, style=Style.READ)
async def wallets(cmd: Wallets, actor: Actor, uow: UnitOfWork) -> Page[SeenBalance]:
    """List wallets, debts and escrow accounts, sorted by account name."""
    where = given(owner=cmd.user_id, currency=cmd.currency)
    if cmd.kind or not cmd.user_id:  # accounts with an owner are all of these kinds
        where["kind"] = cmd.kind or tuple(AccountKind)
    if cmd.nonzero:
        where["balance"] = {"$ne": 0}
    page = await uow.page(Balance, where, sort=OLDEST_ID, cursor=cmd.cursor, limit=cmd.limit)
    rows = [view_of(SeenBalance, b, owner_id=b.owner, amount=b.balance) for b in page.items]
    return Page(rows, page.next_cursor)


class SeenWithdrawal(msgspec.Struct, frozen=True):
    """A withdrawal with its ids at Stripe."""

    id: Annotated[str, about("The id of the withdrawal.")]
    version: Annotated[int, about("Counts the changes.")]
    created_at: Annotated[datetime, about("When it was asked for.")]
    updated_at: Annotated[datetime, about("When it was last changed.")]
    user_id: Annotated[str, about("The id of the contractor.")]
    amount: MinorUnits
    currency: Currency
    status: Annotated[WithdrawalStatus, about("Its state.")]
    failure: Annotated[
        str | None,
        about("Stripe's code of why it failed, such as account_closed; null if it did not."),
    ]
    payout_id: Annotated[str | None, about("The payout at Stripe; null until there is one.")]
    account_id: Annotated[str, about("The contractor's connected account at Stripe.")]
    unasked: Annotated[
        bool,
        about("Whether Stripe paid it out by itself, and nobody had asked for it here."),
    ] = False
    account_closed: Annotated[
        bool, about("Whether that account is closed, so that Stripe cannot be asked about it.")
    ] = False


class Withdrawals(Command, frozen=True):
    withdrawal_id: Annotated[Id | None, about("Only the withdrawal with this id.")] = None
    user_id: Annotated[Id | None, about("Only withdrawals of this contractor.")] = None
    status: Annotated[WithdrawalStatus | None, about("Only withdrawals in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.withdrawals", roles=ADMINS, style=Style.READ)
async def withdrawals(cmd: Withdrawals, actor: Actor, uow: UnitOfWork) -> Page[SeenWithdrawal]:
    """List all withdrawals, newest first."""
    where = given(_id=cmd.withdrawal_id, user_id=cmd.user_id, status=cmd.status)
    page = await uow.page(Withdrawal, where, cursor=cmd.cursor, limit=cmd.limit)
    closed = await _closed_accounts(uow, page.items)
    rows = [
        view_of(SeenWithdrawal, row, account_closed=row.account_id in closed) for row in page.items
    ]
    return Page(rows, page.next_cursor)


async def _closed_accounts(uow: UnitOfWork, withdrawals: list[Withdrawal]) -> set[str]:
    ids = tuple({row.user_id for row in withdrawals})
    users = await uow.all(User, {"_id": ids}, limit=len(ids)) if ids else []
    return {account for user in users for account in user.closed_accounts}


class SeenTransaction(msgspec.Struct, frozen=True):
    """A transaction with all users who see it."""

    id: Annotated[str, about("The id of the transaction.")]
    created_at: Annotated[datetime, about("When it was booked.")]
    fact: Annotated[str, about("Its unique name, such as capture:pay_...")]
    kind: Annotated[str, about("What kind of movement it is.")]
    currency: Currency
    postings: Annotated[tuple[Posting, ...], about("What moved from where to where.")]
    users: Annotated[tuple[str, ...], about("The ids of all users who see it.")]
    offer_id: Annotated[str | None, about("The id of the offer; null if it is about none.")]
    withdrawal_id: Annotated[
        str | None, about("The id of the withdrawal; null if it is about none.")
    ]


class Transactions(Command, frozen=True):
    """`fact` is the unique name of one transaction, such as `capture:pay_...`. `since` and `until`
    are times with their time zone."""

    transaction_id: Annotated[Id | None, about("Only the transaction with this id.")] = None
    user_id: Annotated[Id | None, about("Only transactions that this user sees.")] = None
    offer_id: Annotated[Id | None, about("Only transactions about this offer.")] = None
    kind: Annotated[Kind | None, about("Only movements of this kind.")] = None
    withdrawal_id: Annotated[Id | None, about("Only transactions about this withdrawal.")] = None
    account: Annotated[
        Fact | None, about("Only movements of this account, such as platform or escrow:ofr_...")
    ] = None
    since: Annotated[Moment | None, about("Only what was booked from this time on.")] = None
    until: Annotated[Moment | None, about("Only what was booked before this time.")] = None
    fact: Annotated[
        Fact | None, about("The transaction with this unique name, such as capture:pay_...")
    ] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.transactions", roles=ADMINS, style=Style.READ)
async def transactions(cmd: Transactions, actor: Actor, uow: UnitOfWork) -> Page[SeenTransaction]:
    """List the journal's transactions, newest first."""
    where = created_between(Transaction.PREFIX, cmd.since, cmd.until) | given(
        _id=cmd.transaction_id,
        users=cmd.user_id,
        offer_id=cmd.offer_id,
        withdrawal_id=cmd.withdrawal_id,
        kind=cmd.kind,
        fact=cmd.fact,
        accounts=cmd.account,
    )
    page = await uow.page(Transaction, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([view_of(SeenTransaction, row) for row in page.items], page.next_cursor)
