"""How administrators correct a difference between the books and what they are compared with.

Every difference that `server audit` prints is kept as a record. A correction closes it: by a
booking between two accounts of the journal, by counting a balance again from the journal, or, if
nothing is to be booked, by the reason alone. The audit names it no more while its values stay.
"""

from typing import Annotated

from msgspec import Meta as Limits

from domain import ledger
from domain.accounts.user import User
from domain.admin.approval import Action, Done
from domain.admin.assignments import unassign
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.errors import (
    ApprovalRequired,
    Conflict,
    InsufficientFunds,
    Invalid,
    NotFound,
    Rule,
)
from domain.kernel.fields import about, expected
from domain.kernel.money import CURRENCIES, MAX_AMOUNT, display
from domain.kernel.record import Record
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications import notices
from domain.notifications.text import WALLET
from domain.operations.command import Command, CurrencyCode, Id, Reason
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.ports.step_up import StepUpFor
from domain.reconciliation.book_difference import BookDifference, DifferenceStatus

RECOUNTED = "balance"  # the comparison of a balance row with the journal
WALLET_PARTS = frozenset({"available", "pending", "held", "in_transit", "stranded"})
AccountName = Annotated[
    str,
    expected(
        "The name of an account in the journal, such as platform or losses.",
        min_length=1,
        max_length=120,
        pattern=r"^[a-z_]+(:[A-Za-z0-9_]+){0,2}$",
    ),
]


class Correct(Command, frozen=True):
    """With an `amount` in minor units it is booked from `source` to `destination`."""

    difference_id: Annotated[Id, about("The id of the difference.")]
    reason: Reason
    amount: Annotated[
        Annotated[int, Limits(ge=1, le=MAX_AMOUNT)] | None,
        about("What is booked, in minor units; without it nothing is."),
    ] = None
    currency: Annotated[
        CurrencyCode | None, about("The currency of what is booked, such as USD.")
    ] = None
    source: Annotated[AccountName | None, about("The account that the amount leaves.")] = None
    destination: Annotated[AccountName | None, about("The account that it reaches.")] = None


@operation(
    "admin.correct",
    roles=ADMINS,
    step_up=StepUpFor.MONEY,
    limits=(MONEY_STEPS,),
    errors=(ApprovalRequired, InsufficientFunds, NotFound),
)
async def correct(cmd: Correct, actor: Actor, uow: UnitOfWork) -> BookDifference:
    """Close a difference with a reason, and book what is missing.

    A balance that differs from the journal is counted again. Raises NotFound, Conflict for one
    that is not open, Invalid for accounts that do not exist, InsufficientFunds, ApprovalRequired.
    """
    difference: BookDifference = await CORRECT.perform_or_ask(cmd, actor, uow)
    return difference


async def _correct(cmd: Correct, admin_id: str, uow: UnitOfWork) -> Done:
    found = await uow.get(BookDifference, cmd.difference_id)
    closed = await uow.change(
        BookDifference,
        found.id,
        only_if={"status": DifferenceStatus.OPEN},
        status=DifferenceStatus.EXPLAINED,
        closed_by=admin_id,
        closed_at=uow.now,
        close_reason=cmd.reason,
    )
    if closed is None:
        raise Conflict(f"The difference is {found.status}.", status=found.status)
    if cmd.amount:
        await _book(cmd, cmd.amount, uow)
    elif found.what == RECOUNTED:
        account, _, currency = found.subject.rpartition("|")
        await ledger.count_again(uow, account, currency)
    await unassign(uow, closed.id)
    currency = cmd.currency or uow.rates.currencies[0]
    return Done(closed, cmd.amount or 0, currency, closed.id, adds_up=False)


async def _book(cmd: Correct, amount: int, uow: UnitOfWork) -> None:
    if cmd.currency not in CURRENCIES:
        raise Invalid("give the currency of the amount.", field="currency", rule=Rule.CHOICE)
    source = await _existing(uow, "source", cmd.source)
    destination = await _existing(uow, "destination", cmd.destination)
    if source == destination:
        raise Invalid("give two accounts.", field="destination", rule=Rule.VALUE)
    users = sorted({owner for owner in map(_user_of, (source, destination)) if owner})
    await ledger.book(
        uow,
        f"corrected:{new_id('cor')}",
        "corrected",
        cmd.currency,
        [ledger.Posting(source, destination, amount)],
        users=users,
    )
    for user in users:
        title = f"{display(amount, cmd.currency)} were corrected in your wallet"
        text = "The books had an error. If you do not know why, please get in touch with us."
        await notices.notify(uow, [user], "wallet_adjusted", title, text, user, path=WALLET)


def _user_of(account: str) -> str | None:
    kind, _, rest = account.partition(":")
    return rest.partition(":")[0] if kind in ("wallet", "debt") else None


async def _existing(uow: UnitOfWork, field: str, account: str | None) -> str:
    """The name of an account. Raises Invalid for one that the chart of accounts does not have."""
    kind, _, rest = (account or "").partition(":")
    owner, _, part = rest.partition(":")
    if account in ledger.UNBOUNDED:
        return str(account)
    owners: dict[str, type[Record]] = {
        "escrow": Offer,
        "wallet": User,
        "debt": User,
        "chargeback": Chargeback,
    }
    parted = part in WALLET_PARTS if kind == "wallet" else not part
    if kind in owners and parted and await uow.find(owners[kind], {"_id": owner}):
        return str(account)
    raise Invalid("this account does not exist.", field=field, rule=Rule.VALUE)


CORRECT = Action("admin.correct", Correct, _correct)
