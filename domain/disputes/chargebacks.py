"""Chargebacks: the customer's bank reverses a card payment and later decides who keeps the money.

Stripe debits the platform at once. Until the decision the payment is frozen: none of it can be
completed, refunded or transferred, and the contractor's part of the possible loss is held in their
wallet. If the platform wins, the money is released. If it loses, the loss is divided like a refund.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain import ledger
from domain.deals.charges import payment_of_intent
from domain.deals.offer import (
    Offer,
    OfferStatus,
    change_offer,
    with_completed_capped,
    with_milestones,
)
from domain.deals.payment import PAYMENT_UPDATED, Payment
from domain.disputes import resolution
from domain.disputes.chargeback import (
    STATUS_OF_STRIPE,
    UPDATED,
    Chargeback,
    ChargebackStatus,
)
from domain.disputes.chargeback_evidence import ChargebackEvidence
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import DisputeNotOpen, NotFound
from domain.kernel.fields import about
from domain.kernel.money import display
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.kernel.visibility import visible_to
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused
from domain.notifications.templates.refusals import reason_of
from domain.operations.command import Command, Cursor, Id, OptionalReason, PageSize, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.operations.post_once import post_repeatable
from domain.operations.task import Task, TryAgain
from domain.payments.processing import fail_offer, refund_unaccepted
from domain.payouts.allocation import rebook
from domain.payouts.reversals import collect_debt
from domain.payouts.transfer import Transfer, TransferStatus
from domain.payouts.transfer_tasks import send_transfers
from domain.ports.payment_gateway import CardDispute, GatewayRefused
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal

TRANSFER_UNDER_WAY = (TransferStatus.WAITING, TransferStatus.PARKED, TransferStatus.MADE)


class List(Command, frozen=True):
    status: Annotated[ChargebackStatus | None, about("Only chargebacks in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


Text = Annotated[str, Limits(max_length=20_000)]


class Evidence(Command, frozen=True):
    """Evidence for the bank; `product_description` defaults to the offer's description.

    With `submit` false Stripe saves it as a draft. Evidence can be submitted only once.
    """

    chargeback_id: Annotated[Id, about("The id of the chargeback.")]
    product_description: Annotated[
        Text, about("What was agreed; by default the offer's description.")
    ] = ""
    service_date: Annotated[str, Limits(max_length=40), about("When the work was done.")] = ""
    refund_refusal_explanation: Annotated[Text, about("Why it is not refunded.")] = ""
    uncategorized_text: Annotated[Text, about("Anything else.")] = ""
    submit: Annotated[bool, about("False saves a draft. Evidence can be submitted only once.")] = (
        True
    )
    reason: OptionalReason = None


@operation("payment.chargebacks", roles=EVERYONE, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page[Chargeback]:
    """List the chargebacks of the actor's own payments, or all for an administrator."""
    where = visible_to(actor, Chargeback) | given(status=cmd.status)
    return await uow.page(Chargeback, where, cursor=cmd.cursor, limit=cmd.limit)


@operation(
    "admin.evidence", roles={Role.ADMIN}, limits=(MONEY_STEPS,), errors=(DisputeNotOpen, NotFound)
)
async def evidence(cmd: Evidence, actor: Actor, uow: UnitOfWork) -> Chargeback:
    """Send evidence to the bank. Raises NotFound, DisputeNotOpen."""
    chargeback = await uow.get(Chargeback, cmd.chargeback_id)
    if chargeback.status not in (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN):
        raise DisputeNotOpen(status=chargeback.status)
    offer = await uow.get(Offer, chargeback.offer_id)
    fields = msgspec.structs.asdict(cmd)
    fields["product_description"] = cmd.product_description or offer.description
    texts = {name: text for name, text in fields.items() if isinstance(text, str) and text}
    texts.pop("chargeback_id")
    texts.pop("reason", None)
    kept = uow.new(
        ChargebackEvidence, chargeback_id=chargeback.id, by=actor.id, submit=cmd.submit, **texts
    )
    await uow.add(kept)
    uow.later(SubmitEvidence(chargeback.id, chargeback.stripe_id, texts, cmd.submit, kept.id))
    return chargeback


