"""Makes transfers at Stripe, after the commit that decided and booked them.

A transfer becomes `sending` before its request leaves. From then on it can no longer be reduced,
because Stripe may have it already: a later claw-back reverses it after it has arrived, or becomes a
debt.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from domain import ledger
from domain.accounts.user import UPDATED as ACCOUNT_UPDATED
from domain.accounts.user import PayoutSetup, User
from domain.deals.charges import refresh_charge
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.money import display
from domain.kernel.state_machine import states_before
from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused, tell_refused
from domain.notifications.templates.refusals import reason_of
from domain.notifications.text import WALLET
from domain.operations.post_once import post_once
from domain.operations.task import Task, TryAgain
from domain.payouts.account_state import store_account_state
from domain.payouts.countries import arrives_at
from domain.payouts.holds import settle_available
from domain.payouts.stranded import arrival, settle_shortfalls, strand_available
from domain.payouts.transfer import RECHECK_AFTER, STEPS, Transfer, TransferStatus
from domain.payouts.transfer_currency import park_unfit, unpark_fitting
from domain.ports.payment_gateway import ConnectAccount, GatewayRefused, StripeMovement
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal

MAX_READS = 5
OFTEN_UNTIL = timedelta(days=1)
NOTIFY_AFTER = timedelta(hours=1)  # arrivals after a longer wait are notified


class SendTransfer(Task, frozen=True, tag="send_transfer"):
    """Make a transfer, as soon as the contractor's account is active and not frozen."""

    transfer_id: str

    async def run(self, ports: Ports) -> None:
        transfer = await ports.store.single().get(Transfer, self.transfer_id)
        if transfer.status not in (TransferStatus.WAITING, TransferStatus.SENDING):
            return
        account_id = await _active_account(ports, transfer.user_id)
        if account_id is None:
            if await self._find_sent(ports, transfer):
                return
            # `apply_account` sends it when Stripe's event arrives; this covers a lost event
            return _look_again(ports, transfer, "transfers are not active yet")
        sending = await ports.store.transact(lambda uow: start_sending(uow, self.transfer_id))
        if sending is None:
            return await _wait_again(ports, transfer)
        made = await post_once(
            ports,
            key=sending.key,
            since=sending.created_at,
            find=lambda: ports.gateway.find_transfer(_group(sending), sending.id),
            post=lambda: _create_transfer(ports, sending, account_id),
            next_key=lambda: _use_next_key(ports, sending, account_id, TransferStatus.SENDING),
            refused=lambda refused: _settle_refused(ports, sending, account_id, refused),
        )
        if made:
            await ports.store.transact(lambda uow: settle_transfer(uow, self.transfer_id, made))

    async def _find_sent(self, ports: Ports, transfer: Transfer) -> bool:
        """Whether an earlier request made it, whose answer was lost: its account may be closed
        since, and there may never be another."""
        if not (transfer.status is TransferStatus.SENDING or transfer.key):
            return False
        made = await ports.gateway.find_transfer(_group(transfer), transfer.id)
        if made:
            await ports.store.transact(lambda uow: settle_transfer(uow, transfer.id, made))
        return made is not None


async def _wait_again(ports: Ports, transfer: Transfer) -> None:
    """It is frozen or in a chargeback, or was parked, which only an administrator or another bank
    account of the contractor ends."""
    now = await ports.store.single().get(Transfer, transfer.id)
    if now.status is not TransferStatus.PARKED:
        _look_again(ports, transfer, "frozen, or in a chargeback")


def _look_again(ports: Ports, transfer: Transfer, why: str) -> None:
    """Soon, on the first day. Later the follow-up of the reconciliation looks once a day, so that a
    contractor who takes weeks makes no dead letter. Raises TryAgain."""
    now = ports.clock.now()
    if now - transfer.created_at < OFTEN_UNTIL:
        raise TryAgain(why, at=now + RECHECK_AFTER)


def _group(transfer: Transfer) -> str:
    return transfer.offer_id or transfer.id


async def _create_transfer(ports: Ports, transfer: Transfer, account_id: str) -> StripeMovement:
    return await ports.gateway.transfer(
        key=f"transfer:{transfer.id}:{transfer.key}",
        amount=transfer.amount,
        currency=transfer.currency,
        account_id=account_id,
        charge_id=await _charge_id(ports, transfer),
        group=_group(transfer),
        metadata={"fact": transfer.id},
    )


async def _settle_refused(
    ports: Ports, transfer: Transfer, account_id: str, refused: GatewayRefused
) -> StripeMovement | None:
    """What an earlier request made; otherwise the transfer is parked until an administrator
    releases it. It stays waiting, and TryAgain is raised, if time or the contractor helps."""
    made = await ports.gateway.find_transfer(_group(transfer), transfer.id)
    if made:
        return made
    await _use_next_key(ports, transfer, account_id, TransferStatus.WAITING)
    if refused.refusal.passes or await _active_account(ports, transfer.user_id) != account_id:
        raise TryAgain(str(refused), at=ports.clock.now() + RECHECK_AFTER) from refused
    await ports.store.transact(lambda uow: park_refused(uow, transfer.id, refused.refusal))
    return None


