"""The end of a job: completed and paid out, or cancelled and refunded."""

from datetime import timedelta
from typing import Any

import msgspec

from domain import ledger
from domain.accounts import User, settle_account
from domain.deal import Offer, Payment, Transfer, TransferStatus
from domain.errors import DisputeRequired, JobNotInProgress, JobNotOpen, JobTaken
from domain.jobs import Job, JobStatus, announce
from domain.money import CURRENCIES
from domain.operation import Actor, Command, Id, Role, operation
from domain.outbox import Task, TryAgain
from domain.ports import KEY_LIFE, ConnectAccount, GatewayRefused, Ports, Settled, StaleFailure
from domain.refunds import Refund
from domain.settlement import BlockRivals, Inspect
from domain.store import UnitOfWork

T = TransferStatus
LOOK_AGAIN = timedelta(minutes=10)
READINGS = 5


class ById(Command, frozen=True):
    job_id: Id


class Split(msgspec.Struct, frozen=True):
    """How an offer's captured `amount` was divided, in minor units."""

    currency: str
    amount: int
    platform_amount: int
    contractor_amount: int


class Completed(msgspec.Struct, frozen=True):
    job: Job
    split: Split


@operation("job.complete", roles={Role.CUSTOMER})
async def complete(cmd: ById, actor: Actor, uow: UnitOfWork) -> Completed:
    """Approve the work: the service fee and the contractor's part leave escrow, and are sent.

    Raises NotFound, JobNotInProgress.
    """
    job = await uow.change(
        Job, cmd.job_id, only_if={"customer_id": actor.id, "status": JobStatus.IN_PROGRESS},
        status=JobStatus.COMPLETED, completed_at=uow.now,
    )  # fmt: skip
    if job is None:
        raise JobNotInProgress(status=(await uow.get(Job, cmd.job_id, customer_id=actor.id)).status)
    assert job.offer_id, "a job in progress has an accepted offer"
    before = await uow.get(Offer, job.offer_id)
    kept = before.captured_amount - before.refunded_amount
    share = msgspec.structs.replace(before, completed_amount=kept).holdings.contractor
    sent = await _transferable(uow, before, share, kept)
    offer = await uow.change(
        Offer, before.id, only_if={"completed_amount": 0}, completed_amount=kept,
        transfers=(Transfer(sent, uow.now),),
    )  # fmt: skip
    assert offer is not None, "an offer is completed once, with its job"
    await ledger.book(
        uow, f"complete:{offer.id}#1", "completed", offer.currency, _earned(before, offer),
        users=[offer.customer_id, offer.contractor_id], offer_id=offer.id,
    )  # fmt: skip
    uow.later(PayContractor(offer.id, 1))
    announce(uow, job)
    return Completed(job, Split(offer.currency, kept, offer.holdings.platform, share))


def _earned(before: Offer, after: Offer) -> list[ledger.Posting]:
    """The difference of the holdings, as postings."""
    return ledger.flows({
        ledger.escrow(after.id): after.holdings.escrow - before.holdings.escrow,
        ledger.PLATFORM: after.holdings.platform - before.holdings.platform,
        ledger.pending(after.contractor_id):
            after.holdings.contractor - before.holdings.contractor,
    })  # fmt: skip


async def _transferable(uow: UnitOfWork, offer: Offer, share: int, kept: int) -> int:
    """The share in Stripe's steps, with what earlier shares left in pending for being less.

    A fee may leave a share of 147 fils where Stripe moves tens; the 7 go with the next transfer.
    """
    step = CURRENCIES[offer.currency].step
    left = (await ledger.purse_of(uow, offer.contractor_id, offer.currency)).pending % step
    return min(share + left, kept) // step * step


@operation("job.cancel", roles={Role.CUSTOMER})
async def cancel(cmd: ById, actor: Actor, uow: UnitOfWork) -> Job:
    """Cancel before work begins; what was paid goes back in full, the platform fee included.

    Raises NotFound, JobTaken, JobNotOpen, DisputeRequired.
    """
    before = await uow.get(Job, cmd.job_id, customer_id=actor.id)
    if before.status is JobStatus.IN_PROGRESS:
        raise DisputeRequired
    job = await uow.change(
        Job, before.id,
        only_if={"status": (JobStatus.OPEN, JobStatus.ASSIGNED), "accepting_offer_id": None},
        status=JobStatus.CANCELLED, cancelled_at=uow.now,
    )  # fmt: skip
    if job is None:
        raise JobTaken if before.accepting_offer_id else JobNotOpen(status=before.status)
    if job.offer_id:
        offer = await uow.get(Offer, job.offer_id)
        kept = offer.captured_amount - offer.refunded_amount
        uow.later(Refund(offer.payment_id, kept, "cancel"))
    uow.later(BlockRivals(job.id))
    announce(uow, job, market=before.status is JobStatus.OPEN)
    return job


# -- the contractor's part on its way ----------------------------------------------------------


