"""Chargebacks: the customer's bank reverses a card payment and later decides who keeps the money.

Stripe debits the platform at once. Until the decision the payment is frozen: none of it can be
completed, refunded or transferred, and the contractor's part of the possible loss is held in their
wallet. If the platform wins, the money is released. If it loses, the loss is divided like a refund.
"""

from functools import partial
from typing import Annotated

import msgspec

from domain import ledger
from domain.deals.chargeback import (
    STATUS_OF_STRIPE,
    UPDATED,
    Chargeback,
    ChargebackStatus,
)
from domain.deals.charges import payment_of_intent
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.chargeback_booking import book_change
from domain.disputes.chargeback_evidence import ChargebackEvidence, EvidenceFiles
from domain.disputes.evidence_files import check_files, upload
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.documents import given
from domain.kernel.errors import DisputeNotOpen, NotFound
from domain.kernel.fields import about
from domain.kernel.money import display
from domain.kernel.record import Page
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import line, prose
from domain.kernel.visibility import visible_to
from domain.ledger.transaction import Transaction
from domain.notifications.alerts import alert
from domain.notifications.refusals import alert_refused
from domain.notifications.templates.refusals import reason_of
from domain.operations.command import Command, Cursor, Id, OptionalReason, PageSize, Style
from domain.operations.limits import MONEY_STEPS
from domain.operations.operation import operation
from domain.operations.post_once import post_repeatable
from domain.operations.task import Task, TryAgain
from domain.payments.settlement_currency import book_conversion
from domain.ports.payment_gateway import CardDispute, GatewayRefused
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal


