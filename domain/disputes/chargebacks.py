"""Chargebacks: a card's bank takes a payment back, and decides later who keeps the money.

Stripe debits the platform at once. So the payment is frozen: nothing of it is completed, refunded
or transferred, and of what the contractor has received the part that would be lost is held.
Decided for us, all is as before; decided against us, the loss is divided as a refund would be.
"""

from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta as Limits

from domain import ledger
from domain.deals.charges import payment_behind
from domain.deals.offer import (
    Offer,
    OfferStatus,
    change_offer,
    with_completed_within,
    with_milestones,
)
from domain.deals.payment import PAYMENT_UPDATED, Payment
from domain.disputes import resolution
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.errors import DisputeNotOpen
from domain.kernel.money import display
from domain.kernel.outbox import Event
from domain.kernel.record import Index, Page, Record
from domain.kernel.rooms import role_room
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.alerts import alert
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation
from domain.operations.task import Task, TryAgain
from domain.payments.processing import give_up, send_back
from domain.payouts.allocation import rebook
from domain.payouts.reversals import collect_debt
from domain.payouts.transfer import Transfer, TransferStatus
from domain.payouts.transfer_tasks import send
from domain.ports.payment_gateway import CardDispute, GatewayRefused, StaleFailure
from domain.ports.ports import Ports

UPDATED = Event("/payment", "chargeback.updated")


class ChargebackStatus(StrEnum):
    """An `inquiry` has not moved any money (yet); it is `closed` if it never does."""

    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"


FROM_STRIPE = {
    "warning_needs_response": ChargebackStatus.INQUIRY,
    "warning_under_review": ChargebackStatus.INQUIRY,
    "warning_closed": ChargebackStatus.CLOSED,
    "prevented": ChargebackStatus.CLOSED,
    "needs_response": ChargebackStatus.OPEN,
    "under_review": ChargebackStatus.OPEN,
    "won": ChargebackStatus.WON,
    "lost": ChargebackStatus.LOST,
}


class Chargeback(Record, frozen=True):
    """A card dispute. `amount` minor units; `fee_amount` is what Stripe has charged for it.

    `steps` counts the bookings, since banks may change their mind; `completed_amount` is the
    completed work that the loss undid, `held_amount` what is held of the contractor's money.
    `warned_at` says that administrators have heard that evidence is due.
    """

    COLLECTION = "chargebacks"
    PREFIX = "cbk"
    INDEXES = (
        Index((("stripe_id", 1),), unique=True),
        Index((("status", 1), ("_id", -1))),
        Index((("status", 1), ("updated_at", 1))),
        Index((("status", 1), ("due_by", 1), ("warned_at", 1))),
        Index((("customer_id", 1), ("_id", -1))),
        Index((("contractor_id", 1), ("_id", -1))),
        Index((("offer_id", 1),)),
    )
    PRIVATE = frozenset({"steps", "stripe_id", "held_amount", "completed_amount", "warned_at"})

    stripe_id: str
    payment_id: str
    offer_id: str
    job_id: str
    job_title: str
    customer_id: str
    contractor_id: str
    amount: int
    currency: str
    reason: str
    status: ChargebackStatus
    due_by: datetime | None = None
    warned_at: datetime | None = None
    submissions: int = 0
    fee_amount: int = 0
    held_amount: int = 0
    completed_amount: int = 0
    steps: int = 0


class List(Command, frozen=True):
    status: ChargebackStatus | None = None
    cursor: Cursor | None = None
    limit: PageSize = 20


Text = Annotated[str, Limits(max_length=20_000)]


class Evidence(Command, frozen=True):
    """What the bank should know; without `product_description` the offer's text is sent.

    With `submit` false it is only kept at Stripe: it can be submitted once.
    """

    chargeback_id: Id
    product_description: Text = ""
    service_date: Annotated[str, Limits(max_length=40)] = ""
    refund_refusal_explanation: Text = ""
    uncategorized_text: Text = ""
    submit: bool = True


