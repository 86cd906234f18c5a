"""MongoDB steps down, or a commit's result is unknown, or clocks jump: money stays correct."""

from collections import defaultdict
from datetime import timedelta

import pytest
from pymongo import monitoring

from domain import ledger
from server.workers.scheduler import snapshot
from tests.domain.kernel.test_store import Failing
from tests.faults.outcome import feed_of, feed_values, requests_to
from tests.support.negotiation import TIMEOUT

COMPLETING = {("findAndModify", "offers"), ("findAndModify", "jobs"), ("insert", "transactions")}


class StatementLog(monitoring.CommandListener):
    """The statements of each transaction as (name, collection), and those that fail."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.transactions, self.failures, self._asked = defaultdict(list), [], {}

    def started(self, event):
        if event.command.get("autocommit") is False:
            key = bytes(event.command["lsid"]["id"]), event.command["txnNumber"]
            self.transactions[key].append(
                (event.command_name, event.command.get(event.command_name))
            )
            self._asked[event.request_id] = key

    def succeeded(self, event):
        if "writeConcernError" in event.reply:
            self.failed(event)

    def failed(self, event):
        if key := self._asked.get(event.request_id):
            self.failures.append((event.command_name, key))

    def containing(self, statements):
        """The transactions that contain all of these statements."""
        return [key for key, found in self.transactions.items() if statements <= {*found}]


STATEMENTS = StatementLog()
monitoring.register(STATEMENTS)  # for all MongoDB clients that are created from now on


@pytest.fixture
async def idle_work(prompt_reconnects, work):
    """A job that can be completed, while only the test's own command writes."""
    await work.server.web.scheduler.stop()
    await work.market.settled(TIMEOUT)
    await work.server.web.activity_writer.stop(TIMEOUT)
    STATEMENTS.forget()
    return work


@pytest.fixture
def failing(market, installation):
    failing = Failing(installation.settings.mongo_url)
    yield failing
    failing.left()
    failing.client.close()


async def test_primary_step_down_inside_a_transaction(idle_work, failing):
    """Guard: `is_transient` in `Store.transact`: the body runs again, twice, and its earlier writes
    are rolled back."""
    label = {"errorCode": 189, "errorLabels": ["TransientTransactionError"]}
    failing.order("insert", times=2, **label)
    await idle_work.complete()
    first, second, third, *_ = STATEMENTS.containing({("findAndModify", "offers")})
    # An abort is not sent while the driver knows no primary; the next attempt implies it.
    inserts = [failed for failed in STATEMENTS.failures if failed[0] == "insert"]
    assert inserts == [("insert", first), ("insert", second)]
    assert STATEMENTS.containing(COMPLETING) == [third]
    await completed_once(idle_work)


UNKNOWN = {
    "and it is done": {"writeConcernError": {"code": 64, "errmsg": "waiting timed out"}},
    "and it is not": {"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]},
}


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_unknown_commit_result(idle_work, failing, answer):
    """Guard: `mongo_client.commit` repeats only the commit; the body does not run again."""
    failing.order("commitTransaction", times=2, **answer)
    await idle_work.complete()
    [run] = STATEMENTS.containing(COMPLETING)
    assert STATEMENTS.failures == [("commitTransaction", run)] * 2
    names = [name for name, _ in STATEMENTS.transactions[run]]
    assert names[-3:] == ["commitTransaction"] * 3
    assert names.count("commitTransaction") == 3
    await completed_once(idle_work)


async def completed_once(work):
    """Books, Stripe and events: each would show a second run."""
    assert await work.platform_and_escrow() == (30_000, 0)
    rows = await work.market.rows(ledger.Transaction)
    assert [row.kind for row in rows].count("completed") == 1
    assert await requests_to(work.market, "transfers") == 1
    for party in (work.customer, work.contractor):
        assert (await feed_values(party, "job.updated", "status")).count("completed") == 1
    assert len(await work.market.trail(operation="job.complete")) == 1


async def test_clock_jumping_back_an_hour(work, monkeypatch):
    """Guard: ids and numbers determine the order, conditional updates the states, monotonic time
    the delays; `_booking_time` in `booking.book` dates bookings of the repeated hour after the
    snapshot; `Lease.is_free` frees a lease from the future."""
    ports = work.server.ports
    now = type(ports.clock).now

    def put_clock(by):
        monkeypatch.setattr(type(ports.clock), "now", lambda self: now(self) + by)

    await work.server.web.scheduler.stop()
    put_clock(2 * ledger.SETTLED_AFTER)
    await snapshot(ports)
    [summed_up] = await work.market.rows(ledger.Snapshot, _id="snapshot:platform|USD")
    put_clock(timedelta(hours=-1))
    await work.deliver()
    await work.complete()
    assert await work.wallet("pending") == (70_000,)
    fact = f"complete:{work.offer['id']}#1"
    [booked] = await work.market.rows(ledger.Transaction, fact=fact)
    assert summed_up.balance == 10_000
    assert booked.created_at > summed_up.upto > now(ports.clock)
    work.server.web.scheduler.start()
    await snapshot(ports)
    monkeypatch.undo()
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert await work.platform_and_escrow() == (30_000, 0)
    put_clock(2 * ledger.SETTLED_AFTER)
    await snapshot(ports)
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await requests_to(work.market, "transfers") == 1
    for party in (work.customer, work.contractor):
        await feed_of(party)
        assert (await feed_values(party, "job.updated", "status")).count("completed") == 1
