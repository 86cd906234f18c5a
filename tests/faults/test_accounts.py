"""Accounts of contractors as Stripe makes them now: by which version, in which countries, under
which agreement, and what Stripe wants to know."""

from datetime import timedelta
from typing import get_args

import msgspec
import pytest

from domain.accounts.user import User
from domain.kernel.money import Schedule
from domain.kernel.settings import Rates
from domain.notifications.templates.refusals import GENERAL
from domain.payouts.account_settings import check_account_settings
from domain.payouts.countries import (
    CROSS_BORDER,
    PLATFORM_COUNTRIES,
    RECIPIENT_DELAY,
    REGION,
    CountryCode,
    agreement_for,
    reachable,
)
from domain.payouts.transfer import Transfer, TransferStatus
from domain.reconciliation.books_audit import audit
from domain.stripe_events.inbox import EventStatus, WebhookEvent
from server.adapters.webhook_events import PLATFORM_EVENTS
from tests.domain.notifications.reading import listed
from tests.support import stripe_oracle
from tests.support.installations import new_market, running_server
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import Refused

RECIPIENT = "v2.core.account[configuration.recipient].capability_status_updated"


async def posted(sandbox, end):
    """The paths that were posted to, of those with this end."""
    return [
        entry["path"]
        for entry in await sandbox.requests()
        if entry["method"] == "POST" and entry["path"].endswith(end)
    ]


async def stored(market, person):
    return (await market.rows(User, _id=person.id))[0]


# -- accounts of both versions -----------------------------------------------------------------


async def test_new_accounts_are_made_by_v2(market, server):
    """Guard: `account_requests.account_v2`. New platforms are refused POST /v1/accounts; thin
    events and those of v1 lead to the same state, and the payouts of the account are manual. And
    `V2` in `stripe_oracle.check_request`; the description knows both versions."""
    contractor = await market.contractor()
    await market.onboard(contractor)
    await market.settled(TIMEOUT)
    assert await posted(server.sandbox, "/accounts") == ["/v2/core/accounts"]
    assert await posted(server.sandbox, "/account_links") == ["/v2/core/account_links"]
    user = await stored(market, contractor)
    shown = await server.sandbox.api_v2(
        "GET",
        f"core/accounts/{user.connect_id}?include[0]=configuration.recipient"
        "&include[1]=requirements&include[2]=defaults&include[3]=identity",
    )
    assert shown["applied_configurations"] == ["recipient"]
    assert shown["dashboard"] == "express" and shown["contact_email"] == user.email
    assert shown["defaults"]["responsibilities"]["losses_collector"] == "application"
    settings = await server.sandbox.api("GET", "balance_settings", user.connect_id)
    assert settings["payments"]["payouts"]["schedule"]["interval"] == "manual"
    events = {event.type: event.status for event in await market.rows(WebhookEvent)}
    assert events[RECIPIENT] is EventStatus.DONE
    assert events["account.updated"] is EventStatus.DONE
    work = await JobInProgress(market, server).start_and_complete(contractor=contractor)
    assert await work.wallet("available") == (70_000,)
    await work.withdraw(70_000)
    assert await work.platform_and_escrow() == (30_000, 0)
    # Every request of v2 is checked at the end of a test, as one that is wrong shows.
    entries = [entry for entry in await server.sandbox.requests() if "/v2/" in entry["path"]]
    assert {entry["path"].split("/")[3] for entry in entries} >= {"accounts", "account_links"}
    stripe_oracle.check_log(entries)
    [made] = [entry for entry in entries if entry["path"] == "/v2/core/accounts"]
    made["body"] = made["body"].replace('"recipient"', '"receiver"')
    with pytest.raises(AssertionError, match="does not match"):
        stripe_oracle.check_log([made])


