"""The platform's balance: its snapshot plus the journal since, also when clocks differ."""

from datetime import timedelta

from domain import ledger
from domain.ledger.balances import Snapshot, balance_of
from domain.ledger.chart import PLATFORM, STRIPE
from domain.ledger.transaction import Posting, Transaction
from domain.reconciliation.books_audit import audit

HOUR = timedelta(hours=1)


class Books:
    """One platform account, and a clock that the test sets."""

    def __init__(self, server, monkeypatch):
        self.store, self._patch, self.clock = server.store, monkeypatch, server.ports.clock
        self._real, self._booked = type(self.clock).now, 0

    def put_clock(self, by):
        self._patch.setattr(type(self.clock), "now", lambda clock: self._real(clock) + by)

    async def earn(self, amount, currency="USD"):
        self._booked += 1
        postings = [Posting(STRIPE, PLATFORM, amount)]
        fact = f"test:{self._booked}"
        await self.store.transact(
            lambda uow: ledger.book(uow, fact, "platform_withdrew", currency, postings)
        )

    async def snapshot(self):
        await self.store.transact(lambda uow: ledger.take_snapshot(uow, PLATFORM))

    async def held(self):
        return await balance_of(self.store.single(), PLATFORM)


async def test_a_booking_is_counted_after_the_clock_jumps_back(server, monkeypatch):
    """Guard: `_booking_time` in `booking.book`; what is stamped before a snapshot that does not
    have it is missing from the balance forever."""
    await server.web.scheduler.stop()
    books = Books(server, monkeypatch)
    await books.earn(1000)
    books.put_clock(HOUR)
    await books.snapshot()
    books.put_clock(timedelta(0))
    await books.earn(200)
    await books.earn(30, "JPY")  # of which there is no snapshot
    assert await books.held() == {"USD": 1200, "JPY": 30}
    books.put_clock(2 * HOUR)
    await books.snapshot()
    assert await books.held() == {"USD": 1200, "JPY": 30}
    assert (await audit(server.ports)).differences == []


async def test_a_snapshot_of_a_fast_clock_is_moved_back(server, monkeypatch):
    """Guard: the sign in `balances.take_snapshot`; without it a clock that was a year ahead for a
    moment dates every booking of that year."""
    await server.web.scheduler.stop()
    books = Books(server, monkeypatch)
    await books.earn(1000)
    books.put_clock(HOUR)
    await books.earn(500)
    books.put_clock(2 * HOUR)
    await books.snapshot()
    books.put_clock(HOUR / 2)
    await books.earn(200)
    await books.snapshot()
    uow = server.store.single()
    (snapshot,) = await uow.all(Snapshot, {"_id": "snapshot:platform|USD"})
    assert (snapshot.balance, snapshot.upto < books.clock.now()) == (1000, True)
    await books.earn(4)
    newest = await uow.find(Transaction, {"fact": "test:4"})
    assert newest.created_at <= books.clock.now()
    assert await books.held() == {"USD": 1704}
