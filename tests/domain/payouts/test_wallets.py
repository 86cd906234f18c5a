"""Earned money: pending, available, in transit, paid out, or returned."""

from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.deals.payment import Payment
from domain.ledger.transaction import Transaction
from domain.operations.task import TryAgain
from domain.payouts.transfer import Transfer, TransferStatus
from domain.payouts.transfer_tasks import SendTransfer
from domain.reconciliation.books_audit import audit
from domain.wallet.withdrawals import Withdrawal
from tests.support.parties import Refused

PATIENCE = 30
LOST_ANSWERS = [
    {"when": when, **fault}
    for when in ("before", "after")
    for fault in ({"status": 500}, {"drop": True})
]


@pytest.fixture
async def earned(completed_work):
    """The contractor has 700.00 USD, and payouts arrive after 0.2 s."""
    await completed_work.sandbox.settings(payout_delay_seconds=0.2)
    return completed_work


async def done(market, customer, contractor, amount=100_000, currency="USD"):
    """Complete one whole job; returns the reply to `job.complete`. Payouts arrive after 0.2 s."""
    await market.sandbox.settings(payout_delay_seconds=0.2)
    deal = await market.accepted_job(customer, contractor, amount=amount, currency=currency)
    await market.start(contractor, deal.job)
    return await market.complete(customer, deal.job)


async def amounts(contractor, currency="USD"):
    """(available, pending, in transit)"""
    wallet = await contractor.call("/wallet", "balance")
    for part in (wallet, *wallet["others"]):
        if part["currency"] == currency:
            return part["available"], part["pending"], part["in_transit"]
    return 0, 0, 0


async def has(contractor, available, seconds=PATIENCE):
    await contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == available, seconds
    )


async def at_stripe(server, contractor, currency="usd"):
    """The available balance of the contractor's Stripe account."""
    user = await server.store.single().get(User, contractor.id)
    balance = await server.sandbox.api("GET", "balance", account=user.connect_id)
    return sum(part["amount"] for part in balance["available"] if part["currency"] == currency)


async def refused(market, *attempts):
    """Each withdrawal, (contractor, code, amount, currency), is refused and leaves no trace."""
    before = await market.traces()
    for contractor, code, *withdrawal in attempts:
        with pytest.raises(Refused) as answer:
            await market.withdraw(contractor, *withdrawal)
        assert answer.value.code == code, withdrawal
        assert await market.traces() == before, withdrawal


# -- from the customer to the wallet -------------------------------------------------------------


async def test_the_share_waits_until_transfers_are_active(market, server, monkeypatch):
    """Guard: `send_transfers(uow, ...)` in `transfer_tasks.apply_account`; without it the transfer
    waits ten minutes for its next attempt. `transfer_tasks._look_again`: after a day it is left to
    the daily follow-up, or it becomes a dead letter after a week."""
    customer, contractor = await market.customer(), await market.contractor()
    await done(market, customer, contractor)
    await market.settled()
    assert await amounts(contractor) == (0, 70_000, 0)
    assert (await server.sandbox.api("GET", "transfers"))["data"] == []
    assert (await audit(server.ports)).differences == []
    await refused(market, (contractor, "not_onboarded", 70_000))
    [waiting] = await market.rows(Transfer)
    with pytest.raises(TryAgain):
        await SendTransfer(waiting.id).run(server.ports)
    monkeypatch.setattr("domain.payouts.transfer_tasks.OFTEN_UNTIL", timedelta())
    await SendTransfer(waiting.id).run(server.ports)
    await market.onboard(contractor)
    await has(contractor, 70_000)
    await market.settled()
    assert await amounts(contractor) == (70_000, 0, 0)
    assert len((await server.sandbox.api("GET", "transfers"))["data"]) == 1
    assert (await audit(server.ports)).differences == []


