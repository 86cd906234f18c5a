"""Books transfer reversals that Stripe reports and that were made in Stripe's dashboard."""

from domain import ledger
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import WALLET
from domain.payouts.allocation import add_transfer
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.payouts.transfer_tasks import settle_transfer
from domain.ports.payment_gateway import StripeMovement
from domain.ports.ports import Ports

# -- made elsewhere --------------------------------------------------------------------------


async def read_reversals(ports: Ports, stripe_id: str) -> None:
    """Take over reversals that somebody made in Stripe's dashboard."""
    known = {"stripe_id": stripe_id}
    uow = ports.store.single()
    transfer = await uow.find(Transfer, known)
    if transfer is None:  # the answer with its id may still be on its way to us
        made = await ports.gateway.transfer_state(stripe_id)
        fact = made.metadata.get("fact", "")
        await ports.store.transact(lambda uow: settle_transfer(uow, fact, made))
        transfer = await uow.find(Transfer, known)
    if transfer is None:
        return
    transfer_id = transfer.id

    async def settle(uow: UnitOfWork, reversal: StripeMovement) -> None:
        await settle_external_reversal(uow, transfer_id, reversal)

    reversals = await ports.gateway.reversals(stripe_id)
    await ports.store.transact_each(reversed(reversals), settle)


async def settle_external_reversal(
    uow: UnitOfWork, transfer_id: str, there: StripeMovement
) -> None:
    """One that is not ours: the money is the platform's again, and waits for an admin to be sent
    once more."""
    ours = {"$or": [{"stripe_id": there.id}, {"_id": there.metadata.get("fact", "")}]}
    if await uow.find(Reversal, ours):
        return
    transfer = await uow.get(Transfer, transfer_id)
    user, currency = transfer.user_id, transfer.currency
    await uow.add(
        uow.new(
            Reversal,
            transfer_id=transfer.id,
            user_id=user,
            amount=there.amount,
            currency=currency,
            stripe_id=there.id,
            done=True,
        )
    )
    amount = min(there.amount, transfer.net)
    await _reduce_open_reversals(uow, transfer, there.amount - amount)
    if not amount:
        return
    await uow.change(
        Transfer,
        transfer.id,
        inc={"reversed_amount": amount},
        status=TransferStatus.REVERSED if amount == transfer.net else transfer.status,
    )
    part = amount
    if transfer.status is TransferStatus.AVAILABLE:
        wallet = await ledger.wallet_of(uow, user, currency)
        part = min(amount, wallet.available)
        await ledger.book(
            uow,
            f"reversed:{there.id}",
            "transfer_returned",
            currency,
            [ledger.Posting(ledger.available(user), ledger.pending(user), part)],
            users=[user],
            offer_id=transfer.offer_id,
        )
    if part:
        await add_transfer(uow, user, currency, part, transfer.offer_id, parked=True)
        await notices.notify(
            uow,
            [user],
            "transfer_reversed",
            f"{display(part, currency)} of your wallet is held back",
            "It was taken back at Stripe. It stays yours, and waits until our administrators have "
            "looked at it.",
            transfer.id,
            path=WALLET,
        )
    if part < amount:  # held, or on its way to a bank: it stays theirs, without the money
        await add_transfer(uow, user, currency, amount - part, None, parked=True, refill=True)
    await alert(
        uow,
        "transfer_reversed",
        transfer.id,
        "A transfer was reversed outside of this platform; it is parked until it is released.",
    )


async def _reduce_open_reversals(uow: UnitOfWork, transfer: Transfer, amount: int) -> None:
    """What was reversed beyond the rest of a transfer is a part of what we were about to reverse:
    Stripe has not so much left for us any more."""
    for ours in await uow.all(Reversal, {"transfer_id": transfer.id, "done": False}):
        part = min(amount, ours.amount)
        if part:
            left = ours.amount - part
            await uow.change(Reversal, ours.id, inc={"key": 1}, amount=left, done=not left)
            amount -= part