class SubmitEvidence(Task, frozen=True, tag="submit_evidence"):
    """Send evidence to Stripe, and then read the dispute again."""

    chargeback_id: str
    stripe_id: str
    evidence: dict[str, str]
    submit: bool
    id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        await post_repeatable(
            post=lambda: self._post(ports),
            next_key=msgspec.structs.replace(self, key=self.key + 1),
            refused=lambda refusal: self._refused(ports, refusal),
        )
        await refresh_dispute(ports, self.stripe_id)

    async def _post(self, ports: Ports) -> None:
        key = f"evidence:{self.id}:{self.key}"
        await ports.gateway.submit_evidence(
            self.stripe_id, self.evidence, key=key, submit=self.submit
        )

    async def _refused(self, ports: Ports, refused: GatewayRefused) -> None:
        await ports.store.transact(lambda uow: self._store_refusal(uow, refused.refusal))

    async def _store_refusal(self, uow: UnitOfWork, refusal: Refusal) -> None:
        await uow.change(ChargebackEvidence, self.id, refusal=reason_of(refusal.code))
        what = "The bank did not get the evidence that was written"
        next_step = "Send it again, changed if necessary"
        await alert_refused(uow, "evidence_refused", self.chargeback_id, refusal, what, next_step)


class ReadDispute(Task, frozen=True, tag="read_card_dispute"):
    """Read a dispute from Stripe and take over its state."""

    stripe_id: str

    async def run(self, ports: Ports) -> None:
        await refresh_dispute(ports, self.stripe_id)


# -- taking over what Stripe reports ----------------------------------------------------------


async def refresh_dispute(ports: Ports, stripe_id: str) -> bool:
    """Read a dispute from Stripe and take over its state; False if it is of no payment of ours.

    If another process changed the chargeback after it was read here, Stripe's answer may be older
    than that change, and both are read again. A bank may change its decision in either direction,
    so the status alone does not show which answer is newer.
    """
    settled = False
    while not settled:
        known = await ports.store.single().find(Chargeback, {"stripe_id": stripe_id})
        dispute = await ports.gateway.dispute(stripe_id)
        payment = await payment_of_intent(ports, dispute.intent_id) if dispute.intent_id else None
        if payment is None:
            return False
        if not payment.captured_amount:
            raise TryAgain("the capture is not booked yet")
        settled = await ports.store.transact(
            partial(settle_dispute, payment_id=payment.id, dispute=dispute, known=known)
        )
    return True


async def settle_dispute(
    uow: UnitOfWork, payment_id: str, dispute: CardDispute, known: Chargeback | None
) -> bool:
    """Take over the state of a dispute; False if its chargeback is no longer as `known`."""
    chargeback = await uow.find(Chargeback, {"stripe_id": dispute.id})
    if chargeback != known:
        return False
    if chargeback is None:
        chargeback = await _add_inquiry(uow, await uow.get(Payment, payment_id), dispute)
    if _is_current(chargeback, dispute):
        return True
    await _book_fee(uow, chargeback, dispute)
    booked = await _book_steps(uow, chargeback, STATUS_OF_STRIPE[dispute.status])
    changed = await _store(uow, booked, dispute)
    uow.publish(
        UPDATED,
        changed,
        to=[changed.customer_id, changed.contractor_id],
        room=role_room(Role.ADMIN),
    )
    if changed.status is not chargeback.status:
        await _alert_status(uow, changed)
    return True


async def _add_inquiry(uow: UnitOfWork, payment: Payment, dispute: CardDispute) -> Chargeback:
    """Add the chargeback as an inquiry; the booking steps lead from there to its real state."""
    offer = await uow.get(Offer, payment.offer_id)
    inquiry = uow.new(
        Chargeback,
        stripe_id=dispute.id,
        payment_id=payment.id,
        offer_id=offer.id,
        job_id=offer.job_id,
        job_title=offer.job_title,
        customer_id=offer.customer_id,
        contractor_id=offer.contractor_id,
        amount=dispute.amount,
        currency=offer.currency,
        reason=dispute.reason,
        status=ChargebackStatus.INQUIRY,
        submissions=-1,
        due_by=dispute.due_by,
    )
    await uow.add(inquiry)
    return inquiry


def _is_current(chargeback: Chargeback, dispute: CardDispute) -> bool:
    return (chargeback.status, chargeback.submissions, chargeback.fee_amount) == (
        STATUS_OF_STRIPE[dispute.status],
        dispute.submissions,
        dispute.fee_amount,
    )


async def _book_fee(uow: UnitOfWork, chargeback: Chargeback, dispute: CardDispute) -> None:
    """Book a change of Stripe's fee for the dispute: a charge or a refund of it."""
    more = dispute.fee_amount - chargeback.fee_amount
    if more:
        currency = dispute.fee_currency or chargeback.currency
        deltas = {ledger.PLATFORM: -more, ledger.STRIPE_FEES: more}
        await ledger.book(
            uow,
            f"chargeback_fee:{chargeback.id}:{dispute.fee_amount}:{chargeback.version}",
            "chargeback_fee",
            currency,
            ledger.postings_for(deltas),
            offer_id=chargeback.offer_id,
        )