async def test_the_share_is_pending_until_the_charge_is_available(
    prompt_retries, market, server, monkeypatch
):
    """Guard: `uow.later(MakeAvailable(transfer.id), at=due)` in
    `transfer_tasks.settle_transfer`; without the delay the wallet offers money that Stripe does
    not have yet, and the payout fails."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    await server.sandbox.settings(available_delay_seconds=8)
    await done(market, customer, contractor)
    payment = (await market.rows(Payment))[0]
    unsent = {TransferStatus.WAITING, TransferStatus.SENDING}
    while (await market.rows(Transfer))[0].status in unsent:
        assert server.ports.clock.now() < payment.available_on, "the transfer takes too long"
    assert await amounts(contractor) == (0, 70_000, 0)
    with pytest.raises(Refused) as answer:
        await market.withdraw(contractor, 1)
    assert answer.value.code == "insufficient_funds"
    clock, now = type(server.ports.clock), server.ports.clock.now
    monkeypatch.setattr(clock, "now", lambda _: now() + timedelta(seconds=9))
    await server.sandbox.advance(9)
    await has(contractor, 70_000)
    assert server.ports.clock.now() >= payment.available_on
    await market.withdraw(contractor, 70_000)
    await contractor.push("/wallet", "withdrawal.updated", lambda w: w["status"] == "paid")
    await market.settled()
    assert (await audit(server.ports)).differences == []


async def test_a_transfer_whose_answer_is_lost_is_made_once(prompt_retries, market, server):
    """Guard: `find_transfer` in `SendTransfer.run`; a new key alone sends the money twice."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    for count, fault in enumerate(LOST_ANSWERS, 1):
        await server.sandbox.fault(path="/v1/transfers", method="POST", **fault)
        await done(market, customer, contractor)
        await has(contractor, 70_000 * count)
        await market.settled(PATIENCE)
        transfers = (await server.sandbox.api("GET", "transfers"))["data"]
        assert [transfer["amount"] for transfer in transfers] == [70_000] * count, fault
        assert await at_stripe(server, contractor) == 70_000 * count, fault
    assert await server.sandbox.faults() == []
    assert (await audit(server.ports)).differences == []


async def test_transfers_are_multiples_of_the_step(market, server):
    """Guard: `// step * step` in `allocation.allocate`; without it Stripe refuses to transfer 147
    fils. Guard: `+ wallet.pending % step` there; without it the remainder is never sent."""
    customer, contractor = await market.customer(), await market.contractor(onboarded=True)
    sent = []
    for place, amount in enumerate((210, 1230, 99_999_990), 1):
        split = (await done(market, customer, contractor, amount, "KWD"))["split"]
        assert split["contractor_amount"] == amount - amount // 10 - amount * 2 // 10
        await market.settled(PATIENCE)
        sent.append((await amounts(contractor, "KWD"))[:2])
        assert (await audit(server.ports)).differences == []
        assert await at_stripe(server, contractor, "kwd") == sent[-1][0], place
    assert sent == [(140, 7), (140 + 860, 8), (140 + 860 + 70_000_000, 1)]
    await refused(market, (contractor, "invalid", 147, "KWD"))
    await market.withdraw(contractor, 140, "KWD")
    await contractor.push("/wallet", "withdrawal.updated", lambda w: w["status"] == "paid")


# -- from the wallet to the bank -----------------------------------------------------------------


async def test_withdrawals_that_are_refused(market, earned):
    """Guard: `only_if={"balance": bound}` in `booking._change_balance`; without it a wallet goes
    below zero. Guard: `if not (user.connect_id and user.payouts_enabled)` in
    `withdrawals.withdraw`."""
    stranger, contractor = await market.contractor("Nina New"), earned.contractor
    await refused(
        market,
        (stranger, "not_onboarded", 1),
        (contractor, "insufficient_funds", 70_001),
        (contractor, "insufficient_funds", 1, "EUR"),
        (contractor, "insufficient_funds", 10, "KWD"),
        (contractor, "currency_not_supported", 10, "XXX"),
        (contractor, "invalid", 11, "KWD"),
        (contractor, "invalid", 0),
        (contractor, "invalid", -1),
        (earned.customer, "forbidden", 1),
    )


async def test_a_withdrawal_arrives(market, server, earned):
    """Guard: `_book_paid` in `withdrawals.settle_withdrawal`; without it the money stays in
    transit. Guard: `withdrawals._times` and `available_at=uow.now` in
    `transfer_tasks.make_available`, from which the figures are made."""
    contractor = earned.contractor
    first = await market.withdraw(contractor, 69_999)
    assert (first["status"], first["amount"], first["currency"]) == ("requested", 69_999, "USD")
    assert await amounts(contractor) == (1, 0, 69_999)
    await contractor.push("/wallet", "withdrawal.updated", lambda w: w["status"] == "paid")
    await market.settled()
    assert await amounts(contractor) == (1, 0, 0)
    assert await at_stripe(server, contractor) == 1
    listed = (await contractor.call("/wallet", "withdrawals"))["items"]
    assert [(w["id"], w["status"]) for w in listed] == [(first["id"], "paid")]
    ((payment,), (transfer,), (paid,)) = [
        await market.rows(kind) for kind in (Payment, Transfer, Withdrawal)
    ]
    times = (
        payment.authorized_at,
        payment.captured_at,
        transfer.made_at,
        transfer.available_at,
        paid.sent_at,
        paid.paid_at,
    )
    assert list(times) == sorted(times) and payment.failed_at is paid.failed_at is None
    assert (await audit(server.ports)).differences == []


