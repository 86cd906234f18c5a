"""Stripe's lines against our journal: each line of its books of our balance is one of ours.

What is the platform's own affair with Stripe (fees that come alone, payouts of what it has earned,
top-ups) has no other source, and is booked from there. For what our journal lacks the object is
read again, so that the next comparison finds it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from domain import ledger
from domain.deals.payment import Payment
from domain.disputes.chargebacks import STATUS_OF_STRIPE, Chargeback, ReadDispute
from domain.kernel.record import Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.ledger.transaction import Transaction
from domain.operations.task import Task
from domain.payments.processing import ReadPayment
from domain.payments.refunds import read_refunds
from domain.payouts.transfer import Reversal, Transfer
from domain.ports.payment_gateway import CardDispute, Entry, GatewayRefused
from domain.ports.ports import Ports
from domain.reconciliation.difference import Difference

R = TypeVar("R", bound=Record)

SHOWN = 200


class Found(msgspec.Struct):
    """What a comparison has come upon: how many lines of each type, the first differences, and
    how many lines it has booked, or would book (`unbooked`) if it were to mend anything."""

    compared: dict[str, int]
    differences: list[Difference]
    mends: bool = True
    count: int = 0
    booked: int = 0
    unbooked: int = 0

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> bool:
        """Whether they agree; only the first differences are kept."""
        if expected != found:
            self.count += 1
            if len(self.differences) < SHOWN:
                self.differences.append(Difference(what, subject, expected, found))
        return bool(expected == found)

    def seen(self, kind: str) -> None:
        self.compared[kind] = self.compared.get(kind, 0) + 1


class Books(msgspec.Struct, frozen=True):
    """What we have of a batch of lines, by Stripe's ids; the journal by its facts."""

    payments: Mapping[str | None, Payment]
    transfers: Mapping[str | None, Transfer]
    reversals: Mapping[str | None, Reversal]
    chargebacks: Mapping[str | None, Chargeback]
    journal: Mapping[str, Transaction]


async def check_lines(ports: Ports, entries: Sequence[Entry], found: Found) -> None:
    """A batch of Stripe's lines."""
    books = await _books(ports.store.single(), entries)
    for entry in entries:
        found.seen(entry.type)
        await KNOWN.get(entry.type, _unknown)(ports, books, entry, found)


async def _books(uow: UnitOfWork, entries: Sequence[Entry]) -> Books:
    sources: dict[Any, list[str]] = defaultdict(list)
    facts: list[str] = []
    for entry in entries:
        sources[KNOWN.get(entry.type)].append(str(entry.source_id))
        facts += [prefix + str(entry.source_id) for prefix in ("fee:", *FACTS.get(entry.type, ()))]
        facts.append(f"platform:{entry.id}")

    async def by(kind: type[R], field: str, check: object) -> dict[Any, R]:
        ids = tuple(sources[check])
        rows = await uow.all(kind, {field: ids}, limit=len(ids)) if ids else []
        return {getattr(row, field): row for row in rows}

    booked = await uow.all(Transaction, {"fact": tuple(facts)}, limit=len(facts)) if facts else []
    return Books(
        await by(Payment, "charge_id", _charge),
        await by(Transfer, "stripe_id", _transfer),
        await by(Reversal, "stripe_id", _reversal),
        await by(Chargeback, "stripe_id", _adjustment),
        {row.fact: row for row in booked},
    )


