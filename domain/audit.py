"""Proof of the books: every balance again from the journal, every offer against the holdings
function, every captured, refunded, transferred and paid-out amount against Stripe."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from domain import ledger
from domain.accounts import User
from domain.chargebacks import FROM_STRIPE, Chargeback, ChargebackStatus
from domain.deal import Offer, Payment, PaymentStatus
from domain.ledger import Balance, Transaction
from domain.ports import Intent, Ports, Settled
from domain.record import Record
from domain.store import UnitOfWork
from domain.transfers import Reversal, Transfer, TransferStatus
from domain.wallets import Withdrawal, WithdrawalStatus

C, T, W = ChargebackStatus, TransferStatus, WithdrawalStatus
CHUNK = 500
BY_HAND = ("adjusted", "platform_withdrew")  # moved for no offer


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
    chargebacks: int = 0
    totals: dict[str, dict[str, int]] = {}
    differences: list[Difference] = []

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> None:
        if expected != found:
            self.differences.append(Difference(what, subject, expected, found))


async def audit(ports: Ports) -> Report:
    """Read everything once, in chunks. Run it on a quiet market: it is no snapshot."""
    report = Report(totals={}, differences=[])
    uow = ports.store.single()
    sums, adjusted, other_fees = await _sum_journal(uow, report)
    await _check_balances(uow, report, sums)
    waiting = await _check_offers(uow, report, sums, adjusted)
    fees = await _check_payments(ports, uow, report, waiting)
    await _check_chargebacks(ports, uow, report, sums, fees)
    for currency, charged in fees.items():
        booked = sums.get((ledger.STRIPE_FEES, currency), 0) - other_fees[currency]
        report.compare("Stripe's fees", currency, charged, booked)
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


Sums = dict[tuple[str, str], int]  # by account and currency


async def _sum_journal(uow: UnitOfWork, report: Report) -> tuple[Sums, Sums, dict[str, int]]:
    """What every account has, what of it was moved by hand, and Stripe's fees for no charge."""
    other_fees: dict[str, int] = defaultdict(int)
    sums: Sums = defaultdict(int)
    adjusted: Sums = defaultdict(int)
    async for transaction in each(uow, Transaction, {}):
        report.transactions += 1
        for posting in transaction.postings:
            sums[posting.source, transaction.currency] -= posting.amount
            sums[posting.destination, transaction.currency] += posting.amount
            if transaction.kind == "stripe_other_fee":
                sign = 1 if posting.destination == ledger.STRIPE_FEES else -1
                other_fees[transaction.currency] += sign * posting.amount
            if transaction.kind in BY_HAND:
                adjusted[_party(posting.source), transaction.currency] -= posting.amount
                adjusted[_party(posting.destination), transaction.currency] += posting.amount
            report.compare("posting above zero", transaction.id, True, posting.amount > 0)
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (account, currency), amount in sums.items():
        totals[_group(account)][currency] += amount
    report.totals = {name: dict(parts) for name, parts in sorted(totals.items())}
    return sums, adjusted, other_fees


def _party(account: str) -> str:
    """Who bears what is on the account, as far as the holdings know: Stripe's fees are paid by
    the platform, and what is in a bank was the contractor's."""
    if account in (ledger.PLATFORM, ledger.STRIPE_FEES):
        return "platform"
    if account.startswith(("wallet:", "debt:", ledger.BANK)):
        return "contractor"
    return account


async def _check_balances(uow: UnitOfWork, report: Report, sums: Sums) -> None:
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
    for account in ledger.SUMMED_UP:
        for currency, found in (await ledger.balance_of(uow, account)).items():
            report.compare("balance", f"{account}|{currency}", sums[account, currency], found)


async def _check_offers(
    uow: UnitOfWork, report: Report, sums: Sums, adjusted: Sums
) -> dict[str, int]:
    """Returns what Stripe has not sent back yet of each payment, for want of the money."""
    expected: Sums = defaultdict(int, adjusted)
    waiting: dict[str, int] = defaultdict(int)
    async for offer in each(uow, Offer, {"captured_amount": {"$gt": 0}}):
        report.offers += 1
        if offer.waiting_refunds:
            waiting[offer.payment_id] = offer.waiting_refunds
        held = sums.get((ledger.escrow(offer.id), offer.currency), 0)
        parts = offer.holdings
        report.compare("escrow by the holdings", offer.id, parts.escrow, held)
        whole = parts.platform + parts.contractor + parts.escrow
        report.compare("parts sum to the whole", offer.id, offer.kept, whole)
        gone = offer.refunded_amount + offer.charged_back_amount
        expected["platform", offer.currency] += parts.platform
        expected["contractor", offer.currency] += parts.contractor
        expected[ledger.LOSSES, offer.currency] += offer.captured_amount - gone - offer.kept
    found: Sums = defaultdict(int)
    for (account, currency), amount in sums.items():
        found[_party(account), currency] += amount
    for party in ("platform", "contractor", ledger.LOSSES):
        for currency in sorted({currency for _, currency in sums}):
            report.compare(
                f"{party} by the holdings", currency, expected[party, currency],
                found[party, currency],
            )  # fmt: skip
    return waiting


