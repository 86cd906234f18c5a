"""Refunds, transfers, payouts and balances: no more goes out than came in."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Shop, wait_until_equal
from .test_payments import refusal

DAY = 86_400


async def test_refunds_never_exceed_the_charge(sandbox_shop: Shop) -> None:
    """Fails without the `amount > left` and `left == 0` guards in `refunds.create`."""
    refunds = sandbox_shop.v1.refunds
    paid = await sandbox_shop.pay()
    part = await refunds.create_async({"payment_intent": paid.id, "amount": 4_000})
    assert (part.status, part.charge) == ("succeeded", paid.latest_charge)
    assert await sandbox_shop.available() == 9_680 - 4_000
    error = await refusal(refunds.create_async({"charge": paid.latest_charge, "amount": 6_001}))
    assert (error.http_status, error.param) == (400, "amount")
    await refunds.create_async({"charge": paid.latest_charge, "expand": ["balance_transaction"]})
    error = await refusal(refunds.create_async({"payment_intent": paid.id}))
    assert error.code == "charge_already_refunded"
    assert await sandbox_shop.available() == -320
    charge = await sandbox_shop.v1.charges.retrieve_async(
        paid.latest_charge, {"expand": ["refunds"]}
    )
    assert (charge.refunded, len(charge.refunds.data)) == (True, 2)


async def test_a_hold_cannot_be_refunded(sandbox_shop: Shop) -> None:
    """Fails without the `settle_capture` guard in `refunds.create`."""
    held = await sandbox_shop.hold()
    error = await refusal(sandbox_shop.v1.refunds.create_async({"payment_intent": held.id}))
    assert error.http_status == 400
    error = await refusal(sandbox_shop.v1.refunds.create_async({"charge": held.latest_charge}))
    assert error.http_status == 400


async def test_a_refund_returned_by_the_bank_restores_the_balance(sandbox_shop: Shop) -> None:
    """Fails without `refunds.fail` returning the money."""
    paid = await sandbox_shop.pay()
    await sandbox_shop.fault(refund="usd", failure_code="lost_or_stolen_card")
    refund = await sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id})
    refund = await sandbox_shop.v1.refunds.retrieve_async(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "lost_or_stolen_card")
    assert await sandbox_shop.available() == 9_680
    assert "refund.failed" in await sandbox_shop.events()


async def test_transfers_need_completed_onboarding(sandbox_shop: Shop) -> None:
    """Fails without the capability guard in `transfers.create`, or the link's single use."""
    v1 = sandbox_shop.v1
    account = await v1.accounts.create_async(
        {
            "country": "US",
            "email": "con@shop.test",
            "metadata": {"user": "usr_1"},
            "controller": {
                "stripe_dashboard": {"type": "express"},
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
            },
            "capabilities": {"transfers": {"requested": True}},
            "settings": {"payouts": {"schedule": {"interval": "manual"}}},
        }
    )
    assert account.settings.payouts.schedule.interval == "manual"
    assert (account.capabilities.transfers, account.payouts_enabled) == ("inactive", False)
    paid = await sandbox_shop.pay()
    transfer: Any = {
        "amount": 7_000,
        "currency": "usd",
        "destination": account.id,
        "source_transaction": paid.latest_charge,
    }
    error = await refusal(v1.transfers.create_async(transfer))
    assert error.code == "insufficient_capabilities_for_transfer"

    link = await v1.account_links.create_async(
        {
            "account": account.id,
            "type": "account_onboarding",
            "return_url": "https://shop.test/done",
            "refresh_url": "https://shop.test/again",
        }
    )
    async with sandbox_shop.http.get(link.url) as response:
        assert "<form" in await response.text()
    assert await sandbox_shop.post_form(link.url, {}) == "https://shop.test/done"
    assert await sandbox_shop.post_form(link.url, {}) == "https://shop.test/again"
    ready = await v1.accounts.retrieve_async(account.id)
    assert (ready.payouts_enabled, ready.details_submitted) == (True, True)
    assert ready.external_accounts.data[0].currency == "usd"
    capability = await v1.accounts.capabilities.retrieve_async(account.id, "transfers")
    assert capability.status == "active"
    listed = await v1.accounts.capabilities.list_async(account.id)
    assert [entry.id for entry in listed.data] == ["transfers"]
    assert (await v1.accounts.login_links.create_async(account.id)).url
    assert (await v1.transfers.create_async(transfer)).amount == 7_000


async def test_an_onboarding_link_expires(sandbox_shop: Shop) -> None:
    """Fails without the `expires_at` guard in `hosted_pages.submit`."""
    account = await sandbox_shop.v1.accounts.create_async({"type": "express"})
    link = await sandbox_shop.v1.account_links.create_async(
        {
            "account": account.id,
            "type": "account_onboarding",
            "return_url": "https://shop.test/done",
            "refresh_url": "https://shop.test/again",
        }
    )
    await sandbox_shop.advance(301)
    assert await sandbox_shop.post_form(link.url, {}) == "https://shop.test/again"


