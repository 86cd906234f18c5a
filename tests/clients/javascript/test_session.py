"""The session of the JavaScript client: signing in, renewing, and its end."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.clients.javascript.node_clients import Node
from tests.clients.javascript.test_feed import follower
from tests.support.installations import Server
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import PASSWORD, Refused
from tests.support.processes import free_port

pytestmark = one_server


async def test_signing_in_and_out(node: Node, market: Market) -> None:
    """Guard: `SIGN_IN` in jobsphere.js; after `logout` the tokens are of no use."""
    party = await market.customer(connect=False)
    client = await node.client(market.url)
    with pytest.raises(Refused) as refused:
        await client.call("connect")
    assert refused.value.code == "unauthenticated"
    with pytest.raises(Refused) as refused:
        await client.call("account.login", {"email": party.email, "password": "wrong"})
    assert refused.value.code == "wrong_credentials"
    await client.call("account.login", {"email": party.email, "password": PASSWORD})
    await client.call("connect")
    session = await client.call("session.current")
    assert session["user"]["id"] == party.id
    await client.call("account.logout")
    assert await client.told("end") is None
    assert await client.call("live") is False
    other = await node.client(market.url)
    await other.call("adopt", session)
    with pytest.raises(Refused) as refused:
        await other.call("account.me")
    assert refused.value.code == "unauthenticated"
    assert await other.told("end")


async def test_tokens_are_renewed_before_they_expire(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `LEAST_MS` in session.js; commands of one moment renew together, and so do two
    clients of one session, which share the new tokens."""
    party = await market.customer(connect=False)
    soon = f"{datetime.now(UTC) + timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
    one, two = await node.client(server.url), await node.client(server.url)
    for client in (one, two):
        await client.adopt(party, expires_at=soon)
    for user in [one.start("account.me"), one.start("account.me"), two.start("account.me")]:
        assert (await user)["id"] == party.id
    tokens = [await client.call("session.current") for client in (one, two)]
    assert tokens[0]["access_token"] == tokens[1]["access_token"]
    assert tokens[0]["refresh_token"] == tokens[1]["refresh_token"] != party.refresh_token
    await one.call("connect")
    assert await one.call("live")


async def test_another_user_of_the_same_client(node: Node, server: Server, market: Market) -> None:
    """Guard: `adopt` in session.js ends the session of before, and `#begin` in jobsphere.js
    forgets how far its feed went."""
    first, second = await market.customer(), await market.customer()
    client = await follower(node, server, first)
    await market.job(first)
    await client.pushed("job.updated")
    await client.call("account.login", {"email": second.email, "password": PASSWORD})
    assert await client.told("end") is None
    await client.call("connect")
    await client.call("feed.catchUp")
    assert await client.call("seq") == 0
    job = await market.job(second)
    assert (await client.pushed("job.updated", lambda data: data["id"] == job["id"])).seq == 1


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_is_wrong(node: Node, market: Market, hours: int) -> None:
    """Guard: `skewOf` in session.js. Otherwise each command renews the tokens, or none does."""
    party = await market.customer(connect=False)
    client = await node.client(market.url)
    await client.call("setClock", hours * 3_600_000)
    await client.call("account.login", {"email": party.email, "password": PASSWORD})
    tokens = await client.call("session.current")
    assert (await client.call("account.me"))["id"] == party.id
    assert (await client.call("session.current"))["refresh_token"] == tokens["refresh_token"]
    await client.call("setClock", 895_000)  # the token expires in five seconds
    assert (await client.call("account.me"))["id"] == party.id
    assert (await client.call("session.current"))["refresh_token"] != tokens["refresh_token"]


async def test_a_session_that_was_ended_elsewhere(
    node: Node, server: Server, market: Market
) -> None:
    """Guard: `session.revoked` in jobsphere.js: what waits is refused, and nothing reconnects. And
    `revoked` of session.js: the session is over although nothing says why."""
    party = await market.customer()
    client = await follower(node, server, party)
    await party.call("/account", "revoke", {"session_id": party.refresh_token.partition(".")[0]})
    assert "another device" in await client.told("end")
    with pytest.raises(Refused) as refused:
        await client.call("job.mine")
    assert refused.value.code == "unauthenticated"
    assert [value for name, value in client.news if name == "live"] == [True, False]
    offline = await node.client(f"http://127.0.0.1:{free_port()}")
    await offline.adopt(party)
    for reason in ("It is over.", "It is still over."):
        offline.start("session.revoked", reason)
    assert await offline.told("end") == "It is over."
    assert await offline.call("session.current") is None
