"""The audit of the books: recomputes every balance from the journal, and compares every offer with
the holdings function and every captured, refunded, transferred and paid-out amount with Stripe.

Objects of other business on the same Stripe account are left out, and so are their fees.
Memory is bounded by what is open and not by history: accounts with a zero balance are dropped, and
Stripe's lists are joined with ours as streams.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.deals.chargeback import STATUS_OF_STRIPE, Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment, PaymentStatus
from domain.kernel.store import NEWEST, UnitOfWork
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.payments.duplicates import DuplicateCharge
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.ports.payment_gateway import CardDispute, Intent, StripeMovement
from domain.ports.ports import Ports
from domain.reconciliation.book_difference import Explained, explained_differences
from domain.reconciliation.difference import Difference
from domain.reconciliation.other_business import (
    is_foreign_dispute,
    is_foreign_intent,
    is_foreign_transfer,
)
from domain.reconciliation.ownerless_money import OwnerlessMoney, all_ownerless
from domain.reconciliation.stream_join import join_streams
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

OLDEST = (("_id", 1),)
MAX_OWNERLESS = 100
STRIPE_HELD = "requires_capture"  # status of a PaymentIntent at Stripe
# Kinds of transactions that belong to no offer.
MANUAL_KINDS = (
    "adjusted",
    "platform_withdrew",
    "remainder_given_up",
    "stranded_replaced",
    "line_assigned",
    "written_off",
    "refund_paid_otherwise",
    "duplicate_charged",
    "duplicate_refunded",
    "duplicate_returned",
)


class Report(msgspec.Struct):
    """The numbers of records compared, the totals by kind of account, and the differences.

    A difference in `known` is only counted, as `explained`, while its values stay. `ownerless` is
    the first money without an owner, which is no difference.
    """

    transactions: int = 0
    balances: int = 0
    offers: int = 0
    payments: int = 0
    transfers: int = 0
    payouts: int = 0
    chargebacks: int = 0
    totals: dict[str, dict[str, int]] = {}
    differences: list[Difference] = []
    explained: int = 0
    ownerless: list[OwnerlessMoney] = []
    known: Explained = {}

    def compare(self, what: str, subject: str, expected: Any, found: Any) -> None:
        if expected == found:
            return
        if self.known.get((what, subject)) == msgspec.to_builtins([expected, found]):
            self.explained += 1
        else:
            self.differences.append(Difference(what, subject, expected, found))


async def audit(ports: Ports) -> Report:
    """Compare all records, and list the first money without an owner."""
    report = await compare_records(ports)
    report.ownerless = [each async for each in _first_ownerless(ports.store.single())]
    return report


async def compare_records(ports: Ports) -> Report:
    """Read and compare all records once.

    It reads no snapshot, so changes during the audit may appear as differences.
    """
    uow = ports.store.single()
    report = Report(totals={}, differences=[], known=await explained_differences(uow))
    since = await _first_created(uow)
    journal = await _sum_journal(uow, report)
    await _check_balances(uow, report, journal)
    waiting = await _check_offers(uow, report, journal)
    fees = await _check_payments(ports, uow, report, since, waiting)
    await _check_chargebacks(ports, uow, report, since, journal.balances, fees)
    for currency, charged in fees.items():
        booked = journal.balances.get((ledger.STRIPE_FEES, currency), 0)
        report.compare("Stripe's fees", currency, charged, booked - journal.other_fees[currency])
    await _check_transfers(ports, uow, report, since)
    await _check_withdrawals(ports, uow, report, since)
    return report


Sums = dict[tuple[str, str], int]  # by account and currency
EMPTIED_AT_ONCE = 500  # accounts in one query


class JournalSums(msgspec.Struct):
    """Sums over all transactions of the journal, in minor units.

    `manual` is the part of the parties' balances from MANUAL_KINDS, and `other_fees` are Stripe's
    fees without a charge. `rowless` are bounded accounts that were emptied and have no balance row.
    """

    balances: Sums
    manual: Sums
    other_fees: dict[str, int]
    rowless: set[tuple[str, str]]


async def _sum_journal(uow: UnitOfWork, report: Report) -> JournalSums:
    journal = JournalSums(defaultdict(int), defaultdict(int), defaultdict(int), set())
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    emptied: set[tuple[str, str]] = set()
    async for transaction in uow.each(Transaction, {}, OLDEST):
        report.transactions += 1
        currency = transaction.currency
        for account, delta in _deltas(transaction, journal, report).items():
            totals[_account_group(account)][currency] += delta
            if delta and _add_amount(journal.balances, account, currency, delta) == 0:
                emptied.add((account, currency))
        if len(emptied) >= EMPTIED_AT_ONCE:
            journal.rowless |= await _without_rows(uow, emptied)
            emptied.clear()
    journal.rowless |= await _without_rows(uow, emptied)
    report.totals = {name: dict(parts) for name, parts in sorted(totals.items())}
    return journal


def _deltas(transaction: Transaction, journal: JournalSums, report: Report) -> dict[str, int]:
    """The changes of a transaction by account; also adds to `manual` and `other_fees`."""
    deltas: dict[str, int] = defaultdict(int)
    for posting in transaction.postings:
        deltas[posting.source] -= posting.amount
        deltas[posting.destination] += posting.amount
        if transaction.kind == "stripe_other_fee":
            sign = 1 if posting.destination == ledger.STRIPE_FEES else -1
            journal.other_fees[transaction.currency] += sign * posting.amount
        if transaction.kind in MANUAL_KINDS:
            journal.manual[_party(posting.source), transaction.currency] -= posting.amount
            journal.manual[_party(posting.destination), transaction.currency] += posting.amount
        report.compare("posting above zero", transaction.id, True, posting.amount > 0)
    return deltas


def _add_amount(sums: Sums, account: str, currency: str, delta: int) -> int:
    """Add to a sum and return it. A sum of zero is dropped: nearly every escrow ends empty."""
    total = sums[account, currency] + delta
    sums[account, currency] = total
    if not total:
        del sums[account, currency]
    return total


async def _without_rows(uow: UnitOfWork, keys: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The bounded accounts without a balance row.

    The first booking creates the row, and no code removes it.
    """
    bounded = {"|".join(key): key for key in keys if ledger.is_bounded(key[0])}
    if bounded:
        for row in await uow.all(Balance, {"_id": tuple(bounded)}):
            del bounded[row.id]
    return set(bounded.values())