class List(Command, frozen=True):
    status: Annotated[ChargebackStatus | None, about("Only chargebacks in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


Text = Annotated[str, prose(20_000, least=0)]


class Evidence(Command, frozen=True):
    """Evidence for the bank; `product_description` defaults to the offer's description.

    With `submit` false Stripe saves it as a draft. Evidence can be submitted only once.
    """

    chargeback_id: Annotated[Id, about("The id of the chargeback.")]
    product_description: Annotated[
        Text, about("What was agreed; by default the offer's description.")
    ] = ""
    service_date: Annotated[str, line(40, least=0), about("When the work was done.")] = ""
    refund_refusal_explanation: Annotated[Text, about("Why it is not refunded.")] = ""
    uncategorized_text: Annotated[Text, about("Anything else.")] = ""
    submit: Annotated[bool, about("False saves a draft. Evidence can be submitted only once.")] = (
        True
    )
    files: EvidenceFiles = ()
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
    """Send evidence to the bank. Raises NotFound, DisputeNotOpen, Invalid."""
    chargeback = await uow.get(Chargeback, cmd.chargeback_id)
    if chargeback.status not in (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN):
        raise DisputeNotOpen(status=chargeback.status)
    files = await check_files(uow, chargeback, cmd.files)
    offer = await uow.get(Offer, chargeback.offer_id)
    fields = msgspec.structs.asdict(cmd)
    fields["product_description"] = cmd.product_description or offer.description
    texts = {name: text for name, text in fields.items() if isinstance(text, str) and text}
    texts.pop("chargeback_id")
    texts.pop("reason", None)
    kept = uow.new(
        ChargebackEvidence,
        chargeback_id=chargeback.id,
        by=actor.id,
        submit=cmd.submit,
        files=cmd.files,
        **texts,
    )
    await uow.add(kept)
    uow.later(
        SubmitEvidence(chargeback.id, chargeback.stripe_id, texts, cmd.submit, kept.id, files=files)
    )
    return chargeback


class SubmitEvidence(Task, frozen=True, tag="submit_evidence"):
    """Send evidence to Stripe, and then read the dispute again."""

    chargeback_id: str
    stripe_id: str
    evidence: dict[str, str]
    submit: bool
    id: str
    key: int = 0
    files: dict[str, str] = {}

    async def run(self, ports: Ports) -> None:
        await post_repeatable(
            post=lambda: self._post(ports),
            next_key=msgspec.structs.replace(self, key=self.key + 1),
            refused=lambda refusal: self._refused(ports, refusal),
        )
        await refresh_dispute(ports, self.stripe_id)

    async def _post(self, ports: Ports) -> None:
        key = f"evidence:{self.id}:{self.key}"
        uploaded = await upload(ports, self.files, key)
        await ports.gateway.submit_evidence(
            self.stripe_id, self.evidence | uploaded, key=key, submit=self.submit
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
    await _book_conversions(uow, chargeback, dispute)
    if _is_current(chargeback, dispute):
        return True
    await _book_fee(uow, chargeback, dispute)
    booked = await book_change(uow, chargeback, dispute)
    changed = await _store(uow, booked, dispute)
    uow.publish(
        UPDATED,
        changed,
        to=[changed.customer_id, changed.contractor_id],
        room=role_room(Role.ADMIN),
    )
    if changed.status is not chargeback.status:
        await _alert_status(uow, changed)
    elif changed.withdrawn != chargeback.withdrawn:
        await _alert_amount(uow, changed, chargeback.withdrawn)
    return True


async def _add_inquiry(uow: UnitOfWork, payment: Payment, dispute: CardDispute) -> Chargeback:
    """Add the chargeback as an inquiry that moved nothing; its real state is booked from there."""
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
        withdrawn_amount=0,
        submissions=-1,
        due_by=dispute.due_by,
    )
    await uow.add(inquiry)
    return inquiry


def _is_current(chargeback: Chargeback, dispute: CardDispute) -> bool:
    known = (chargeback.status, chargeback.amount, chargeback.withdrawn_amount)
    reported = (STATUS_OF_STRIPE[dispute.status], dispute.amount, dispute.withdrawn_amount)
    return known == reported and (chargeback.submissions, chargeback.fee_amount) == (
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


async def _book_conversions(uow: UnitOfWork, chargeback: Chargeback, dispute: CardDispute) -> None:
    """Book what Stripe moved in another currency, each line at its own rate. What the rates differ
    by remains on the account `exchange`."""
    conversions = {f"converted:{each.line_id}": each for each in dispute.conversions}
    if not conversions:
        return
    booked = await uow.all(Transaction, {"fact": tuple(f"{fact}:in" for fact in conversions)})
    known = {row.fact for row in booked}
    for fact, converted in conversions.items():
        if f"{fact}:in" not in known:
            await book_conversion(
                uow,
                fact,
                chargeback.currency,
                converted.amount,
                converted.settled_currency,
                converted.settled_amount,
                chargeback.offer_id,
            )


async def _store(uow: UnitOfWork, booked: Chargeback, dispute: CardDispute) -> Chargeback:
    changed = await uow.change(
        Chargeback,
        booked.id,
        status=booked.status,
        amount=dispute.amount,
        submissions=dispute.submissions,
        due_by=dispute.due_by,
        fee_amount=dispute.fee_amount,
        fee_currency=dispute.fee_currency,
        withdrawn_amount=booked.withdrawn_amount,
        contested_amount=booked.contested_amount,
        held_amount=booked.held_amount,
        completed_amount=booked.completed_amount,
        steps=booked.steps,
    )
    assert changed is not None, "a chargeback is never removed"
    return changed


async def _alert_status(uow: UnitOfWork, chargeback: Chargeback) -> None:
    amount = display(chargeback.amount, chargeback.currency)
    taken = ""
    if chargeback.withdrawn not in (0, chargeback.amount):
        taken = f" The bank took {display(chargeback.withdrawn, chargeback.currency)}."
    await alert(
        uow,
        f"chargeback_{chargeback.status}",
        chargeback.id,
        f"The chargeback of {amount} for {chargeback.job_title} is {chargeback.status}.{taken}",
    )


async def _alert_amount(uow: UnitOfWork, chargeback: Chargeback, before: int) -> None:
    """The bank took more for a known chargeback, or gave a part back."""
    more = chargeback.withdrawn - before
    moved = display(abs(more), chargeback.currency)
    done = f"took {moved} more" if more > 0 else f"gave {moved} back"
    left = display(chargeback.withdrawn, chargeback.currency)
    await alert(
        uow,
        "chargeback_amount",
        chargeback.id,
        f"The bank {done} for the chargeback for {chargeback.job_title}: it has {left} now.",
        urgent=more > 0,
    )
