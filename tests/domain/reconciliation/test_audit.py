"""The audit finds wrong amounts, missing records, and objects that only Stripe has."""

import msgspec
import pytest

from domain.accounts.user import User
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.payouts.transfer import Transfer
from domain.reconciliation import stream_join
from domain.reconciliation.books_audit import audit
from domain.wallet.withdrawals import Withdrawal
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.worlds import World

# (record, filter, changed fields, expected differences)
WRONG = (
    (Payment, {}, {"captured_amount": 1}, {"captured"}),
    (Payment, {}, {"refunded_amount": 1}, {"refunded"}),
    (Payment, {}, {"status": "authorized"}, {"held"}),
    (Payment, {}, {"intent_id": "pi_other"}, {"captured", "refunded", "payment known here"}),
    (Transfer, {}, {"amount": 1}, {"transferred"}),
    (Transfer, {}, {"stripe_id": None}, {"transferred", "transfer known here"}),
    (Withdrawal, {}, {"amount": 1}, {"paid out"}),
    (Withdrawal, {}, {"status": "failed"}, {"paid out"}),
    (Withdrawal, {}, {"payout_id": None}, {"paid out", "payout paid", "payout known here"}),
    (Chargeback, {}, {"status": "won"}, {"dispute's state"}),
    (Chargeback, {}, {"amount": 1}, {"disputed amount"}),
    (Chargeback, {}, {"withdrawn_amount": 1}, {"out in an open chargeback", "taken by the bank"}),
    (Chargeback, {}, {"stripe_id": "dp_other"}, {"dispute at Stripe", "dispute known here"}),
    (
        Offer,
        {},
        {"completed_amount": 1},
        {"escrow by the holdings", "platform by the holdings", "contractor by the holdings"},
    ),
    (Balance, {"kind": "escrow"}, {"balance": 1}, {"balance"}),
    (
        Balance,
        {"kind": "wallet", "balance": {"$gt": 0}},
        {"balance": -1},
        {"balance", "balance within its bound"},
    ),
    (Balance, {"kind": "wallet", "balance": {"$gt": 0}}, None, {"balance"}),
    (Balance, {"kind": "wallet", "balance": 0}, None, {"balance"}),
    (Payment, {}, None, {"payment known here"}),
    (Transfer, {}, None, {"transfer known here"}),
    (Withdrawal, {}, None, {"payout known here"}),
    (Chargeback, {}, None, {"dispute known here"}),
    (Transaction, {"kind": "stripe_fee"}, None, {"Stripe's fees"}),
)


async def play_everything(work):
    await work.sandbox.settings(fee_bps=290, fee_fixed=30)
    await work.start_and_complete()
    await work.withdraw(30_000)
    await work.refund(10_000)
    await work.market.settled(TIMEOUT)
    await work.open_chargeback(amount=20_000)
    await work.platform_and_escrow()


@pytest.fixture(scope="session")
def world_of_everything():
    return World(JobInProgress, play_everything)


@pytest.fixture
async def work(world_of_everything, market, server):
    """A job after every event that Stripe has a trace of."""
    return await world_of_everything.enter(market, server)


async def found(work):
    return {each.what for each in (await audit(work.server.ports)).differences}


async def test_every_changed_amount_and_missing_record_is_found(work):
    """Guard: each `report.compare` in `books_audit`."""
    for kind, where, fields, differences in WRONG:
        records = work.server.store.database[kind.COLLECTION]
        record = await records.find_one(where)
        if fields:
            await records.update_one({"_id": record["_id"]}, {"$set": fields})
        else:
            await records.delete_one({"_id": record["_id"]})
        assert await found(work) == differences, (kind, fields)
        await records.replace_one({"_id": record["_id"]}, record, upsert=True)
    assert await found(work) == set()


async def test_objects_that_only_stripe_has_are_found(work):
    """Guard: the pairs without a record of ours in `books_audit`; an unknown hold is a difference
    too, and so is money that a stranger sent to a contractor's account."""
    sandbox, contractor = work.sandbox, work.contractor
    account = (await work.server.store.single().get(User, contractor.id)).connect_id
    await sandbox.fault(webhook="*", drop=True, times=100)
    card = {
        "amount": 5000,
        "currency": "usd",
        "confirm": "true",
        "payment_method_types[]": "card",
        "payment_method": "pm_card_bypassPending",
        "metadata[payment_id]": "pay_none",
    }
    await sandbox.api("POST", "payment_intents", **card, capture_method="manual")
    await sandbox.api("POST", "payment_intents", **card)
    await sandbox.api("POST", "transfers", amount=1000, currency="usd", destination=account)
    await sandbox.api("POST", "payouts", account, amount=1000, currency="usd")
    await sandbox.dispute((await work.stored_payment()).charge_id, 2000)
    differences = [each.what for each in (await audit(work.server.ports)).differences]
    assert sorted(differences) == [
        "Stripe's fees",
        "dispute known here",
        "payment known here",
        "payment known here",
        "payout known here",
        "transfer known here",
    ]


async def test_the_stream_join_keeps_only_unmatched_items():
    """Guard: `pop` in `stream_join.join_streams`; and it reads both streams alternately."""

    class Thing:
        def __init__(self, number):
            self.id = f"id_{number}"

    read = []

    async def numbers(name, count, first=0):
        for number in range(first, count):
            read.append(name)
            yield Thing(number)

    count = 10 * stream_join.CHUNK
    paired = stream_join.join_streams(
        numbers("ours", count), numbers("theirs", count + 1, 1), lambda o: o.id
    )
    whole = [(a and a.id, b and b.id) async for a, b in paired]
    assert whole[-2:] == [("id_0", None), (None, f"id_{count}")]
    assert all(a == b for a, b in whole[:-2])
    assert len(whole) == count + 1
    assert read.index("theirs") == stream_join.CHUNK


@pytest.mark.books_differ("a booking is damaged")
async def test_a_damaged_booking_is_not_left_out(work, books):
    """Guard: `uow.each` in `books_audit.audit`: the audit fails, as its sums would be wrong."""
    journal = work.server.store.database[Transaction.COLLECTION]
    await journal.update_one({"kind": "completed"}, {"$unset": {"fact": 1}})
    with pytest.raises(msgspec.ValidationError, match="fact"):
        await books()