def _party(account: str) -> str:
    """The party whose holdings include the account.

    The platform pays Stripe's fees, and money in a bank account was paid out to a contractor.
    """
    if account in (ledger.PLATFORM, ledger.STRIPE_FEES):
        return "platform"
    if account.startswith(("wallet:", "debt:", ledger.BANK)):
        return "contractor"
    return account


async def _check_balances(uow: UnitOfWork, report: Report, journal: JournalSums) -> None:
    sums = journal.balances
    rowless = journal.rowless | {key for key in sums if ledger.is_bounded(key[0])}
    async for row in uow.each(Balance, {"kind": ("escrow", "wallet", "debt")}, OLDEST):
        report.balances += 1
        rowless.discard((row.account, row.currency))
        report.compare("balance", row.id, sums.get((row.account, row.currency), 0), row.balance)
        inside = row.balance <= 0 if row.kind == "debt" else row.balance >= 0
        report.compare("balance within its bound", row.id, True, inside)
    for account, currency in sorted(rowless):
        report.compare("balance", f"{account}|{currency}", sums.get((account, currency), 0), None)
    for account in await ledger.accounts_with_snapshots(uow):
        for currency, found in (await ledger.balance_of(uow, account)).items():
            booked = sums.get((account, currency), 0)
            report.compare("balance", f"{account}|{currency}", booked, found)


