"""Transfers, payouts, accounts, Stripe's books, and errors."""

from datetime import UTC

import pytest

from domain.ports.payment_gateway import GatewayUnknown, StaleFailure
from server.adapters.stripe_gateway import StripeGateway
from tests.server.adapters.gateway.asking import LONG_AGO, RETURN, hold, key, pay, refusal

# -- transfers ---------------------------------------------------------------------------------


async def test_transfers_and_their_reversals(stripe, sandbox, account):
    """Guard: `source_transaction` only with a charge; `reversed_amount` in `shapes.settled`."""
    paid = await pay(stripe)
    given = {"currency": "USD", "account_id": account, "group": "ofr_1"}
    first = await stripe.transfer(
        key=key(), amount=6000, charge_id=paid.charge_id, metadata={"fact": "trf_1"}, **given
    )
    second = await stripe.transfer(
        key=key(), amount=4000, charge_id=None, metadata={"fact": "trf_2"}, **given
    )
    assert await stripe.find_transfer("ofr_1", "trf_2") == second
    assert await stripe.find_transfer("ofr_1", "trf_3") is None
    assert [each.id async for each in stripe.transfers(LONG_AGO)] == [second.id, first.id]
    spent = stripe.transfer(key=key(), amount=1, charge_id=None, metadata={}, **given)
    assert await refusal(spent) == "balance_insufficient"

    back = await stripe.reverse(first.id, 1000, key=key(), metadata={"fact": "rev_1"})
    assert (back.status, back.amount, back.currency) == ("succeeded", 1000, "USD")
    assert await stripe.find_reversal(first.id, "rev_1") == back
    assert await stripe.find_reversal(first.id, "rev_2") is None
    assert sum(r.amount for r in await stripe.reversals(first.id)) == 1000
    assert await refusal(stripe.reverse(first.id, 5001, key=key(), metadata={})) == "refused"
    await stripe.payout(account, 9000, "USD", key=key(), metadata={})
    poor = stripe.reverse(first.id, 5000, key=key(), metadata={})
    assert await refusal(poor) == "balance_insufficient"


both_versions = pytest.mark.parametrize("version", ["v2", "v1"])

# -- payouts and accounts ----------------------------------------------------------------------


async def test_a_payout_comes_back_after_it_was_paid(stripe, sandbox, account):
    """Guard: the account in the options of the payouts' methods."""
    paid = await pay(stripe)
    await stripe.transfer(
        key=key(),
        amount=10_000,
        currency="USD",
        account_id=account,
        charge_id=paid.charge_id,
        group="g",
        metadata={},
    )
    meta = {"withdrawal_id": "wdr_1"}
    made = await stripe.payout(account, 10_000, "USD", key=key(), metadata=meta)
    await sandbox.advance(10)
    assert (await stripe.payout_state(account, made.id)).status == "paid"
    await sandbox.fail_payout(made.id, "account_closed")
    failed = await stripe.find_payout(account, "wdr_1", LONG_AGO)
    assert (failed.id, failed.status, failed.failure) == (made.id, "failed", "account_closed")
    assert [each.id async for each in stripe.payouts(account, LONG_AGO)] == [made.id]
    assert await stripe.find_payout(account, "wdr_2", LONG_AGO) is None


@both_versions
async def test_an_account_loses_what_it_may_do(stripe, sandbox, account):
    """Guard: `shapes.account`."""
    found = await stripe.account(account)
    assert (found.transfers_active, found.payouts_enabled, found.closed) == (True, True, False)
    assert (found.currencies, found.requirements) == (("JPY", "USD"), ())
    await sandbox.deactivate(account, "individual.id_number")
    found = await stripe.account(account)
    assert (found.transfers_active, found.payouts_enabled) == (False, False)
    assert found.requirements == ("individual.id_number",)
    assert found.disabled_reason == "requirements.past_due"
    await pay(stripe)
    given = {"amount": 1, "currency": "USD", "account_id": account, "charge_id": None, "group": "g"}
    refused = stripe.transfer(key=key(), metadata={}, **given)
    assert await refusal(refused) == "insufficient_capabilities_for_transfer"
    await sandbox.activate(account)
    assert (await stripe.transfer(key=key(), metadata={}, **given)).status == "succeeded"
    await sandbox.reject(account)
    assert (await stripe.account(account)).disabled_reason == "rejected.fraud"
    assert await refusal(stripe.payout(account, 1, "USD", key=key(), metadata={})) == (
        "payouts_not_allowed"
    )


