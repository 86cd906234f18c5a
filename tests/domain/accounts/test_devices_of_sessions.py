"""Devices: their names in the list of sessions, and the notice of a new one."""

from datetime import timedelta
from typing import Any

import pytest

from domain.accounts.device_names import MAX_NAME, UNKNOWN, device_name
from domain.accounts.user import User
from tests.support.market import Market
from tests.support.parties import PASSWORD, Party
from tests.support.smtp_server import SmtpServer

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("given", "agent", "name"),
    [
        (None, FIREFOX, "Firefox on Linux"),
        (None, EDGE, "Edge on Windows"),
        (None, SAFARI, "Safari on iPhone"),
        (None, "curl/8.5.0", "curl"),
        (None, "", UNKNOWN),
        (None, "\x00\x1b[31m", "31m"),
        ("Anna's laptop", FIREFOX, "Anna's laptop"),
        ("  \n ", FIREFOX, "Firefox on Linux"),
        ("Visit https://evil.test/x\nnow", "", "Visit https evil test x now"),
        ("x" * 100, "", "x" * MAX_NAME),
    ],
)
def test_a_device_has_a_short_plain_name(given: str | None, agent: str, name: str) -> None:
    """Guard: `device_names.device_name`: no markup, no link, no line break."""
    assert device_name(given, agent) == name


async def login(market: Market, party: Party, agent: str = FIREFOX, **fields: Any) -> Any:
    body = {"email": party.email, "password": PASSWORD, **fields}
    headers = {"User-Agent": agent}
    stranger = market.anonymous_client()
    status, answer = await stranger.http("POST", "/api/account/login", body, headers=headers)
    assert status == 200, answer
    return answer


async def opened_long_ago(market: Market, party: Party) -> None:
    then = party.user.created_at - timedelta(days=400)
    await market.store.single().change(User, party.id, created_at=then)


async def test_sessions_name_their_device_and_network(market: Market) -> None:
    """Guard: `device` and NEIGHBOURS in `RedisSessions.start`; whole addresses are not kept."""
    party = await market.customer()
    await login(market, party)
    await login(market, party, device="Anna's laptop")
    listed = await party.call("/account", "sessions")
    assert [each["device"] for each in listed] == ["Anna's laptop", "Firefox on Linux", ""]
    assert {each["address"] for each in listed} == {"127.0.0.0/24"}
    assert [each["current"] for each in listed] == [False, False, True]
    assert all(each["created_at"] and each["last_used_at"] for each in listed)


async def test_a_sign_in_from_a_new_device_is_told(
    smtp: SmtpServer, verification_required: None, market: Market
) -> None:
    """Guard: `devices.note_device`; a known device and the first sign-in are no news."""
    party = await market.customer(verified_at=market.store.clock.now())
    await login(market, party)
    await market.settled()
    assert smtp.mails == [], "the account has just been opened"
    await opened_long_ago(market, party)

    first = await login(market, party)
    title = "A new device signed in: Firefox on Linux, 127.0.0.0/24"
    assert "change your password" in (await smtp.mail(party.email, title)).text
    notification = await party.push("/account", "notification", lambda pushed: True)
    assert (notification["kind"], notification["title"]) == ("new_device", title)

    await login(market, party, device_token=first["device_token"])
    await market.settled()
    assert smtp.subjects(party) == [title]


async def test_programs_without_device_tokens_are_not_told(market: Market) -> None:
    """Guard: `keeps_devices` in `note_device`, where addresses are not verified either."""
    party = await market.customer()
    await opened_long_ago(market, party)
    first = await login(market, party)
    await login(market, party)
    await market.settled()
    assert "security.changed" not in {push.name for push in party.pushes}
    await login(market, party, device_token=first["device_token"])
    await login(market, party)
    assert (await party.pushed("/account", "security.changed")).data["kind"] == "new_device"