@pytest.mark.parametrize("after_paid", [False, True])
async def test_a_payout_that_fails_returns_the_money(market, server, earned, after_paid):
    """Guard: `_return_to_wallet` in `withdrawals.settle_withdrawal`; without it the money stays in
    transit. Guard: `WithdrawalStatus.PAID: (WithdrawalStatus.FAILED,)` in the state table; without
    it a late return by the bank is ignored."""
    contractor = earned.contractor
    if not after_paid:
        await server.sandbox.fault(payout="usd", failure_code="account_closed")
    contractor.clear_pushes()
    asked = await market.withdraw(contractor, 70_000)
    if after_paid:
        await contractor.push(
            "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", PATIENCE
        )
        (row,) = await market.rows(Withdrawal, _id=asked["id"])
        await server.sandbox.fail_payout(row.payout_id)
    failed = await contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed", PATIENCE
    )
    assert failed["failure"] == "account_closed"
    await has(contractor, 70_000)
    statuses = [
        push.data["status"] for push in contractor.received("/wallet", "withdrawal.updated")
    ]
    assert ("paid" in statuses) is after_paid
    assert failed["failed_at"] and bool(failed["paid_at"]) is after_paid
    await market.settled()
    assert (
        await amounts(contractor) == (70_000, 0, 0)
        and await at_stripe(server, contractor) == 70_000
    )
    assert (await audit(server.ports)).differences == []
    await market.withdraw(contractor, 70_000)


async def test_a_payout_that_stripe_refuses_returns_the_money(market, server, earned):
    """Guard: `SendPayout._refused`; without it the task becomes a dead letter and the money stays
    in transit."""
    contractor = earned.contractor
    error = {"type": "invalid_request_error", "code": "payouts_not_allowed"}
    await server.sandbox.fault(path="/v1/payouts", method="POST", status=400, error=error)
    await market.withdraw(contractor, 70_000)
    refused = await contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "failed"
    )
    assert refused["failure"] == "payouts_not_allowed"
    await market.settled()
    assert await amounts(contractor) == (70_000, 0, 0)
    assert (await audit(server.ports)).differences == []
    again = await market.withdraw(contractor, 70_000)
    await contractor.push(
        "/wallet", "withdrawal.updated", lambda w: (w["id"], w["status"]) == (again["id"], "paid")
    )


async def test_an_offer_in_a_currency_that_no_bank_of_the_contractor_takes(market, server):
    """Guard: `await _require_accepted_currency(...)` in `offers.create`; without it the
    contractor's share can never be paid out."""
    customer = await market.customer()
    contractor = await market.contractor(onboarded=True, currencies="usd")
    job = await market.job(customer, currency="JPY")
    await market.application(contractor, job)
    before = await market.traces()
    with pytest.raises(Refused) as answer:
        await market.offer(customer, contractor, job)
    assert answer.value.code == "currency_not_supported"
    assert await market.traces() == before


async def test_a_payout_whose_answer_is_lost_is_made_once(prompt_retries, market, server, earned):
    """Guard: `find` in `SendPayout.run`; a new key alone pays twice."""
    contractor = earned.contractor
    await server.sandbox.settings(payout_delay_seconds=1)  # longer than until the next attempt
    left = 70_000
    for fault in LOST_ANSWERS:
        await server.sandbox.fault(path="/v1/payouts", method="POST", **fault)
        await server.sandbox.hold_events()  # an event would tell what became of the payout
        asked = await market.withdraw(contractor, 10_000)
        for status in ("in_transit", "paid"):
            await contractor.push(
                "/wallet",
                "withdrawal.updated",
                lambda w, new=(asked["id"], status): (w["id"], w["status"]) == new,
                PATIENCE,
            )
            await server.sandbox.release_events()
        await market.settled(PATIENCE)
        left -= 10_000
        assert await amounts(contractor) == (left, 0, 0), fault
        assert await at_stripe(server, contractor) == left, fault
        rows = await market.rows(Transaction, withdrawal_id=asked["id"])
        assert [row.kind for row in rows] == ["withdrawn", "paid_out"], fault
    assert await server.sandbox.faults() == []
    assert (await audit(server.ports)).differences == []
