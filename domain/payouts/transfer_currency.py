"""Transfers that would reach their contractor in another currency, or cannot be made in their own.

A contractor may connect an account after the offer, with banks that take other currencies only, and
Stripe may have converted the payment. Such a transfer is parked before it is sent. One that fits
the banks of the account later goes by itself; an administrator may send any of them as it is.
"""

from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.money import display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.text import WALLET
from domain.payouts.transfer import ParkedFor, Transfer, TransferStatus


async def park_unfit(uow: UnitOfWork, transfer: Transfer, user: User) -> bool:
    """Park a transfer whose currency does not fit its payment or the contractor's banks, and tell
    the contractor and administrators. False if it fits."""
    if transfer.currency_accepted:
        return False
    if transfer.offer_id:
        offer = await uow.get(Offer, transfer.offer_id)
        payment = await uow.get(Payment, offer.payment_id)
        if payment.settled_currency:
            await _park_converted(uow, transfer, payment.settled_currency)
            return True
    banks = user.payout_currencies
    if banks and transfer.currency not in banks:
        await _park_for_bank(uow, transfer, banks)
        return True
    return False


async def _park_converted(uow: UnitOfWork, transfer: Transfer, settled: str) -> None:
    amount = display(transfer.net, transfer.currency)
    why = f"The payment arrived in {settled} instead of {transfer.currency}."
    if await _park(uow, transfer, ParkedFor.SETTLEMENT, why):
        await _tell(uow, transfer, f"{why} It stays yours, and our administrators see to it.")
        await alert(
            uow,
            "transfer_unfit",
            transfer.id,
            f"A transfer of {amount} is parked: Stripe has settled its payment in {settled}. "
            "Refund the payment, or pay the contractor in another way.",
        )


async def _park_for_bank(uow: UnitOfWork, transfer: Transfer, banks: tuple[str, ...]) -> None:
    amount, taken = display(transfer.net, transfer.currency), ", ".join(banks)
    why = (
        f"Your bank takes {taken} only: add an account for {transfer.currency} under “Set up "
        "payouts”, and it goes by itself."
    )
    if await _park(uow, transfer, ParkedFor.BANK, why):
        await _tell(uow, transfer, why)
        await alert(
            uow,
            "transfer_unfit",
            transfer.id,
            f"A transfer of {amount} is parked: the contractor's bank takes {taken} only. They "
            "have been told; if you release it, Stripe converts it.",
            urgent=False,
        )


async def _park(uow: UnitOfWork, transfer: Transfer, reason: ParkedFor, why: str) -> bool:
    parked = await uow.change(
        Transfer,
        transfer.id,
        only_if={"status": TransferStatus.WAITING},
        status=TransferStatus.PARKED,
        parked_for=reason,
        refusal=why,
    )
    return parked is not None


async def _tell(uow: UnitOfWork, transfer: Transfer, text: str) -> None:
    await notices.notify(
        uow,
        [transfer.user_id],
        "transfer_unfit",
        f"{display(transfer.net, transfer.currency)} cannot be sent to your wallet yet",
        text,
        transfer.id,
        path=WALLET,
    )


async def unpark_fitting(uow: UnitOfWork, user: User) -> None:
    """Let the transfers wait again that the banks of the contractor take now."""
    where = {
        "user_id": user.id,
        "status": TransferStatus.PARKED,
        "parked_for": ParkedFor.BANK,
    }
    for transfer in await uow.all(Transfer, where):
        if not user.payout_currencies or transfer.currency in user.payout_currencies:
            await uow.change(
                Transfer,
                transfer.id,
                only_if=where,
                status=TransferStatus.WAITING,
                parked_for=None,
                refusal=None,
            )