@operation("payment.chargebacks", roles=EVERYONE, style=Style.READ)
async def list_(cmd: List, actor: Actor, uow: UnitOfWork) -> Page:
    """Chargebacks of one's own payments; an admin sees all."""
    where: dict[str, Any] = {
        Role.CUSTOMER: {"customer_id": actor.id},
        Role.CONTRACTOR: {"contractor_id": actor.id},
        Role.ADMIN: {},
    }[actor.role]
    where |= {"status": cmd.status} if cmd.status else {}
    return await uow.page(Chargeback, where, cursor=cmd.cursor, limit=cmd.limit)


@operation("admin.evidence", roles={Role.ADMIN})
async def evidence(cmd: Evidence, actor: Actor, uow: UnitOfWork) -> Chargeback:
    """Answer the bank. Raises NotFound, DisputeNotOpen."""
    found = await uow.get(Chargeback, cmd.chargeback_id)
    if found.status not in (ChargebackStatus.INQUIRY, ChargebackStatus.OPEN):
        raise DisputeNotOpen(status=found.status)
    offer = await uow.get(Offer, found.offer_id)
    given = msgspec.structs.asdict(cmd)
    given["product_description"] = cmd.product_description or offer.description
    texts = {name: text for name, text in given.items() if isinstance(text, str) and text}
    texts.pop("chargeback_id")
    uow.later(Submit(found.id, found.stripe_id, texts, cmd.submit, new_id("evd")))
    return found


class Submit(Task, frozen=True, tag="submit_evidence"):
    """Hand evidence to Stripe."""

    chargeback_id: str
    stripe_id: str
    evidence: dict[str, str]
    submit: bool
    id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        key = f"evidence:{self.id}:{self.key}"
        try:
            await ports.gateway.submit_evidence(
                self.stripe_id, self.evidence, key=key, submit=self.submit
            )
        except StaleFailure as stale:
            again = msgspec.structs.replace(self, key=self.key + 1)
            raise TryAgain(str(stale), again) from stale
        except GatewayRefused as refused:
            reason = str(refused)
            await ports.store.transact(
                lambda uow: alert(
                    uow,
                    "evidence_refused",
                    self.chargeback_id,
                    f"Stripe did not take the evidence: {reason}",
                )
            )
        await reread(ports, self.stripe_id)


class ReadDispute(Task, frozen=True, tag="read_card_dispute"):
    """Read a dispute again."""

    stripe_id: str

    async def run(self, ports: Ports) -> None:
        await reread(ports, self.stripe_id)


# -- facts -----------------------------------------------------------------------------------


async def reread(ports: Ports, stripe_id: str) -> None:
    """Read a dispute from Stripe and take over its state. Banks change their minds: what was read
    before something newer was taken over is old."""
    settled = False
    while not settled:
        known = await ports.store.single().find(Chargeback, {"stripe_id": stripe_id})
        there = await ports.gateway.dispute(stripe_id)
        payment = await payment_behind(ports, there.intent_id) if there.intent_id else None
        if payment is None:
            return
        if not payment.captured_amount:
            raise TryAgain("the capture is not booked yet")
        work = partial(settle_dispute, payment_id=payment.id, there=there, known=known)
        settled = await ports.store.transact(work)


async def settle_dispute(
    uow: UnitOfWork, payment_id: str, there: CardDispute, known: Chargeback | None
) -> bool:
    """Take over what Stripe says; False if there is news since what was `known` when it said so."""
    found = await uow.find(Chargeback, {"stripe_id": there.id})
    if found != known:
        return False
    if found is None:
        found = await _first_seen(uow, await uow.get(Payment, payment_id), there)
    now = FROM_STRIPE[there.status]
    fee = there.fee_amount
    if found.status is now and (found.submissions, found.fee_amount) == (there.submissions, fee):
        return True
    await _book_fee(uow, found, there)
    held, undone, steps = found.held_amount, found.completed_amount, found.steps
    for step in STEPS[found.status, now]:
        steps += 1
        held, undone = await step(uow, found, f"{found.id}#{steps}", held, undone)
    changed = await uow.change(
        Chargeback,
        found.id,
        status=now,
        submissions=there.submissions,
        due_by=there.due_by,
        fee_amount=fee,
        held_amount=held,
        completed_amount=undone,
        steps=steps,
    )
    assert changed is not None, "a chargeback is never removed"
    parties = [changed.customer_id, changed.contractor_id]
    uow.publish(UPDATED, changed, to=parties, room=role_room(Role.ADMIN))
    if found.status is not now:
        amount = display(changed.amount, changed.currency)
        await alert(
            uow,
            f"chargeback_{now}",
            changed.id,
            f"The chargeback of {amount} for {changed.job_title} is {now}.",
        )
    return True


