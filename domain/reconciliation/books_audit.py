"""Proof of the books: every balance again from the journal, every offer against the holdings
function, every captured, refunded, transferred and paid-out amount against Stripe.

All is read once, and nothing of it kept but what is open: an account that is empty is forgotten,
Stripe's lists are read side by side with ours. Many years take no more memory than one.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.deals.offer import Offer
from domain.deals.payment import Payment, PaymentStatus
from domain.disputes.chargebacks import STATUS_OF_STRIPE, Chargeback, ChargebackStatus
from domain.kernel.record import Record
from domain.kernel.store import NEWEST, UnitOfWork
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.ports.payment_gateway import CardDispute, Intent, Settled
from domain.ports.ports import Ports
from domain.reconciliation.difference import Difference
from domain.reconciliation.stream_join import pairs
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

OLDEST = (("_id", 1),)
HELD = "requires_capture"  # Stripe's word
BY_HAND = ("adjusted", "platform_withdrew")  # moved for no offer


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
    """Read everything once, as it comes. Run it on a quiet market: it is no snapshot."""
    report = Report(totals={}, differences=[])
    uow = ports.store.single()
    sums, adjusted, other_fees, rowless = await _sum_journal(uow, report)
    await _check_balances(uow, report, sums, rowless)
    waiting = await _check_offers(uow, report, sums, adjusted)
    fees = await _check_payments(ports, uow, report, waiting)
    await _check_chargebacks(ports, uow, report, sums, fees)
    for currency, charged in fees.items():
        booked = sums.get((ledger.STRIPE_FEES, currency), 0) - other_fees[currency]
        report.compare("Stripe's fees", currency, charged, booked)
    await _check_transfers(ports, uow, report)
    await _check_withdrawals(ports, uow, report)
    return report


Sums = dict[tuple[str, str], int]  # by account and currency
EMPTIED_AT_ONCE = 500


async def _sum_journal(
    uow: UnitOfWork, report: Report
) -> tuple[Sums, Sums, dict[str, int], set[tuple[str, str]]]:
    """What every account has, what of it was moved by hand, Stripe's fees for no charge, and the
    bounded accounts that were emptied and have no balance row."""
    emptied: set[tuple[str, str]] = set()
    rowless: set[tuple[str, str]] = set()
    other_fees: dict[str, int] = defaultdict(int)
    sums: Sums = defaultdict(int)
    adjusted: Sums = defaultdict(int)
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    async for transaction in uow.each(Transaction, {}, OLDEST):
        report.transactions += 1
        deltas: dict[str, int] = defaultdict(int)
        for posting in transaction.postings:
            deltas[posting.source] -= posting.amount
            deltas[posting.destination] += posting.amount
            if transaction.kind == "stripe_other_fee":
                sign = 1 if posting.destination == ledger.STRIPE_FEES else -1
                other_fees[transaction.currency] += sign * posting.amount
            if transaction.kind in BY_HAND:
                adjusted[_party(posting.source), transaction.currency] -= posting.amount
                adjusted[_party(posting.destination), transaction.currency] += posting.amount
            report.compare("posting above zero", transaction.id, True, posting.amount > 0)
        for account, delta in deltas.items():
            totals[_group(account)][transaction.currency] += delta
            if delta and _move(sums, account, transaction.currency, delta) == 0:
                emptied.add((account, transaction.currency))
        if len(emptied) >= EMPTIED_AT_ONCE:
            rowless |= await _without_rows(uow, emptied)
            emptied.clear()
    rowless |= await _without_rows(uow, emptied)
    report.totals = {name: dict(parts) for name, parts in sorted(totals.items())}
    return sums, adjusted, other_fees, rowless


def _move(sums: Sums, account: str, currency: str, delta: int) -> int:
    """Returns the new sum. Zero is not kept: nearly every escrow ends with it."""
    total = sums[account, currency] + delta
    sums[account, currency] = total
    if not total:
        del sums[account, currency]
    return total


async def _without_rows(uow: UnitOfWork, keys: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The bounded accounts that have no balance row. The first booking creates it, and no code
    removes it."""
    bounded = {"|".join(key): key for key in keys if ledger.is_bounded(key[0])}
    if bounded:
        for row in await uow.all(Balance, {"_id": tuple(bounded)}):
            del bounded[row.id]
    return set(bounded.values())