@both_versions
async def test_accounts_of_both_versions(stripe, sandbox, version):
    """Guard: `account_requests`, and `configurations` in `shapes._with_v2`; a link of /v2 names
    them all."""
    given = {"email": "c@x.test", "user_id": "usr_1", "country": "US", "agreement": "full"}
    made = await stripe.create_account(key=key(), **given)
    [posted] = [
        entry["path"]
        for entry in await sandbox.requests()
        if entry["method"] == "POST" and entry["path"].endswith("/accounts")
    ]
    assert posted == ("/v2/core/accounts" if version == "v2" else "/v1/accounts")
    assert made.configurations == (("recipient",) if version == "v2" else ())
    found = await stripe.find_account("usr_1", LONG_AGO)
    assert found.id == made.id
    read = await stripe.account(made.id)
    assert read.configurations == made.configurations
    assert not read.transfers_active and not read.payouts_enabled
    assert "external_account" in read.requirements and read.agreement == "full"
    assert (await stripe.onboarding_url(made)).startswith("http")
    await stripe.pay_out_manually(made.id, key=key())
    settings = await sandbox.api("GET", "balance_settings", made.id)
    assert settings["payments"]["payouts"]["schedule"]["interval"] == "manual"


@both_versions
async def test_an_account_under_the_recipient_agreement(stripe, sandbox, version):
    """Guard: `service_agreement` in `account_requests.account_v1`; `agreement` in
    `shapes.account`."""
    given = {"email": "c@x.test", "user_id": "usr_1", "country": "JM"}
    made = await stripe.create_account(key=key(), agreement="recipient", **given)
    assert (await stripe.account(made.id)).agreement == "recipient"


async def test_a_country_that_wants_a_merchant_as_well(stripe, sandbox):
    """Guard: `NEEDS_MERCHANT` in the gateway's `create_account`."""
    error = {
        "type": "invalid_request_error",
        "code": "capability_not_available_without_other_capability_in_country",
        "message": "Request card_payments as well.",
    }
    await sandbox.fault(path="/v2/core/accounts", method="POST", status=400, error=error)
    given = {"email": "c@x.test", "user_id": "usr_1", "country": "US", "agreement": "full"}
    made = await stripe.create_account(key=key(), **given)
    assert made.configurations == ("merchant", "recipient")
    assert (await stripe.onboarding_url(made)).startswith("http")


async def test_new_platforms_are_refused_accounts_of_v1(stripe, sandbox):
    """Guard: `accounts_v1` in the sandbox's `connect.create`."""
    await sandbox.settings(accounts_v1=0)
    old = StripeGateway(sandbox.key, sandbox.base, RETURN, accounts="v1")
    given = {"email": "c@x.test", "user_id": "usr_1", "country": "US", "agreement": "full"}
    assert await refusal(old.create_account(key=key(), **given)) == "refused"
    await old.close()


async def test_a_closed_account(stripe, sandbox, account):
    """Guard: `account_invalid` in `account`; lists raise the refusal."""
    await sandbox.close_account(account)
    found = await stripe.account(account)
    assert (found.closed, found.transfers_active, found.payouts_enabled) == (True, False, False)
    payout = stripe.payout(account, 1, "USD", key=key(), metadata={})
    assert await refusal(payout) == "account_invalid"
    assert await refusal(stripe.find_payout(account, "wdr_1", LONG_AGO)) == "account_invalid"
    await pay(stripe)
    gone = stripe.transfer(
        key=key(),
        amount=1,
        currency="USD",
        account_id=account,
        charge_id=None,
        group="g",
        metadata={},
    )
    assert await refusal(gone) == "resource_missing"
    assert await stripe.find_account("usr_c", LONG_AGO) is None


# -- the books ---------------------------------------------------------------------------------


async def test_all_lines_of_stripes_books(stripe, sandbox, account):
    """Guard: `shapes.entry`, and `until` in `entries`."""
    await sandbox.settings(fee_bps=290, fee_fixed=30)
    paid = await pay(stripe)
    coins = await hold(stripe, "pm_crypto_usdc", 2000)
    refund = await stripe.refund(paid.id, 1000, key=key(), metadata={})
    await sandbox.fail_refund(refund.id)
    back = await stripe.refund(coins.id, 2000, key=key(), metadata={})
    sent = await stripe.transfer(
        key=key(),
        amount=500,
        currency="USD",
        account_id=account,
        charge_id=paid.charge_id,
        group="g",
        metadata={},
    )
    reversal = await stripe.reverse(sent.id, 200, key=key(), metadata={})
    dispute = await sandbox.dispute(paid.charge_id, 4000)
    payout = await sandbox.api("POST", "payouts", amount=100, currency="usd")
    await sandbox.fail_payout(payout["id"])
    await sandbox.add_balance_entry("stripe_fee", -250, "USD", "Radar")
    lines = [line async for line in stripe.entries(LONG_AGO)][::-1]
    assert [(line.type, line.amount, line.fee, line.source_id) for line in lines] == [
        ("charge", 10_000, 320, paid.charge_id),
        ("payment", 2000, 88, coins.charge_id),
        ("refund", -1000, 0, refund.id),
        ("refund_failure", 1000, 0, refund.id),
        ("payment_refund", -2000, 0, back.id),
        ("transfer", -500, 0, sent.id),
        ("transfer_refund", 200, 0, reversal.id),
        ("adjustment", -4000, 1500, dispute["id"]),
        ("payout", -100, 0, payout["id"]),
        ("payout_failure", 100, 0, payout["id"]),
        ("stripe_fee", -250, 0, None),
    ]
    assert all(line.net == line.amount - line.fee for line in lines)
    assert {(line.currency, line.created_at.tzinfo) for line in lines} == {("USD", UTC)}
    balance = await sandbox.api("GET", "balance")
    assert sum(line.net for line in lines) == balance["available"][0]["amount"]
    noon = lines[0].created_at
    assert [line async for line in stripe.entries(LONG_AGO, until=noon)] == []


async def test_more_lines_than_a_page_has(stripe, sandbox):
    """Guard: `auto_paging_iter` in `_each`."""
    for number in range(230):
        await sandbox.add_balance_entry("topup", number + 1, "usd")
    lines = [line.amount async for line in stripe.entries(LONG_AGO)]
    assert lines == list(range(230, 0, -1))


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 409, 429, 500, 503])
@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/refunds/*"])
async def test_what_leaves_the_outcome_open(stripe, sandbox, status, path):
    """Guard: `is_forbidden` and `status >= 500` in `_problem`."""
    await sandbox.fault(path=path, status=status)
    with pytest.raises(GatewayUnknown) as unknown:
        await (stripe.refunds("pi_1") if path == "/v1/refunds" else stripe.refund_state("re_1"))
    assert not isinstance(unknown.value, StaleFailure)
    assert str(status) in str(unknown.value)


async def test_a_lost_answer_and_its_repetition(stripe, sandbox):
    """Guard: `APIConnectionError` in `_problem`; the key makes the second call harmless."""
    paid, again = await pay(stripe), key()
    await sandbox.fault(path="/v1/refunds", drop=True, when="after")
    with pytest.raises(GatewayUnknown):
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    made = await stripe.refund(paid.id, 1000, key=again, metadata={})
    assert [refund.id for refund in await stripe.refunds(paid.id)] == [made.id]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stored_failure_is_recognized(stripe, sandbox, when):
    """Guard: `Idempotent-Replayed` in `_problem`."""
    paid, again = await pay(stripe), key()
    await sandbox.fault(path="/v1/refunds", status=500, when=when)
    with pytest.raises(GatewayUnknown) as first:
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    with pytest.raises(StaleFailure):
        await stripe.refund(paid.id, 1000, key=again, metadata={})
    assert type(first.value) is GatewayUnknown
    assert len(await stripe.refunds(paid.id)) == (when == "after")


async def test_a_key_with_other_parameters(stripe, sandbox):
    """Guard: `spent` in `_problem`: the first call had an outcome, which the key no longer shows;
    one that is still under way has none yet."""
    paid, again = await pay(stripe), key()
    await stripe.refund(paid.id, 1000, key=again, metadata={})
    with pytest.raises(StaleFailure):
        await stripe.refund(paid.id, 1001, key=again, metadata={})
    await sandbox.fault(path="/v1/refunds", status=409, error={"type": "idempotency_error"})
    with pytest.raises(GatewayUnknown) as under_way:
        await stripe.refund(paid.id, 1000, key=key(), metadata={})
    assert type(under_way.value) is GatewayUnknown


async def test_definite_refusals_have_codes(stripe, sandbox):
    """Guard: `decline_code` before `code` in `_problem`."""
    held = await hold(stripe)
    error = {"type": "card_error", "decline_code": "lost_card"}
    await sandbox.fault(path="/v1/payment_intents/*/capture", status=402, error=error)
    assert await refusal(stripe.capture(held.id, key=key())) == "lost_card"
    await sandbox.advance(8 * 86_400)
    assert await refusal(stripe.capture(held.id, key=key())) == "charge_expired_for_capture"
    assert await refusal(hold(stripe, amount=49)) == "amount_too_small"
    for work in (
        stripe.intent("pi_none"),
        stripe.refund_state("re_none"),
        stripe.dispute("dp_none"),
        stripe.reversals("tr_none"),
    ):
        assert await refusal(work) == "resource_missing"
