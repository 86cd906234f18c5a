"""Stripe's events: stored once by their id, then worked on from the queue in any order.

An event only says where to look: the object is read from Stripe again, so duplicates and
reordering have one effect. Events that only repeat what another one says are kept, not worked on:
six come with every deal, and each costs a request and a transaction.
"""

from datetime import timedelta
from typing import Any

from domain import chargebacks, refunds, shares
from domain.deal import Payment, PaymentStatus
from domain.outbox import Task
from domain.ports import Intent, Ports
from domain.record import Index, Record
from domain.sending import read_account
from domain.settlement import apply
from domain.store import Duplicate, UnitOfWork
from domain.wallets import Withdrawal, settle_withdrawal

P = PaymentStatus

KEPT = timedelta(days=90)
OWN_TASK_SECONDS = 2
REPEATS = frozenset(
    {"charge.captured", "charge.failed", "charge.succeeded", "payment_intent.created",
     "transfer.created"}
)  # fmt: skip
ACCOUNT_NEWS = ("account.updated", "capability.updated", "account.application.deauthorized")
KNOWN = {
    "requires_capture": (P.AUTHORIZED, P.CAPTURING),
    "succeeded": (P.CAPTURED, P.PARTIALLY_REFUNDED, P.REFUNDED),
    "canceled": (P.CANCELED,),
}


class WebhookEvent(Record, frozen=True):
    """A verified event; its id is Stripe's. `account` is the connected account it is about."""

    COLLECTION = "webhook_events"
    PREFIX = "evt"
    INDEXES = (Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),)

    type: str
    account: str | None
    object_type: str
    object_id: str
    intent_id: str | None = None
    payment_id: str | None = None
    done: bool = False


async def receive(ports: Ports, event: dict[str, Any]) -> bool:
    """Keep a verified event and queue it; False if it was received before."""
    thing = event["data"]["object"]
    metadata = thing.get("metadata") or {}
    kind = thing["object"]
    intent = thing["id"] if kind == "payment_intent" else thing.get("payment_intent")
    repeats = event["type"] in REPEATS

    async def store(uow: UnitOfWork) -> None:
        await uow.add(
            WebhookEvent(
                id=event["id"], created_at=uow.now, updated_at=uow.now, type=event["type"],
                account=event.get("account"), object_type=kind, object_id=thing.get("id") or "",
                intent_id=intent if isinstance(intent, str) else None,
                payment_id=metadata.get("payment_id"), done=repeats,
            )
        )  # fmt: skip
        if not repeats:
            uow.later(Process(event["id"]))

    try:
        await ports.store.transact(store)
    except Duplicate:
        return False
    return True


class Process(Task, frozen=True):
    """Re-read the object that an event is about and take over its state."""

    event_id: str

    async def run(self, ports: Ports) -> None:
        uow = ports.store.single()
        event = await uow.get(WebhookEvent, self.event_id)
        if event.object_type == "dispute":
            await chargebacks.reread(ports, event.object_id)
        elif event.object_type == "transfer":
            await shares.reread(ports, event.object_id)
        elif event.intent_id and not event.account:
            await self._payment(ports, event)
        elif event.type in ACCOUNT_NEWS:
            await read_account(ports, event.account or event.object_id)
        elif event.object_type == "payout" and event.account:
            await self._payout(ports, event.account, event.object_id)
        await uow.change(WebhookEvent, event.id, done=True)

    async def _payment(self, ports: Ports, event: WebhookEvent) -> None:
        assert event.intent_id
        uow = ports.store.single()
        payment = await uow.find(Payment, {"intent_id": event.intent_id})
        if payment is None and event.payment_id:
            payment = await uow.find(Payment, {"_id": event.payment_id})
        if payment is None:
            return
        # Mostly it tells what our own task is just being answered: let that one go first.
        await ports.waiter.settled(payment.id, OWN_TASK_SECONDS)
        payment = await uow.get(Payment, payment.id)
        intent = await ports.gateway.intent(event.intent_id)
        if payment.intent_id not in (None, intent.id):
            return await _release_stray(ports, intent)
        known = payment.available_on or intent.status != "succeeded"
        if not known or payment.status not in KNOWN.get(intent.status, ()):
            await apply(ports, payment.id, intent)
        if event.object_type == "refund" or event.type == "charge.refunded":
            await refunds.reread(ports, payment.id)

    async def _payout(self, ports: Ports, account: str, payout_id: str) -> None:
        uow = ports.store.single()
        state = await ports.gateway.payout_state(account, payout_id)
        withdrawal = await uow.find(Withdrawal, {"payout_id": payout_id})
        if withdrawal is None and (id := state.metadata.get("withdrawal_id")):
            withdrawal = await uow.find(Withdrawal, {"_id": id, "account_id": account})
        if withdrawal:
            found = withdrawal.id
            await ports.store.transact(lambda uow: settle_withdrawal(uow, found, state))


async def _release_stray(ports: Ports, intent: Intent) -> None:
    """A second hold of one payment, made when the first answer was lost: only one may stay."""
    if intent.status not in ("canceled", "succeeded"):
        await ports.gateway.cancel(intent.id, key=f"stray:{intent.id}:0")