async def _book_steps(
    uow: UnitOfWork, chargeback: Chargeback, status: ChargebackStatus
) -> Chargeback:
    """Book every step from the known status to `status`."""
    for step in STEPS[chargeback.status, status]:
        chargeback = msgspec.structs.replace(chargeback, steps=chargeback.steps + 1)
        chargeback = await step(uow, chargeback, f"{chargeback.id}#{chargeback.steps}")
    return msgspec.structs.replace(chargeback, status=status)


async def _store(uow: UnitOfWork, booked: Chargeback, dispute: CardDispute) -> Chargeback:
    changed = await uow.change(
        Chargeback,
        booked.id,
        status=booked.status,
        submissions=dispute.submissions,
        due_by=dispute.due_by,
        fee_amount=dispute.fee_amount,
        held_amount=booked.held_amount,
        completed_amount=booked.completed_amount,
        steps=booked.steps,
    )
    assert changed is not None, "a chargeback is never removed"
    return changed


async def _alert_status(uow: UnitOfWork, chargeback: Chargeback) -> None:
    amount = display(chargeback.amount, chargeback.currency)
    await alert(
        uow,
        f"chargeback_{chargeback.status}",
        chargeback.id,
        f"The chargeback of {amount} for {chargeback.job_title} is {chargeback.status}.",
    )


# -- booking steps: each returns the chargeback with the amounts that it changed ----------------


async def _book_opened(uow: UnitOfWork, chargeback: Chargeback, fact: str) -> Chargeback:
    """Stripe withdrew the money: freeze the payment and hold the contractor's part of the loss."""
    offer = await _change_contested_amount(uow, chargeback, chargeback.amount)
    held = await _amount_to_hold(uow, chargeback, offer)
    user = offer.contractor_id
    await ledger.book(
        uow,
        f"chargeback:{fact}",
        "chargeback_opened",
        offer.currency,
        [
            ledger.Posting(ledger.chargeback(chargeback.id), ledger.STRIPE, chargeback.amount),
            ledger.Posting(ledger.available(user), ledger.held(user), held),
        ],
        users=[user],
        offer_id=offer.id,
    )
    return msgspec.structs.replace(chargeback, held_amount=held)


async def _amount_to_hold(uow: UnitOfWork, chargeback: Chargeback, offer: Offer) -> int:
    """The contractor's part of the loss, without what is in transfer and what is not available."""
    lost = offer.charged_back_amount + chargeback.amount
    after_loss = with_completed_capped(offer, charged_back_amount=lost)
    at_risk = offer.holdings.contractor - after_loss.holdings.contractor
    in_transfer = {"offer_id": offer.id, "status": TRANSFER_UNDER_WAY}
    transferring = sum(transfer.net for transfer in await uow.all(Transfer, in_transfer))
    wallet = await ledger.wallet_of(uow, offer.contractor_id, offer.currency)
    return max(0, min(wallet.available, at_risk - transferring))


async def _book_won(uow: UnitOfWork, chargeback: Chargeback, fact: str) -> Chargeback:
    """Stripe returned the money: release it and continue what waited for the decision."""
    offer = await _change_contested_amount(uow, chargeback, -chargeback.amount)
    returned = ledger.Posting(ledger.STRIPE, ledger.chargeback(chargeback.id), chargeback.amount)
    await _release_hold(uow, chargeback, f"chargeback_won:{fact}", "chargeback_won", [returned])
    waiting = {"offer_id": offer.id, "status": TransferStatus.WAITING}
    send_transfers(uow, await uow.all(Transfer, waiting))
    if offer.accepted_at is None:
        await refund_unaccepted(uow, offer.id)
    else:
        await resolution.dispute_recovered_money(uow, offer)
    return msgspec.structs.replace(chargeback, held_amount=0)


async def _book_lost(uow: UnitOfWork, chargeback: Chargeback, fact: str) -> Chargeback:
    """The customer keeps the money: divide the loss between platform, escrow and contractor."""
    await _release_hold(uow, chargeback, f"chargeback_freed:{fact}", "chargeback_freed", [])
    before = await _change_contested_amount(uow, chargeback, -chargeback.amount)
    lost = before.charged_back_amount + chargeback.amount
    completed = with_completed_capped(before, charged_back_amount=lost).completed_amount
    after = await change_offer(uow, before, charged_back_amount=lost, completed_amount=completed)
    outside = {ledger.chargeback(chargeback.id): chargeback.amount}
    await rebook(uow, f"chargeback_lost:{fact}", "chargeback_lost", before, after, outside)
    if after.accepted_at is None:
        await fail_offer(uow, after, OfferStatus.EXPIRED)
    elif after.net_amount == 0:
        await resolution.end_after_full_loss(uow, after)
    undone = before.completed_amount - completed
    return msgspec.structs.replace(chargeback, held_amount=0, completed_amount=undone)


