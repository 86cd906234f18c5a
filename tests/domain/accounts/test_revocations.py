"""The end of sessions: it is final, on open connections, without Redis, and on every process."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from domain.accounts.sessions import (
    REVOCATION_KEPT,
    EndSession,
    EndSessions,
    Revocation,
    end_all_sessions,
)
from domain.accounts.user import User
from domain.jobs.job import Job
from domain.operations.task import TryAgain
from server.revocations import Revocations
from tests.conftest import Server, both_paths
from tests.support.file_samples import (
    MULTIPART_END,
    RawRequest,
    download,
    multipart_part,
    stored_file_rows,
    upload,
)
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD, Party, Refused
from tests.support.processes import Processes, RunningProcess, free_port
from tests.support.raw_socket import open_raw_socket, wait_until

pytestmark = one_server

End = Callable[[Server, Market, Party], Awaitable[None]]

JOB = (
    '["create",{"title":"Paint","description":"All","category":"painting","currency":"USD",'
    '"budget_min_amount":1,"budget_max_amount":2}]'
)


def session_of(party: Party) -> str:
    return party.refresh_token.partition(".")[0]


async def take_redis_away(server: Server) -> None:
    """From now on this process cannot reach its sessions."""
    await move_redis(server, free_port())
    assert not await server.web.sessions.reachable()


async def move_redis(server: Server, port: int) -> None:
    pool = server.web.redis.connection_pool
    pool.connection_kwargs["port"] = port
    await pool.disconnect()
    pool.reset()


async def me(party: Party) -> tuple[int, str | None]:
    status, answer = await party.http("GET", "/api/account/me")
    return status, answer.get("code")


# -- on an open connection --------------------------------------------------------------------


@both_paths
async def test_a_revoked_session_cannot_join_again_while_its_command_waits(market: Market) -> None:
    """Guard: `session_registry.__contains__`, which knows no client that is ending, or
    `Revocations.covers`: each suffices."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    await market.sandbox.fault(method="POST", path="/v1/payment_intents", delay=30)
    phone = await market.sign_in(customer.user, connect=False)
    raw = await open_raw_socket(market, phone)
    await raw.connect("/bidding")
    await raw.connect("/account")
    await raw.send(
        f'42/bidding,7["create",{{"job_id":"{job["id"]}","contractor_id":"{contractor.id}",'
        '"amount":10000,"currency":"USD","description":"Soon","timeline_days":1,'
        '"payment_method":"pm_card_visa"}]'
    )
    assert await raw.responds()  # so the command has begun
    await customer.call("/account", "revoke", {"session_id": session_of(phone)})
    await raw.wait_for(lambda packet: packet.startswith("1/account"))
    for namespace in ("/job", "/account", "/chat"):
        assert "unauthenticated" in await raw.connect(namespace)
    await market.sandbox.clear_faults()  # answers the request
    assert (await raw.ack("/bidding", 7))["ok"], "what had begun is answered"
    assert "unauthenticated" in await raw.connect("/bidding")


@both_paths
async def test_a_command_that_waits_does_not_run_after_the_revocation(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `client.ending` in `_start_command`, and `covers` in `Web._limited`."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user, connect=False)
    raw = await open_raw_socket(market, phone)
    await raw.connect("/job")
    gate, begun = asyncio.Event(), asyncio.Event()
    real: Callable[[Any], Awaitable[Any]] = server.store.transact

    async def held(work: Any) -> Any:
        monkeypatch.undo()
        begun.set()
        await gate.wait()
        return await real(work)

    monkeypatch.setattr(server.store, "transact", held)
    for id in range(1, 6):
        await raw.send(f"42/job,{id}{JOB}")
    await begun.wait()
    await laptop.call("/account", "revoke", {"session_id": session_of(phone)})
    gate.set()
    assert (await raw.ack("/job", 1))["ok"]
    await raw.wait_for(lambda packet: packet.startswith("1/job"))
    assert "unauthenticated" in await raw.connect("/account")
    assert len(await market.rows(Job)) == 1


async def test_an_upload_that_is_under_way_is_refused_after_the_revocation(
    market: Market, server: Server
) -> None:
    """Guard: the check in `HttpApi._receive`."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user, connect=False)
    async with RawRequest(phone) as request:
        request.send_head()
        request.send_chunk(multipart_part(data=b"Half of")[:-2])
        await wait_until(lambda: server.web.http._uploads.slots.active)
        await laptop.call("/account", "revoke", {"session_id": session_of(phone)})
        request.send_chunk(b" it\r\n" + MULTIPART_END)
        request.writer.write(b"0\r\n\r\n")
        assert "401 Unauthorized" in await request.read_response()
    assert await stored_file_rows(market) == []


async def test_a_download_that_is_under_way_is_cut_off(market: Market) -> None:
    """Guard: `check` in `downloads.send`."""
    laptop = await market.customer()
    phone = await market.sign_in(laptop.user, connect=False)
    file = await upload(phone, b"line\n" * 3_600_000, "long.txt")
    async with RawRequest(phone) as request:
        request.send_get(f"/api/files/{file['id']}")
        assert b"200 OK" in await request.reader.readuntil(b"\r\n\r\n")
        await laptop.call("/account", "revoke", {"session_id": session_of(phone)})
        received = 0
        with contextlib.suppress(ConnectionError):
            while piece := await request.reader.read(65_536):
                received += len(piece)
    assert received < file["size"]


# -- without Redis ------------------------------------------------------------------------------


async def logout(server: Server, market: Market, party: Party) -> None:
    assert (await party.http("POST", "/api/account/logout"))[0] == 200


async def revoke(server: Server, market: Market, party: Party) -> None:
    other = await market.sign_in(party.user, connect=False)
    body = {"session_id": session_of(party)}
    status, answer = await other.http("DELETE", "/api/account/sessions", body)
    assert status == 200, answer


async def delete(server: Server, market: Market, party: Party) -> None:
    body = {"password": PASSWORD}
    status, answer = await party.http("POST", "/api/account/delete", body)
    assert status == 200, answer


async def ban(server: Server, market: Market, party: Party) -> None:
    admin = await market.admin(connect=False)
    path = f"/api/admin/users/{party.id}/ban"
    status, answer = await admin.http("POST", path, {"reason": "Fraud"})
    assert status == 200, answer


async def reuse(server: Server, market: Market, party: Party) -> None:
    body = {"refresh_token": f"{session_of(party)}.wrong"}
    assert (await party.http("POST", "/api/account/refresh", body))[0] == 401


async def end_others(server: Server, market: Market, party: Party) -> None:
    """What a change of the password does, from another session."""
    await server.store.transact(lambda uow: end_all_sessions(uow, party.id, keep="ses_other"))


ENDINGS = [logout, revoke, delete, ban, reuse, end_others]
WITHOUT_REDIS = [logout, revoke, delete, end_others]


@own_server
async def test_an_ended_session_does_not_come_back_when_redis_is_killed(
    market: Market, server: Server
) -> None:
    """Guard: `_record` in `accounts/sessions.py`, `is_revoked`, and `stored` in
    `Authenticator._must_be_alive`. The process has forgotten it: MongoDB alone knows."""
    port = server.web.redis.connection_pool.connection_kwargs["port"]
    other = await market.customer(connect=False)
    for end in ENDINGS:
        name = end.__name__
        party = await market.customer(connect=False)
        file = await upload(party, b"Mine")
        _, ticket = await party.http("POST", f"/api/files/{file['id']}/ticket")
        await end(server, market, party)
        await market.settled()
        await take_redis_away(server)
        server.web.revocations._sessions.clear()
        server.web.revocations._users.clear()
        assert await me(party) == (401, "unauthenticated"), name
        with pytest.raises(Refused) as refused:
            await party.connect()
        assert refused.value.code == "unauthenticated", name
        party.token = None
        assert (await download(party, file["id"], ticket=ticket["ticket"]))[0] == 401, name
        assert await me(other) == (200, None), "others go on"
        await move_redis(server, port)
        assert await server.web.sessions.reachable()


@own_server
async def test_a_session_that_ends_while_redis_is_away_stays_ended(
    market: Market, server: Server
) -> None:
    """Guard: the tasks `EndSession` and `EndSessions`, which are repeated until Redis is back, and
    `is_revoked` in `sign_in.refresh` until then."""
    port = server.web.redis.connection_pool.connection_kwargs["port"]
    for end in WITHOUT_REDIS:
        name = end.__name__
        party = await market.customer()
        if end is revoke:
            other = await market.sign_in(party.user, connect=False)
        await take_redis_away(server)
        if end is revoke:
            body = {"session_id": session_of(party)}
            assert (await other.http("DELETE", "/api/account/sessions", body))[0] == 200
        else:
            await end(server, market, party)
        await party.wait_until_disconnected()
        assert await me(party) == (401, "unauthenticated"), name

        await move_redis(server, port)
        assert await server.web.sessions.reachable()
        assert await me(party) == (401, "unauthenticated"), name
        body = {"refresh_token": party.refresh_token}
        assert (await party.http("POST", "/api/account/refresh", body))[0] == 401, name
        left = await market.sessions.list(party.id)
        assert not any(session_of(party) == each.id for each in left), name


@own_server
async def test_revoking_a_foreign_session_without_redis_has_no_effect(
    market: Market, server: Server
) -> None:
    """Guard: the user in `revocation_id`."""
    victim, attacker = await market.customer(), await market.customer()
    await take_redis_away(server)
    body = {"session_id": session_of(victim)}
    assert (await attacker.http("DELETE", "/api/account/sessions", body))[0] == 200
    assert await victim.call("/account", "me")
    assert await me(victim) == (200, None)


@own_server
async def test_a_revocation_expires_only_after_it_was_carried_out(
    market: Market, server: Server
) -> None:
    """Guard: `expires_at` in `EndSession.end`: a session that Redis still has can be refreshed for
    30 days; and `_carry_out`, so that no task becomes a dead letter because Redis is away long."""
    party = await market.customer(connect=False)
    await take_redis_away(server)
    await logout(server, market, party)
    (row,) = await market.rows(Revocation)
    assert row.expires_at - row.created_at > 20 * REVOCATION_KEPT
    for task in (EndSession(party.id, session_of(party)), EndSessions(party.id)):
        await server.store.transact(lambda uow: end_all_sessions(uow, party.id))
        with pytest.raises(TryAgain):
            await task.run(server.ports)


@own_server
async def test_a_process_that_starts_knows_earlier_revocations(
    market: Market, server: Server
) -> None:
    """Guard: `_read_until` in `Revocations`: Redis may still have a session that ended while it was
    away, until the task that ends it there has its next turn. And `readable` in `read_recent`: a
    damaged revocation does not stop the others."""
    party = await market.customer(connect=False)
    await take_redis_away(server)
    await logout(server, market, party)
    earlier = {"$set": {"updated_at": market.store.clock.now() - timedelta(minutes=10)}}
    await market.store.database[Revocation.COLLECTION].update_many({}, earlier)
    damaged = {"_id": "damaged", "updated_at": market.store.clock.now() - timedelta(minutes=11)}
    await market.store.single().put(Revocation, [damaged])
    read = [event async for event in Revocations(server.store).read_recent()]
    assert [event.session_id for event in read] == [session_of(party)]


# -- over processes -----------------------------------------------------------------------------


@own_server
async def test_a_banned_user_is_out_on_every_process_without_redis(
    isolated_processes: Processes,
) -> None:
    """Guard: `stored` in `Authenticator._must_be_alive`, and `Web._read_revocations`: without Redis
    no event reaches the second process, where a banned user could post a job."""
    redis, market = await isolated_processes.redis(), isolated_processes.market
    first, second = await isolated_processes.web(), await isolated_processes.web()
    admin = await market.admin(url=first.url)
    here, gone = await market.customer(url=second.url), await market.customer(url=second.url)
    gone.clear_pushes()
    await logout_at(first, gone)
    await gone.wait_until_disconnected()

    await redis.kill()
    assert await me(gone) == (401, "unauthenticated")
    await admin.call("/admin", "ban", {"user_id": here.id, "reason": "Fraud"})
    posted = {"title": "T", "description": "D", "category": "c", "currency": "USD"}
    budget = {"budget_min_amount": 1, "budget_max_amount": 2}
    for process in (first, second):
        status, problem = await here.http("POST", "/api/job", posted | budget, url=process.url)
        assert (status, problem["code"]) == (401, "unauthenticated")
    await here.wait_until_disconnected()
    with pytest.raises(Refused) as refused:
        await here.connect()
    assert refused.value.code == "unauthenticated"
    assert await market.rows(Job) == []

    await isolated_processes.redis()
    assert await me(here) == (401, "unauthenticated")


async def logout_at(process: RunningProcess, party: Party) -> None:
    assert (await party.http("POST", "/api/account/logout", url=process.url))[0] == 200


# -- all sessions of a user ---------------------------------------------------------------------


async def test_all_sessions_but_one_end(market: Market, server: Server) -> None:
    """Guard: `kept` in `end_all_sessions`, in `RedisSessions.end_all` and in `Revocations`; a
    session that starts afterwards is valid."""
    kept = await market.customer()
    others = [await market.sign_in(kept.user) for _ in range(2)]
    work = server.store.transact
    await work(lambda uow: end_all_sessions(uow, kept.id, keep=session_of(kept)))
    for party in others:
        await party.wait_until_disconnected()
        assert await me(party) == (401, "unauthenticated")
        assert (await refreshed(party))[0] == 401
    assert kept.connected()
    status, pair = await refreshed(kept)
    assert status == 200
    kept.token, kept.refresh_token = pair["access_token"], pair["refresh_token"]
    assert await me(kept) == (200, None)
    new = await market.sign_in(kept.user)
    assert await me(new) == (200, None)

    await work(lambda uow: end_all_sessions(uow, kept.id))
    for party in (kept, new):
        await party.wait_until_disconnected()
        assert await me(party) == (401, "unauthenticated")
    await market.settled()
    assert await market.sessions.list(kept.id) == []


async def refreshed(party: Party) -> tuple[int, Any]:
    return await party.http("POST", "/api/account/refresh", {"refresh_token": party.refresh_token})


async def test_a_session_that_starts_during_the_end_of_all_is_refused(
    market: Market, server: Server
) -> None:
    """Guard: the generation of sessions. The credentials of this one were checked before the
    change, and it starts after it."""
    party = await market.customer(connect=False)
    await server.store.transact(lambda uow: end_all_sessions(uow, party.id))
    await market.settled()
    late = await market.sessions.start(party.id, party.role, "127.0.0.1", generation=0)
    party.token, party.refresh_token = late.access_token, late.refresh_token
    assert await me(party) == (401, "unauthenticated")
    assert (await refreshed(party))[0] == 401
    user = await market.store.single().get(User, party.id)
    assert user.sessions_valid_from == 1