async def park_refused(uow: UnitOfWork, transfer_id: str, refusal: Refusal) -> None:
    """Park a transfer that Stripe refused, and tell the contractor and administrators."""
    parked = await uow.change(
        Transfer,
        transfer_id,
        only_if={"status": TransferStatus.WAITING},
        status=TransferStatus.PARKED,
        refusal=reason_of(refusal.code),
    )
    if parked is None:
        return
    amount = display(parked.net, parked.currency)
    await tell_refused(
        uow,
        parked.user_id,
        "transfer_refused",
        parked.id,
        refusal,
        f"{amount} could not be sent to your wallet",
        "It stays yours, and waits until our administrators have looked at it.",
    )
    what = f"A transfer of {amount} was refused, and is parked"
    next_step = "Release it once the cause is gone"
    await alert_refused(uow, "transfer_refused", parked.id, refusal, what, next_step)


async def _use_next_key(
    ports: Ports, transfer: Transfer, account_id: str, status: TransferStatus
) -> None:
    """Store the next key in the transfer, because several tasks may send it. Read the account
    again, because its state may explain the failure."""
    await ports.store.single().change(
        Transfer,
        transfer.id,
        only_if={"key": transfer.key, "status": TransferStatus.SENDING},
        inc={"key": 1},
        status=status,
    )
    await refresh_account(ports, account_id)


async def _charge_id(ports: Ports, transfer: Transfer) -> str | None:
    if transfer.offer_id is None:
        return None
    uow = ports.store.single()
    offer = await uow.get(Offer, transfer.offer_id)
    payment = await uow.get(Payment, offer.payment_id)
    assert payment.charge_id, "a completed offer was captured"
    return payment.charge_id


async def _active_account(ports: Ports, user_id: str) -> str | None:
    user = await ports.store.single().get(User, user_id)
    if user.connect_id is None:
        return None
    if not user.transfers_active:
        await refresh_account(ports, user.connect_id)
        user = await ports.store.single().get(User, user_id)
    return user.connect_id if user.transfers_active else None


async def start_sending(uow: UnitOfWork, transfer_id: str) -> Transfer | None:
    """Mark the transfer as sending; None if the wallet is frozen, the payment contested or held for
    a fraud signal, or the currency does not fit, which parks it."""
    transfer = await uow.get(Transfer, transfer_id)
    if transfer.status is TransferStatus.SENDING:
        return transfer
    user = await uow.get(User, transfer.user_id)
    if user.frozen_at or await park_unfit(uow, transfer, user):
        return None
    if transfer.offer_id and await _is_blocked(uow, transfer.offer_id):
        return None
    return await uow.change(
        Transfer,
        transfer.id,
        only_if={"status": TransferStatus.WAITING},
        status=TransferStatus.SENDING,
    )


class MakeAvailable(Task, frozen=True, tag="make_transfer_available"):
    """Make a transfer available once its charge's funds are available at Stripe."""

    transfer_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        transfer = await uow.get(Transfer, self.transfer_id)
        if transfer.offer_id:
            await self._read_charge(ports, transfer.offer_id)
        due = await arrival_of(uow, transfer)
        if due and due > ports.clock.now():
            raise TryAgain("not available yet", at=due)
        await ports.store.transact(lambda uow: make_available(uow, self.transfer_id))

    async def _read_charge(self, ports: Ports, offer_id: str) -> None:
        uow = ports.store.single()
        offer = await uow.get(Offer, offer_id)
        payment = await uow.get(Payment, offer.payment_id)
        if payment.available_on is None:
            payment = await refresh_charge(ports, payment)
        if payment.available_on is None:
            raise TryAgain(
                "Stripe has not announced when the funds are available",
                at=ports.clock.now() + RECHECK_AFTER,
            )


async def arrival_of(uow: UnitOfWork, transfer: Transfer) -> datetime | None:
    """When the money of a transfer that was made can be paid out; None if nothing says so yet."""
    available_on = None
    if transfer.offer_id:
        offer = await uow.get(Offer, transfer.offer_id)
        available_on = (await uow.get(Payment, offer.payment_id)).available_on
        if available_on is None:
            return None
    user = await uow.get(User, transfer.user_id)
    return arrives_at(user.payout_agreement, transfer.made_at or uow.now, available_on)


async def settle_transfer(uow: UnitOfWork, transfer_id: str, made: StripeMovement) -> None:
    """Record that Stripe has made the transfer. It is available when its charge's funds are."""
    transfer = await uow.change(
        Transfer,
        transfer_id,
        only_if={"status": states_before(STEPS, TransferStatus.MADE)},
        status=TransferStatus.MADE,
        stripe_id=made.id,
        account_id=made.account_id,
        made_at=uow.now,
    )
    if transfer is None:
        return
    due = await arrival_of(uow, transfer)
    if due <= uow.now if due else transfer.offer_id is None:
        await make_available(uow, transfer.id)
    else:
        uow.later(MakeAvailable(transfer.id), at=due)


async def _is_blocked(uow: UnitOfWork, offer_id: str) -> bool:
    """Whether the payment is in a chargeback, or its release is held for a fraud signal."""
    offer = await uow.get(Offer, offer_id)
    payment = await uow.get(Payment, offer.payment_id)
    return bool(offer.contested_amount or payment.release_held_at)


async def make_available(uow: UnitOfWork, transfer_id: str) -> None:
    """Book the transfer as available, unless its payment is blocked; then collect debt."""
    found = await uow.get(Transfer, transfer_id)
    if found.offer_id and await _is_blocked(uow, found.offer_id):
        uow.later(MakeAvailable(transfer_id), at=uow.now + RECHECK_AFTER)
        return
    transfer = await uow.change(
        Transfer,
        transfer_id,
        only_if={"status": TransferStatus.MADE},
        status=TransferStatus.AVAILABLE,
        available_at=uow.now,
    )
    if transfer and not transfer.refill:
        user = transfer.user_id
        arrived_in = await arrival(uow, user, transfer.account_id)
        await ledger.book(
            uow,
            f"transfer:{transfer.id}",
            "transfer_settled",
            transfer.currency,
            [ledger.Posting(ledger.pending(user), arrived_in, transfer.net)],
            users=[user],
            offer_id=transfer.offer_id,
        )
        if arrived_in == ledger.stranded(user):
            return await settle_shortfalls(uow, user, transfer.currency)
        if uow.now - transfer.created_at > NOTIFY_AFTER:
            arrived = f"{display(transfer.net, transfer.currency)} is in your wallet now"
            await notices.notify(
                uow,
                [user],
                "money_arrived",
                arrived,
                "It had been on its way for a while.",
                transfer.id,
                path=WALLET,
            )
        await settle_available(uow, user, transfer.currency, transfer.id)


# -- the receiving account ---------------------------------------------------------------------


async def apply_account(uow: UnitOfWork, account: ConnectAccount) -> None:
    """Store an account's capabilities; send the waiting transfers once it can receive them."""
    if account.closed:
        return await _unlink_closed_account(uow, account)
    user = await store_account_state(uow, account)
    if user:
        await unpark_fitting(uow, user)
    if user and user.transfers_active:
        send_transfers(
            uow, await uow.all(Transfer, {"user_id": user.id, "status": TransferStatus.WAITING})
        )


async def _unlink_closed_account(uow: UnitOfWork, account: ConnectAccount) -> None:
    """Unlink the account from its user. New transfers wait for the next account; an admin settles
    the balance of the closed one, which is stranded."""
    user = await uow.find(User, {"connect_id": account.id})
    if user is None:
        return
    gone = await uow.change(
        User,
        user.id,
        only_if={"connect_id": account.id},
        connect_id=None,
        transfers_active=False,
        payouts_enabled=False,
        payout_currencies=(),
        payout_requirements=(),
        payout_past_due=(),
        payout_deadline=None,
        payout_problem=None,
        payout_agreement="",
        payout_setup=PayoutSetup.NONE,
        payouts_changed_at=uow.now if user.payouts_enabled else user.payouts_changed_at,
        closed_accounts=(*user.closed_accounts, account.id),
    )
    if gone:
        there = (TransferStatus.MADE, TransferStatus.AVAILABLE, TransferStatus.REVERSED)
        unnamed = {"user_id": gone.id, "status": there, "account_id": None}
        await uow.change_all(Transfer, unnamed, account_id=account.id)
        await strand_available(uow, gone.id)
        uow.publish(ACCOUNT_UPDATED, gone, to=[gone.id])
        await notices.notify(
            uow,
            [gone.id],
            "account_closed",
            "Your account at Stripe was closed",
            "What you earn waits until you open another: press “Set up payouts” in your wallet. "
            "Our administrators see to what was in the closed one.",
            gone.id,
            path=WALLET,
        )
        await alert(
            uow,
            "account_closed",
            gone.id,
            "The Stripe account of a contractor was closed. New transfers wait until they open "
            "another. What was available in the wallet is stranded there: settle it in their "
            "wallet, and end the withdrawals that are under way.",
        )


def send_transfers(uow: UnitOfWork, transfers: Iterable[Transfer]) -> None:
    for transfer in transfers:
        uow.later(SendTransfer(transfer.id))


class ReadConnectAccount(Task, frozen=True, tag="read_connect_account"):
    """Read a contractor's account from Stripe and store its state."""

    account_id: str

    async def run(self, ports: Ports) -> None:
        await refresh_account(ports, self.account_id)


async def refresh_account(ports: Ports, account_id: str) -> None:
    """Read and store an account's state until two reads agree.

    Its events come in bursts and are handled at the same time: the last write must not be of an
    outdated read. Raises TryAgain after MAX_READS.
    """
    account = await ports.gateway.account(account_id)
    for _ in range(MAX_READS):
        read = account
        await ports.store.transact(partial(apply_account, account=read))
        account = await ports.gateway.account(account_id)
        if account == read:
            return
    raise TryAgain("the account keeps changing")