async def _check_payments(
    ports: Ports, uow: UnitOfWork, report: Report, waiting: dict[str, int]
) -> dict[str, int]:
    """Every payment against its PaymentIntent, both ways: none unknown, none twice.

    Returns what Stripe has charged for them, by currency.
    """
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
        refunded = payment.refunded_amount + waiting[payment.id]
        report.compare("refunded", payment.id, given_back, refunded)
        held = sum(intent.status == "requires_capture" for intent in intents)
        holding = payment.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING)
        report.compare("held", payment.id, held, int(holding))
    for id in there:
        report.compare("payment known here", id, True, False)
    return fees


async def _check_chargebacks(
    ports: Ports, uow: UnitOfWork, report: Report, sums: Sums, fees: dict[str, int]
) -> None:
    """Every card dispute, both ways; what Stripe charged for them is added to `fees`."""
    there = {}
    async for dispute in ports.gateway.disputes(await _beginning(uow, Payment)):
        there[dispute.id] = dispute
        if dispute.fee_amount:
            fees[dispute.fee_currency or dispute.currency] += dispute.fee_amount
    async for found in each(uow, Chargeback, {}):
        report.chargebacks += 1
        out = sums.get((ledger.chargeback(found.id), found.currency), 0)
        report.compare("out in an open chargeback", found.id, _out(found), -out)
        told = there.pop(found.stripe_id, None)
        report.compare("dispute at Stripe", found.id, True, told is not None)
        if told:
            report.compare("dispute's state", found.id, FROM_STRIPE[told.status], found.status)
            lost = found.status in (C.OPEN, C.LOST)
            report.compare(
                "taken by the bank", found.id, told.withdrawn_amount, lost * found.amount
            )
    for id in there:
        report.compare("dispute known here", id, True, False)


def _out(chargeback: Chargeback) -> int:
    return chargeback.amount if chargeback.status is C.OPEN else 0


async def _check_transfers(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All that Stripe has transferred, net of what was reversed."""
    there: dict[str, int] = defaultdict(int)
    since = await _beginning(uow, Offer, Transfer)  # an adjustment may be older than any offer
    async for transfer in ports.gateway.transfers(since):
        fact = transfer.metadata.get("fact", transfer.id)
        there[fact] += transfer.amount - transfer.reversed_amount
    under_way: dict[str, int] = defaultdict(int)
    async for reversal in each(uow, Reversal, {"done": False}):
        under_way[reversal.transfer_id] += reversal.amount
    async for found in each(uow, Transfer, {}):
        report.transfers += 1
        sent = found.net if found.status in (T.MADE, T.AVAILABLE, T.REVERSED) else 0
        expected = there.pop(found.id, 0) - under_way[found.id]
        report.compare("transferred", found.id, expected, sent)
    for fact, amount in there.items():
        report.compare("transfer known here", fact, amount, 0)


async def _check_withdrawals(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All payouts of all contractors' accounts."""
    there: dict[str, list[Settled]] = defaultdict(list)
    since, open_accounts = await _beginning(uow, Withdrawal), set()
    async for user in each(uow, User, {"connect_id": {"$gt": ""}}):
        open_accounts.add(user.connect_id)
        async for payout in ports.gateway.payouts(user.connect_id, since):
            there[payout.metadata.get("withdrawal_id", payout.id)].append(payout)
    async for withdrawal in each(uow, Withdrawal, {}):
        if withdrawal.account_id not in open_accounts:
            continue  # nobody can look into an account that is closed
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


async def _beginning(uow: UnitOfWork, *kinds: type[Record]) -> datetime:
    firsts = [await uow.find(kind, {}, (("_id", 1),)) for kind in kinds]
    return min([uow.now, *(first.created_at for first in firsts if first)])


def _group(account: str) -> str:
    """`wallet:usr_1:pending` counts as `wallet:pending`."""
    parts = account.split(":")
    if parts[0] in ("escrow", "debt", "chargeback"):
        return parts[0]
    return f"{parts[0]}:{parts[2]}" if parts[0] == "wallet" else account