class PayContractor(Task, frozen=True):
    """Transfer the share of completion `number`; without active transfers it waits in pending."""

    offer_id: str
    number: int

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        offer = await uow.get(Offer, self.offer_id)
        transfer = offer.transfers[self.number - 1]
        if transfer.status is not T.WAITING or not transfer.amount:
            return
        account_id = await self._ready_account(ports, offer.contractor_id)
        if account_id is None:
            # `account_changed` sends it at once when Stripe says so; this makes certain
            raise TryAgain("transfers are not active yet", at=ports.clock.now() + LOOK_AGAIN)
        made = await self._transfer(ports, offer, transfer, account_id)
        await ports.store.transact(lambda uow: transferred(uow, self.offer_id, self.number, made))

    async def _ready_account(self, ports: Ports, user_id: str) -> str | None:
        user = await ports.store.single().get(User, user_id)
        if user.connect_id is None:
            return None
        if not user.transfers_active:
            await read_account(ports, user.connect_id)
            user = await ports.store.single().get(User, user_id)
        return user.connect_id if user.transfers_active else None

    async def _transfer(
        self, ports: Ports, offer: Offer, transfer: Transfer, account_id: str
    ) -> Settled:
        fact = f"{offer.id}#{self.number}"
        payment = await ports.store.single().get(Payment, offer.payment_id)
        if transfer.key or ports.clock.now() - transfer.asked_at > KEY_LIFE:
            there = await ports.gateway.find_transfer(offer.id, fact)
            if there:
                return there
        assert payment.charge_id, "a completed offer was captured"
        try:
            return await ports.gateway.transfer(
                key=f"transfer:{fact}:{transfer.key}", amount=transfer.amount,
                currency=offer.currency, account_id=account_id, charge_id=payment.charge_id,
                group=offer.id, metadata={"fact": fact, "offer_id": offer.id},
            )  # fmt: skip
        except (StaleFailure, GatewayRefused) as failed:
            await self._take_next_key(ports, transfer.key)
            await read_account(ports, account_id)
            later = ports.clock.now() + LOOK_AGAIN if isinstance(failed, GatewayRefused) else None
            raise TryAgain(str(failed), at=later) from failed

    async def _take_next_key(self, ports: Ports, used: int) -> None:
        """Kept with the offer, since several tasks may try; the old key would repeat its no."""
        place = f"transfers.{self.number - 1}.key"
        await ports.store.single().change(
            Offer, self.offer_id, only_if={place: used}, inc={place: 1}
        )


class MakeAvailable(Task, frozen=True):
    """Runs when the charge's funds have become available at Stripe."""

    offer_id: str
    number: int

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        offer = await uow.get(Offer, self.offer_id)
        payment = await uow.get(Payment, offer.payment_id)
        if payment.available_on is None:
            await Inspect(payment.id).run(ports)
            payment = await uow.get(Payment, offer.payment_id)
        if payment.available_on is None:
            raise TryAgain("Stripe has not said when", at=ports.clock.now() + LOOK_AGAIN)
        if payment.available_on > ports.clock.now():
            raise TryAgain("not available yet", at=payment.available_on)
        await ports.store.transact(lambda uow: make_available(uow, self.offer_id, self.number))


async def transferred(uow: UnitOfWork, offer_id: str, number: int, made: Settled) -> None:
    """Stripe has the transfer; the money is available once the charge's is."""
    place = f"transfers.{number - 1}"
    offer = await uow.change(
        Offer, offer_id, only_if={f"{place}.status": T.WAITING},
        **_fields({f"{place}.status": T.MADE, f"{place}.stripe_id": made.id}),
    )  # fmt: skip
    if offer is None:
        return
    payment = await uow.get(Payment, offer.payment_id)
    if payment.available_on and payment.available_on <= uow.now:
        await make_available(uow, offer.id, number)
    else:
        uow.later(MakeAvailable(offer.id, number), at=payment.available_on)


async def make_available(uow: UnitOfWork, offer_id: str, number: int) -> None:
    place = f"transfers.{number - 1}"
    offer = await uow.change(
        Offer, offer_id, only_if={f"{place}.status": T.MADE},
        **_fields({f"{place}.status": T.AVAILABLE}),
    )  # fmt: skip
    if offer:
        user = offer.contractor_id
        amount = offer.transfers[number - 1].amount
        await ledger.book(
            uow, f"transfer:{offer.id}#{number}", "transfer_settled", offer.currency,
            [ledger.Posting(ledger.pending(user), ledger.available(user), amount)],
            users=[user], offer_id=offer.id,
        )  # fmt: skip


def _fields(paths: dict[str, Any]) -> Any:
    """Fields within a list have names that no keyword can spell."""
    return paths


async def account_changed(uow: UnitOfWork, account: ConnectAccount) -> None:
    """Take over what a contractor's account may do; waiting transfers go when they may."""
    user = await settle_account(uow, account)
    if user is None or not user.transfers_active:
        return
    waiting = {"contractor_id": user.id, "transfers.status": T.WAITING}
    for offer in await uow.all(Offer, waiting):
        for number, transfer in enumerate(offer.transfers, 1):
            if transfer.status is T.WAITING:
                uow.later(PayContractor(offer.id, number))


async def read_account(ports: Ports, account_id: str) -> None:
    """Take over an account's state, until what is kept is what Stripe says.

    Its events come in bursts: a stale reading must not be the last word.
    """
    account = await ports.gateway.account(account_id)
    for _ in range(READINGS):
        read = account
        await ports.store.transact(lambda uow, read=read: account_changed(uow, read))  # type: ignore[misc]
        account = await ports.gateway.account(account_id)
        if account == read:
            return
    raise TryAgain("the account keeps changing")