async def test_transfers_never_exceed_their_source_charge(sandbox_shop: Shop) -> None:
    """Fails without the sum guard in `transfers._get_source_charge`."""
    transfers, account = sandbox_shop.v1.transfers, await sandbox_shop.contractor()
    paid = await sandbox_shop.pay(transfer_group="ofr_9")
    given: Any = {
        "amount": 6_000,
        "currency": "usd",
        "destination": account,
        "source_transaction": paid.latest_charge,
        "metadata": {"offer": "ofr_9"},
    }
    first = await transfers.create_async({**given, "expand": ["destination_payment"]})
    assert first.transfer_group == "ofr_9"
    assert first.destination_payment.id.startswith("py_")
    error = await refusal(transfers.create_async({**given, "amount": 4_001}))
    assert (error.http_status, error.param) == (400, "amount")
    await transfers.create_async({**given, "amount": 4_000})
    assert (await sandbox_shop.available(), await sandbox_shop.available(account)) == (-320, 10_000)
    found = await transfers.list_async({"transfer_group": "ofr_9", "destination": account})
    assert [transfer.amount for transfer in found.data] == [4_000, 6_000]
    error = await refusal(transfers.create_async({**given, "currency": "eur"}))
    assert error.param == "currency"


async def test_transfer_without_charge_needs_available_money(sandbox_shop: Shop) -> None:
    """Fails without `balances.check_available` in `transfers.create`."""
    transfers, account = sandbox_shop.v1.transfers, await sandbox_shop.contractor()
    await sandbox_shop.pay()
    given: Any = {"amount": 9_681, "currency": "usd", "destination": account}
    assert (await refusal(transfers.create_async(given))).code == "balance_insufficient"
    await transfers.create_async({**given, "amount": 9_680})
    assert (await sandbox_shop.available(), await sandbox_shop.available(account)) == (0, 9_680)


async def test_a_transfer_becomes_available_with_its_charge(sandbox_shop: Shop) -> None:
    """Fails without `available_on` of the charge being passed on by `transfers.create`."""
    await sandbox_shop.control("POST", "settings", {"available_delay_seconds": 2 * DAY})
    account = await sandbox_shop.contractor()
    paid = await sandbox_shop.pay()
    await sandbox_shop.v1.transfers.create_async(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": account,
            "source_transaction": paid.latest_charge,
        }
    )
    assert (await sandbox_shop.available(), await sandbox_shop.available(account)) == (0, 0)
    entries = await sandbox_shop.v1.balance_transactions.list_async({"type": "charge"})
    assert [entry.status for entry in entries.data] == ["pending"]
    await sandbox_shop.advance(2 * DAY + 1)
    assert (await sandbox_shop.available(), await sandbox_shop.available(account)) == (2_680, 7_000)
    instant = await sandbox_shop.pay("pm_card_bypassPending")
    assert instant.status == "succeeded"
    assert await sandbox_shop.available() == 2_680 + 9_680


async def test_reversals_never_exceed_the_transfer(sandbox_shop: Shop) -> None:
    """Fails without the `left` guard and the two bookings in `transfers._reverse`."""
    transfers, account = sandbox_shop.v1.transfers, await sandbox_shop.contractor()
    await sandbox_shop.pay()
    made = await transfers.create_async({"amount": 900, "currency": "usd", "destination": account})
    back = await transfers.reversals.create_async(made.id, {"amount": 300})
    assert await sandbox_shop.available(account) == 600
    error = await refusal(transfers.reversals.create_async(made.id, {"amount": 601}))
    assert error.param == "amount"
    await transfers.reversals.create_async(made.id)
    done = await transfers.retrieve_async(made.id)
    assert (done.reversed, done.amount_reversed) == (True, 900)
    assert await sandbox_shop.available() == 9_680
    listed = await transfers.reversals.list_async(made.id)
    assert listed.data[-1].id == back.id


async def funded(shop: Shop) -> tuple[str, Any]:
    """A connected account with 70.00 usd, and how to act as it."""
    account = await shop.contractor()
    paid = await shop.pay()
    await shop.v1.transfers.create_async(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": account,
            "source_transaction": paid.latest_charge,
        }
    )
    return account, {"stripe_account": account}


async def test_a_payout_reaches_the_bank(sandbox_shop: Shop) -> None:
    """Fails without the `payout` timer, or without `check_available` in `payouts.create`."""
    account, as_account = await funded(sandbox_shop)
    payouts = sandbox_shop.v1.payouts
    too_much = await refusal(payouts.create_async({"amount": 7_001, "currency": "usd"}, as_account))
    assert too_much.code == "balance_insufficient"
    no_bank = await refusal(payouts.create_async({"amount": 1, "currency": "eur"}, as_account))
    assert no_bank.http_status == 400
    await sandbox_shop.control("POST", "settings", {"payout_delay_seconds": 100})
    made = await payouts.create_async(
        {"amount": 7_000, "currency": "usd", "metadata": {"withdrawal": "wdr_1"}}, as_account
    )
    assert (made.status, await sandbox_shop.available(account)) == ("pending", 0)
    await sandbox_shop.advance(60)
    assert (await payouts.retrieve_async(made.id, None, as_account)).status == "in_transit"
    late = await refusal(payouts.cancel_async(made.id, None, as_account))
    assert late.http_status == 400
    await sandbox_shop.advance(60)
    found = await payouts.list_async({"status": "paid"}, as_account)
    assert [payout.id for payout in found.data] == [made.id]
    entries = await sandbox_shop.v1.balance_transactions.list_async(
        {"payout": made.id, "type": "payout"}, as_account
    )
    assert [entry.amount for entry in entries.data] == [-7_000]


