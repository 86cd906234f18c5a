"""Invariants at any time and at the end of a run: our books, Stripe's, and both together."""

from collections import Counter
from datetime import timedelta

from domain import ledger
from domain.audit_trail import hash_chain, verification
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import OFFER_STEPS, MilestoneStatus, Offer, RefundStatus
from domain.deals.payment import PAYMENT_STEPS, Payment
from domain.disputes.dispute import STEPS as DISPUTE_STEPS
from domain.disputes.dispute import Dispute
from domain.jobs.job import Job, JobStatus
from domain.kernel.outbox import OutboxRow
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.notifications.feed import FeedRow
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import STEPS as TRANSFER_STEPS
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.reconciliation.books_audit import audit
from domain.reconciliation.runs import Reconciliation, ReconciliationStatus, compare_books
from domain.wallet.withdrawals import STEPS as WITHDRAWAL_STEPS
from domain.wallet.withdrawals import Withdrawal

MILESTONE_STEPS = {
    MilestoneStatus.PENDING: (
        MilestoneStatus.DELIVERED,
        MilestoneStatus.COMPLETED,
        MilestoneStatus.CANCELLED,
    ),
    MilestoneStatus.DELIVERED: (MilestoneStatus.COMPLETED, MilestoneStatus.CANCELLED),
}
JOB_STEPS = {
    JobStatus.OPEN: (JobStatus.ASSIGNED, JobStatus.CANCELLED),
    JobStatus.ASSIGNED: (JobStatus.IN_PROGRESS, JobStatus.COMPLETED, JobStatus.CANCELLED),
    JobStatus.IN_PROGRESS: (JobStatus.COMPLETED, JobStatus.CANCELLED),
}
REFUND_STEPS = {
    RefundStatus.REQUESTED: (RefundStatus.MADE, RefundStatus.FAILED),
    RefundStatus.MADE: (RefundStatus.FAILED,),
}
# Banks reverse decisions, but a dispute that has moved money never becomes an inquiry again.
CHARGEBACK_STEPS = {
    ChargebackStatus.INQUIRY: (
        ChargebackStatus.CLOSED,
        ChargebackStatus.OPEN,
        ChargebackStatus.WON,
        ChargebackStatus.LOST,
    ),
    ChargebackStatus.CLOSED: (ChargebackStatus.OPEN, ChargebackStatus.WON, ChargebackStatus.LOST),
    ChargebackStatus.OPEN: (ChargebackStatus.WON, ChargebackStatus.LOST),
    ChargebackStatus.WON: (ChargebackStatus.OPEN, ChargebackStatus.LOST),
    ChargebackStatus.LOST: (ChargebackStatus.OPEN, ChargebackStatus.WON),
}
TABLES = (
    (Job, JOB_STEPS),
    (Offer, OFFER_STEPS),
    (Payment, PAYMENT_STEPS),
    (Transfer, TRANSFER_STEPS),
    (Withdrawal, WITHDRAWAL_STEPS),
    (Dispute, DISPUTE_STEPS),
    (Chargeback, CHARGEBACK_STEPS),
)
BEYOND = {
    "$or": [
        {"kind": {"$in": ["escrow", "wallet"]}, "balance": {"$lt": 0}},
        {"kind": "debt", "balance": {"$gt": 0}},
    ]
}