async def test_thin_events_alone_are_enough(market, server):
    """Guard: `inbox._thin_record`; a deployment whose other endpoint is not set up hears of its
    accounts as well. The event is not trusted: the account is read."""
    contractor = await market.contractor()
    for kind in ("account.updated", "capability.updated"):
        await server.sandbox.fault(webhook=kind, drop=True, times=100)
    await market.onboard(contractor)
    await market.settled(TIMEOUT)
    found = [event for event in await market.rows(WebhookEvent) if event.type == RECIPIENT]
    user = await stored(market, contractor)
    assert [(each.account, each.object_type) for each in found] == [
        (user.connect_id, "v2.core.account")
    ]
    assert user.payouts_enabled and user.transfers_active
    contractor.clear_pushes()
    await server.sandbox.close_account(user.connect_id)
    await contractor.push("/account", "account.updated", lambda u: not u["payouts_enabled"])
    assert (await stored(market, contractor)).closed_accounts == (user.connect_id,)


async def test_accounts_of_v1_are_read_on(completed_work, server):
    """Guard: `made_by` in the gateway's `account`: who was onboarded by v1 goes on with it."""
    contractor = completed_work.contractor
    before = await contractor.call("/account", "payout_state")
    assert before["payouts_enabled"]
    assert (await contractor.call("/account", "onboard"))["url"]
    assert await posted(server.sandbox, "/accounts") == []
    assert await posted(server.sandbox, "/account_links") == ["/v1/account_links"]
    assert await completed_work.wallet("available") == (70_000,)
    await completed_work.withdraw(70_000)
    assert await completed_work.platform_and_escrow() == (30_000, 0)


async def test_new_accounts_by_v1_where_that_is_set(installation):
    """Guard: `STRIPE_ACCOUNTS`, for platforms that Stripe still allows it."""
    installation.configure(STRIPE_ACCOUNTS="v1")
    async with running_server(installation) as server, new_market(server, installation) as market:
        contractor = await market.contractor()
        refused = await contractor.call("/account", "onboard")
        assert refused["url"] is None and refused["refusal"] == GENERAL  # a new platform
        await server.sandbox.settings(accounts_v1=1)
        await market.onboard(contractor)
        await market.settled(TIMEOUT)
        assert await posted(server.sandbox, "/accounts") == ["/v1/accounts"] * 2
        assert (await stored(market, contractor)).payouts_enabled


async def test_stripe_is_set_up_otherwise(market, server, monkeypatch):
    """Guard: `account_settings.check_account_settings`, one alert for each problem while it is
    open. What a restricted key may not read hides nothing else."""
    admin, sandbox = await market.admin(), server.sandbox
    await check_account_settings(server.ports)
    assert not admin.received("/admin", "alert")
    rates = msgspec.structs.replace(server.store.rates, platform_country="DE")
    monkeypatch.setattr(server.store, "rates", rates)
    destination = (await sandbox.api_v2("GET", "core/event_destinations"))["data"][0]
    await sandbox.api_v2("POST", f"core/event_destinations/{destination['id']}/disable")
    own = await _endpoint_of_the_platform(sandbox)
    # An endpoint for another server, and one of this server that lacks events.
    await sandbox.api(
        "POST", "webhook_endpoints", url="http://127.0.0.1:1/hooks", **{"enabled_events[]": "*"}
    )
    kept = [event for event in PLATFORM_EVENTS if not event.startswith(("review.", "payout.p"))]
    fields = {f"enabled_events[{index}]": event for index, event in enumerate(kept)}
    await sandbox.api("POST", f"webhook_endpoints/{own['id']}", **fields)
    await sandbox.fault(path="/v1/account", status=403, times=2)
    for _ in range(3):
        await check_account_settings(server.ports)
    await market.settled()
    alerts = {
        push.data["subject"]: push.data["message"]
        for push in admin.received("/admin", "alert")
        if push.data["kind"] == "stripe_settings"
    }
    assert list(alerts) == ["webhook_events", "account_events", "platform_country"]
    assert ": payout.paid, review.closed, review.opened. " in alerts["webhook_events"]
    assert RECIPIENT in alerts["account_events"] and "is in US" in alerts["platform_country"]


async def _endpoint_of_the_platform(sandbox):
    listed = await sandbox.api("GET", "webhook_endpoints")
    return next(each for each in listed["data"] if "review.opened" in each["enabled_events"])


# -- countries and agreements ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "country", "agreement"),
    [
        ("US", "US", "full"),
        ("US", "CA", "full"),
        ("US", "GB", "full"),
        ("US", "DE", "full"),
        ("US", "CH", "full"),
        ("US", "JM", "recipient"),
        ("US", "JP", "recipient"),
        ("US", "CU", None),
        ("DE", "US", "full"),
        ("DE", "JP", None),
        ("DE", "JM", None),
        ("JP", "JP", "full"),
        ("JP", "US", None),
    ],
)
def test_which_countries_a_platform_reaches(platform, country, agreement):
    """Guard: `countries.agreement_for`, whose table and source are in its module; the recipient
    agreement only where Stripe has approved it (CROSS_BORDER_PAYOUTS)."""
    rates = Rates(Schedule(0, 0), ("USD",), platform_country=platform, cross_border=True)
    assert agreement_for(rates, country) == agreement
    assert (country in reachable(rates)) is (agreement is not None)
    rates = msgspec.structs.replace(rates, cross_border=False)
    assert agreement_for(rates, country) == (agreement if agreement == "full" else None)


def test_the_tables_of_countries_hold_codes():
    """Guard: the two tables of `countries`."""
    for codes in (REGION, CROSS_BORDER):
        assert all(len(code) == 2 and code.isupper() for code in codes)
    assert "US" not in CROSS_BORDER
    assert set(get_args(CountryCode)) == PLATFORM_COUNTRIES | CROSS_BORDER
    assert len(REGION) == 33 and len(CROSS_BORDER) > 100


async def test_an_unreachable_country_is_refused_at_once(market, server):
    """Guard: `check_reachable` in `onboarding.onboard`; the list of those that work is in the
    refusal and in /api/meta, and nothing reaches Stripe."""
    contractor = await market.contractor()
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await contractor.call("/account", "onboard", {"country": "BR"})
    assert refused.value.code == "invalid"
    details = refused.value.details
    assert (details["field"], details["rule"]) == ("country", "choice")
    _, meta = await contractor.http("GET", "/api/meta")
    assert details["limit"] == meta["countries"] == reachable(server.store.rates)
    assert await market.traces() == before


async def test_funds_under_the_recipient_agreement_arrive_a_day_later(market, server, monkeypatch):
    """Guard: `countries.arrives_at` in `transfer_tasks.arrival_of`; without it the wallet offers
    money that Stripe does not pay out yet."""
    contractor = await market.contractor()
    link = await contractor.call("/account", "onboard", {"country": "JM"})
    await server.sandbox.fill_in_onboarding(link["url"], contractor.name, "usd")
    await contractor.push("/account", "account.updated", lambda u: u["transfers_active"])
    await market.settled(TIMEOUT)
    user = await stored(market, contractor)
    assert user.payout_agreement == "recipient"
    work = await JobInProgress(market, server).start(contractor=contractor)
    await work.complete()
    await market.settled(TIMEOUT)
    [transfer] = await market.rows(Transfer)
    assert transfer.status is TransferStatus.MADE
    assert await work.wallet("available", "pending") == (0, 70_000)
    [waits] = (await contractor.call("/wallet", "waiting"))["items"]
    assert waits["reason"] == "funds" and waits["until"] is not None
    held = await server.sandbox.api("GET", "balance", user.connect_id)
    assert sum(part["amount"] for part in held["available"]) == 0
    [later] = await market.tasks("make_transfer_available")
    assert later.lease_until >= transfer.made_at + RECIPIENT_DELAY
    clock, now = type(server.ports.clock), server.ports.clock.now
    monkeypatch.setattr(clock, "now", lambda _: now() + timedelta(hours=24, minutes=1))
    await server.sandbox.advance(86_460)
    await contractor.push("/wallet", "wallet.updated", lambda w: w["available"] == 70_000, TIMEOUT)
    assert (await audit(server.ports)).differences == []