async def _first_seen(uow: UnitOfWork, payment: Payment, there: CardDispute) -> Chargeback:
    """Whatever state it is in by now, it begins as an inquiry and takes its steps from there."""
    offer = await uow.get(Offer, payment.offer_id)
    fresh = uow.new(
        Chargeback,
        stripe_id=there.id,
        payment_id=payment.id,
        offer_id=offer.id,
        job_id=offer.job_id,
        job_title=offer.job_title,
        customer_id=offer.customer_id,
        contractor_id=offer.contractor_id,
        amount=there.amount,
        currency=offer.currency,
        reason=there.reason,
        status=ChargebackStatus.INQUIRY,
        submissions=-1,
        due_by=there.due_by,
    )
    await uow.add(fresh)
    return fresh


async def _book_fee(uow: UnitOfWork, found: Chargeback, there: CardDispute) -> None:
    """Stripe's fee for the dispute, or what it gave back of it."""
    more = there.fee_amount - found.fee_amount
    if more:
        currency = there.fee_currency or found.currency
        deltas = {ledger.PLATFORM: -more, ledger.STRIPE_FEES: more}
        await ledger.book(
            uow,
            f"chargeback_fee:{found.id}:{there.fee_amount}:{found.version}",
            "chargeback_fee",
            currency,
            ledger.flows(deltas),
            offer_id=found.offer_id,
        )


async def _open(
    uow: UnitOfWork, found: Chargeback, fact: str, held: int, undone: int
) -> tuple[int, int]:
    """Stripe has taken the money: freeze what it is about."""
    offer = await _contest(uow, found, found.amount)
    at_risk = offer.holdings.contractor - _after_loss(offer, found.amount)
    of_offer = {"offer_id": offer.id, "status": (*_UNDER_WAY,)}
    under_way = sum(transfer.net for transfer in await uow.all(Transfer, of_offer))
    purse = await ledger.purse_of(uow, offer.contractor_id, offer.currency)
    held = max(0, min(purse.available, at_risk - under_way))
    await ledger.book(
        uow,
        f"chargeback:{fact}",
        "chargeback_opened",
        offer.currency,
        [
            ledger.Posting(ledger.chargeback(found.id), ledger.STRIPE, found.amount),
            ledger.Posting(
                ledger.available(offer.contractor_id), ledger.held(offer.contractor_id), held
            ),
        ],
        users=[offer.contractor_id],
        offer_id=offer.id,
    )
    return held, undone


_UNDER_WAY = (TransferStatus.WAITING, TransferStatus.PARKED, TransferStatus.MADE)


def _after_loss(offer: Offer, amount: int) -> int:
    """The contractor's part, if `amount` is lost."""
    lost = offer.charged_back_amount + amount
    return with_completed_within(offer, charged_back_amount=lost).holdings.contractor


async def _win(
    uow: UnitOfWork, found: Chargeback, fact: str, held: int, undone: int
) -> tuple[int, int]:
    """The money is back at Stripe, and free again."""
    offer = await _contest(uow, found, -found.amount)
    await _release(
        uow,
        found,
        f"chargeback_won:{fact}",
        "chargeback_won",
        held,
        [ledger.Posting(ledger.STRIPE, ledger.chargeback(found.id), found.amount)],
    )
    waiting = {"offer_id": offer.id, "status": TransferStatus.WAITING}
    send(uow, await uow.all(Transfer, waiting))
    if offer.accepted_at is None:
        await send_back(uow, offer.id)
    else:
        await resolution.divide_late_money(uow, offer)
    return 0, undone