def _party(account: str) -> str:
    """Who bears what is on the account, as far as the holdings know: Stripe's fees are paid by
    the platform, and what is in a bank was the contractor's."""
    if account in (ledger.PLATFORM, ledger.STRIPE_FEES):
        return "platform"
    if account.startswith(("wallet:", "debt:", ledger.BANK)):
        return "contractor"
    return account


async def _check_balances(
    uow: UnitOfWork, report: Report, sums: Sums, rowless: set[tuple[str, str]]
) -> None:
    rowless |= {key for key in sums if ledger.is_bounded(key[0])}
    async for row in uow.each(Balance, {"kind": ("escrow", "wallet", "debt")}, OLDEST):
        report.balances += 1
        rowless.discard((row.account, row.currency))
        report.compare("balance", row.id, sums.get((row.account, row.currency), 0), row.balance)
        inside = row.balance <= 0 if row.kind == "debt" else row.balance >= 0
        report.compare("balance within its bound", row.id, True, inside)
    for account, currency in sorted(rowless):
        report.compare("balance", f"{account}|{currency}", sums.get((account, currency), 0), None)
    for account in ledger.SUMMED_UP:
        for currency, found in (await ledger.balance_of(uow, account)).items():
            booked = sums.get((account, currency), 0)
            report.compare("balance", f"{account}|{currency}", booked, found)


async def _check_offers(
    uow: UnitOfWork, report: Report, sums: Sums, adjusted: Sums
) -> dict[str, int]:
    """Returns what Stripe has not sent back yet of each payment, for want of the money."""
    expected: Sums = defaultdict(int, adjusted)
    waiting: dict[str, int] = defaultdict(int)
    async for offer in uow.each(Offer, {"captured_amount": {"$gt": 0}}, OLDEST):
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
                f"{party} by the holdings",
                currency,
                expected[party, currency],
                found[party, currency],
            )
    return waiting


async def _check_payments(
    ports: Ports, uow: UnitOfWork, report: Report, waiting: dict[str, int]
) -> dict[str, int]:
    """Every payment against its PaymentIntent, both ways: none unknown, none twice.

    Returns what Stripe has charged for them, by currency.
    """
    fees: dict[str, int] = defaultdict(int)
    ours = uow.each(Payment, {}, NEWEST)
    theirs = ports.gateway.intents(await _beginning(uow, Payment))
    async for payment, intent in pairs(ours, theirs, lambda payment: payment.intent_id):
        if intent and intent.captured_amount and intent.fee_amount and intent.fee_currency:
            fees[intent.fee_currency] += intent.fee_amount
        if payment:
            _check_payment(report, payment, intent, waiting[payment.id])
        elif intent and (intent.captured_amount or intent.status == HELD):
            id = intent.metadata.get("payment_id", intent.id)
            report.compare("payment known here", id, True, False)
    return fees


def _check_payment(report: Report, payment: Payment, intent: Intent | None, waiting: int) -> None:
    report.payments += 1
    taken = intent.captured_amount if intent and intent.status == "succeeded" else 0
    report.compare("captured", payment.id, taken, payment.captured_amount)
    given_back = intent.refunded_amount if intent else 0
    report.compare("refunded", payment.id, given_back, payment.refunded_amount + waiting)
    held = intent is not None and intent.status == HELD
    holding = payment.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING)
    report.compare("held", payment.id, held, holding)


async def _check_chargebacks(
    ports: Ports, uow: UnitOfWork, report: Report, sums: Sums, fees: dict[str, int]
) -> None:
    """Every card dispute, both ways; what Stripe charged for them is added to `fees`."""
    ours = uow.each(Chargeback, {}, NEWEST)
    theirs = ports.gateway.disputes(await _beginning(uow, Payment))
    async for found, told in pairs(ours, theirs, lambda chargeback: chargeback.stripe_id):
        if told and told.fee_amount:
            fees[told.fee_currency or told.currency] += told.fee_amount
        if found:
            _check_chargeback(report, found, told, sums)
        elif told:
            report.compare("dispute known here", told.id, True, False)