async def _book_recovered(uow: UnitOfWork, chargeback: Chargeback, fact: str) -> Chargeback:
    """The bank reversed its decision after a loss: undo the loss; the money is contested again."""
    before = await _change_contested_amount(uow, chargeback, chargeback.amount)
    after = await change_offer(
        uow,
        before,
        charged_back_amount=before.charged_back_amount - chargeback.amount,
        completed_amount=before.completed_amount + chargeback.completed_amount,
    )
    outside = {ledger.chargeback(chargeback.id): -chargeback.amount}
    await rebook(uow, f"chargeback_undone:{fact}", "chargeback_undone", before, after, outside)
    return msgspec.structs.replace(chargeback, held_amount=0, completed_amount=0)


async def _change_contested_amount(uow: UnitOfWork, chargeback: Chargeback, amount: int) -> Offer:
    """Add `amount` to what is contested, on the offer and on its payment.

    While the money is contested the customer cannot object to an automatic completion. So
    announcements that were made are reset, and are made again later.
    """
    offer = await uow.get(Offer, chargeback.offer_id)
    everything = range(1, len(offer.milestones) + 1)
    changed = await change_offer(
        uow,
        offer,
        contested_amount=offer.contested_amount + amount,
        milestones=with_milestones(offer, everything, announced_at=None),
    )
    payment = await uow.change(
        Payment, chargeback.payment_id, disputed_amount=changed.contested_amount
    )
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
    return changed


async def _release_hold(
    uow: UnitOfWork,
    chargeback: Chargeback,
    fact: str,
    kind: str,
    other_postings: list[ledger.Posting],
) -> None:
    """Book the contractor's held money as available again, and collect their debt from it."""
    user = chargeback.contractor_id
    release = ledger.Posting(ledger.held(user), ledger.available(user), chargeback.held_amount)
    await ledger.book(
        uow,
        fact,
        kind,
        chargeback.currency,
        [*other_postings, release],
        users=[user],
        offer_id=chargeback.offer_id,
    )
    await collect_debt(uow, user, chargeback.currency, fact)


Step = Callable[[UnitOfWork, Chargeback, str], Awaitable[Chargeback]]

_STEPS_FROM_NO_MONEY: dict[ChargebackStatus, tuple[Step, ...]] = {
    ChargebackStatus.INQUIRY: (),
    ChargebackStatus.CLOSED: (),
    ChargebackStatus.OPEN: (_book_opened,),
    ChargebackStatus.WON: (_book_opened, _book_won),
    ChargebackStatus.LOST: (_book_opened, _book_lost),
}
# The booking steps from the known status to the one that Stripe reports.
STEPS: dict[tuple[ChargebackStatus, ChargebackStatus], tuple[Step, ...]] = {
    **{(ChargebackStatus.INQUIRY, to): steps for to, steps in _STEPS_FROM_NO_MONEY.items()},
    **{(ChargebackStatus.CLOSED, to): steps for to, steps in _STEPS_FROM_NO_MONEY.items()},
    **{
        (ChargebackStatus.OPEN, to): (_book_won,)
        for to in (ChargebackStatus.WON, ChargebackStatus.CLOSED, ChargebackStatus.INQUIRY)
    },
    (ChargebackStatus.OPEN, ChargebackStatus.OPEN): (),
    (ChargebackStatus.OPEN, ChargebackStatus.LOST): (_book_lost,),
    **{(ChargebackStatus.WON, to): steps for to, steps in _STEPS_FROM_NO_MONEY.items()},
    (ChargebackStatus.WON, ChargebackStatus.WON): (),
    **{
        (ChargebackStatus.LOST, to): (_book_recovered, *more)
        for to, more in (
            (ChargebackStatus.OPEN, ()),
            (ChargebackStatus.WON, (_book_won,)),
            (ChargebackStatus.CLOSED, (_book_won,)),
            (ChargebackStatus.INQUIRY, (_book_won,)),
        )
    },
    (ChargebackStatus.LOST, ChargebackStatus.LOST): (),
}