async def test_timers_run_without_requests(sandbox_shop: Shop) -> None:
    """Fails without the background sweep in `__main__`."""
    await sandbox_shop.control("POST", "settings", {"payout_delay_seconds": 0.1})
    await sandbox_shop.pay()
    await sandbox_shop.v1.payouts.create_async({"amount": 500, "currency": "usd"})

    async def paid() -> bool:
        return "payout.paid" in await sandbox_shop.events()

    await wait_until_equal(paid, True)


@pytest.mark.parametrize("after_paid", [False, True])
async def test_a_payout_returned_by_the_bank_restores_the_balance(
    sandbox_shop: Shop, after_paid: bool
) -> None:
    """Fails without `payouts._fail` returning the money."""
    account, as_account = await funded(sandbox_shop)
    await sandbox_shop.control("POST", "settings", {"payout_delay_seconds": 10})
    await sandbox_shop.fault(payout=account, failure_code="account_closed", after_paid=after_paid)
    made = await sandbox_shop.v1.payouts.create_async(
        {"amount": 7_000, "currency": "usd"}, as_account
    )
    for _ in range(3):
        await sandbox_shop.advance(11)
    failed = await sandbox_shop.v1.payouts.retrieve_async(made.id, None, as_account)
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    assert await sandbox_shop.available(account) == 7_000


async def test_a_canceled_payout_restores_the_balance(sandbox_shop: Shop) -> None:
    """Fails without the `payout_cancel` booking."""
    await sandbox_shop.control("POST", "settings", {"payout_delay_seconds": 100})
    await sandbox_shop.pay()
    made = await sandbox_shop.v1.payouts.create_async({"amount": 680, "currency": "usd"})
    assert await sandbox_shop.available() == 9_000
    gone = await sandbox_shop.v1.payouts.cancel_async(made.id)
    assert (gone.status, await sandbox_shop.available()) == ("canceled", 9_680)


async def test_a_balance_is_the_sum_of_its_balance_transactions(sandbox_shop: Shop) -> None:
    """Fails when a movement changes a balance without a balance transaction."""
    account, as_account = await funded(sandbox_shop)
    await sandbox_shop.v1.payouts.create_async({"amount": 7_000, "currency": "usd"}, as_account)
    for options, balance in (({}, 2_680), (as_account, 0)):
        entries = await sandbox_shop.v1.balance_transactions.list_async({"limit": 100}, options)
        assert sum(entry.net for entry in entries.data) == balance
    assert await sandbox_shop.available(account) == 0


async def test_the_fee_is_a_setting(sandbox_shop: Shop) -> None:
    """Fails without `fee_bps` and `fee_fixed` in `charges._book`."""
    await sandbox_shop.control("POST", "settings", {"fee_bps": 100, "fee_fixed": 7})
    await sandbox_shop.pay()
    assert await sandbox_shop.available() == 10_000 - 107


async def test_a_disputed_charge_is_decided_by_evidence(sandbox_shop: Shop) -> None:
    """Fails without the `dispute` timer, or without the bookings of `disputes`."""
    disputes = sandbox_shop.v1.disputes
    paid = await sandbox_shop.pay("pm_card_createDispute")
    found = (await disputes.list_async({"payment_intent": paid.id})).data[0]
    assert (found.status, found.amount) == ("needs_response", 10_000)
    assert await sandbox_shop.available() == 9_680 - 10_000 - 1_500
    error = await refusal(sandbox_shop.v1.refunds.create_async({"payment_intent": paid.id}))
    assert error.code == "charge_disputed"
    evidence: Any = {"evidence": {"uncategorized_text": "winning_evidence"}}
    assert (await disputes.update_async(found.id, evidence)).status == "under_review"
    assert (await disputes.retrieve_async(found.id)).status == "won"
    assert await sandbox_shop.available() == 9_680 - 1_500
    assert (await refusal(disputes.close_async(found.id))).http_status == 400

    other = await sandbox_shop.pay()
    opened = await sandbox_shop.control("POST", "disputes", {"charge": other.latest_charge})
    lost = await disputes.close_async(opened["data"][0]["id"])
    assert (lost.status, await sandbox_shop.available()) == ("lost", 9_680 - 3_000 - 320)
    events = await sandbox_shop.events()
    assert "charge.dispute.funds_reinstated" in events
    assert events[-1] == "charge.dispute.closed"
