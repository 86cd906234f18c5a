"""Sessions of the Python client: signing in, renewing tokens, being signed out."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jobsphere import Refusal
from jobsphere.session import pause

from domain.kernel.errors import Unavailable
from domain.ports.sessions import ACCESS_LIFE
from tests.conftest import Server
from tests.support.one_server import one_server
from tests.support.parties import PASSWORD
from tests.support.python_clients import WAIT_SECONDS, PythonClients, eventually, session_of

pytestmark = one_server


async def test_register_and_sign_in(clients: PythonClients) -> None:
    """Guard: `Client.register` and `Client.login`: signed in, connected, with all namespaces."""
    email = "carla@people.test"
    carla = clients.new()
    signed_in = await carla.register(email=email, password=PASSWORD, name="Carla", role="customer")
    assert carla.connected and carla.id == signed_in["user"]["id"]
    again = clients.new()
    await again.login(email=email, password=PASSWORD)
    assert (await again.account.me())["id"] == carla.id
    assert (await again.wallet.balance())["available"] == 0


async def test_an_administrator_has_the_namespace_of_administrators(
    clients: PythonClients,
) -> None:
    """Guard: ADMIN in `Client._connect`; nobody else may connect it, and administrators have no
    conversations."""
    ada = await clients.of(await clients.market.admin(connect=False))
    assert "users" in await ada.admin.overview()


async def test_an_expired_token_is_renewed_once_for_all(clients: PythonClients) -> None:
    """Guard: the lock in `Session.renew`. The server would end the session for a refresh token that
    is used again later."""
    party = await clients.market.customer(connect=False)
    kept: list[Any] = []
    carla = clients.new(on_session=kept.append)
    await carla.resume(session_of(party, timedelta(seconds=5)), connect=False)
    tickets = (carla.files.ticket(file_id="fil_unknown") for _ in range(5))
    refused: Any = await asyncio.gather(*tickets, return_exceptions=True)
    assert [each.code for each in refused] == ["not_found"] * 5
    assert len(kept) == 2 and kept[0]["refresh_token"] == party.refresh_token
    assert kept[1] == carla.session and kept[1]["refresh_token"] != party.refresh_token
    assert datetime.fromisoformat(kept[1]["expires_at"]) > datetime.now(UTC)


async def test_tokens_are_renewed_before_they_expire(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `Session.keep_fresh`: the connection goes on."""
    monkeypatch.setattr("jobsphere.session.LEAST", 0)
    party = await clients.market.customer(connect=False)
    kept: list[Any] = []
    carla = clients.new(on_session=kept.append)
    await carla.resume(session_of(party, timedelta(seconds=0.4)))
    await eventually(lambda: len(kept) == 2)
    assert carla.session["refresh_token"] != party.refresh_token
    await carla.account.me()
    assert carla.counts["connections"] == 1


@pytest.mark.parametrize("connect", [True, False])
async def test_a_token_that_only_the_server_calls_expired(
    clients: PythonClients, connect: bool
) -> None:
    """Guard: `token_expired` in `Link._open` and in `Session.authorized`: the client's clock
    may be late."""
    party = await clients.market.customer(connect=False)
    session_id, past = party.refresh_token.partition(".")[0], datetime.now(UTC) - 2 * ACCESS_LIFE
    expired, _ = clients.market.tokens.sign(party.id, party.role, session_id, at=past)
    carla = clients.new()
    await carla.resume(session_of(party) | {"access_token": expired}, connect=connect)
    with pytest.raises(Refusal) as refused:
        await carla.files.ticket(file_id="fil_unknown")
    assert refused.value.code == "not_found" and carla.connected is connect
    assert carla.session["access_token"] != expired


