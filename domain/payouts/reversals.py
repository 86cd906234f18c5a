"""Reverses transfers to contractors and collects their debts."""

from collections import defaultdict
from datetime import datetime
from typing import Any, NoReturn

from domain import ledger
from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.money import CURRENCIES, display
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused
from domain.notifications.templates.refusals import reason_of
from domain.notifications.text import WALLET
from domain.operations.post_once import post_once
from domain.operations.task import NeedsPerson, Task, TryAgain
from domain.payouts.remainders import remainder_of, round_up
from domain.payouts.shortfall import give_up_reversal
from domain.payouts.stranded import (
    is_account_rejected,
    settle_shortfalls,
    strand_reversal,
)
from domain.payouts.transfer import RECHECK_AFTER, Reversal, Transfer, TransferStatus
from domain.ports.payment_gateway import ACCOUNT_GONE, GatewayRefused, StripeMovement
from domain.ports.ports import Ports

CHUNK = 50


async def take_available(
    uow: UnitOfWork, user_id: str, currency: str, amount: int, offer_id: str | None = None
) -> dict[str, int]:
    """Take up to `amount` of the contractor's available money: reverse the transfers of the offer
    first, then the newest. Returns the change of each account.

    Stripe reverses some currencies only in multiples of a step. The reversal is rounded up, and
    what it takes beyond `amount` stays in pending, as a remainder that goes with the next transfer.
    A rejected account gives back what is stranded there.
    """
    step = CURRENCIES[currency].step
    wallet = await ledger.wallet_of(uow, user_id, currency)
    source, there = ledger.available(user_id), wallet.available
    if wallet.stranded and is_account_rejected(await uow.get(User, user_id)):
        source, there = ledger.stranded(user_id), wallet.stranded
    wanted = min(round_up(amount, step), there // step * step)
    taken = await _reverse_available(uow, user_id, currency, wanted, offer_id)
    return {source: -taken, ledger.pending(user_id): max(0, taken - amount)}


async def _reverse_available(
    uow: UnitOfWork, user_id: str, currency: str, amount: int, offer_id: str | None
) -> int:
    """Reverse available transfers of `amount`, a multiple of the step; less if there is less.

    Nothing is reversed from closed accounts.
    """
    left = amount
    arrived: dict[str, Any] = {
        "user_id": user_id,
        "currency": currency,
        "status": TransferStatus.AVAILABLE,
    }
    closed = (await uow.get(User, user_id)).closed_accounts
    if closed:
        arrived["account_id"] = {"$nin": [*closed]}
    if offer_id:
        own = await uow.all(Transfer, {"offer_id": offer_id, "status": TransferStatus.AVAILABLE})
        own = [transfer for transfer in own if transfer.account_id not in closed]
        left -= await _reverse_in_order(uow, own, left)
    while left:
        others = await uow.all(Transfer, arrived, (("_id", -1),), CHUNK)
        if not others:
            break
        left -= await _reverse_in_order(uow, others, left)
    return amount - left


async def _reverse_in_order(uow: UnitOfWork, transfers: list[Transfer], amount: int) -> int:
    left = amount
    for transfer in transfers:
        part = min(left, transfer.net)
        await request_reversal(uow, transfer, part)
        left -= part
    return amount - left


async def request_reversal(uow: UnitOfWork, transfer: Transfer, amount: int) -> None:
    """Reverse `amount` of a transfer at Stripe after the commit. The caller books it."""
    if amount:
        reversal = uow.new(
            Reversal,
            transfer_id=transfer.id,
            user_id=transfer.user_id,
            amount=amount,
            currency=transfer.currency,
        )
        status = TransferStatus.REVERSED if amount == transfer.net else transfer.status
        await uow.change(Transfer, transfer.id, inc={"reversed_amount": amount}, status=status)
        await uow.add(reversal)
        uow.later(ReverseTransfer(reversal.id))


async def collect_debt(uow: UnitOfWork, user_id: str, currency: str, fact: str) -> None:
    """Repay a contractor's debt from money that is here: a remainder, then what is available."""
    owed = -(await ledger.wallet_of(uow, user_id, currency)).debt
    if not owed:
        return
    await settle_shortfalls(uow, user_id, currency)
    debt = -(await ledger.wallet_of(uow, user_id, currency)).debt
    deltas: dict[str, int] = defaultdict(int)
    deltas[ledger.pending(user_id)] -= min(debt, await remainder_of(uow, user_id, currency))
    left = debt + deltas[ledger.pending(user_id)]
    for account, delta in (await take_available(uow, user_id, currency, left)).items():
        deltas[account] += delta
    repaid = -sum(deltas.values())
    if repaid:
        deltas[ledger.debt(user_id)] = repaid
        postings = ledger.postings_for(deltas)
        users = [user_id]
        await ledger.book(uow, f"repaid:{fact}", "debt_repaid", currency, postings, users=users)
    await notify_debt_repaid(uow, user_id, currency, owed - debt + repaid)


async def notify_debt_repaid(uow: UnitOfWork, user_id: str, currency: str, amount: int) -> None:
    if amount:
        await notices.notify(
            uow,
            [user_id],
            "debt_repaid",
            f"{display(amount, currency)} of your money paid what you owed",
            "It was taken of what came in before that went to your wallet.",
            user_id,
            path=WALLET,
        )


async def notify_debt_due(uow: UnitOfWork, user_id: str, currency: str, owed: int) -> None:
    """Tell the person who owes it, and administrators if that person is gone."""
    if (await uow.get(User, user_id)).is_gone:
        await alert(
            uow,
            "debt_ownerless",
            user_id,
            f"A contractor who is banned or deleted owes {display(owed, currency)}, after a refund "
            "or a chargeback. No earnings will pay it: write it off, under Money without owner.",
        )
    await notices.notify(
        uow,
        [user_id],
        "debt_due",
        f"You owe {display(owed, currency)}",
        "More had to be taken back than your wallet holds. What you earn next pays that first.",
        user_id,
        path=WALLET,
    )


class ReverseTransfer(Task, frozen=True, tag="reverse_transfer"):
    """Reverse a part of a transfer at Stripe. It is booked already."""

    reversal_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        reversal = await uow.get(Reversal, self.reversal_id)
        if reversal.done:
            return
        transfer = await uow.get(Transfer, reversal.transfer_id)
        stripe_id = transfer.stripe_id
        assert stripe_id, "only a transfer that was made is reversed"
        made = await post_once(
            ports,
            key=reversal.key,
            since=reversal.created_at,
            find=lambda: ports.gateway.find_reversal(stripe_id, reversal.id),
            post=lambda: ports.gateway.reverse(
                stripe_id,
                reversal.amount,
                key=f"reversal:{reversal.id}:{reversal.key}",
                metadata={"fact": reversal.id},
            ),
            next_key=lambda: _use_next_key(ports, reversal),
            refused=lambda refused: _settle_refused(ports, reversal, transfer, refused),
        )
        await ports.store.transact(lambda uow: settle_reversal(uow, reversal.id, made))


async def settle_reversal(uow: UnitOfWork, reversal_id: str, made: StripeMovement) -> None:
    """Record that Stripe has made one of our reversals. Safe to repeat.

    An external reversal may have reduced it since it was asked for. It took its full amount, so the
    others that are open are reduced instead.
    """
    before = await uow.get(Reversal, reversal_id)
    if before.stripe_id:
        return
    of_stripe: dict[str, Any] = {"stripe_id": made.id, "amount": made.amount}
    await uow.change(Reversal, reversal_id, done=True, refusal=None, **of_stripe)
    await reduce_open_reversals(uow, before.transfer_id, made.amount - before.amount)


async def reduce_open_reversals(uow: UnitOfWork, transfer_id: str, amount: int) -> None:
    """Reduce our open reversals of a transfer by `amount` in total, and ask for what is left.

    Another reversal took this money, which they were about to take: Stripe refuses them as they
    were.
    """
    if not amount:
        return
    for reversal in await uow.all(Reversal, {"transfer_id": transfer_id, "done": False}):
        part = min(amount, reversal.amount)
        left = reversal.amount - part
        if not part:
            return
        reduced: dict[str, Any] = {"amount": left, "done": not left, "refusal": None}
        await uow.change(Reversal, reversal.id, inc={"key": 1}, **reduced)
        if left:
            uow.later(ReverseTransfer(reversal.id))
        amount -= part


async def _settle_refused(
    ports: Ports, reversal: Reversal, transfer: Transfer, refused: GatewayRefused
) -> NoReturn:
    """Raises NeedsPerson; or TryAgain if the reversal was given up, if time helps, or if an
    external reversal took what it asked for, whether that is settled here or not."""
    if await ports.store.transact(lambda uow: give_up_reversal(uow, reversal)):
        raise TryAgain("its money was paid out before") from refused
    if await ports.store.transact(lambda uow: strand_reversal(uow, reversal)):
        raise TryAgain("its account is closed") from refused
    await _use_next_key(ports, reversal)
    if refused.code == ACCOUNT_GONE:  # its event is on the way
        raise TryAgain(str(refused)) from refused
    if refused.refusal.passes or await _has_unknown(ports, reversal, str(transfer.stripe_id)):
        raise TryAgain(str(refused), at=await _when_available(ports, transfer)) from refused

    async def store(uow: UnitOfWork) -> bool:
        """False if an external reversal has reduced it since its request: the refusal is old."""
        unchanged = {"done": False, "amount": reversal.amount}
        reason = reason_of(refused.code)
        if not await uow.change(Reversal, reversal.id, only_if=unchanged, refusal=reason):
            return False
        amount = display(reversal.amount, reversal.currency)
        what = f"A reversal of {amount}, which is booked already, was refused"
        next_step = "Retry or discard its dead letter once the cause is gone"
        await alert_refused(uow, "reversal_refused", reversal.id, refused.refusal, what, next_step)
        return True

    if not await ports.store.transact(store):
        raise TryAgain("an external reversal took a part of it") from refused
    raise NeedsPerson(f"{refused.code}: {refused}") from refused


async def _when_available(ports: Ports, transfer: Transfer) -> datetime:
    """When the funds of its charge are available: Stripe may refuse to reverse pending ones."""
    at = ports.clock.now() + RECHECK_AFTER
    if transfer.offer_id is None:
        return at
    uow = ports.store.single()
    offer = await uow.get(Offer, transfer.offer_id)
    payment = await uow.get(Payment, offer.payment_id)
    return max(at, payment.available_on or at)


async def _has_unknown(ports: Ports, reversal: Reversal, transfer_id: str) -> bool:
    """Whether Stripe has a reversal of the transfer that is not settled here: its event, or our own
    answer, will explain the refusal."""
    made = await ports.gateway.reversals(transfer_id)
    ours = {"transfer_id": reversal.transfer_id, "done": True}
    known = {each.stripe_id for each in await ports.store.single().all(Reversal, ours)}
    return any(each.id not in known for each in made)


async def _use_next_key(ports: Ports, reversal: Reversal) -> None:
    await ports.store.single().change(
        Reversal, reversal.id, only_if={"key": reversal.key}, inc={"key": 1}
    )