class Proof:
    """The invariants of one run; the database contains only its records."""

    def __init__(self, world):
        self.world, self.workers, self.sandbox = world, world.workers, world.sandbox
        self.states, self.versions, self.head = {}, {}, None

    async def begin(self):
        self.since = self.workers.clock.now() - timedelta(hours=1)  # the clock may jump back
        self.before = await self._at_stripe()

    # -- at any time -----------------------------------------------------------------------------

    async def check_invariants(self):
        """In one snapshot: states follow their tables, versions rise, balances are within their
        bounds and equal the journal."""
        for kind, steps in TABLES:
            for record in await self.world.found(kind):
                assert record.version >= self.versions.get(record.id, 0), record
                self.versions[record.id] = record.version
                self._check_transition(record.id, record.status, steps)
                if kind is Offer:
                    self._check_holdings(record)
        await self.workers.store.transact(self._balances)

    def _check_transition(self, id, status, steps):
        before = self.states.get(id, status)
        assert status in reachable(before, steps), (id, before, status)
        self.states[id] = status

    def _check_holdings(self, offer):
        for number, part in enumerate(offer.milestones):
            self._check_transition(f"{offer.id}#{number}", part.status, MILESTONE_STEPS)
        for refund in offer.refunds:
            self._check_transition(refund.id, refund.status, REFUND_STEPS)
        parts = offer.holdings
        total = parts.platform + parts.contractor + parts.escrow
        assert min(parts.platform, parts.contractor, parts.escrow) >= 0, offer
        assert total == offer.net_amount, offer

    async def _balances(self, uow):
        booked = Counter()
        for row in await uow.all(Transaction, {}, limit=10_000):
            for posting in row.postings:
                assert posting.amount > 0, row
                booked[posting.source, row.currency] -= posting.amount
                booked[posting.destination, row.currency] += posting.amount
        assert await uow.find(Balance, BEYOND) is None
        rows = await uow.all(Balance, {"kind": ("escrow", "wallet", "debt")}, limit=10_000)
        kept = {(row.account, row.currency): row.balance for row in rows}
        bounded = {key: sum for key, sum in booked.items() if ledger.is_bounded(key[0])}
        assert nonzero(kept) == nonzero(bounded)
        self.booked = booked

    # -- at the end of a run ---------------------------------------------------------------------

    async def check_books(self):
        """All work has finished, and all books agree."""
        await self.check_invariants()
        dead = await self.world.found(OutboxRow, dead=True)
        assert not dead, dead
        report = await audit(self.workers.server.ports)
        assert report.differences == [], report.differences
        found = await compare_books(self.workers.server.ports, self.since, self.workers.clock.now())
        assert found.differences == [], found.differences
        await self.check_invariants()  # it books what it finds, such as added funds
        await self._signals_are_known()
        await self._same_money()
        await self._feeds_have_no_gaps()
        await self._trail_is_complete()

    async def _at_stripe(self):
        """(owner, currency) -> money on the Stripe account, available or not."""
        found = Counter()
        owners = [("platform", None), *self.world.accounts.items(), *self.world.former.items()]
        for owner, account in dict.fromkeys(owners):
            for currency, amount in (await self.sandbox.money_of(account)).items():
                found[owner, currency] += amount
        return found

    async def _same_money(self):
        """Everything that moved at Stripe since the run began, on every account, is booked here."""
        ours, booked = Counter(), Counter()
        for (account, currency), amount in self.booked.items():
            kind, _, rest = account.partition(":")
            user, _, part = rest.partition(":")
            if part in ("available", "held", "in_transit", "stranded") and kind == "wallet":
                ours[user, currency] += amount
            if account not in (ledger.STRIPE, ledger.BANK, ledger.STRIPE_FEES):
                booked[currency] += amount
        for made in await self.world.found(Transfer, status=TransferStatus.MADE):
            ours[made.user_id, made.currency] += made.net
        for lacking in await self.world.found(Shortfall):  # paid out unasked, and owed since
            ours[lacking.user_id, lacking.currency] -= lacking.amount
        for refill in await self.world.found(Transfer, refill=True, stripe_id=None):
            ours[refill.user_id, refill.currency] -= refill.amount
        for reversal in await self.world.found(Reversal, done=False):
            ours[reversal.user_id, reversal.currency] += reversal.amount
        now, there, total = await self._at_stripe(), Counter(), Counter()
        for key in {*now, *self.before}:
            there[key] = now[key] - self.before[key]
            total[key[1]] += there[key]
        assert nonzero(total) == nonzero(booked), (total, booked)
        for user in self.world.accounts:
            for currency in booked:
                key = user, currency
                assert ours[key] == there[key], (
                    (key, ours[key], there[key]),
                    [made for made in await self.world.found(Transfer) if made.user_id == user],
                    [made for made in await self.world.found(Reversal) if made.user_id == user],
                    [made for made in await self.world.found(Withdrawal) if made.user_id == user],
                )

    async def _signals_are_known(self):
        """Every fraud warning and open review is known here, and no other holds a release."""
        payments = {payment.intent_id: payment for payment in await self.world.found(Payment)}
        known = {
            signal.id: signal.open and not signal.cleared
            for payment in payments.values()
            for signal in payment.fraud_signals
        }
        listed = {}
        for path in ("radar/early_fraud_warnings", "reviews"):
            page = await self.sandbox.api("GET", path, limit=100)
            listed |= {each["id"]: each["payment_intent"] for each in page["data"]}
        ours = {id for id, intent in listed.items() if intent in payments}
        assert ours <= known.keys(), (ours, known)
        assert {id for id, holds in known.items() if holds} <= ours, (ours, known)

    async def check_reconciliation(self):
        """The daily reconciliation reports exactly the expected differences."""
        last = (await self.world.found(Reconciliation))[-1]
        assert last.status == ReconciliationStatus.CLEAN, last
        await self._what_is_offered_is_there()

    async def _what_is_offered_is_there(self):
        """Accounts that were not closed have what their wallets offer, but for refills that are not
        sent yet: what they lack is owed, or promised elsewhere."""
        wallets = {"$gt": "wallet:", "$lt": "wallet;"}
        for row in await self.world.found(Balance, account=wallets, balance={"$gt": 0}):
            user = row.account.removeprefix("wallet:").removesuffix(":available")
            account = self.world.accounts.get(user)
            if account is None or user in self.world.former:
                continue
            there = (await self.sandbox.money_of(account)).get(row.currency, 0)
            for refill in await self.world.found(
                Transfer, user_id=user, currency=row.currency, refill=True, stripe_id=None
            ):
                there += refill.amount
            there -= self.before[user, row.currency]
            assert row.balance <= there, (row, there, await self.world.found(Shortfall))

    async def _trail_is_complete(self):
        """Every audit row is chained, and the chain continues from its last verified row."""
        ports = self.workers.server.ports
        await hash_chain.extend(ports, rest=0)
        proof = await verification.verify(ports, self.head)
        assert proof.findings == [] and proof.rows, proof
        self.head = proof.head

    async def _feeds_have_no_gaps(self):
        for party in (*self.world.customers, *self.world.contractors, self.world.admin):
            rows = (
                await self.workers.store.database[FeedRow.COLLECTION]
                .find({"user_id": party.id}, {"seq": 1}, sort=[("seq", 1)])
                .to_list(None)
            )
            assert [row["seq"] for row in rows] == list(range(1, 1 + len(rows)))


def nonzero(counter):
    return {key: amount for key, amount in counter.items() if amount}


def reachable(status, steps):
    """All states that are reachable in any number of steps."""
    known, new = set(), {status}
    while new:
        known |= new
        new = {after for before in new for after in steps.get(before, ())} - known
    return known
