"""Settles transfer reversals that were made in Stripe's dashboard instead of here.

Their event leads to them. When it is lost, the follow-up of a reversal that Stripe refuses finds
them, and the reconciliation.
"""

from domain import ledger
from domain.kernel.independent import transact_each
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import WALLET
from domain.operations.task import Task
from domain.payouts.allocation import add_transfer
from domain.payouts.refills import refill_later
from domain.payouts.reversals import reduce_open_reversals, settle_reversal
from domain.payouts.stranded import arrival
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.payouts.transfer_tasks import settle_transfer
from domain.ports.payment_gateway import StripeMovement
from domain.ports.ports import Ports


class ReadReversals(Task, frozen=True, tag="read_reversals"):
    """Read the reversals of one of our transfers again."""

    transfer_id: str

    async def run(self, ports: Ports) -> None:
        transfer = await ports.store.single().get(Transfer, self.transfer_id)
        if transfer.stripe_id:
            await read_reversals(ports, transfer.stripe_id)


async def read_reversals(ports: Ports, stripe_id: str) -> bool:
    """Read all reversals of a transfer from Stripe and settle them. They may have kept promises
    that a payout had broken, so what the account lacks since is sent.

    False for a transfer that this platform did not make.
    """
    known = {"stripe_id": stripe_id}
    uow = ports.store.single()
    transfer = await uow.find(Transfer, known)
    if transfer is None:  # the response with its id may not have arrived yet
        made = await ports.gateway.transfer_state(stripe_id)
        fact = made.metadata.get("fact", "")
        if not await uow.find(Transfer, {"_id": fact}):
            return False
        await ports.store.transact(lambda uow: settle_transfer(uow, fact, made))
        transfer = await uow.find(Transfer, known)
    if transfer is None:
        return False
    transfer_id, user, currency = transfer.id, transfer.user_id, transfer.currency

    async def settle(uow: UnitOfWork, reversal: StripeMovement) -> None:
        await settle_external_reversal(uow, transfer_id, reversal)
        await refill_later(uow, user, currency)

    reversals = await ports.gateway.reversals(stripe_id)
    await transact_each(ports.store, reversed(reversals), settle)
    return True


async def settle_external_reversal(
    uow: UnitOfWork, transfer_id: str, reversal: StripeMovement
) -> None:
    """Return the reversed money to pending, in parked transfers that an admin releases.

    One that is ours is settled as such, if its response has not arrived.
    """
    if known := await _find_reversal(uow, reversal):
        return await settle_reversal(uow, known.id, reversal)
    transfer = await uow.get(Transfer, transfer_id)
    await _add_done_reversal(uow, transfer, reversal)
    amount = min(reversal.amount, transfer.net)
    await reduce_open_reversals(uow, transfer.id, reversal.amount - amount)
    if not amount:
        return
    await _count_as_reversed(uow, transfer, amount)
    returned = await _book_returned(uow, transfer, reversal.id, amount)
    await _park_transfers(uow, transfer, returned, amount - returned)
    await _notify_held_back(uow, transfer, returned)
    await alert(
        uow,
        "transfer_reversed",
        transfer.id,
        "A transfer was reversed outside of this platform; it is parked until it is released.",
    )


async def _find_reversal(uow: UnitOfWork, reversal: StripeMovement) -> Reversal | None:
    """By its id, or by its metadata while the response with the id has not arrived."""
    ours = {"$or": [{"stripe_id": reversal.id}, {"_id": reversal.metadata.get("fact", "")}]}
    return await uow.find(Reversal, ours)


async def _add_done_reversal(uow: UnitOfWork, transfer: Transfer, reversal: StripeMovement) -> None:
    await uow.add(
        uow.new(
            Reversal,
            transfer_id=transfer.id,
            user_id=transfer.user_id,
            amount=reversal.amount,
            currency=transfer.currency,
            stripe_id=reversal.id,
            done=True,
        )
    )


async def _count_as_reversed(uow: UnitOfWork, transfer: Transfer, amount: int) -> None:
    await uow.change(
        Transfer,
        transfer.id,
        inc={"reversed_amount": amount},
        status=TransferStatus.REVERSED if amount == transfer.net else transfer.status,
    )


async def _book_returned(uow: UnitOfWork, transfer: Transfer, stripe_id: str, amount: int) -> int:
    """Book from available to pending; returns how much is pending afterwards.

    A transfer that has not become available is pending already. Of an available one, the part that
    is held or in transit to a bank cannot be moved. What came back from a closed account is no
    longer stranded.
    """
    if transfer.status is not TransferStatus.AVAILABLE:
        return amount
    user, currency = transfer.user_id, transfer.currency
    wallet = await ledger.wallet_of(uow, user, currency)
    source = await arrival(uow, user, transfer.account_id)
    there = wallet.stranded if source == ledger.stranded(user) else wallet.available
    returned = min(amount, there)
    await ledger.book(
        uow,
        f"reversed:{stripe_id}",
        "transfer_returned",
        currency,
        [ledger.Posting(source, ledger.pending(user), returned)],
        users=[user],
        offer_id=transfer.offer_id,
    )
    return returned


async def _park_transfers(uow: UnitOfWork, transfer: Transfer, returned: int, spent: int) -> None:
    """`returned` is transferred again; `spent` is refilled at Stripe, because the contractor's
    balances here still include it."""
    user, currency = transfer.user_id, transfer.currency
    if returned:
        await add_transfer(uow, user, currency, returned, transfer.offer_id, parked=True)
    if spent:
        await add_transfer(uow, user, currency, spent, None, parked=True, refill=True)


async def _notify_held_back(uow: UnitOfWork, transfer: Transfer, amount: int) -> None:
    if amount:
        await notices.notify(
            uow,
            [transfer.user_id],
            "transfer_reversed",
            f"{display(amount, transfer.currency)} of your wallet is held back",
            "It was taken back at Stripe. It stays yours, and waits until our administrators have "
            "looked at it.",
            transfer.id,
            path=WALLET,
        )
