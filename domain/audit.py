"""Proof of the books: every balance again from the journal, every offer against the holdings
function, every captured, refunded, transferred and paid-out amount against Stripe."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from domain import ledger
from domain.accounts import User
from domain.deal import Offer, Payment, PaymentStatus, TransferStatus
from domain.ledger import Balance, Transaction
from domain.ports import Intent, Ports, Settled
from domain.record import Record
from domain.store import UnitOfWork
from domain.wallets import Withdrawal, WithdrawalStatus

W = WithdrawalStatus
CHUNK = 500


class Difference(msgspec.Struct, frozen=True):
    """One line that does not agree."""

    what: str
    subject: str
    expected: Any
    found: Any


class Report(msgspec.Struct):
    """What was compared, the balances by account kind and currency, and what did not agree."""

    transactions: int = 0
    balances: int = 0
    offers: int = 0
    payments: int = 0
    transfers: int = 0
    payouts: int = 0
    totals: dict[str, dict[str, int]] = {}
    differences: list[Difference] = []

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> None:
        if expected != found:
            self.differences.append(Difference(what, subject, expected, found))


async def audit(ports: Ports) -> Report:
    """Read everything once, in chunks. Run it on a quiet market: it is no snapshot."""
    report = Report(totals={}, differences=[])
    uow = ports.store.single()
    sums = await _sum_journal(uow, report)
    await _check_balances(uow, report, sums)
    await _check_offers(uow, report, sums)
    await _check_payments(ports, uow, report, sums)
    await _check_transfers(ports, uow, report)
    await _check_withdrawals(ports, uow, report)
    return report


async def each(uow: UnitOfWork, kind: type[Record], where: dict[str, Any]) -> AsyncIterator[Any]:
    """All records of a kind, oldest first, in chunks by id."""
    last = ""
    while True:
        chunk = await uow.all(kind, {**where, "_id": {"$gt": last}}, (("_id", 1),), CHUNK)
        for record in chunk:
            yield record
        if len(chunk) < CHUNK:
            return
        last = chunk[-1].id


async def _sum_journal(uow: UnitOfWork, report: Report) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = defaultdict(int)
    async for transaction in each(uow, Transaction, {}):
        report.transactions += 1
        for posting in transaction.postings:
            sums[posting.source, transaction.currency] -= posting.amount
            sums[posting.destination, transaction.currency] += posting.amount
            report.compare("posting above zero", transaction.id, True, posting.amount > 0)
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (account, currency), amount in sums.items():
        totals[_group(account)][currency] += amount
    report.totals = {name: dict(parts) for name, parts in sorted(totals.items())}
    return sums


async def _check_balances(
    uow: UnitOfWork, report: Report, sums: dict[tuple[str, str], int]
) -> None:
    seen = set()
    async for row in each(uow, Balance, {"kind": ("escrow", "wallet", "debt")}):
        report.balances += 1
        seen.add((row.account, row.currency))
        report.compare("balance", row.id, sums.get((row.account, row.currency), 0), row.balance)
        inside = row.balance <= 0 if row.kind == "debt" else row.balance >= 0
        report.compare("balance within its bound", row.id, True, inside)
    for (account, currency), amount in sums.items():
        if ledger.is_bounded(account) and (account, currency) not in seen:
            report.compare("balance", f"{account}|{currency}", amount, None)
    for account in (ledger.PLATFORM, ledger.STRIPE_FEES):
        for currency, found in (await ledger.balance_of(uow, account)).items():
            report.compare("balance", f"{account}|{currency}", sums[account, currency], found)


async def _check_offers(uow: UnitOfWork, report: Report, sums: dict[tuple[str, str], int]) -> None:
    earned: dict[tuple[str, str], int] = defaultdict(int)
    async for offer in each(uow, Offer, {"captured_amount": {"$gt": 0}}):
        report.offers += 1
        held = sums.get((ledger.escrow(offer.id), offer.currency), 0)
        report.compare("escrow by the holdings", offer.id, offer.holdings.escrow, held)
        parts = offer.holdings
        kept = offer.captured_amount - offer.refunded_amount
        whole = parts.platform + parts.contractor + parts.escrow
        report.compare("parts sum to the whole", offer.id, kept, whole)
        earned[offer.currency, "platform"] += parts.platform
        earned[offer.currency, "contractor"] += parts.contractor
    currencies = {currency for _, currency in sums}
    for currency in currencies:
        taken = sums.get((ledger.PLATFORM, currency), 0) + sums.get(
            (ledger.STRIPE_FEES, currency), 0
        )
        report.compare("platform by the holdings", currency, earned[currency, "platform"], taken)
        purses = sum(
            amount for (account, code), amount in sums.items()
            if code == currency and account.startswith(("wallet:", "debt:", ledger.BANK))
        )  # fmt: skip
        theirs = earned[currency, "contractor"]
        report.compare("contractors by the holdings", currency, theirs, purses)


async def _check_payments(
    ports: Ports, uow: UnitOfWork, report: Report, sums: dict[tuple[str, str], int]
) -> None:
    """Every payment against its PaymentIntent, both ways: none unknown, none twice."""
    there: dict[str, list[Intent]] = defaultdict(list)
    fees: dict[str, int] = defaultdict(int)
    since = await _beginning(uow, Payment)
    async for intent in ports.gateway.intents(since):
        if intent.status != "canceled" or intent.captured_amount:
            there[intent.metadata.get("payment_id", intent.id)].append(intent)
        if intent.captured_amount and intent.fee_amount and intent.fee_currency:
            fees[intent.fee_currency] += intent.fee_amount
    async for payment in each(uow, Payment, {}):
        report.payments += 1
        intents = there.pop(payment.id, [])
        taken = sum(i.captured_amount for i in intents if i.status == "succeeded")
        report.compare("captured", payment.id, taken, payment.captured_amount)
        given_back = sum(intent.refunded_amount for intent in intents)
        report.compare("refunded", payment.id, given_back, payment.refunded_amount)
        held = sum(intent.status == "requires_capture" for intent in intents)
        holding = payment.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING)
        report.compare("held", payment.id, held, int(holding))
    for id in there:
        report.compare("payment known here", id, True, False)
    for currency, charged in fees.items():
        booked = sums.get((ledger.STRIPE_FEES, currency), 0)
        report.compare("Stripe's fees", currency, charged, booked)


async def _check_transfers(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All that Stripe has transferred for each completion, net of what was reversed."""
    there: dict[str, int] = defaultdict(int)
    async for transfer in ports.gateway.transfers(await _beginning(uow, Offer)):
        fact = transfer.metadata.get("fact", transfer.id)
        there[fact] += transfer.amount - transfer.reversed_amount
    async for offer in each(uow, Offer, {"transfers.0": {"$exists": True}}):
        for number, transfer in enumerate(offer.transfers, 1):
            report.transfers += 1
            sent = transfer.amount if transfer.status is not TransferStatus.WAITING else 0
            fact = f"{offer.id}#{number}"
            report.compare("transferred", fact, there.pop(fact, 0), sent)
    for fact, amount in there.items():
        report.compare("transfer known here", fact, amount, 0)