async def _charge(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    payment = books.payments.get(entry.source_id)
    subject = payment.id if payment else str(entry.source_id)
    ours = (payment.captured_amount, payment.currency) if payment else (None, entry.currency)
    if not found.compare("charge", subject, ours[0], entry.amount) and payment:
        await look_again(ports, found, ReadPayment(payment.id))
    found.compare("currency", subject, ours[1], entry.currency)
    if payment and entry.fee:
        fact = f"fee:{entry.source_id}"
        booked = books.journal.get(fact)
        if booked:
            found.compare("fee", subject, _sum(booked), entry.fee)
        else:
            await _book(
                ports,
                found,
                fact,
                "stripe_fee",
                entry.currency,
                -entry.fee,
                ledger.STRIPE_FEES,
                payment.offer_id,
            )


async def _refund(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    """Also one that failed: what moved between Stripe and us by this fact."""
    fact = FACTS[entry.type][0] + str(entry.source_id)
    booked = books.journal.get(fact)
    sign = 1 if entry.type in FAILED_REFUNDS else -1
    moved = _sum(booked, ledger.STRIPE) if booked else None
    if not found.compare(entry.type, fact, moved, sign * entry.amount):
        await look_again(ports, found, ReadRefunds(str(entry.source_id)))
    _no_fee(entry, found)


async def _transfer(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    _same(books.transfers.get(entry.source_id), "transfer", entry, -entry.amount, found)


async def _reversal(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    _same(books.reversals.get(entry.source_id), "reversal", entry, entry.amount, found)


def _same(
    ours: Transfer | Reversal | None, what: str, entry: Entry, amount: int, found: Found
) -> None:
    subject = ours.id if ours else str(entry.source_id)
    found.compare(what, subject, ours.amount if ours else None, amount)
    _no_fee(entry, found)


async def _adjustment(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    """A dispute took its amount, or gave it back: is it in the state that Stripe says?"""
    ours = books.chargebacks.get(entry.source_id)
    there = await dispute(ports, str(entry.source_id))
    subject = ours.id if ours else str(entry.source_id or entry.id)
    said = (
        (str(STATUS_OF_STRIPE[there.status]), there.fee_amount)
        if there
        else (entry.type, entry.net)
    )
    known = (str(ours.status), ours.fee_amount) if ours else None
    fits = found.compare("dispute", subject, known, said)
    if there and not fits:
        await look_again(ports, found, ReadDispute(there.id))
    if ours:
        found.compare("disputed amount", subject, ours.amount, abs(entry.amount))


async def dispute(ports: Ports, id: str) -> CardDispute | None:
    """None for an adjustment that is of no dispute: somebody has to look at it."""
    try:
        return await ports.gateway.dispute(id)
    except GatewayRefused:
        return None


async def _payout(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    """The platform takes out what it has earned; one that fails comes back."""
    await _book_line(ports, books, entry, found, "platform_withdrew", ledger.BANK)


async def _fee(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    """A fee that belongs to no charge."""
    await _book_line(ports, books, entry, found, "stripe_other_fee", ledger.STRIPE_FEES)


async def _unknown(ports: Ports, books: Books, entry: Entry, found: Found) -> None:
    found.compare("known type of line", entry.id, entry.type, None)


FAILED_REFUNDS = ("refund_failure", "payment_failure_refund")
FACTS = {
    "refund": ("refund:",),
    "payment_refund": ("refund:",),
    "refund_failure": ("refund_failed:",),
    "payment_failure_refund": ("refund_failed:",),
}
KNOWN: Mapping[str, Callable[[Ports, Books, Entry, Found], Awaitable[None]]] = {
    "charge": _charge,
    "payment": _charge,
    "transfer": _transfer,
    "transfer_refund": _reversal,
    "adjustment": _adjustment,
    "payout": _payout,
    "payout_failure": _payout,
    "payout_cancel": _payout,
    "topup": _payout,
    "topup_reversal": _payout,
    "stripe_fee": _fee,
    "tax_fee": _fee,
    "network_cost": _fee,
    "stripe_fx_fee": _fee,
    **{kind: _refund for kind in FACTS},
}


def _sum(row: Transaction, account: str | None = None) -> int:
    return sum(p.amount for p in row.postings if account in (None, p.source, p.destination))


def _no_fee(entry: Entry, found: Found) -> None:
    """Stripe takes none for these; if it did, our journal would not have it."""
    if entry.fee:
        found.compare(f"fee of a {entry.type}", entry.id, 0, entry.fee)


# -- mending ---------------------------------------------------------------------------------


async def _book_line(
    ports: Ports, books: Books, entry: Entry, found: Found, kind: str, other: str
) -> None:
    fact = f"platform:{entry.id}"
    if fact not in books.journal:
        await _book(ports, found, fact, kind, entry.currency, entry.net, other)


async def _book(
    ports: Ports,
    found: Found,
    fact: str,
    kind: str,
    currency: str,
    net: int,
    other: str,
    offer_id: str | None = None,
) -> None:
    """Book what changed the platform's money at Stripe by `net`, against `other`; once."""
    if not found.mends:
        found.unbooked += 1
        return

    async def work(uow: UnitOfWork) -> bool:
        if await ledger.booked(uow, fact):
            return False
        flows = ledger.flows({ledger.PLATFORM: net, other: -net})
        await ledger.book(uow, fact, kind, currency, flows, offer_id=offer_id)
        return True

    try:
        found.booked += await ports.store.transact(work)
    except Duplicate:
        return


async def look_again(ports: Ports, found: Found, task: Task) -> None:
    async def work(uow: UnitOfWork) -> None:
        uow.later(task)

    if found.mends:
        await ports.store.transact(work)


class ReadRefunds(Task, frozen=True, tag="read_refunds"):
    """Read the refunds again of whatever payment one of them belongs to."""

    stripe_id: str

    async def run(self, ports: Ports) -> None:
        intent_id = await ports.gateway.intent_of_refund(self.stripe_id)
        payment = await ports.store.single().find(Payment, {"intent_id": intent_id})
        if payment:
            await read_refunds(ports, payment.id)