async def _check_offers(uow: UnitOfWork, report: Report, journal: JournalSums) -> dict[str, int]:
    """Compare every offer with its accounts.

    Returns by payment the refunds that Stripe has not sent because the platform lacks the money.
    """
    sums = journal.balances
    expected: Sums = defaultdict(int, journal.manual)
    waiting: dict[str, int] = defaultdict(int)
    async for offer in uow.each(Offer, {"captured_amount": {"$gt": 0}}, OLDEST):
        report.offers += 1
        if offer.refunds_at_stripe:
            waiting[offer.payment_id] = offer.refunds_at_stripe
        held = sums.get((ledger.escrow(offer.id), offer.currency), 0)
        parts = offer.holdings
        report.compare("escrow by the holdings", offer.id, parts.escrow, held)
        total = parts.platform + parts.contractor + parts.escrow
        report.compare("parts sum to the whole", offer.id, offer.net_amount, total)
        returned = sums.get((ledger.returned(offer.id), offer.currency), 0)
        report.compare("returned by the bank", offer.id, offer.returned_amount, returned)
        expected["platform", offer.currency] += parts.platform
        expected["contractor", offer.currency] += parts.contractor
        expected[ledger.LOSSES, offer.currency] += (
            offer.captured_amount - offer.gone_amount - offer.net_amount
        )
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
    ports: Ports, uow: UnitOfWork, report: Report, since: datetime, waiting: dict[str, int]
) -> dict[str, int]:
    """Compare payments with PaymentIntents, in both directions.

    Returns Stripe's fees for them by currency.
    """
    fees: dict[str, int] = defaultdict(int)
    ours = uow.each(Payment, {}, NEWEST)
    theirs = ports.gateway.intents(since)
    async for payment, intent in join_streams(ours, theirs, lambda payment: payment.intent_id):
        if payment is None and intent and is_foreign_intent(intent):
            continue
        if intent and intent.captured_amount and intent.fee_amount and intent.fee_currency:
            fees[intent.fee_currency] += intent.fee_amount
        if payment:
            _check_payment(report, payment, intent, waiting[payment.id])
        elif intent and intent.captured_amount and await _is_duplicate(uow, intent):
            continue
        elif intent and (intent.captured_amount or intent.status == STRIPE_HELD):
            id = intent.metadata.get("payment_id", intent.id)
            report.compare("payment known here", id, True, False)
    return fees


async def _is_duplicate(uow: UnitOfWork, intent: Intent) -> bool:
    """Whether it is a second charge that is known here, with this amount."""
    same = {"intent_id": intent.id, "amount": intent.captured_amount}
    return await uow.find(DuplicateCharge, same) is not None


def _check_payment(report: Report, payment: Payment, intent: Intent | None, waiting: int) -> None:
    report.payments += 1
    taken = intent.captured_amount if intent and intent.status == "succeeded" else 0
    report.compare("captured", payment.id, taken, payment.captured_amount)
    given_back = intent.refunded_amount if intent else 0
    report.compare("refunded", payment.id, given_back, payment.refunded_amount + waiting)
    held = intent is not None and intent.status == STRIPE_HELD
    holding = payment.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURING)
    report.compare("held", payment.id, held, holding)


async def _check_chargebacks(
    ports: Ports,
    uow: UnitOfWork,
    report: Report,
    since: datetime,
    sums: Sums,
    fees: dict[str, int],
) -> None:
    """Compare chargebacks with Stripe's disputes, in both directions; add their fees to `fees`."""
    ours = uow.each(Chargeback, {}, NEWEST)
    theirs = ports.gateway.disputes(since)
    pairs = join_streams(ours, theirs, lambda chargeback: chargeback.stripe_id)
    async for chargeback, dispute in pairs:
        if chargeback is None and dispute and await is_foreign_dispute(uow, dispute):
            continue
        if dispute and dispute.fee_amount:
            fees[dispute.fee_currency or dispute.currency] += dispute.fee_amount
        if chargeback:
            _check_chargeback(report, chargeback, dispute, sums)
        elif dispute:
            report.compare("dispute known here", dispute.id, True, False)


def _check_chargeback(
    report: Report, chargeback: Chargeback, dispute: CardDispute | None, sums: Sums
) -> None:
    report.chargebacks += 1
    out = sums.get((ledger.chargeback(chargeback.id), chargeback.currency), 0)
    undecided = chargeback.withdrawn - chargeback.lost
    report.compare("out in an open chargeback", chargeback.id, undecided, -out)
    report.compare("dispute at Stripe", chargeback.id, True, dispute is not None)
    if dispute:
        status = STATUS_OF_STRIPE[dispute.status]
        report.compare("dispute's state", chargeback.id, status, chargeback.status)
        report.compare("disputed amount", chargeback.id, dispute.amount, chargeback.amount)
        taken = chargeback.withdrawn
        report.compare("taken by the bank", chargeback.id, dispute.withdrawn_amount, taken)