async def _check_withdrawals(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All payouts of all contractors' accounts."""
    there: dict[str, list[Settled]] = defaultdict(list)
    since = await _beginning(uow, Withdrawal)
    async for user in each(uow, User, {"connect_id": {"$gt": ""}}):
        async for payout in ports.gateway.payouts(user.connect_id, since):
            there[payout.metadata.get("withdrawal_id", payout.id)].append(payout)
    async for withdrawal in each(uow, Withdrawal, {}):
        report.payouts += 1
        found = there.pop(withdrawal.id, [])
        payouts = [payout for payout in found if payout.status not in ("failed", "canceled")]
        under_way = withdrawal.status not in (W.REQUESTED, W.FAILED)
        expected = withdrawal.amount if under_way else 0
        report.compare("paid out", withdrawal.id, sum(p.amount for p in payouts), expected)
        if withdrawal.status is W.PAID:
            report.compare("payout paid", withdrawal.id, ["paid"], [p.status for p in payouts])
    for id in there:
        report.compare("payout known here", id, True, False)


async def _beginning(uow: UnitOfWork, kind: type[Record]) -> datetime:
    first = await uow.find(kind, {}, (("_id", 1),))
    return first.created_at if first else uow.now


def _group(account: str) -> str:
    """`wallet:usr_1:pending` counts as `wallet:pending`."""
    parts = account.split(":")
    if parts[0] in ("escrow", "debt", "chargeback"):
        return parts[0]
    return f"{parts[0]}:{parts[2]}" if parts[0] == "wallet" else account
