"""One user with everything that is known about them: the page behind a row of the list.

Of each kind of record it has the number and the newest ones; the lists of `admin` have the rest.
Devices are a list of their own, `admin.sessions`, because they are not in the database.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.user import User
from domain.admin.lists import SeenUser, seen_user
from domain.admin.record_lines import RecordLine, line_of
from domain.audit_trail.listing import AuditListing, newest_rows
from domain.chat.reports import Report
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.job import Job
from domain.kernel.actor import ADMINS, Actor, Role
from domain.kernel.errors import NotFound
from domain.kernel.fields import Currency, MinorUnits, about
from domain.kernel.record import Record
from domain.kernel.store import NEWEST, UnitOfWork
from domain.ledger.balances import WalletBalances, wallets_of
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.payments.card_attempts import attempts_of
from domain.payments.caused_refunds import caused_in_a_day, fees_of
from domain.payouts.transfer import Transfer
from domain.ports.ports import Ports
from domain.presence.presence import LastSeen
from domain.wallet.withdrawals import Withdrawal

SHOWN = 5  # of each kind
COUNTED = 1000  # at most, of each kind
AUDIT_SHOWN, AUDIT_SHARE = 10, 4


class UserById(Command, frozen=True):
    user_id: Annotated[Id, about("The id of the user.")]


class UserRecords(msgspec.Struct, frozen=True):
    """The records of one kind that a user has."""

    count: Annotated[int, about("How many there are; 1000 for that many and more.")]
    latest: Annotated[list[RecordLine], about("The newest five.")]


class UserProfile(msgspec.Struct, frozen=True):
    """What a user says of themselves, and how they sign in."""

    headline: Annotated[str, about("One line about the user.")]
    bio: Annotated[str, about("Some sentences about the user.")]
    skills: Annotated[tuple[str, ...], about("What a contractor is good at.")]
    verified_at: Annotated[
        datetime | None, about("When the user proved the address; null if they have not.")
    ]
    totp_enabled: Annotated[bool, about("Whether an authenticator app is set up.")]
    passkey_count: Annotated[int, about("How many passkeys the user has.")]
    mail_notices: Annotated[bool, about("Whether the user gets mails about their money.")]
    bank_changed_at: Annotated[
        datetime | None,
        about("When the bank account changed since the last withdrawal; null if it did not."),
    ]
    online: Annotated[bool, about("Whether the user is connected.")]
    last_seen_at: Annotated[
        datetime | None, about("When the last connection closed; null if they are online.")
    ]


class Money(msgspec.Struct, frozen=True):
    """An amount in one currency."""

    amount: MinorUnits
    currency: Currency


class CustomerCosts(msgspec.Struct, frozen=True):
    """What administrators watch of a customer: attempts at cards, and refunds that cost a fee."""

    card_attempts: Annotated[
        int,
        about("Declines, new cards and preparations to save one within a day; few more than free."),
    ]
    card_attempts_until: Annotated[
        datetime | None, about("Until when they have to wait for another; null if not at all.")
    ]
    caused_refunds: Annotated[
        int, about("The refunds before any work that they caused within a day.")
    ]
    caused_refunds_allowed: Annotated[int, about("How many a day are allowed; 0 for any number.")]
    refund_fees: Annotated[
        list[Money],
        about("Stripe's fees for their refunds before any work within 30 days, by currency."),
    ]


class UserDetails(msgspec.Struct, frozen=True):
    """A user with all records about them."""

    user: Annotated[SeenUser, about("The account.")]
    profile: Annotated[UserProfile, about("The profile, sign-in and presence.")]
    balances: Annotated[list[WalletBalances], about("The wallet, one item a currency.")]
    jobs: Annotated[UserRecords, about("The customer's jobs, or those assigned to them.")]
    offers: Annotated[UserRecords, about("The offers that they made or received.")]
    payments: Annotated[UserRecords, about("The payments that they made or that are for them.")]
    transfers: Annotated[UserRecords, about("The transfers to them.")]
    withdrawals: Annotated[UserRecords, about("Their withdrawals.")]
    disputes: Annotated[UserRecords, about("The disputes about their work.")]
    chargebacks: Annotated[UserRecords, about("The chargebacks of their payments.")]
    reports_about: Annotated[UserRecords, about("The reports about them.")]
    reports_by: Annotated[UserRecords, about("The reports that they made.")]
    audit: Annotated[
        list[AuditListing], about("The latest rows of the audit trail about the account.")
    ]
    costs: Annotated[
        CustomerCosts | None, about("What the customer's payments cost; null for others.")
    ] = None


@operation("admin.user", roles=ADMINS, style=Style.DIRECT, errors=(NotFound,))
async def user_details(cmd: UserById, actor: Actor, ports: Ports, meta: Meta) -> UserDetails:
    """One user with all records about them.

    They are the profile, sign-in and presence, the wallet, and the number and the newest of their
    jobs, offers, payments, transfers, withdrawals, disputes, chargebacks and reports, with the
    latest audit rows. Raises NotFound.
    """
    uow = ports.store.single()
    user = await uow.get(User, cmd.user_id)
    kinds = _kinds(user)
    found = await asyncio.gather(*(_records(uow, *each) for each in kinds.values()))
    return UserDetails(
        user=seen_user(user),
        profile=await _profile(ports, user),
        balances=await wallets_of(uow, user.id),
        costs=await _costs(uow, user),
        audit=await newest_rows(uow, {"subjects": user.id}, AUDIT_SHOWN, share=AUDIT_SHARE),
        **dict(zip(kinds, found, strict=True)),
    )


async def _costs(uow: UnitOfWork, user: User) -> CustomerCosts | None:
    if user.role is not Role.CUSTOMER:
        return None
    attempts, until = await attempts_of(uow, user.id)
    fees = await fees_of(uow, user.id)
    return CustomerCosts(
        attempts,
        until,
        await caused_in_a_day(uow, user.id),
        uow.rates.caused_refunds,
        [Money(amount, currency) for currency, amount in sorted(fees.items())],
    )


def _kinds(user: User) -> Mapping[str, tuple[type[Record], dict[str, Any]]]:
    """The queries for their records, each served by an index in the order of ids."""
    own = {"customer_id" if user.role is Role.CUSTOMER else "contractor_id": user.id}
    # All values of `visible`, which precedes `_id` in these indexes.
    seen = own if user.role is Role.CUSTOMER else {**own, "visible": (False, True)}
    return {
        "jobs": (Job, own),
        "offers": (Offer, seen),
        "payments": (Payment, seen),
        "transfers": (Transfer, {"user_id": user.id}),
        "withdrawals": (Withdrawal, {"user_id": user.id}),
        "disputes": (Dispute, own),
        "chargebacks": (Chargeback, own),
        "reports_about": (Report, {"about_id": user.id}),
        "reports_by": (Report, {"by": user.id}),
    }


async def _records(uow: UnitOfWork, kind: type[Record], where: dict[str, Any]) -> UserRecords:
    latest = await uow.all(kind, where, NEWEST, SHOWN)
    count = len(latest)
    if count == SHOWN:
        count = await uow.count(kind, where, limit=COUNTED)
    return UserRecords(count, [line_of(record) for record in latest])


async def _profile(ports: Ports, user: User) -> UserProfile:
    online = user.id in await ports.presence.online([user.id])
    seen = None if online else await ports.store.single().find(LastSeen, {"_id": user.id})
    return UserProfile(
        headline=user.headline,
        bio=user.bio,
        skills=user.skills,
        verified_at=user.verified_at,
        totp_enabled=user.totp_enabled,
        passkey_count=user.passkey_count,
        mail_notices=user.mail_notices,
        bank_changed_at=user.bank_changed_at,
        online=online,
        last_seen_at=seen.at if seen else None,
    )
