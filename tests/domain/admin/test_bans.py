"""Bans: who can be banned, and that a banned user is out everywhere."""

import asyncio
from datetime import timedelta

import pytest

from domain.accounts.user import User
from domain.admin import bans
from domain.fulfillment import auto_completion
from domain.kernel.actor import Role
from domain.ledger.balances import Balance
from tests.support.one_server import one_server, own_server
from tests.support.parties import Refused

pytestmark = one_server


async def login(market, party):
    body = {"email": party.email, "password": "correct horse battery"}
    status, answer = await market.anonymous_client().http("POST", "/api/account/login", body)
    return status, answer.get("code")


async def refresh(party, token):
    body = {"refresh_token": token}
    return (await party.http("POST", "/api/account/refresh", body))[1]


async def is_told_of_the_ban(party, token):
    problem = await refresh(party, token)
    assert problem["code"] == "unauthenticated"
    return problem["details"].get("banned", False)


async def ban_now(uow, user_id):
    await bans.end_access(uow, await uow.get(User, user_id), "Fraud")


@own_server
async def test_a_banned_user_is_out_everywhere_within_a_second(processes):
    """Guard: `ended_sessions_reply` as the reply of `bans.ban`, and `Banned` in `sign_in.login`;
    and `EndSessions`, when the process ends between the two. BAN of redis_sessions.py: a refresh
    with the newest token or the one before it says so, as long as the ban is in force."""
    one, two = await processes.web(), await processes.web()
    market = processes.market
    admin, user = await market.admin(url=one.url), await market.customer(url=one.url)
    elsewhere = await market.sign_in(user.user, url=two.url)
    assert await login(market, user) == (200, None)
    before = elsewhere.refresh_token
    elsewhere.refresh_token = (await refresh(elsewhere, before))["refresh_token"]
    ended = await market.sign_in(user.user, url=two.url)
    await ended.call("/account", "logout")
    banned = await admin.call("/admin", "ban", {"user_id": user.id, "reason": "Fraud"})
    assert banned["banned_at"] and banned["ban_reason"] == "Fraud"
    for party in (user, elsewhere):
        await party.wait_until_disconnected(seconds=1)
        assert (await party.http("GET", "/api/account/me"))[1]["code"] == "unauthenticated"
        for _ in range(2):
            assert await is_told_of_the_ban(party, party.refresh_token)
        with pytest.raises(Refused) as refused:
            await party.connect()
        assert refused.value.code == "unauthenticated"
    assert await is_told_of_the_ban(elsewhere, before)
    guessed = f"{before.partition('.')[0]}.guessed"
    for token in (guessed, ended.refresh_token):
        assert not await is_told_of_the_ban(elsewhere, token)
    assert await login(market, user) == (403, "banned")
    wrong = {"email": user.email, "password": "not the password"}
    _, problem = await market.anonymous_client().http("POST", "/api/account/login", wrong)
    assert problem["code"] == "wrong_credentials"
    assert (await admin.call("/admin", "unban", {"user_id": user.id}))["banned_at"] is None
    assert not await is_told_of_the_ban(user, user.refresh_token)
    assert await login(market, user) == (200, None)


async def test_a_refresh_concurrent_with_a_ban_is_told(market, server, monkeypatch):
    """Guard: `_refuse_banned` in `refresh` for a session that has not ended in Redis yet. A lost
    answer is repeated, because all sessions have ended as those of a banned user."""
    user = await market.customer(connect=False)
    real = server.web.sessions.rotate

    async def rotate(token):
        monkeypatch.undo()
        rotated = await real(token)
        user.refresh_token = rotated.tokens.refresh_token
        await server.store.transact(lambda uow: ban_now(uow, user.id))
        return rotated

    monkeypatch.setattr(server.web.sessions, "rotate", rotate)
    for _ in range(2):
        assert await is_told_of_the_ban(user, user.refresh_token)
    assert await server.ports.sessions.list(user.id) == []


