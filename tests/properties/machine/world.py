"""The state machine's world: one server for all runs, each with new people, jobs and books."""

from domain.accounts.user import User
from domain.audit_trail.hash_chain import Anchor
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer, RefundStatus
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.jobs.applications import Application
from domain.jobs.job import Job
from domain.kernel.outbox import OutboxRow
from domain.ledger.transaction import Transaction
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.payouts.shortfall import Shortfall
from domain.payouts.transfer import Reversal, Transfer
from domain.reconciliation.follow_up import FollowUp
from domain.reconciliation.runs import Reconciliation
from domain.stripe_events.inbox import WebhookEvent
from domain.stripe_events.payloads import WebhookPayload
from domain.wallet.withdrawals import Withdrawal
from tests.properties.machine.outside import DAY, MINUTE
from tests.properties.machine.proof import Proof
from tests.properties.machine.unasked import Unasked
from tests.properties.machine.workers import Workers

OF_ONE_RUN = (
    Chargeback.COLLECTION,
    Dispute.COLLECTION,
    Job.COLLECTION,
    Offer.COLLECTION,
    OutboxRow.COLLECTION,
    Payment.COLLECTION,
    Reversal.COLLECTION,
    Shortfall.COLLECTION,
    Transaction.COLLECTION,
    Transfer.COLLECTION,
    FollowUp.COLLECTION,
    "wallets",
    Withdrawal.COLLECTION,
    WebhookEvent.COLLECTION,
    WebhookPayload.COLLECTION,
    "feed",
    Application.COLLECTION,
    AuditRow.COLLECTION,
    WaitingRow.COLLECTION,
    Anchor.COLLECTION,
    Reconciliation.COLLECTION,
)
CURRENCIES = ("USD", "JPY", "KWD")
FOUND_LATER = ("radar.", "review.")  # events that the reconciliation makes good when they are lost
TOP_UP = 1_000_000  # minor units
AFTERWARDS = 10 * DAY  # holds have expired, and unanswered disputes are decided


class World(Unasked):
    """Plays the runs one after the other."""

    def __init__(self, market, server):
        super().__init__(market, Workers(market, server))
        self.proved = False
        self.topped = set()  # currencies whose balance got more

    async def prepare(self):
        await self.sandbox.settings(fee_bps=290, fee_fixed=30, payout_delay_seconds=5)
        await self.workers.start()
        return self

    async def begin(self, pick=0):
        """Delete the records of the last run here; at Stripe it ends, and its objects remain."""
        if not self.proved:
            await self.workers.bring_back()
        await self._forget()
        await self.workers.pass_time(AFTERWARDS)
        await self.workers.idle()
        await self._forget(User.COLLECTION)
        self.proved, self.passed, self.crashes = False, 0, 0
        self.workers.dropped.clear()
        self.jobs.clear()
        self.former.clear()
        self.topped.clear()
        await self.sandbox.settings(available_delay_seconds=pick % 2 * DAY)
        await self.arrive()
        await self.workers.idle()
        self.proof = Proof(self)
        await self.proof.begin()
        for place in range(3):
            await self.post_job(CURRENCIES[(pick + place) % 3])
        for chapter in range(4):
            for n in range(2):
                await self.deal(n, pick // 2 * (chapter == 0), 50)
            await self.workers.idle()

    async def _forget(self, *besides):
        for name in (*OF_ONE_RUN, *besides):
            await self.workers.store.database[name].delete_many({})

    async def converge(self):
        """Stop all faults: all work finishes, all books agree, and still agree later."""
        await self.workers.bring_back()
        await self.bring_banks_back()
        for side in self.contractors:
            await self.try_command(
                self.admin, "/admin", "unfreeze", user_id=side.id, reason="The end"
            )
        await self._settle()
        await self.settle_stranded()
        await self.proof.check_books()
        await self.workers.pass_time(AFTERWARDS)
        await self._settle()
        await self.settle_stranded()
        await self.proof.check_books()
        await self.proof.check_reconciliation()
        self.proved = True

    async def _fund_waiting_refunds(self):
        """An administrator adds what refunds wait for, as the alert asks: a run leaves none."""
        short = {
            offer.currency
            for offer in await self.found(Offer)
            for refund in offer.refunds
            if refund.status is RefundStatus.REQUESTED and refund.stripe_id
        }
        for currency in sorted(short - self.topped):
            self.topped.add(currency)
            await self.sandbox.add_funds(TOP_UP, currency)

    async def _settle(self):
        for seconds in (20, 11 * MINUTE, 20, 11 * MINUTE):
            await self._fund_waiting_refunds()
            await self.clear_fraud()
            await self.workers.pass_time(seconds)
            await self.workers.idle()
            while self.workers.dropped:
                event = self.workers.dropped.pop()
                if not event["type"].startswith(FOUND_LATER):
                    await self.post.send(event)
            await self.workers.scheduled()
            await self.workers.idle()

    async def close(self):
        await self.workers.close()
