"""The operations on a wallet: its balances and its transaction history."""

from typing import Annotated

import msgspec

from domain import ledger
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.documents import given
from domain.kernel.fields import Currency, about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.ledger.balances import WalletBalances
from domain.ledger.transaction import Transaction
from domain.operations.command import Command, Cursor, Id, NoFields, PageSize, Style
from domain.operations.operation import operation


class WalletSummary(msgspec.Struct, frozen=True):
    """The balances in the main currency, and in every other currency that was ever booked."""

    currency: Currency
    available: Annotated[int, about("What can be withdrawn, in minor units.")]
    pending: Annotated[int, about("What is on the way to the wallet, in minor units.")]
    held: Annotated[int, about("What an undecided chargeback blocks, in minor units.")]
    in_transit: Annotated[int, about("What is on the way to the bank, in minor units.")]
    debt: Annotated[
        int, about("What is owed after refunds and chargebacks, in minor units: zero or below.")
    ]
    version: Annotated[int, about("Counts the changes.")]
    others: Annotated[list[WalletBalances], about("The same for every other currency.")]
    stranded: Annotated[
        int,
        about(
            "What is on an account at Stripe that is closed or rejected, in minor units. It cannot "
            "be withdrawn until an administrator has settled it."
        ),
    ] = 0


@operation("wallet.balance", roles=EVERYONE, style=Style.READ)
async def balance(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> WalletSummary:
    """The actor's wallet; for an admin the platform's."""
    if actor.role is Role.ADMIN:
        held = await ledger.balance_of(uow, ledger.PLATFORM)
        wallets = [
            WalletBalances(ledger.PLATFORM, code, available=sum) for code, sum in held.items()
        ]
    else:
        wallets = await ledger.wallets_of(uow, actor.id)
    main = uow.rates.currencies[0]
    own = next((each for each in wallets if each.currency == main), WalletBalances(actor.id, main))
    return WalletSummary(
        own.currency,
        own.available,
        own.pending,
        own.held,
        own.in_transit,
        own.debt,
        own.version,
        [each for each in wallets if each.currency != main],
        own.stranded,
    )


class History(Command, frozen=True):
    offer_id: Annotated[Id | None, about("Only movements of this offer.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("wallet.history", roles=EVERYONE, style=Style.READ)
async def history(cmd: History, actor: Actor, uow: UnitOfWork) -> Page[Transaction]:
    """The transactions of the actor's wallet, newest first; for an admin the platform's."""
    where = {"accounts": ledger.PLATFORM} if actor.role is Role.ADMIN else {"users": actor.id}
    where |= given(offer_id=cmd.offer_id)
    return await uow.page(Transaction, where, cursor=cmd.cursor, limit=cmd.limit)
