"""Stripe refuses for good: those concerned see why, no retry by the clock, and the
next try has a key of its own, so that it succeeds once the cause is gone."""

from domain.accounts.user import User
from domain.kernel.outbox import MAX_ATTEMPTS, OutboxRow
from domain.notifications.templates.refusals import GENERAL, REASONS
from domain.payouts.transfer import Reversal, Transfer
from domain.reconciliation.books_audit import audit
from domain.reconciliation.follow_up import follow_up_old, follow_up_recent
from tests.domain.notifications.reading import listed
from tests.support.job_in_progress import TIMEOUT

SECRET = "acct_1Inner said no to req_8Internal"  # of Stripe, for administrators only


async def refuse(sandbox, path, code, *, param=None, times=1):
    """Stripe refuses the next requests, and stores that under their idempotency keys."""
    error = {"type": "invalid_request_error", "code": code, "message": SECRET}
    error |= {"param": param} if param else {}
    await sandbox.fault(path=path, method="POST", status=400, error=error, times=times)


async def keys(sandbox, path):
    """The idempotency keys of the requests that were posted, replays included."""
    return [
        entry["idempotency_key"]
        for entry in await sandbox.requests()
        if entry["method"] == "POST" and entry["path"].endswith(path)
    ]


async def alerted(admin, kind, code):
    """The alert has Stripe's own code and message."""
    found = await admin.push("/admin", "alert", lambda each: each["kind"] == kind, TIMEOUT)
    assert code in found["message"] and SECRET in found["message"]
    assert found["urgent"]
    return found


async def told(market, person, kind, code):
    """The one notice, in words that tell nothing of Stripe's inside."""
    [notice] = await listed(market, person, kind)
    assert REASONS.get(code, GENERAL) in notice["text"]
    for inner in (SECRET, code, "acct_", "req_"):
        assert inner not in notice["title"] + notice["text"]
    return notice


async def nothing_more_happens(server, market, sandbox, path, known):
    """No row waits, and the follow-up asks no more."""
    await market.settled(TIMEOUT)
    await follow_up_recent(server.ports)
    await follow_up_old(server.ports)
    await market.settled(TIMEOUT)
    assert await keys(sandbox, path) == known
    assert await market.rows(OutboxRow, dead=False) == []
    assert (await audit(server.ports)).differences == []


async def test_onboarding_refused(market, server):
    """Guard: `CreateConnectAccount._refused`; without it the answer is null for ever, the stored
    refusal is replayed after its cause is gone, without a notice. And `except GatewayRefused` in
    `onboarding.onboarding_link`."""
    admin, known = await market.admin(), []
    for code in ("country_unsupported", "something_new"):
        contractor = await market.contractor()
        admin.clear_pushes()
        await refuse(server.sandbox, "/v*/accounts", code)
        answer = await contractor.call("/account", "onboard", {"country": "GB"})
        assert answer == {"url": None, "refusal": REASONS.get(code, GENERAL)}
        alert = await alerted(admin, "onboarding_refused", code)
        assert alert["subject"] == contractor.id
        notice = await told(market, contractor, "payouts_refused", code)
        assert notice["path"] == "/wallet"
        me = await contractor.call("/account", "me")
        assert (me["payout_setup"], me["payout_refusal"]) == ("none", answer["refusal"])
        first = await keys(server.sandbox, "/accounts")
        assert len(first) == len(known) + 1
        await nothing_more_happens(server, market, server.sandbox, "/accounts", first)
        again = await contractor.call("/account", "onboard", {"country": "GB"})
        assert again["url"] and again["refusal"] is None
        assert (await contractor.call("/account", "me"))["payout_refusal"] is None
        tried = await keys(server.sandbox, "/accounts")
        assert len(set(tried)) == len(known) + 2
        known = tried
    # The account is made, and its link is refused.
    contractor = await market.contractor()
    admin.clear_pushes()
    await refuse(server.sandbox, "/v*/account_links", "account_invalid")
    answer = await contractor.call("/account", "onboard")
    assert answer == {"url": None, "refusal": REASONS["account_invalid"]}
    await alerted(admin, "onboarding_refused", "account_invalid")
    await told(market, contractor, "payouts_refused", "account_invalid")
    assert (await contractor.call("/account", "onboard"))["url"]
    assert (await contractor.call("/account", "me"))["payout_refusal"] is None
    assert len(await keys(server.sandbox, "/accounts")) == len(known) + 1


