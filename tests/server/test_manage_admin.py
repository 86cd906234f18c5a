"""`server admin disable`, `reset-password` and `reset-2fa`: the way back in, and out."""

import asyncio
from datetime import timedelta

import pytest

from domain.accounts.second_factor import SecondFactor
from domain.accounts.user import User
from domain.kernel.errors import Conflict, Invalid
from server.cli import manage_admin
from server.container import CannotServe
from tests.conftest import Installation
from tests.support.fork_server import ForkServer
from tests.support.market import Market
from tests.support.parties import PASSWORD, Party
from tests.support.processes import Processes

NEW_PASSWORD = "nine purple elephants"


async def login(market: Market, party: Party, password: str = PASSWORD) -> int:
    body = {"email": party.email, "password": password}
    return (await market.anonymous_client().http("POST", "/api/account/login", body))[0]


async def test_an_administrator_is_disabled_but_not_the_last(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `disable_administrator`, `end_all_sessions` in `bans.end_access`, and the audit row.
    The process of the sessions learns of it from MongoDB, by `Web._read_revocations`. Guard:
    `Store.delivers`: what the command leaves to do is due at once, not after a lease."""
    monkeypatch.setattr("domain.kernel.outbox.LEASE", timedelta(seconds=50))
    admin, other = await market.admin(), await market.admin("Bob")
    await manage_admin.disable(market.settings, other.email, "Has left")
    await other.wait_until_disconnected("/admin")
    assert (await other.http("GET", "/api/admin/overview"))[0] == 401
    assert await login(market, other) == 403
    [row] = await market.trail(operation="cli.disable_admin")
    assert other.id in row.subjects and "Has left" in row.detail

    await market.settled()
    before = await market.traces()
    with pytest.raises(Conflict, match="last administrator"):
        await manage_admin.disable(market.settings, admin.email, "Has left")
    assert await market.traces() == before
    assert (await admin.http("GET", "/api/admin/overview"))[0] == 200


async def test_an_administrator_gets_a_new_password(market: Market) -> None:
    """Guard: `reset_password`, its check of the password, and `end_all_sessions`."""
    admin = await market.admin()
    for weak in ("short", "password1234", admin.email, "demo-jobsphere"):
        with pytest.raises((Invalid, CannotServe)):
            await manage_admin.reset_password(market.settings, admin.email, weak)
    assert admin.connected("/admin")
    await manage_admin.reset_password(market.settings, admin.email, NEW_PASSWORD)
    await admin.wait_until_disconnected("/admin")
    assert await login(market, admin) == 401
    assert await login(market, admin, NEW_PASSWORD) == 200
    [row] = await market.trail(operation="cli.reset_admin_password")
    assert admin.id in row.subjects and "elephants" not in row.detail


async def test_the_second_factors_of_an_administrator_are_removed(market: Market) -> None:
    """Guard: `reset_2fa`: the factors, the sessions, the audit row and the message."""
    admin = await market.admin()
    uow = market.store.single()
    await uow.add(uow.new(SecondFactor, id=admin.id, secret="A", enabled_at=uow.now))
    await uow.change(User, admin.id, totp_enabled=True)
    await manage_admin.reset_2fa(market.settings, admin.email)
    await admin.wait_until_disconnected("/admin")
    user = await market.store.single().get(User, admin.id)
    assert not user.has_second_factor
    assert await market.rows(SecondFactor) == []
    assert await market.trail(operation="cli.reset_admin_2fa")


async def test_only_administrators_are_managed(market: Market) -> None:
    """Guard: the role in `_with_admin`."""
    customer = await market.customer(connect=False)
    for email in (customer.email, "nobody@people.test"):
        with pytest.raises(CannotServe, match="no administrator"):
            await manage_admin.disable(market.settings, email, "Because")


async def test_the_command_line_takes_the_password_from_its_input(
    installation: Installation, processes: Processes, fork_server: ForkServer
) -> None:
    """Guard: `_read_password`; there is no option for a password, which others would see."""
    admin = await processes.market.admin(connect=False)
    words = ("admin", "reset-password", admin.email, "--password-stdin")
    done = await asyncio.to_thread(
        fork_server.run, *words, env=installation.env, stdin=NEW_PASSWORD + "\n"
    )
    assert done.returncode == 0, done.stderr
    words = ("admin", "disable", admin.email, "--reason", "Has left")
    refused = await asyncio.to_thread(fork_server.run, *words, env=installation.env)
    assert (refused.returncode, "last administrator" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr
