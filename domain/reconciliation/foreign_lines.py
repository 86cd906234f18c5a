"""Lines of Stripe's books that are not ours: of other business on the same Stripe account, and
holds and payments of Stripe's own.

They change the platform's balance at Stripe, and no rule here books them. So each is kept as a row
of its own, and an administrator says whose it is. A line of an unknown type is one as well, with an
alert: Stripe adds types. Source: Stripe, "Balance transaction types".
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from domain.kernel.fields import Currency, about
from domain.kernel.record import Index, Record
from domain.kernel.state_machine import Steps
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.ports.payment_gateway import BalanceTransaction
from domain.ports.ports import Ports

CORRECTION = "a correction by Stripe, without a dispute"
OTHER_BUSINESS = "of other business on the same Stripe account"
# What each type is, in words. The types that `stripe_lines.COMPARISONS` compares are not here.
FOREIGN_KINDS = {
    "advance": "an advance of Stripe Capital",
    "advance_funding": "funding of an advance of Stripe Capital",
    "anticipation_repayment": "a repayment of anticipated receivables (Brazil)",
    "application_fee": "an application fee that other business took",
    "application_fee_refund": "a refund of an application fee",
    "climate_order_purchase": "an order of Stripe Climate",
    "climate_order_refund": "a refund of an order of Stripe Climate",
    "connect_collection_transfer": "a negative balance of a closed connected account, which Stripe "
    "collected from the platform",
    "contribution": "a contribution to Stripe Climate",
    "fee_credit_funding": "a credit for Stripe's fees",
    "inbound_transfer": "money that came from a Financial Account",
    "inbound_transfer_reversal": "the return of money from a Financial Account",
    "issuing_authorization_hold": "a hold of an issued card",
    "issuing_authorization_release": "the end of a hold of an issued card",
    "issuing_dispute": "a dispute about an issued card",
    "issuing_transaction": "a purchase with an issued card",
    "obligation_outbound": "a receivable that was given away (Brazil)",
    "obligation_reversal_inbound": "the return of a receivable (Brazil)",
    "payment_failure_refund": "a payment that failed after it had been credited",
    "payment_network_reserve_hold": "a reserve of a payment network",
    "payment_network_reserve_release": "the end of a reserve of a payment network",
    "payment_reversal": "a payment that was reversed by its bank",
    "payment_unreconciled": "money that came by a bank transfer and belongs to no payment",
    "payout_minimum_balance_hold": "a minimum balance that Stripe keeps from payouts",
    "payout_minimum_balance_release": "the end of a minimum balance",
    "reserve_hold": "a reserve of Stripe",
    "reserve_release": "the end of a reserve of Stripe",
    "reserve_transaction": "a reserve of Stripe",
    "reserved_funds": "a reserve of Stripe",
    "stripe_balance_payment_debit": "a payment from the Stripe balance",
    "stripe_balance_payment_debit_reversal": "the return of a payment from the Stripe balance",
    "transfer_cancel": "a transfer that was cancelled",
    "transfer_failure": "a transfer that failed",
}
# They may concern money that is booked here.
URGENT_KINDS = frozenset(
    {
        "connect_collection_transfer",
        "payment_failure_refund",
        "payment_reversal",
        "transfer_cancel",
        "transfer_failure",
    }
)


class LineStatus(StrEnum):
    """`open`: an administrator has not said yet whose it is."""

    OPEN = "open"
    ASSIGNED = "assigned"


class LineOwner(StrEnum):
    """Whose a line is: the platform's earnings, its losses, or other business that is not booked
    here."""

    PLATFORM = "platform"
    LOSSES = "losses"
    NOT_OURS = "not_ours"


LINE_STEPS: Steps = {LineStatus.OPEN: (LineStatus.ASSIGNED,)}


class ForeignLine(Record, frozen=True):
    """One line; its id is made of Stripe's. Amounts are signed, and `net` is without the fee."""

    COLLECTION = "foreign_lines"
    PREFIX = "fln"
    INDEXES = (
        Index((("status", 1), ("_id", -1))),
        Index((("type", 1), ("_id", -1))),
    )

    line_id: Annotated[str, about("The balance transaction at Stripe.")]
    type: Annotated[str, about("Its type at Stripe, such as reserve_hold.")]
    what: Annotated[str, about("What that is, in words.")]
    amount: Annotated[int, about("Signed, in minor units.")]
    fee: Annotated[int, about("Stripe's fee, in minor units.")]
    net: Annotated[int, about("The change of the balance at Stripe: signed, in minor units.")]
    currency: Currency
    source_id: Annotated[str | None, about("The object at Stripe behind it; null without one.")]
    at: Annotated[datetime, about("When Stripe booked it.")]
    status: Annotated[LineStatus, about("Its state.")] = LineStatus.OPEN
    owner: Annotated[LineOwner | None, about("Whose it is; null while it is open.")] = None
    assigned_by: Annotated[
        str | None, about("The id of the administrator who said so; null while it is open.")
    ] = None
    assigned_at: Annotated[datetime | None, about("When that was said; null while it is open.")] = (
        None
    )
    reason: Annotated[str, about("Why; empty while it is open.")] = ""


async def keep_foreign_line(ports: Ports, line: BalanceTransaction, what: str = "") -> None:
    """Keep a line once. Without `what`, its type says what it is.

    A type that says nothing, and a line that may concern us, are alerts.
    """
    words = what or FOREIGN_KINDS.get(line.type, "")
    urgent = what == CORRECTION or (not what and (not words or line.type in URGENT_KINDS))

    async def keep(uow: UnitOfWork) -> None:
        id = f"{ForeignLine.PREFIX}_{line.id}"
        if await uow.find(ForeignLine, {"_id": id}):
            return
        row = uow.new(
            ForeignLine,
            id=id,
            line_id=line.id,
            type=line.type,
            what=words or "of a type that is not known here",
            amount=line.amount,
            fee=line.fee,
            net=line.net,
            currency=line.currency,
            source_id=line.source_id,
            at=line.created_at,
        )
        await uow.add(row)
        if urgent:
            await _alert(uow, row, known=bool(words))

    await ports.store.transact(keep)


async def _alert(uow: UnitOfWork, row: ForeignLine, *, known: bool) -> None:
    kind = "foreign_line" if known else "unknown_line"
    await alert(
        uow,
        kind,
        row.id,
        f"Stripe's books have a line of the type {row.type}: {row.what}. Nothing is booked for it "
        "until an administrator says whose it is, under Lines that are not ours.",
    )
