"""Compares Stripe's balance transactions with our journal, and repairs the journal.

Transactions between the platform and Stripe only (fees without a charge, payouts of the platform's
earnings, top-ups) have no other source and are booked from here. For any other transaction that our
journal lacks, a task reads its object from Stripe again, so that the next comparison finds it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from domain import ledger
from domain.deals.chargeback import STATUS_OF_STRIPE, Chargeback
from domain.deals.payment import Payment
from domain.disputes.chargebacks import ReadDispute
from domain.kernel.record import Record
from domain.kernel.store import Duplicate, UnitOfWork
from domain.ledger.transaction import Transaction
from domain.operations.task import Task
from domain.payments.processing import ReadPayment
from domain.payments.refunds import read_refunds
from domain.payments.settlement_currency import book_conversion
from domain.payouts.external_reversals import ReadReversals
from domain.payouts.transfer import Reversal, Transfer
from domain.ports.payment_gateway import BalanceTransaction, CardDispute, GatewayRefused
from domain.ports.ports import Ports
from domain.reconciliation.difference import Difference
from domain.reconciliation.foreign_lines import CORRECTION, OTHER_BUSINESS, keep_foreign_line
from domain.reconciliation.other_business import is_foreign_dispute, is_foreign_transfer
from domain.wallet.platform_payouts import book_platform_payout

R = TypeVar("R", bound=Record)

MAX_DIFFERENCES = 200


class Comparison(msgspec.Struct):
    """The result of a comparison: the number of lines by type, and the first differences.

    `count` is the number of all differences, `booked` the number of lines that were booked,
    `unbooked` the number that would have been booked with `repairs`, and `foreign` the number of
    lines that are not ours.
    """

    compared: dict[str, int]
    differences: list[Difference]
    repairs: bool = True
    count: int = 0
    booked: int = 0
    unbooked: int = 0
    foreign: int = 0

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> bool:
        """Whether the values are equal; if not, count the difference."""
        if expected != found:
            self.count += 1
            if len(self.differences) < MAX_DIFFERENCES:
                self.differences.append(Difference(what, subject, expected, found))
        return bool(expected == found)

    def seen(self, kind: str) -> None:
        self.compared[kind] = self.compared.get(kind, 0) + 1


class OurRecords(msgspec.Struct, frozen=True):
    """Our records for a batch of lines, by Stripe's ids; journal transactions by their facts."""

    payments: Mapping[str | None, Payment]
    transfers: Mapping[str | None, Transfer]
    reversals: Mapping[str | None, Reversal]
    chargebacks: Mapping[str | None, Chargeback]
    journal: Mapping[str, Transaction]


async def compare_stripe_lines(
    ports: Ports, lines: Sequence[BalanceTransaction], result: Comparison
) -> None:
    """Compare a batch of Stripe's lines."""
    records = await _load_records(ports.store.single(), lines)
    for line in lines:
        result.seen(line.type)
        await COMPARISONS.get(line.type, _keep_foreign)(ports, records, line, result)


async def _load_records(uow: UnitOfWork, lines: Sequence[BalanceTransaction]) -> OurRecords:
    sources: dict[Any, list[str]] = defaultdict(list)
    facts: list[str] = []
    for line in lines:
        sources[COMPARISONS.get(line.type)].append(str(line.source_id))
        facts += [
            prefix + str(line.source_id)
            for prefix in ("fee:", "duplicate:", *FACT_PREFIXES.get(line.type, ()))
        ]
        facts.append(f"platform:{line.id}")
        facts += [f"converted:{line.source_id}:in", f"converted:{line.id}:in"]

    async def load(kind: type[R], field: str, comparison: object) -> dict[Any, R]:
        ids = tuple(sources[comparison])
        rows = await uow.all(kind, {field: ids}, limit=len(ids)) if ids else []
        return {getattr(row, field): row for row in rows}

    booked = await uow.all(Transaction, {"fact": tuple(facts)}, limit=len(facts)) if facts else []
    return OurRecords(
        await load(Payment, "charge_id", _compare_charge),
        await load(Transfer, "stripe_id", _compare_transfer),
        await load(Reversal, "stripe_id", _compare_reversal),
        await load(Chargeback, "stripe_id", _compare_adjustment),
        {row.fact: row for row in booked},
    )


