"""Books the allocation of an offer's money: the difference between its holdings before and after.

An increase of the contractor's share repays their debt first and is then transferred. A decrease is
clawed back from a remainder that was too small for a transfer, from the offer's transfers that have
not arrived, then from the available balance; the rest becomes debt.
"""

from collections import defaultdict
from collections.abc import Mapping

from domain import ledger
from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.payouts.remainders import remainder_of, round_up
from domain.payouts.reversals import (
    notify_debt_due,
    notify_debt_repaid,
    request_reversal,
    take_available,
)
from domain.payouts.transfer import UNSENT, Transfer, TransferStatus
from domain.payouts.transfer_tasks import SendTransfer


async def rebook(
    uow: UnitOfWork,
    fact: str,
    kind: str,
    before: Offer,
    after: Offer,
    outside: Mapping[str, int] | None = None,
) -> None:
    """Book the change of the holdings between two states of an offer.

    `outside` are the changes of accounts that the holdings do not cover, such as Stripe's.
    Raises Duplicate when the fact is booked already.
    """
    old, new = before.holdings, after.holdings
    deltas: dict[str, int] = defaultdict(int, outside or {})
    deltas[ledger.PLATFORM] += new.platform - old.platform
    deltas[ledger.escrow(after.id)] += new.escrow - old.escrow
    user, share = after.contractor_id, new.contractor - old.contractor
    if share:
        move = allocate if share > 0 else claw_back
        for account, delta in (await move(uow, user, after.currency, abs(share), after.id)).items():
            deltas[account] += delta
    # Not zero after a refund and a chargeback of the same payment.
    deltas[ledger.LOSSES] -= sum(deltas.values())
    await ledger.book(
        uow,
        fact,
        kind,
        after.currency,
        ledger.postings_for(deltas),
        offer_id=after.id,
        users=[after.customer_id, *([user] if share else [])],
    )


async def allocate(
    uow: UnitOfWork,
    user_id: str,
    currency: str,
    amount: int,
    offer_id: str | None = None,
    *,
    parked: bool = False,
) -> dict[str, int]:
    """Credit `amount` to a contractor: repay their debt, then transfer the rest.

    Returns the change of each account. Stripe transfers some currencies only in multiples of a
    step; the remainder stays in pending and goes with the next transfer.
    """
    wallet = await ledger.wallet_of(uow, user_id, currency)
    repaid = min(amount, -wallet.debt)
    rest = amount - repaid
    await notify_debt_repaid(uow, user_id, currency, repaid)
    if rest:
        step = CURRENCIES[currency].step
        sent = (rest + wallet.pending % step) // step * step
        if sent:
            await add_transfer(uow, user_id, currency, sent, offer_id, parked)
    return {ledger.debt(user_id): repaid, ledger.pending(user_id): rest}


async def add_transfer(
    uow: UnitOfWork,
    user_id: str,
    currency: str,
    amount: int,
    offer_id: str | None,
    parked: bool,
    refill: bool = False,
) -> None:
    transfer = uow.new(
        Transfer,
        user_id=user_id,
        amount=amount,
        currency=currency,
        offer_id=offer_id,
        status=TransferStatus.PARKED if parked else TransferStatus.WAITING,
        refill=refill,
    )
    await uow.add(transfer)
    if not parked:
        uow.later(SendTransfer(transfer.id))


async def claw_back(
    uow: UnitOfWork, user_id: str, currency: str, amount: int, offer_id: str | None = None
) -> dict[str, int]:
    """Debit `amount` from a contractor: from a remainder in pending, from transfers of `offer_id`
    that have not arrived, from the available balance, and as debt. Returns the change of each
    account."""
    changes: dict[str, int] = defaultdict(int)
    changes[ledger.pending(user_id)] = -min(amount, await remainder_of(uow, user_id, currency))
    if offer_id:
        left = amount + sum(changes.values())
        unarrived = await _claw_back_unarrived(uow, user_id, offer_id, left)
        changes[ledger.pending(user_id)] -= unarrived
    left = amount + sum(changes.values())
    for account, delta in (await take_available(uow, user_id, currency, left, offer_id)).items():
        changes[account] += delta
    left = amount + sum(changes.values())
    if left:
        wallet = await ledger.wallet_of(uow, user_id, currency)
        await notify_debt_due(uow, user_id, currency, left - wallet.debt)
    changes[ledger.debt(user_id)] = -left
    return changes


async def _claw_back_unarrived(uow: UnitOfWork, user_id: str, offer_id: str, amount: int) -> int:
    """Reduce or reverse the offer's transfers that have not arrived; returns the amount.

    What a step takes beyond the amount stays in pending. Nothing is reversed from closed accounts.
    """
    left, closed = amount, (await uow.get(User, user_id)).closed_accounts
    under_way = {"offer_id": offer_id, "status": (*UNSENT, TransferStatus.MADE)}
    for transfer in await uow.all(Transfer, under_way, (("_id", -1),)):
        step = CURRENCIES[transfer.currency].step
        part = min(left, transfer.net)
        if not part or transfer.account_id in closed:
            continue
        if transfer.status is TransferStatus.MADE:
            await request_reversal(uow, transfer, round_up(part, step))
        else:
            sent = (transfer.amount - part) // step * step
            status = transfer.status if sent else TransferStatus.CANCELLED
            await uow.change(Transfer, transfer.id, amount=sent, status=status)
        left -= part
    return amount - left
