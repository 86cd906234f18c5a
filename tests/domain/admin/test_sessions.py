"""Administrators list the sessions of a user and end one or all of them."""

import pytest

from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Party, Refused

pytestmark = one_server


def session_of(party: Party) -> str:
    return party.refresh_token.partition(".")[0]


async def listed(admin: Party, user: Party) -> list[str]:
    shown = await admin.call("/admin", "sessions", {"user_id": user.id})
    assert not any(session["current"] for session in shown)
    return [session["id"] for session in shown]


async def test_one_session_of_a_user_is_ended(market: Market) -> None:
    """Guard: `sessions.sessions` and `sessions.session_end`; the other session stays."""
    admin, laptop = await market.admin(), await market.customer()
    phone = await market.sign_in(laptop.user)
    assert await listed(admin, laptop) == [session_of(phone), session_of(laptop)]
    end = {"user_id": laptop.id, "session_id": session_of(phone), "reason": "Lost phone"}
    answer = await admin.call("/admin", "session_end", end)
    assert answer == {"user_id": laptop.id, "count": 1}
    await phone.wait_until_disconnected()
    assert await laptop.call("/account", "me")
    assert await listed(admin, laptop) == [session_of(laptop)]
    [row] = await market.trail(operation="admin.session_end")
    assert row.subjects == (laptop.id,) and "Lost phone" in row.detail


async def test_all_sessions_of_a_user_are_ended(market: Market) -> None:
    """Guard: `end_all_sessions` in `sessions.session_end`; the user may sign in again."""
    admin, user, other = await market.admin(), await market.contractor(), await market.customer()
    phone = await market.sign_in(user.user)
    path = f"/api/admin/users/{user.id}/sessions"
    assert len((await admin.http("GET", path))[1]) == 2
    status, answer = await admin.http("POST", f"{path}/end", {"reason": "Stolen password"})
    assert (status, answer) == (200, {"user_id": user.id, "count": 2})
    for device in (user, phone):
        await device.wait_until_disconnected()
        assert (await device.http("GET", "/api/account/me"))[0] == 401
    assert await listed(admin, user) == []
    again = await market.sign_in(user.user)
    assert await again.call("/account", "me") and await other.call("/account", "me")


async def test_a_session_of_another_user_is_not_ended(market: Market) -> None:
    """Guard: the check of `session_id` in `sessions.session_end`."""
    admin, user, other = await market.admin(), await market.customer(), await market.customer()
    for fields in (
        {"user_id": user.id, "session_id": session_of(other)},
        {"user_id": "usr_none"},
    ):
        with pytest.raises(Refused, match="not_found"):
            await admin.call("/admin", "session_end", {**fields, "reason": "Mistaken"})
    with pytest.raises(Refused, match="not_found"):
        await admin.call("/admin", "sessions", {"user_id": "usr_none"})
    assert await user.call("/account", "me") and await other.call("/account", "me")