async def _compare_charge(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    second = records.journal.get(f"duplicate:{line.source_id}")
    if second:  # a second charge of a payment
        result.compare("charge", str(line.source_id), _sum_of_postings(second), line.amount)
        return
    payment = records.payments.get(line.source_id)
    if payment is None and await _is_foreign_charge(ports, str(line.source_id)):
        return await _keep(ports, line, result, f"a payment {OTHER_BUSINESS}")
    subject = payment.id if payment else str(line.source_id)
    ours: tuple[int | None, str] = (None, line.currency)
    if payment:
        ours = payment.captured_amount, payment.currency
    if payment and line.currency != payment.currency:
        ours = _converted(records, f"converted:{line.source_id}:in"), line.currency
    if not result.compare("charge", subject, ours[0], line.amount) and payment:
        await queue_refresh(ports, result, ReadPayment(payment.id))
    result.compare("currency", subject, ours[1], line.currency)
    if payment and line.fee:
        fact = f"fee:{line.source_id}"
        booked = records.journal.get(fact)
        if booked:
            result.compare("fee", subject, _sum_of_postings(booked), line.fee)
        else:
            await _book(
                ports,
                result,
                fact,
                "stripe_fee",
                line.currency,
                -line.fee,
                ledger.STRIPE_FEES,
                payment.offer_id,
            )


async def _compare_refund(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    """Compare a refund, or the return of a failed one, with the transaction of its fact."""
    fact = FACT_PREFIXES[line.type][0] + str(line.source_id)
    booked = records.journal.get(fact)
    if booked is None and await _is_foreign_refund(ports, str(line.source_id)):
        return await _keep(ports, line, result, f"a refund {OTHER_BUSINESS}")
    sign = 1 if line.type in FAILED_REFUNDS else -1
    moved = _sum_of_postings(booked, ledger.STRIPE) if booked else None
    if booked and line.currency != booked.currency:
        await _book_converted_refund(ports, records, line, booked, result)
    elif not result.compare(line.type, fact, moved, sign * line.amount):
        await queue_refresh(ports, result, ReadRefunds(str(line.source_id)))
    _compare_no_fee(line, result)


def _converted(records: OurRecords, fact: str) -> int | None:
    booked = records.journal.get(fact)
    return _sum_of_postings(booked, ledger.STRIPE) if booked else None


async def _book_converted_refund(
    ports: Ports,
    records: OurRecords,
    line: BalanceTransaction,
    refund: Transaction,
    result: Comparison,
) -> None:
    """Book that Stripe took a refund, or got its return, in another currency than the payment's."""
    fact = f"converted:{line.id}"
    if f"{fact}:in" in records.journal:
        return
    if not result.repairs:
        result.unbooked += 1
        return
    sign = 1 if line.amount > 0 else -1
    amount = sign * _sum_of_postings(refund, ledger.STRIPE)

    async def work(uow: UnitOfWork) -> bool:
        if await ledger.is_booked(uow, fact):
            return False
        currency, offer_id = refund.currency, refund.offer_id
        await book_conversion(uow, fact, currency, amount, line.currency, line.amount, offer_id)
        return True

    try:
        result.booked += await ports.store.transact(work)
    except Duplicate:
        return


async def _compare_transfer(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    ours = records.transfers.get(line.source_id)
    if ours is None and await _is_foreign_transfer(ports, str(line.source_id)):
        return await _keep(ports, line, result, f"a transfer {OTHER_BUSINESS}")
    _compare_amount(ours, "transfer", line, -line.amount, result)


async def _compare_reversal(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    ours = records.reversals.get(line.source_id)
    transfer_id = None if ours else await _reversed_transfer(ports, line.id)
    if transfer_id and await _is_foreign_transfer(ports, transfer_id):
        return await _keep(ports, line, result, f"a reversal {OTHER_BUSINESS}")
    equal = _compare_amount(ours, "reversal", line, line.amount, result)
    if transfer_id and not equal:
        transfer = await ports.store.single().find(Transfer, {"stripe_id": transfer_id})
        if transfer:
            await queue_refresh(ports, result, ReadReversals(transfer.id))


def _compare_amount(
    ours: Transfer | Reversal | None,
    what: str,
    line: BalanceTransaction,
    amount: int,
    result: Comparison,
) -> bool:
    subject = ours.id if ours else str(line.source_id)
    equal = result.compare(what, subject, ours.amount if ours else None, amount)
    _compare_no_fee(line, result)
    return equal


async def _compare_adjustment(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    """Compare the dispute of this line: its state, and the sums of all its lines and fees."""
    ours = records.chargebacks.get(line.source_id)
    theirs = await find_dispute(ports, str(line.source_id))
    if ours is None and (what := await _foreign_adjustment(ports, theirs)):
        return await _keep(ports, line, result, what)
    subject = ours.id if ours else str(line.source_id or line.id)
    known = (str(ours.status), ours.withdrawn, ours.fee_amount) if ours else None
    reported: tuple[Any, ...] = (line.type, line.net)
    if theirs:
        status = str(STATUS_OF_STRIPE[theirs.status])
        reported = (status, theirs.withdrawn_amount, theirs.fee_amount)
    equal = result.compare("dispute", subject, known, reported)
    if ours and theirs and line.currency != theirs.currency:
        booked = _converted(records, f"converted:{line.id}:in")
        equal &= result.compare("conversion", subject, booked, abs(line.amount))
    if theirs and not equal:
        await queue_refresh(ports, result, ReadDispute(theirs.id))


async def find_dispute(ports: Ports, id: str) -> CardDispute | None:
    """The dispute, or None for an adjustment without one, which an administrator has to check."""
    try:
        return await ports.gateway.dispute(id)
    except GatewayRefused:
        return None


async def _book_payout(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    """Book a payout of the platform's earnings, the return of a failed one, or a top-up."""
    if f"platform:{line.id}" in records.journal:
        return
    if result.repairs:
        result.booked += await book_platform_payout(ports, line)
    else:
        result.unbooked += 1


async def _book_fee(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    """Book a fee without a charge."""
    await _book_line(ports, records, line, result, "stripe_other_fee", ledger.STRIPE_FEES)


async def _keep_foreign(
    ports: Ports, records: OurRecords, line: BalanceTransaction, result: Comparison
) -> None:
    """Keep a line of a type that nothing here books."""
    await _keep(ports, line, result)


async def _keep(ports: Ports, line: BalanceTransaction, result: Comparison, what: str = "") -> None:
    result.foreign += 1
    if result.repairs:
        await keep_foreign_line(ports, line, what)


FAILED_REFUNDS = ("refund_failure",)
FACT_PREFIXES = {
    "refund": ("refund:",),
    "payment_refund": ("refund:",),
    "refund_failure": ("refund_failed:",),
}
COMPARISONS: Mapping[
    str, Callable[[Ports, OurRecords, BalanceTransaction, Comparison], Awaitable[None]]
] = {
    "charge": _compare_charge,
    "payment": _compare_charge,
    "transfer": _compare_transfer,
    "transfer_refund": _compare_reversal,
    "adjustment": _compare_adjustment,
    "payout": _book_payout,
    "payout_failure": _book_payout,
    "payout_cancel": _book_payout,
    "topup": _book_payout,
    "topup_reversal": _book_payout,
    "stripe_fee": _book_fee,
    "tax_fee": _book_fee,
    "network_cost": _book_fee,
    "stripe_fx_fee": _book_fee,
    **{kind: _compare_refund for kind in FACT_PREFIXES},
}


# -- whose a line is ---------------------------------------------------------------------------


async def _is_foreign_charge(ports: Ports, charge_id: str) -> bool:
    try:
        return "payment_id" not in await ports.gateway.charge_metadata(charge_id)
    except GatewayRefused:
        return False


async def _is_foreign_refund(ports: Ports, refund_id: str) -> bool:
    try:
        intent_id = await ports.gateway.intent_of_refund(refund_id)
    except GatewayRefused:
        return False
    return await ports.store.single().find(Payment, {"intent_id": intent_id}) is None


async def _is_foreign_transfer(ports: Ports, transfer_id: str) -> bool:
    try:
        made = await ports.gateway.transfer_state(transfer_id)
    except GatewayRefused:
        return False
    return await is_foreign_transfer(ports.store.single(), made)


async def _reversed_transfer(ports: Ports, line_id: str) -> str | None:
    try:
        return await ports.gateway.reversed_transfer(line_id)
    except GatewayRefused:
        return None


async def _foreign_adjustment(ports: Ports, dispute: CardDispute | None) -> str:
    """What an adjustment is that belongs to no payment of ours; empty if it may be ours."""
    if dispute is None:
        return CORRECTION
    foreign = await is_foreign_dispute(ports.store.single(), dispute)
    return f"a dispute {OTHER_BUSINESS}" if foreign else ""


def _sum_of_postings(row: Transaction, account: str | None = None) -> int:
    return sum(p.amount for p in row.postings if account in (None, p.source, p.destination))


def _compare_no_fee(line: BalanceTransaction, result: Comparison) -> None:
    """Report a fee: Stripe charges none for these lines, and our journal would lack it."""
    if line.fee:
        result.compare(f"fee of a {line.type}", line.id, 0, line.fee)


# -- repairs ---------------------------------------------------------------------------------


async def _book_line(
    ports: Ports,
    records: OurRecords,
    line: BalanceTransaction,
    result: Comparison,
    kind: str,
    other: str,
) -> None:
    fact = f"platform:{line.id}"
    if fact not in records.journal:
        await _book(ports, result, fact, kind, line.currency, line.net, other)


async def _book(
    ports: Ports,
    result: Comparison,
    fact: str,
    kind: str,
    currency: str,
    net: int,
    other: str,
    offer_id: str | None = None,
) -> None:
    """Book a change of the platform's balance by `net` against the account `other`, once."""
    if not result.repairs:
        result.unbooked += 1
        return

    async def work(uow: UnitOfWork) -> bool:
        if await ledger.is_booked(uow, fact):
            return False
        flows = ledger.postings_for({ledger.PLATFORM: net, other: -net})
        await ledger.book(uow, fact, kind, currency, flows, offer_id=offer_id)
        return True

    try:
        result.booked += await ports.store.transact(work)
    except Duplicate:
        return


async def queue_refresh(ports: Ports, result: Comparison, task: Task) -> None:
    """Queue a task that reads an object from Stripe again, if the comparison repairs."""

    async def work(uow: UnitOfWork) -> None:
        uow.later(task)

    if result.repairs:
        await ports.store.transact(work)


class ReadRefunds(Task, frozen=True, tag="read_refunds"):
    """Read all refunds of the payment that one refund belongs to."""

    stripe_id: str

    async def run(self, ports: Ports) -> None:
        intent_id = await ports.gateway.intent_of_refund(self.stripe_id)
        payment = await ports.store.single().find(Payment, {"intent_id": intent_id})
        if payment:
            await read_refunds(ports, payment.id)