async def test_tokens_that_cannot_be_renewed_now(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `unavailable` in `Session.token`: without Redis the server takes expired tokens."""

    async def away(refresh_token: str) -> None:
        raise Unavailable

    monkeypatch.setattr(server.ports.sessions, "rotate", away)
    party = await clients.market.customer(connect=False)
    carla = clients.new()
    await carla.resume(session_of(party, timedelta(seconds=5)))
    assert carla.connected and carla.session["refresh_token"] == party.refresh_token


async def test_a_renewal_whose_answer_is_lost(
    server: Server, clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: ANSWER_SECONDS in `Session.renew`: a renewal without an answer is repeated while the
    server repeats its answer, which it does for a short time only."""
    monkeypatch.setattr("jobsphere.session.ANSWER_SECONDS", 0.5)
    rotate, asked, over = server.ports.sessions.rotate, [], asyncio.Event()

    async def answer_late(refresh_token: str) -> Any:
        rotated = await rotate(refresh_token)
        asked.append(refresh_token)
        if len(asked) == 1:
            await over.wait()
        return rotated

    monkeypatch.setattr(server.ports.sessions, "rotate", answer_late)
    party = await clients.market.customer(connect=False)
    carla = clients.new()
    await carla.resume(session_of(party, timedelta(seconds=5)), connect=False)
    async with asyncio.timeout(WAIT_SECONDS):
        await carla.account.me()
    over.set()
    assert asked == [party.refresh_token] * 2
    assert carla.session["refresh_token"] != party.refresh_token


async def test_a_session_that_is_ended_elsewhere(clients: PythonClients) -> None:
    """Guard: `Link.end`: subscriptions and commands say why, and nothing connects again."""
    party = await clients.market.customer(connect=False)
    carla = await clients.of(party)
    other = await clients.of(await clients.market.sign_in(party.user, connect=False))
    jobs = carla.job.pushes("job.updated")
    (mine,) = [each for each in await carla.account.sessions() if each["current"]]
    await other.account.revoke(session_id=mine["id"])
    with pytest.raises(Refusal) as refused:
        async with asyncio.timeout(WAIT_SECONDS):
            await anext(jobs)
    assert refused.value.code == "unauthenticated"
    with pytest.raises(Refusal) as refused:
        await carla.account.me()
    assert refused.value.code == "unauthenticated" and not carla.connected


async def test_a_session_that_has_ended_is_refused(clients: PythonClients) -> None:
    """Guard: `Link.start`: a stored session that is over is an error at once."""
    party = await clients.market.customer(connect=False)
    await (await clients.of(party)).account.logout()
    again = clients.new()
    with pytest.raises(Refusal) as refused:
        await again.resume(session_of(party))
    assert refused.value.code == "unauthenticated"


class Ahead(datetime):
    """A clock that is ahead by more than the life of a token."""

    @classmethod
    def now(cls, tz: Any = None) -> "Ahead":
        return super().now(tz) + 2 * ACCESS_LIFE


async def test_a_clock_that_is_ahead(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `session._skew`: one renewal tells the time of the server."""
    monkeypatch.setattr("jobsphere.session.datetime", Ahead)
    party = await clients.market.customer(connect=False)
    kept: list[Any] = []
    carla = clients.new(on_session=kept.append)
    await carla.resume(session_of(party), connect=False)
    for _ in range(3):
        await carla.account.me()
    assert len(kept) == 2


@pytest.mark.parametrize(("left", "seconds"), [(900, 840), (100, 50), (-60, 10)])
def test_when_a_token_is_renewed(left: float, seconds: float) -> None:
    """Guard: `session.pause`: never at once, even if the clocks differ."""
    assert pause(left) == seconds


async def test_a_session_that_cannot_be_stored(
    clients: PythonClients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guard: the exceptions of `on_session` in `Client._keep`: the tokens are renewed further."""
    monkeypatch.setattr("jobsphere.session.LEAST", 0)
    party = await clients.market.customer(connect=False)
    asked: list[Any] = []

    def store(session: Any) -> None:
        asked.append(session)
        raise OSError("the disk is full")

    carla = clients.new(on_session=store)
    await carla.resume(session_of(party, timedelta(seconds=0.4)))
    await eventually(lambda: len(asked) == 2)
    assert carla.connected and not any(task.done() for task in carla._link._tasks)
    assert caplog.text.count("OSError: the disk is full") == 2