async def test_customer_refused(market, server):
    """Guard: `CreateCustomer._refused`; without it the task becomes a dead letter, and the stored
    refusal is replayed. And `payment_methods.store_refusal`, which forgets a customer that is gone
    at Stripe."""
    admin, customer = await market.admin(), await market.customer()
    await refuse(server.sandbox, "/v1/customers", "email_invalid", param="email")
    answer = await customer.call("/payment", "setup")
    assert answer == {"client_secret": None, "refusal": REASONS["email_invalid"]}
    await alerted(admin, "customer_refused", "email_invalid")
    first = await keys(server.sandbox, "/customers")
    await nothing_more_happens(server, market, server.sandbox, "/customers", first)
    again = await customer.call("/payment", "setup")
    assert again["client_secret"] and again["refusal"] is None
    assert len(set(await keys(server.sandbox, "/customers"))) == 2
    # The customer is deleted at Stripe, which refuses to save a card then.
    admin.clear_pushes()
    [user] = await market.rows(User, _id=customer.id)
    await server.sandbox.api("DELETE", f"customers/{user.customer_id}")
    answer = await customer.call("/payment", "setup")
    assert answer["client_secret"] is None and answer["refusal"] == GENERAL
    found = await admin.push("/admin", "alert", lambda each: each["kind"] == "customer_refused")
    assert "resource_missing" in found["message"] and user.customer_id in found["message"]
    assert (await customer.call("/payment", "setup"))["client_secret"]
    assert (await market.rows(User, _id=customer.id))[0].customer_id != user.customer_id


async def test_transfer_refused(market, server, work):
    """Guard: `transfer_tasks.park_refused`; without it Stripe is asked every ten minutes for a
    week, without a notice."""
    admin = await market.admin()
    await refuse(server.sandbox, "/v1/transfers", "transfers_not_allowed", param="destination")
    await work.complete()
    alert = await alerted(admin, "transfer_refused", "transfers_not_allowed")
    notice = await told(market, work.contractor, "transfer_refused", "transfers_not_allowed")
    assert "700.00 USD" in notice["title"] and notice["subject_id"] == alert["subject"]
    assert "`destination`" in alert["message"]
    [transfer] = await market.rows(Transfer)
    assert (transfer.status, transfer.refusal) == ("parked", REASONS["transfers_not_allowed"])
    [waits] = (await work.contractor.call("/wallet", "waiting"))["items"]
    assert (waits["reason"], waits["why"]) == ("administrator", transfer.refusal)
    assert await work.wallet("available", "pending", "debt") == (0, 70_000, 0)
    first = await keys(server.sandbox, "/transfers")
    await nothing_more_happens(server, market, server.sandbox, "/transfers", first)
    await admin.call("/admin", "release", {"transfer_id": transfer.id, "reason": "It is mended"})
    await work.contractor.push(
        "/wallet", "wallet.updated", lambda wallet: wallet["available"] == 70_000, TIMEOUT
    )
    assert len(set(await keys(server.sandbox, "/transfers"))) == 2
    assert (await market.rows(Transfer))[0].refusal is None
    assert await work.platform_and_escrow() == (30_000, 0)


async def test_a_refusal_that_passes_is_no_end(market, server, work):
    """Guard: `Refusal.passes`: funds arrive by themselves, so there is no alert. The account is
    read again after the first refusal, and new to us, so that there are two."""
    admin = await market.admin()
    await refuse(server.sandbox, "/v1/transfers", "balance_insufficient", times=2)
    await work.complete()
    await market.settled(TIMEOUT)
    [transfer] = await market.rows(Transfer)
    assert (transfer.status, transfer.refusal, transfer.key) == ("waiting", None, 2)
    rows = await market.tasks("send_transfer")
    assert not any(row.dead for row in rows) and SECRET in rows[-1].last_error
    assert await listed(market, work.contractor, "transfer_refused") == []
    assert not admin.received("/admin", "alert")


async def test_payout_refused(completed_work):
    """Guard: `refusal` in `withdrawals._return_to_wallet`; the money is in the wallet again, and
    the next withdrawal has its own key."""
    market, sandbox = completed_work.market, completed_work.sandbox
    admin = await market.admin()
    await refuse(sandbox, "/v1/payouts", "payouts_not_allowed")
    await market.withdraw(completed_work.contractor, 70_000)
    await alerted(admin, "payout_failed", "payouts_not_allowed")
    notice = await told(
        market, completed_work.contractor, "withdrawal_failed", "payouts_not_allowed"
    )
    assert "Your bank" not in notice["text"]
    assert await completed_work.wallet("available", "in_transit") == (70_000, 0)
    first = await keys(sandbox, "/payouts")
    await nothing_more_happens(completed_work.server, market, sandbox, "/payouts", first)
    await completed_work.withdraw(70_000)
    assert len(set(await keys(sandbox, "/payouts"))) == 2
    assert await completed_work.platform_and_escrow() == (30_000, 0)


async def test_refund_refused(completed_work):
    """Guard: `tell_refused` in `refunds._settle_refused`; the customer waits for money that does
    not come. The next refund has its own key."""
    market, sandbox = completed_work.market, completed_work.sandbox
    await refuse(sandbox, "/v1/refunds", "charge_not_refundable")
    await completed_work.refund(30_000)
    await alerted(completed_work._admin, "refund_failed", "charge_not_refundable")
    notice = await told(market, completed_work.customer, "refund_refused", "charge_not_refundable")
    assert "300.00 USD" in notice["title"]
    assert (await completed_work.stored_payment()).status == "captured"
    first = await keys(sandbox, "/refunds")
    await nothing_more_happens(completed_work.server, market, sandbox, "/refunds", first)
    await completed_work.refund(30_000)
    await market.settled(TIMEOUT)
    assert len(set(await keys(sandbox, "/refunds"))) == 2
    assert (await completed_work.stored_payment()).refunded_amount == 30_000
    await completed_work.platform_and_escrow()


async def test_reversal_refused(completed_work):
    """Guard: `NeedsPerson` in `reversals._settle_refused`; without it Stripe is asked every ten
    minutes for a week. The dead letter is retried under a key of its own."""
    market, sandbox = completed_work.market, completed_work.sandbox
    path = "/reversals"
    await refuse(sandbox, "/v1/transfers/*/reversals", "transfer_locked")
    await completed_work.refund(30_000)
    admin = completed_work._admin
    alert = await alerted(admin, "reversal_refused", "transfer_locked")
    await market.settled(TIMEOUT)
    [reversal] = await market.rows(Reversal)
    assert (alert["subject"], reversal.done, reversal.refusal) == (reversal.id, False, GENERAL)
    [letter] = (await admin.call("/admin", "dead_letters"))["items"]
    assert (letter["kind"], letter["subject"]) == ("reverse_transfer", reversal.id)
    assert letter["attempts"] < MAX_ATTEMPTS and "transfer_locked" in letter["last_error"]
    first = await keys(sandbox, path)
    assert len(first) == 1
    await follow_up_recent(completed_work.server.ports)
    await follow_up_old(completed_work.server.ports)
    await market.settled(TIMEOUT)
    assert await keys(sandbox, path) == first
    await admin.call("/admin", "retry", {"row_id": letter["id"], "reason": "It is mended"})
    await market.settled(TIMEOUT)
    [reversal] = await market.rows(Reversal)
    assert (reversal.done, reversal.refusal) == (True, None)
    assert len(set(await keys(sandbox, path))) == 2
    assert await completed_work.platform_and_escrow() == (21_000, 0)


async def test_evidence_refused(work):
    """Guard: `SubmitEvidence._store_refusal`; the version that the bank did not get says so."""
    chargeback = await work.open_chargeback()
    await refuse(work.sandbox, "/v1/disputes/*", "evidence_too_long", param="evidence")
    fields = {"chargeback_id": chargeback["id"], "uncategorized_text": "It was done."}
    await work.as_admin("evidence", **fields)
    await alerted(work._admin, "evidence_refused", "evidence_too_long")
    await work.market.settled(TIMEOUT)
    seen = await work.as_admin("chargeback", chargeback_id=chargeback["id"])
    assert [(each["submit"], each["refusal"]) for each in seen["evidence"]] == [(True, GENERAL)]
    assert seen["submissions"] == 0
    await work.as_admin("evidence", **fields)
    await work.market.settled(TIMEOUT)
    seen = await work.as_admin("chargeback", chargeback_id=chargeback["id"])
    assert [each["refusal"] for each in seen["evidence"]] == [None, GENERAL]
    assert seen["submissions"] == 1
    assert len(set(await keys(work.sandbox, f"/disputes/{seen['stripe_id']}"))) == 2


async def test_capture_refused(offered):
    """Guard: `stripe_says` in `processing.settle_failed_capture`."""
    negotiation, offer = offered, offered.offer
    market, sandbox = negotiation.market, negotiation.sandbox
    admin = await market.admin()
    await refuse(sandbox, "/v1/payment_intents/*/capture", "charge_expired_for_capture")
    await negotiation.contractor.call("/bidding", "accept", {"offer_id": offer["id"]})
    await alerted(admin, "capture_failed", "charge_expired_for_capture")
    await market.settled(TIMEOUT)
    job = await negotiation.customer.call("/job", "get", {"job_id": negotiation.job["id"]})
    assert job["status"] == "open"
    assert (await audit(negotiation.server.ports)).differences == []
