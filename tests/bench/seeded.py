"""A market of the past, written straight into the database and the Stripe sandbox."""

import asyncio
import itertools
from collections.abc import Sequence

import msgspec

from domain import ledger
from domain.accounts import User
from domain.deal import (
    Milestone,
    MilestoneStatus,
    Offer,
    OfferStatus,
    Payment,
    PaymentStatus,
)
from domain.ledger import Balance, Posting, Transaction
from domain.model import RECORDS
from domain.money import Schedule, holdings
from domain.operation import Role
from domain.record import Record
from domain.store import Store, new_id
from domain.transfers import Transfer, TransferStatus
from server.stripe_gateway import StripeGateway

CONTRACTORS = 20
AT_ONCE = 16
FEES = Schedule(1000, 2000)


class Seeder:
    """Writes finished deals: captured, accepted, completed, transferred, ready to be withdrawn."""

    def __init__(self, store: Store, sandbox) -> None:
        self.store, self.sandbox = store, sandbox
        self.made = 0
        self.people: list[User] = []
        self.earned: dict[str, int] = {}

    async def prepare(self) -> None:
        await self.store.prepare(RECORDS)
        gateway = StripeGateway(self.sandbox.key, self.sandbox.base, "http://127.0.0.1")
        for number in range(CONTRACTORS):
            account = await gateway.create_account(
                key=f"account:{number}", email="c@people.test", user_id=str(number), country="US"
            )
            url = await gateway.onboarding_url(account.id)
            await self.sandbox.fill_in_onboarding(url, f"Contractor {number}", "usd")
            now = self.store.clock.now()
            user = User(
                id=new_id(User.PREFIX), created_at=now, updated_at=now, role=Role.CONTRACTOR,
                email=f"c{number}@people.test", name=f"Contractor {number}", password_hash="!",
                connect_id=account.id, transfers_active=True, payouts_enabled=True,
            )  # fmt: skip
            self.people.append(user)
        await gateway.close()
        await self.store.single().add_all(self.people)

    async def grow(self, offers: int) -> None:
        """Until there are so many offers."""
        numbers = iter(range(self.made, offers))
        await asyncio.gather(*(self._work(numbers) for _ in range(AT_ONCE)))
        self.made = offers
        uow = self.store.single()
        await uow.remove(Balance, {"kind": "wallet"})
        await uow.add_all([
            self._balance(account, sum)
            for user, earned in self.earned.items()
            for account, sum in ((ledger.available(user), earned), (ledger.pending(user), 0))
        ])  # fmt: skip

    async def _work(self, numbers) -> None:
        for part in iter(lambda: list(itertools.islice(numbers, 20)), []):
            rows: dict[type[Record], list[Record]] = {}
            for number in part:
                for row in await self._deal(number):
                    rows.setdefault(type(row), []).append(row)
            for records in rows.values():
                await self.store.single().add_all(records)

    async def _deal(self, number: int) -> Sequence[Record]:
        amount, contractor = 10_000 + number, self.people[number % CONTRACTORS]
        share = holdings(amount, 0, amount, FEES).contractor
        now, offer_id, payment_id = self.store.clock.now(), new_id("ofr"), new_id("pay")
        transfer_id = new_id("trf")
        intent = await self.sandbox.api(
            "POST", "payment_intents", amount=amount, currency="usd", confirm="true",
            payment_method="pm_card_bypassPending", transfer_group=offer_id,
            **{"payment_method_types[]": "card", "metadata[payment_id]": payment_id},
        )  # fmt: skip
        made = await self.sandbox.api(
            "POST", "transfers", amount=share, currency="usd", destination=contractor.connect_id,
            source_transaction=intent["latest_charge"], transfer_group=offer_id,
            **{"metadata[fact]": transfer_id},
        )  # fmt: skip
        self.earned[contractor.id] = self.earned.get(contractor.id, 0) + share
        stamps = {"created_at": now, "updated_at": now}
        ids = {"job_id": f"job_{number}", "customer_id": "usr_customer",
               "contractor_id": contractor.id, "amount": amount, "currency": "USD"}  # fmt: skip
        done = Milestone("All", amount, MilestoneStatus.COMPLETED, completed_at=now)
        offer = Offer(
            id=offer_id, payment_id=payment_id, job_title="Fence", description="Paint it.",
            timeline_days=3, schedule=FEES, expires_at=now, status=OfferStatus.ACCEPTED,
            captured_amount=amount, completed_amount=amount, accepted_at=now, visible=True,
            milestones=(done,), thread_id=offer_id, **ids, **stamps,
        )  # fmt: skip
        payment = Payment(
            id=payment_id, offer_id=offer_id, status=PaymentStatus.CAPTURED,
            captured_amount=amount, intent_id=intent["id"], charge_id=intent["latest_charge"],
            available_on=now, visible=True, **ids, **stamps,
        )  # fmt: skip
        transfer = Transfer(
            id=transfer_id, user_id=contractor.id, amount=share, currency="USD",
            offer_id=offer_id, status=TransferStatus.AVAILABLE, stripe_id=made["id"], **stamps,
        )  # fmt: skip
        escrow = self._balance(ledger.escrow(offer_id), 0)
        return [offer, payment, transfer, escrow, *self._journal(offer, transfer, share)]

    def _journal(self, offer: Offer, transfer: Transfer, share: int) -> list[Transaction]:
        escrow, user = ledger.escrow(offer.id), offer.contractor_id
        fee = FEES.fee(offer.amount)
        rows = (
            (f"capture:{offer.payment_id}", "captured", [(ledger.STRIPE, escrow, offer.amount)]),
            (f"accept:{offer.id}", "accepted", [(escrow, ledger.PLATFORM, fee)]),
            (f"complete:{offer.id}#1", "completed",
             [(escrow, ledger.PLATFORM, offer.amount - fee - share),
              (escrow, ledger.pending(user), share)]),
            (f"transfer:{transfer.id}", "transfer_settled",
             [(ledger.pending(user), ledger.available(user), share)]),
        )  # fmt: skip
        return [
            Transaction(
                id=new_id("txn"), created_at=offer.created_at, updated_at=offer.created_at,
                fact=fact, kind=kind, currency="USD", offer_id=offer.id, users=(user,),
                postings=tuple(Posting(*moved) for moved in postings),
                accounts=tuple(sorted({name for moved in postings for name in moved[:2]})),
            )
            for fact, kind, postings in rows
        ]  # fmt: skip

    def _balance(self, account: str, amount: int) -> Balance:
        now, (kind, owner) = self.store.clock.now(), account.split(":")[:2]
        return Balance(
            id=f"{account}|USD", created_at=now, updated_at=now, account=account, kind=kind,
            owner=owner, currency="USD", balance=amount,
        )  # fmt: skip


class Figures(msgspec.Struct, frozen=True):
    """One audit: seconds, the most memory in MiB, and its exit code."""

    offers: int
    seconds: float
    memory: float
    code: int