async def test_a_login_concurrent_with_a_ban_is_refused(market, server, monkeypatch):
    """Guard: the second read of the user in `start_valid_session`; without it a session that starts
    after the others have ended stays open."""
    admin, user = await market.admin(), await market.customer(connect=False)
    real = server.web.sessions.start

    async def start(*args, **options):
        monkeypatch.undo()
        await admin.call("/admin", "ban", {"user_id": user.id, "reason": "Fraud"})
        await market.settled()
        return await real(*args, **options)

    monkeypatch.setattr(server.web.sessions, "start", start)
    assert await login(market, user) == (403, "banned")
    assert await server.ports.sessions.list(user.id) == []


async def test_who_cannot_be_banned(market):
    """Guard: `user.id == actor.id` in `bans.ban`, and its guards."""
    admin, other, user = await market.admin(), await market.admin("Bob"), await market.customer()
    await admin.call("/admin", "ban", {"user_id": user.id, "reason": "Fraud"})
    before = await market.traces()
    for event, who, code in (
        ("ban", admin.id, "forbidden"),
        ("ban", user.id, "conflict"),
        ("ban", "usr_none", "not_found"),
        ("unban", admin.id, "conflict"),
        ("unban", "usr_none", "not_found"),
    ):
        fields = {"user_id": who, **({"reason": "Because"} if event == "ban" else {})}
        with pytest.raises(Refused) as refused:
            await admin.call("/admin", event, fields)
        assert refused.value.code == code, (event, who)
    after = await market.traces()
    assert after == before
    assert admin.connected("/admin") and other.connected("/admin")


async def test_an_administrator_is_ended_by_another_one(market):
    """Guard: `_keep_administrator` instead of a refusal in `bans.ban`."""
    admin, other = await market.admin(), await market.admin("Bob")
    banned = await admin.call("/admin", "ban", {"user_id": other.id, "reason": "Has left"})
    assert banned["banned_at"] and banned["role"] == "admin"
    await other.wait_until_disconnected("/admin")
    assert (await other.http("GET", "/api/admin/overview"))[1]["code"] == "unauthenticated"
    assert await login(market, other) == (403, "banned")
    await admin.call("/admin", "unban", {"user_id": other.id})
    assert await login(market, other) == (200, None)


async def test_of_two_administrators_who_ban_each_other_one_is_left(market, server):
    """Guard: the write in `_keep_administrator`; without it both transactions commit."""
    one, two = await market.admin(connect=False), await market.admin("Bob", connect=False)
    for _ in range(5):
        tries = [
            who.http("POST", f"/api/admin/users/{whom.id}/ban", {"reason": "Has left"})
            for who, whom in ((one, two), (two, one))
        ]
        assert 200 in [status for status, _ in await asyncio.gather(*tries)]
        left = await market.rows(User, role=Role.ADMIN, banned_at=None)
        assert len(left) == 1
        await server.store.single().change_all(User, {"role": Role.ADMIN}, banned_at=None)
        one, two = [
            await market.sign_in(await market.store.single().get(User, each.id), connect=False)
            for each in (one, two)
        ]


@own_server
async def test_a_banned_contractor_is_paid_for_approved_work(market, work):
    """Guard: `ban` does not change offers, jobs and transfers."""
    await work.deliver()
    await work.as_admin("ban", user_id=work.contractor.id, reason="Fraud")
    await work.complete()
    assert await work.platform_and_escrow() == (30_000, 0)
    [wallet] = await market.rows(Balance, owner=work.contractor.id, balance={"$ne": 0})
    assert wallet.balance == 70_000


@own_server
async def test_work_for_a_banned_customer_is_paid_automatically(server, work):
    """Guard: as above; delivered work completes when it is due."""
    await work.deliver()
    await work.as_admin("ban", user_id=work.customer.id, reason="Fraud")
    for days in (6, 1):
        await work.pass_time(timedelta(days=days))
        await auto_completion.announce_due(server.ports)
    assert await auto_completion.complete_due(server.ports) == 1
    assert await work.platform_and_escrow() == (30_000, 0)
    assert await work.wallet("available") == (70_000,)


async def test_a_banned_contractor_receives_no_offers(market):
    """Guard: `banned_at` in `user.engage`."""
    admin, customer = await market.admin(), await market.customer()
    contractor = await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    await admin.call("/admin", "ban", {"user_id": contractor.id, "reason": "Fraud"})
    before = await market.traces()
    with pytest.raises(Refused) as refused:
        await market.offer(customer, contractor, job)
    assert refused.value.code == "not_found"
    assert await market.traces() == before