async def _lose(
    uow: UnitOfWork, found: Chargeback, fact: str, held: int, undone: int
) -> tuple[int, int]:
    """The customer keeps the money: platform, escrow and contractor bear their parts."""
    await _release(uow, found, f"chargeback_freed:{fact}", "chargeback_freed", held, [])
    before = await _contest(uow, found, -found.amount)
    lost = before.charged_back_amount + found.amount
    completed = with_completed_within(before, charged_back_amount=lost).completed_amount
    after = await change_offer(uow, before, charged_back_amount=lost, completed_amount=completed)
    outside = {ledger.chargeback(found.id): found.amount}
    await rebook(uow, f"chargeback_lost:{fact}", "chargeback_lost", before, after, outside)
    if after.accepted_at is None:
        await give_up(uow, after, OfferStatus.EXPIRED)
    elif after.kept == 0:
        await resolution.end_without_money(uow, after)
    return 0, before.completed_amount - completed


async def _recover(
    uow: UnitOfWork, found: Chargeback, fact: str, held: int, undone: int
) -> tuple[int, int]:
    """The bank has changed its mind after it was lost: undo the loss."""
    before = await _contest(uow, found, found.amount)
    after = await change_offer(
        uow,
        before,
        charged_back_amount=before.charged_back_amount - found.amount,
        completed_amount=before.completed_amount + undone,
    )
    outside = {ledger.chargeback(found.id): -found.amount}
    await rebook(uow, f"chargeback_undone:{fact}", "chargeback_undone", before, after, outside)
    return 0, 0


async def _contest(uow: UnitOfWork, found: Chargeback, amount: int) -> Offer:
    """Change what is in dispute, on the offer and on its payment.

    Meanwhile nobody can answer what was announced to complete by itself: that is done again.
    """
    offer = await uow.get(Offer, found.offer_id)
    everything = range(1, len(offer.milestones) + 1)
    changed = await change_offer(
        uow,
        offer,
        contested_amount=offer.contested_amount + amount,
        milestones=with_milestones(offer, everything, announced_at=None),
    )
    payment = await uow.change(Payment, found.payment_id, disputed_amount=changed.contested_amount)
    if payment:
        uow.publish(PAYMENT_UPDATED, payment, to=payment.audience)
    return changed


async def _release(
    uow: UnitOfWork,
    found: Chargeback,
    fact: str,
    kind: str,
    held: int,
    besides: list[ledger.Posting],
) -> None:
    user = found.contractor_id
    free = ledger.Posting(ledger.held(user), ledger.available(user), held)
    await ledger.book(
        uow, fact, kind, found.currency, [*besides, free], users=[user], offer_id=found.offer_id
    )
    await collect_debt(uow, user, found.currency, fact)


_NONE: tuple[Any, ...] = ()
_ENDS = {
    ChargebackStatus.INQUIRY: _NONE,
    ChargebackStatus.CLOSED: _NONE,
    ChargebackStatus.OPEN: (_open,),
    ChargebackStatus.WON: (_open, _win),
    ChargebackStatus.LOST: (_open, _lose),
}
# From the state that is known to the one that Stripe tells, step by step.
STEPS: dict[tuple[ChargebackStatus, ChargebackStatus], tuple[Any, ...]] = {
    **{(ChargebackStatus.INQUIRY, to): steps for to, steps in _ENDS.items()},
    **{(ChargebackStatus.CLOSED, to): steps for to, steps in _ENDS.items()},
    **{
        (ChargebackStatus.OPEN, to): (_win,)
        for to in (ChargebackStatus.WON, ChargebackStatus.CLOSED, ChargebackStatus.INQUIRY)
    },
    (ChargebackStatus.OPEN, ChargebackStatus.OPEN): (),
    (ChargebackStatus.OPEN, ChargebackStatus.LOST): (_lose,),
    **{(ChargebackStatus.WON, to): steps for to, steps in _ENDS.items()},
    (ChargebackStatus.WON, ChargebackStatus.WON): (),
    **{
        (ChargebackStatus.LOST, to): (_recover, *more)
        for to, more in (
            (ChargebackStatus.OPEN, ()),
            (ChargebackStatus.WON, (_win,)),
            (ChargebackStatus.CLOSED, (_win,)),
            (ChargebackStatus.INQUIRY, (_win,)),
        )
    },
    (ChargebackStatus.LOST, ChargebackStatus.LOST): (),
}