async def _check_transfers(ports: Ports, uow: UnitOfWork, report: Report, since: datetime) -> None:
    """Compare transfers with Stripe's, net of reversals, in both directions."""
    under_way: dict[str, int] = defaultdict(int)
    async for reversal in uow.each(Reversal, {"done": False}, OLDEST):
        under_way[reversal.transfer_id] += reversal.amount
    ours = uow.each(Transfer, {}, NEWEST)
    theirs = ports.gateway.transfers(since)
    pairs = join_streams(ours, theirs, lambda transfer: transfer.stripe_id)
    async for transfer, made_transfer in pairs:
        net = made_transfer.amount - made_transfer.reversed_amount if made_transfer else 0
        if transfer:
            report.transfers += 1
            made = transfer.status in (
                TransferStatus.MADE,
                TransferStatus.AVAILABLE,
                TransferStatus.REVERSED,
            )
            expected = net - under_way[transfer.id]
            report.compare("transferred", transfer.id, expected, made * transfer.net)
        elif made_transfer and not await is_foreign_transfer(uow, made_transfer):
            fact = made_transfer.metadata.get("fact", made_transfer.id)
            report.compare("transfer known here", fact, net, 0)


async def _check_withdrawals(
    ports: Ports, uow: UnitOfWork, report: Report, since: datetime
) -> None:
    """Compare withdrawals with the payouts of all open accounts, in both directions.

    Stripe does not list the payouts of a closed account.
    """
    async for user in uow.each(User, {"connect_id": {"$gt": ""}}, OLDEST):
        account = str(user.connect_id)
        ours = uow.each(Withdrawal, {"user_id": user.id, "account_id": account}, NEWEST)
        theirs = ports.gateway.payouts(account, since)
        pairs = join_streams(ours, theirs, lambda withdrawal: withdrawal.payout_id)
        async for withdrawal, payout in pairs:
            under_way = payout and payout.status not in ("failed", "canceled")
            if withdrawal:
                _check_withdrawal(report, withdrawal, payout if under_way else None)
            elif payout and under_way:
                id = payout.metadata.get("withdrawal_id", payout.id)
                report.compare("payout known here", id, True, False)


def _check_withdrawal(
    report: Report, withdrawal: Withdrawal, payout: StripeMovement | None
) -> None:
    report.payouts += 1
    under_way = withdrawal.status not in (WithdrawalStatus.REQUESTED, WithdrawalStatus.FAILED)
    expected = withdrawal.amount if under_way else 0
    report.compare("paid out", withdrawal.id, payout.amount if payout else 0, expected)
    if withdrawal.status is WithdrawalStatus.PAID:
        report.compare("payout paid", withdrawal.id, "paid", payout and payout.status)


async def _first_ownerless(uow: UnitOfWork) -> AsyncIterator[OwnerlessMoney]:
    count = 0
    async for each in all_ownerless(uow):
        if count >= MAX_OWNERLESS:
            return
        count += 1
        yield each


async def _first_created(uow: UnitOfWork) -> datetime:
    """When the oldest record with an object at Stripe was created; now if none exists.

    Payments are not older than their offers, and withdrawals not than the transfers that they pay
    out. A transfer of an adjustment may be older than any offer.
    """
    firsts = (await uow.find(Offer, {}, OLDEST), await uow.find(Transfer, {}, OLDEST))
    return min([uow.now, *(first.created_at for first in firsts if first)])


def _account_group(account: str) -> str:
    """`wallet:usr_1:pending` counts as `wallet:pending`."""
    parts = account.split(":")
    if parts[0] in ("escrow", "debt", "chargeback", "returned"):
        return parts[0]
    return f"{parts[0]}:{parts[2]}" if parts[0] == "wallet" else account