def _check_chargeback(
    report: Report, found: Chargeback, told: CardDispute | None, sums: Sums
) -> None:
    report.chargebacks += 1
    out = sums.get((ledger.chargeback(found.id), found.currency), 0)
    report.compare("out in an open chargeback", found.id, _out(found), -out)
    report.compare("dispute at Stripe", found.id, True, told is not None)
    if told:
        report.compare("dispute's state", found.id, STATUS_OF_STRIPE[told.status], found.status)
        taken = (
            found.amount if found.status in (ChargebackStatus.OPEN, ChargebackStatus.LOST) else 0
        )
        report.compare("taken by the bank", found.id, told.withdrawn_amount, taken)


def _out(chargeback: Chargeback) -> int:
    return chargeback.amount if chargeback.status is ChargebackStatus.OPEN else 0


async def _check_transfers(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All that Stripe has transferred, net of what was reversed."""
    under_way: dict[str, int] = defaultdict(int)
    async for reversal in uow.each(Reversal, {"done": False}, OLDEST):
        under_way[reversal.transfer_id] += reversal.amount
    ours = uow.each(Transfer, {}, NEWEST)
    # An adjustment may be older than any offer.
    theirs = ports.gateway.transfers(await _beginning(uow, Offer, Transfer))
    async for transfer, there in pairs(ours, theirs, lambda transfer: transfer.stripe_id):
        net = there.amount - there.reversed_amount if there else 0
        if transfer:
            report.transfers += 1
            made = transfer.status in (
                TransferStatus.MADE,
                TransferStatus.AVAILABLE,
                TransferStatus.REVERSED,
            )
            expected = net - under_way[transfer.id]
            report.compare("transferred", transfer.id, expected, made * transfer.net)
        elif there:
            fact = there.metadata.get("fact", there.id)
            report.compare("transfer known here", fact, net, 0)


async def _check_withdrawals(ports: Ports, uow: UnitOfWork, report: Report) -> None:
    """All payouts of all contractors' accounts; nobody can look into one that is closed."""
    since = await _beginning(uow, Withdrawal)
    async for user in uow.each(User, {"connect_id": {"$gt": ""}}, OLDEST):
        account = str(user.connect_id)
        asked = {"user_id": user.id, "account_id": account}
        ours = uow.each(Withdrawal, asked, NEWEST)
        theirs = ports.gateway.payouts(account, since)
        async for withdrawal, payout in pairs(ours, theirs, lambda asked: asked.payout_id):
            under_way = payout and payout.status not in ("failed", "canceled")
            if withdrawal:
                _check_withdrawal(report, withdrawal, payout if under_way else None)
            elif payout and under_way:
                id = payout.metadata.get("withdrawal_id", payout.id)
                report.compare("payout known here", id, True, False)


def _check_withdrawal(report: Report, withdrawal: Withdrawal, payout: Settled | None) -> None:
    report.payouts += 1
    under_way = withdrawal.status not in (WithdrawalStatus.REQUESTED, WithdrawalStatus.FAILED)
    expected = withdrawal.amount if under_way else 0
    report.compare("paid out", withdrawal.id, payout.amount if payout else 0, expected)
    if withdrawal.status is WithdrawalStatus.PAID:
        report.compare("payout paid", withdrawal.id, "paid", payout and payout.status)


async def _beginning(uow: UnitOfWork, *kinds: type[Record]) -> datetime:
    firsts = [await uow.find(kind, {}, (("_id", 1),)) for kind in kinds]
    return min([uow.now, *(first.created_at for first in firsts if first)])


def _group(account: str) -> str:
    """`wallet:usr_1:pending` counts as `wallet:pending`."""
    parts = account.split(":")
    if parts[0] in ("escrow", "debt", "chargeback"):
        return parts[0]
    return f"{parts[0]}:{parts[2]}" if parts[0] == "wallet" else account