# -- what Stripe wants to know -----------------------------------------------------------------


async def test_requirements_are_kept_and_said_in_words(market, server):
    """Guard: `account_state._notify_wanted`; without it the contractor hears nothing until payouts
    have stopped."""
    contractor = await market.contractor()
    await market.onboard(contractor)
    user = await stored(market, contractor)
    due = "individual.verification.document"
    await market.settled(TIMEOUT)
    contractor.clear_pushes()
    await server.sandbox.require(user.connect_id, due, in_days=14)
    pushed = await contractor.push(
        "/account", "account.updated", lambda u: u["payout_requirements"]
    )
    assert pushed["payout_requirements"] == [due] and pushed["payout_past_due"] == []
    assert pushed["payout_deadline"] and pushed["payouts_enabled"]
    [notice] = await listed(market, contractor, "payouts_wanted")
    assert "a picture of an identity document until" in notice["text"]
    assert notice["path"] == "/wallet" and due not in notice["text"]
    await server.sandbox.deactivate(user.connect_id, due)
    pushed = await contractor.push("/account", "account.updated", lambda u: u["payout_past_due"])
    assert (pushed["payout_past_due"], pushed["payouts_enabled"]) == ([due], False)
    assert pushed["payout_problem"] == "requirements.past_due"
    await server.sandbox.activate(user.connect_id)
    pushed = await contractor.push(
        "/account",
        "account.updated",
        lambda u: u["payouts_enabled"] and not u["payout_requirements"],
    )
    assert (pushed["payout_deadline"], pushed["payout_setup"]) == (None, "done")


async def test_a_rejected_account_is_the_end_and_said(market, server):
    """Guard: `account_state._notify_rejected`; no link is given any more, and administrators are
    alerted."""
    admin = await market.admin()
    for reason in ("fraud", "terms_of_service"):
        await is_rejected(market, server, admin, reason)
    assert len(await posted(server.sandbox, "/accounts")) == 2


async def is_rejected(market, server, admin, reason):
    contractor = await market.contractor()
    await market.onboard(contractor)
    user = await stored(market, contractor)
    await server.sandbox.reject(user.connect_id, reason)
    pushed = await contractor.push(
        "/account", "account.updated", lambda u: u["payout_setup"] == "rejected"
    )
    assert pushed["payout_problem"] == f"rejected.{reason}"
    alert = await admin.push("/admin", "alert", lambda a: a["subject"] == contractor.id)
    assert alert["kind"] == "account_rejected" and f"rejected.{reason}" in alert["message"]
    [notice] = await listed(market, contractor, "payouts_rejected")
    assert "final" in notice["text"] and reason not in notice["text"]
    links = await posted(server.sandbox, "/account_links")
    answer = await contractor.call("/account", "onboard")
    assert answer["url"] is None and "final" in answer["refusal"]
    assert await posted(server.sandbox, "/account_links") == links
    with pytest.raises(Refused) as refused:
        await market.withdraw(contractor, 1)
    assert refused.value.code == "not_onboarded"
    assert len(await listed(market, contractor, "payouts_rejected")) == 1


async def test_another_bank_account_is_read_by_its_own_event(market, server):
    """Guard: `bank_account` in `inbox.HANDLERS`; Stripe sends no `account.updated` for it, and the
    currencies that the contractor can be paid in stay wrong."""
    contractor = await market.contractor()
    await market.onboard(contractor, "usd")
    user = await stored(market, contractor)
    assert user.payout_currencies == ("USD",)
    await server.sandbox.change_banks(user.connect_id, "eur", "gbp")
    pushed = await contractor.push(
        "/account", "account.updated", lambda u: u["payout_currencies"] == ["EUR", "GBP"]
    )
    assert pushed["payouts_enabled"]
    after = await stored(market, contractor)
    assert after.bank != user.bank and after.bank_changed_at
