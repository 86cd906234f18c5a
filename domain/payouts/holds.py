"""Holds: the contractor's part of a possible loss is blocked while a bank decides a chargeback.

A hold takes what is available when the chargeback opens. What is missing, because it was paid out
or is on its way to a bank, is held when money becomes available again: a returned payout, or an
arriving transfer. So the hold is computed whenever money moves.
"""

from domain import ledger
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer, with_completed_capped
from domain.kernel.money import CURRENCIES, display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.text import WALLET
from domain.payouts.remainders import round_up
from domain.payouts.reversals import collect_debt
from domain.payouts.transfer import UNDER_WAY, Transfer

CHUNK = 50


async def settle_available(uow: UnitOfWork, user_id: str, currency: str, fact: str) -> None:
    """After money became available: collect the contractor's debt, then hold what is contested."""
    await collect_debt(uow, user_id, currency, fact)
    contested = {"contractor_id": user_id, "contested_amount": {"$gt": 0}}
    for chargeback in await uow.all(Chargeback, contested, (("_id", 1),), CHUNK):
        if chargeback.currency == currency:
            await _hold_more(uow, chargeback, fact)


async def change_of_hold(uow: UnitOfWork, chargeback: Chargeback) -> int:
    """What is to be held in addition to `held_amount`; below zero for what is to be released.

    Holds are multiples of the currency's step: other amounts could be neither reversed nor paid
    out.
    """
    step = CURRENCIES[chargeback.currency].step
    wanted = round_up(await _at_risk(uow, chargeback), step) if chargeback.contested else 0
    if wanted <= chargeback.held_amount:
        return wanted - chargeback.held_amount
    wallet = await ledger.wallet_of(uow, chargeback.contractor_id, chargeback.currency)
    return min(wanted - chargeback.held_amount, wallet.available // step * step)


async def _at_risk(uow: UnitOfWork, chargeback: Chargeback) -> int:
    """The contractor's part of the loss, without what is in transfers that have not arrived."""
    offer = await uow.get(Offer, chargeback.offer_id)
    lost = offer.charged_back_amount + chargeback.contested
    after_loss = with_completed_capped(offer, charged_back_amount=lost)
    at_risk = offer.holdings.contractor - after_loss.holdings.contractor
    in_transfer = {"offer_id": offer.id, "status": UNDER_WAY}
    transferring = sum(transfer.net for transfer in await uow.all(Transfer, in_transfer))
    return max(0, at_risk - transferring)


async def _hold_more(uow: UnitOfWork, chargeback: Chargeback, fact: str) -> None:
    more = await change_of_hold(uow, chargeback)
    if more <= 0:
        return
    user, currency = chargeback.contractor_id, chargeback.currency
    await ledger.book(
        uow,
        f"held:{chargeback.id}:{fact}",
        "chargeback_held",
        currency,
        [ledger.Posting(ledger.available(user), ledger.held(user), more)],
        users=[user],
        offer_id=chargeback.offer_id,
    )
    await uow.change(Chargeback, chargeback.id, inc={"held_amount": more})
    await notices.notify(
        uow,
        [user],
        "money_held",
        f"{display(more, currency)} of your money is held",
        f"The customer's bank disputes the payment for “{chargeback.job_title}”. It is free again "
        "when the bank decides for you.",
        chargeback.id,
        path=WALLET,
    )
