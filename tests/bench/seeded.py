"""Generated past deals, written directly into the database and the Stripe sandbox."""

import asyncio
import itertools
from collections import Counter
from types import SimpleNamespace

import msgspec

from domain import ledger
from domain.accounts.user import User
from domain.audit_trail import hash_chain
from domain.kernel.actor import Role
from domain.kernel.record import Record
from domain.kernel.store import Store, new_id
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.ports.ports import Seal
from domain.registry import RECORDS
from server.adapters.stripe_gateway import StripeGateway
from tests.bench.deals import CURRENCY, PARTS, Deal, balance

CONTRACTORS = 20
AT_ONCE = 16
WHOLE = range(1, 1 + PARTS)


async def finished(deal: Deal) -> None:
    await deal.complete(*WHOLE)


async def partly_completed(deal: Deal) -> None:
    await deal.complete(1)


async def refunded_in_part(deal: Deal) -> None:
    """Complete a part, and refund the rest."""
    await deal.complete(1)
    await deal.refund(deal.offer.earnable)


async def refunded_later(deal: Deal) -> None:
    """Complete all, then refund a fifth, which reverses a part of the first transfer."""
    await deal.complete(*WHOLE)
    await deal.refund(deal.amount // 5)


async def charged_back(deal: Deal) -> None:
    await deal.complete(*WHOLE)
    await deal.apply_chargeback(deal.amount // 4, won=False)


async def charged_back_and_won(deal: Deal) -> None:
    await deal.complete(*WHOLE)
    await deal.apply_chargeback(deal.amount // 4, won=True)


async def paid_out(deal: Deal) -> None:
    await deal.complete(*WHOLE)
    await deal.pay_out()


STORIES = (
    finished,
    partly_completed,
    paid_out,
    refunded_in_part,
    finished,
    refunded_later,
    paid_out,
    finished,
    charged_back,
    paid_out,
    finished,
    partly_completed,
    paid_out,
    refunded_in_part,
    finished,
    refunded_later,
    paid_out,
    finished,
    charged_back_and_won,
    paid_out,
)


class Seeder:
    """Writes deals of all kinds in turn, with their audit rows."""

    def __init__(self, store: Store, sandbox, seal: Seal) -> None:
        self.store, self.sandbox, self.seal = store, sandbox, seal
        self.made = 0
        self.people: list[User] = []
        self.wallets: Counter[str] = Counter()

    async def prepare(self) -> None:
        await self.store.prepare(RECORDS)
        await self.sandbox.settings(fee_bps=290, fee_fixed=30, payout_delay_seconds=0)
        gateway = StripeGateway(self.sandbox.key, self.sandbox.base, "http://127.0.0.1")
        for number in range(CONTRACTORS):
            account = await gateway.create_account(
                key=f"account:{number}",
                email="c@people.test",
                user_id=str(number),
                country="US",
                agreement="full",
            )
            url = await gateway.onboarding_url(account)
            await self.sandbox.fill_in_onboarding(url, f"Contractor {number}", "usd")
            now = self.store.clock.now()
            user = User(
                id=new_id(User.PREFIX),
                created_at=now,
                updated_at=now,
                role=Role.CONTRACTOR,
                email=f"c{number}@people.test",
                name=f"Contractor {number}",
                password_hash="!",
                connect_id=account.id,
                transfers_active=True,
                payouts_enabled=True,
            )
            self.people.append(user)
        await gateway.close()
        await self.store.single().add_all(self.people)

    async def grow(self, offers: int) -> None:
        """Add deals until there are `offers` offers."""
        numbers = iter(range(self.made, offers))
        await asyncio.gather(*(self._work(numbers) for _ in range(AT_ONCE)))
        self.made = offers
        await self.sandbox.advance(0)  # completes the payouts
        now, uow = self.store.clock.now(), self.store.single()
        await uow.remove(Balance, {"kind": "wallet"})
        await uow.add_all([balance(now, *each) for each in sorted(self.wallets.items())])
        await uow.add(await self._other_fee(now))
        await hash_chain.extend(SimpleNamespace(store=self.store, seal=self.seal), rest=0)

    async def _work(self, numbers) -> None:
        for part in iter(lambda: list(itertools.islice(numbers, 20)), []):
            rows: dict[type[Record], list[Record]] = {}
            for number in part:
                for row in await self._deal(number):
                    rows.setdefault(type(row), []).append(row)
            for records in rows.values():
                await self.store.single().add_all(records)

    async def _deal(self, number: int) -> list[Record]:
        contractor = self.people[number // len(STORIES) % CONTRACTORS]
        deal = Deal(self.sandbox, self.seal, self.store.clock.now(), number, contractor)
        await deal.begin()
        await STORIES[number % len(STORIES)](deal)
        for account, moved in deal.balances().items():
            if account.startswith("wallet:"):
                self.wallets[account] += moved
        return deal.rows

    async def _other_fee(self, now) -> Transaction:
        """One of Stripe's monthly fees."""
        line = await self.sandbox.add_balance_entry("stripe_fee", -1000, CURRENCY)
        postings = tuple(ledger.postings_for({ledger.PLATFORM: -1000, ledger.STRIPE_FEES: 1000}))
        return Transaction(
            id=new_id(Transaction.PREFIX),
            created_at=now,
            updated_at=now,
            currency=CURRENCY,
            fact=f"platform:{line['id']}",
            kind="stripe_other_fee",
            postings=postings,
            accounts=(ledger.PLATFORM, ledger.STRIPE_FEES),
        )


class Figures(msgspec.Struct, frozen=True):
    """The figures of one audit: seconds, and peak memory in MiB."""

    offers: int
    seconds: float
    memory: float

    @property
    def per_offer(self) -> float:
        """Milliseconds per offer."""
        return self.seconds / self.offers * 1000
