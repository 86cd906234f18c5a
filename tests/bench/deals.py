"""Past deals: their objects at Stripe, journal rows and audit rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.deals.chargeback import Chargeback, ChargebackStatus
from domain.deals.offer import Milestone, MilestoneStatus, Offer, OfferStatus, Refund, RefundStatus
from domain.deals.payment import Payment, PaymentStatus
from domain.kernel.money import Schedule
from domain.kernel.record import Record
from domain.kernel.store import new_id
from domain.ledger.balances import Balance
from domain.ledger.transaction import Posting, Transaction
from domain.operations.audit_log import WaitingRow
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.ports.ports import Seal
from domain.wallet.withdrawals import Withdrawal, WithdrawalStatus

CURRENCY = "USD"
FEES = Schedule(1000, 2000)
PARTS = 2


class Deal:
    """A deal of two parties on a card whose money is available at once. `rows` are its records."""

    def __init__(self, sandbox, seal: Seal, now, number: int, contractor: User) -> None:
        self.sandbox, self.seal, self.contractor = sandbox, seal, contractor
        self.number, self.amount = number, 10_000 + number
        self.stamps = {"created_at": now, "updated_at": now}
        self.now, self.journal, self.others = now, [], []
        self.transfers: dict[str, Transfer] = {}
        self.offer = self._offer()

    @property
    def rows(self) -> list[Record]:
        escrow = ledger.escrow(self.offer.id)
        return [
            self.offer,
            self.payment,
            *self.transfers.values(),
            *self.others,
            *self.journal,
            balance(self.now, escrow, self.balances()[escrow]),
        ]

    def balances(self) -> Counter[str]:
        """What it has moved on every account."""
        moved: Counter[str] = Counter()
        for posting in (posting for row in self.journal for posting in row.postings):
            moved[posting.source] -= posting.amount
            moved[posting.destination] += posting.amount
        return moved

    # -- what may happen, one after the other --------------------------------------------------

    async def begin(self) -> None:
        """Paid, accepted, and Stripe's fee known."""
        intent = await self.sandbox.api(
            "POST",
            "payment_intents",
            amount=self.amount,
            currency=CURRENCY.lower(),
            confirm="true",
            capture_method="automatic",  # booked at once
            payment_method="pm_card_bypassPending",
            transfer_group=self.offer.id,
            **{
                "payment_method_types[]": "card",
                "metadata[payment_id]": self.offer.payment_id,
                "expand[]": "latest_charge.balance_transaction",
            },
        )
        charge = intent["latest_charge"]
        self.payment = Payment(
            id=self.offer.payment_id,
            offer_id=self.offer.id,
            status=PaymentStatus.CAPTURED,
            captured_amount=self.amount,
            intent_id=intent["id"],
            charge_id=charge["id"],
            available_on=self.now,
            visible=True,
            job_id=self.offer.job_id,
            job_title=self.offer.job_title,
            customer_id=self.offer.customer_id,
            contractor_id=self.contractor.id,
            amount=self.amount,
            currency=CURRENCY,
            **self.stamps,
        )
        self._add_audit_row("bidding.create", self.offer.id, self.payment.id)
        paid = Posting(ledger.STRIPE, ledger.escrow(self.offer.id), self.amount)
        self._book(f"capture:{self.payment.id}", "captured", [paid])
        cost = {
            ledger.PLATFORM: -charge["balance_transaction"]["fee"],
            ledger.STRIPE_FEES: charge["balance_transaction"]["fee"],
        }
        self._book(f"fee:{charge['id']}", "stripe_fee", ledger.postings_for(cost))
        self._add_audit_row("bidding.accept", self.offer.id)
        self._rebook(f"accept:{self.offer.id}", "accepted", accepted_at=self.now)

    async def complete(self, *numbers: int) -> None:
        """Complete parts of the work, each with its transfer."""
        for number in numbers:
            self._add_audit_row("job.complete", self.offer.id)
            parts, done = list(self.offer.milestones), self.offer.milestones[number - 1]
            parts[number - 1] = msgspec.structs.replace(
                done, status=MilestoneStatus.COMPLETED, completed_at=self.now
            )
            share = self._rebook(
                f"complete:{self.offer.id}#{number}",
                "completed",
                milestones=tuple(parts),
                completed_amount=self.offer.completed_amount + done.amount,
            )
            await self._send(share)

    async def _send(self, share: int) -> None:
        id, user = new_id(Transfer.PREFIX), self.contractor.id
        made = await self.sandbox.api(
            "POST",
            "transfers",
            amount=share,
            currency=CURRENCY.lower(),
            destination=self.contractor.connect_id,
            source_transaction=self.payment.charge_id,
            transfer_group=self.offer.id,
            **{"metadata[fact]": id},
        )
        self.transfers[id] = Transfer(
            id=id,
            user_id=user,
            amount=share,
            currency=CURRENCY,
            offer_id=self.offer.id,
            status=TransferStatus.AVAILABLE,
            stripe_id=made["id"],
            **self.stamps,
        )
        arrived = Posting(ledger.pending(user), ledger.available(user), share)
        self._book(f"transfer:{id}", "transfer_settled", [arrived])

    async def refund(self, amount: int) -> None:
        """Refund a part to the card, the uncompleted work first."""
        self._add_audit_row("admin.refund", self.offer.id, self.payment.id)
        id = new_id("rfd")
        made = await self.sandbox.api(
            "POST",
            "refunds",
            payment_intent=self.payment.intent_id,
            amount=amount,
            **{"metadata[fact]": id},
        )
        earned = max(0, amount - self.offer.earnable)
        refund = Refund(
            id, amount, earned, "Agreed", "usr_admin", self.now, RefundStatus.MADE, made["id"]
        )
        share = self._rebook(
            f"refund:{made['id']}",
            "refunded",
            {ledger.STRIPE: amount},
            refunds=(refund,),
            refunded_amount=amount,
            completed_amount=self.offer.completed_amount - earned,
        )
        self.payment = msgspec.structs.replace(
            self.payment, status=PaymentStatus.PARTIALLY_REFUNDED, refunded_amount=amount
        )
        await self._take_back(-share)

    async def _take_back(self, amount: int) -> None:
        if not amount:
            return
        id, transfer = new_id(Reversal.PREFIX), next(iter(self.transfers.values()))
        made = await self.sandbox.api(
            "POST",
            f"transfers/{transfer.stripe_id}/reversals",
            amount=amount,
            **{"metadata[fact]": id},
        )
        self.transfers[transfer.id] = msgspec.structs.replace(transfer, reversed_amount=amount)
        self.others.append(
            Reversal(
                id=id,
                transfer_id=transfer.id,
                user_id=transfer.user_id,
                amount=amount,
                currency=CURRENCY,
                stripe_id=made["id"],
                done=True,
                **self.stamps,
            )
        )

    async def apply_chargeback(self, amount: int, *, won: bool) -> None:
        """Open a chargeback of a part, and decide it."""
        opened = await self.sandbox.dispute(self.payment.charge_id, amount)
        await self.sandbox.close_dispute(opened["id"], won=won)
        id, fee = new_id(Chargeback.PREFIX), sum(e["fee"] for e in opened["balance_transactions"])
        out = ledger.chargeback(id)
        self._book(
            f"chargeback_fee:{id}:{fee}:1",
            "chargeback_fee",
            ledger.postings_for({ledger.PLATFORM: -fee, ledger.STRIPE_FEES: fee}),
        )
        taken = Posting(out, ledger.STRIPE, amount)
        self._book(f"chargeback:{id}#1", "chargeback_opened", [taken])
        self._add_audit_row("admin.evidence", id)
        if won:
            back = Posting(ledger.STRIPE, out, amount)
            self._book(f"chargeback_won:{id}#2", "chargeback_won", [back])
        else:
            share = self._rebook(
                f"chargeback_lost:{id}#2",
                "chargeback_lost",
                {out: amount},
                charged_back_amount=amount,
                completed_amount=self.offer.completed_amount - amount,
            )
            await self._take_back(-share)
        self.others.append(
            Chargeback(
                id=id,
                stripe_id=opened["id"],
                payment_id=self.payment.id,
                offer_id=self.offer.id,
                job_id=self.offer.job_id,
                job_title=self.offer.job_title,
                reason="fraudulent",
                customer_id=self.offer.customer_id,
                contractor_id=self.contractor.id,
                amount=amount,
                currency=CURRENCY,
                fee_amount=fee,
                steps=2,
                status=ChargebackStatus.WON if won else ChargebackStatus.LOST,
                **self.stamps,
            )
        )

    async def pay_out(self) -> None:
        """Pay out the contractor's whole balance."""
        id, user = new_id(Withdrawal.PREFIX), self.contractor.id
        amount, account = self.balances()[ledger.available(user)], self.contractor.connect_id
        paid = await self.sandbox.api(
            "POST",
            "payouts",
            account,
            amount=amount,
            currency=CURRENCY.lower(),
            **{"metadata[withdrawal_id]": id},
        )
        self.others.append(
            Withdrawal(
                id=id,
                user_id=user,
                account_id=account,
                amount=amount,
                currency=CURRENCY,
                status=WithdrawalStatus.PAID,
                payout_id=paid["id"],
                **self.stamps,
            )
        )
        self._add_audit_row("wallet.withdraw", id)
        way = (ledger.available(user), ledger.in_transit(user), ledger.BANK)
        for kind, source, destination in zip(("withdrawn", "paid_out"), way, way[1:], strict=False):
            self._book(f"{kind}:{id}", kind, [Posting(source, destination, amount)])

    # -- records -----------------------------------------------------------------------

    def _offer(self) -> Offer:
        id, part = new_id(Offer.PREFIX), self.amount // PARTS
        sizes = (part, self.amount - part)
        return Offer(
            id=id,
            payment_id=new_id(Payment.PREFIX),
            job_title="Fence",
            thread_id=id,
            description="Paint it.",
            timeline_days=3,
            schedule=FEES,
            expires_at=self.now,
            status=OfferStatus.ACCEPTED,
            captured_amount=self.amount,
            visible=True,
            milestones=tuple(Milestone(f"Part {n}", size) for n, size in enumerate(sizes, 1)),
            job_id=f"job_{self.number}",
            customer_id="usr_customer",
            amount=self.amount,
            contractor_id=self.contractor.id,
            currency=CURRENCY,
            **self.stamps,
        )

    def _rebook(
        self, fact: str, kind: str, outside: Mapping[str, int] | None = None, **fields: Any
    ) -> int:
        """Change the offer and book the difference. Returns the contractor's share of it."""
        before, self.offer = self.offer, msgspec.structs.replace(self.offer, **fields)
        old, new = before.holdings, self.offer.holdings
        share, user = new.contractor - old.contractor, self.contractor.id
        wallet = ledger.pending(user) if share > 0 else ledger.available(user)
        self._book(
            fact,
            kind,
            ledger.postings_for(
                {
                    ledger.PLATFORM: new.platform - old.platform,
                    wallet: share,
                    ledger.escrow(self.offer.id): new.escrow - old.escrow,
                    **(outside or {}),
                }
            ),
        )
        return share

    def _book(self, fact: str, kind: str, postings: Iterable[Posting]) -> None:
        moved = tuple(postings)
        accounts = {account for each in moved for account in (each.source, each.destination)}
        self.journal.append(
            Transaction(
                id=new_id(Transaction.PREFIX),
                fact=fact,
                kind=kind,
                currency=CURRENCY,
                postings=moved,
                accounts=tuple(sorted(accounts)),
                users=(self.contractor.id,),
                offer_id=self.offer.id,
                **self.stamps,
            )
        )

    def _add_audit_row(self, operation: str, *subjects: str) -> None:
        row = WaitingRow(
            id=new_id(WaitingRow.PREFIX),
            actor_id=self.contractor.id,
            role=self.contractor.role,
            session_id=None,
            operation=operation,
            request_id=None,
            address="127.0.0.1",
            subjects=subjects,
            detail='{"fields":{},"changes":[]}',
            **self.stamps,
        )
        self.others.append(msgspec.structs.replace(row, seal=self.seal.sign(row.content)))


def balance(now, account: str, amount: int) -> Balance:
    kind, owner = account.split(":")[:2]
    return Balance(
        id=f"{account}|{CURRENCY}",
        created_at=now,
        updated_at=now,
        account=account,
        kind=kind,
        owner=owner,
        currency=CURRENCY,
        balance=amount,
    )
