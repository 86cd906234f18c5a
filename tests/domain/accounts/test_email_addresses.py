"""E-mail addresses have one stored form, and what is no address of one mailbox is refused."""

import sys

import pytest

from domain.accounts.user import User
from domain.kernel.email_address import AROUND, MAX_EMAIL, email_to_find, normalized_email
from tests.support.parties import PASSWORD

SAME = [
    ("New@Example.com", "new@example.com"),
    ("u+tag@EXAMPLE.com", "u+tag@example.com"),
    ("Jose\u0301@example.com", "jos\u00e9@example.com"),
    ("a@B\u00dccher.example", "a@b\u00fccher.example"),
    ("a@xn--bcher-kva.example", "a@b\u00fccher.example"),
    ("a@\uff45xample.com", "a@example.com"),
    ("\u202a a@example.com\u202c\u00a0\n", "a@example.com"),
    ("a@intranet.local", "a@intranet.local"),
]
NO_ADDRESS = "this is not an e-mail address."
REFUSED = [
    "",
    "no address",
    "a@b",
    "a@@example.com",
    "a@example..com",
    "a.@example.com",
    ".a@example.com",
    "a@-example.com",
    "a@example.com\nBcc: b@example.com",
    "a@example.com, b@example.com",
    "A <a@example.com>",
    '"a b"@example.com',
    "a@[127.0.0.1]",
    "a\u200b@example.com",
    "a\u202e@example.com",
    "a@exa\u200bmple.com",
    "a\x00@example.com",
    "usr_1@deleted.invalid",
    f"{'a' * 65}@example.com",
    f"a@{'b.' * 130}com",
]


@pytest.mark.parametrize(("given", "stored"), SAME)
def test_an_address_has_one_form(given, stored):
    """Guard: `email_address.normalized_email`."""
    assert normalized_email(given) == stored
    assert normalized_email(stored) == stored


def test_no_white_space_stays_around_an_address():
    """Guard: `email_address.AROUND`."""
    spaces = [chr(code) for code in range(0x20, sys.maxunicode + 1) if chr(code).isspace()]
    for sign in (*spaces, *"\t\n\v\f\r\u00ad\u200b\u2064\u206f"):
        given = f"{sign}a@example.com{sign}"
        assert normalized_email(given) == "a@example.com", hex(ord(sign))
        assert email_to_find(f"{sign}No Address{sign}") == "no address", hex(ord(sign))
    assert not [sign for sign in AROUND if sign.isprintable() and sign != " "]


async def test_what_is_no_address_is_refused(market, server):
    """Guard: `command.Email` in `sign_in.Register`. A name in .invalid belongs to closed accounts:
    who had taken it could keep its owner from closing the account."""
    stranger = market.anonymous_client()
    for given in REFUSED:
        new = {"email": given, "password": PASSWORD, "name": "Nia", "role": "customer"}
        status, problem = await stranger.http("POST", "/api/account/register", new)
        found = (status, problem.get("code"), problem.get("title"))
        wrong = "use at most 254 characters." if len(given) > MAX_EMAIL else NO_ADDRESS
        assert found == (422, "invalid", f"email: {wrong}"), given
        login = {"email": given, "password": PASSWORD}
        status, problem = await stranger.http("POST", "/api/account/login", login)
        assert (status, problem["code"]) in (
            (401, "wrong_credentials"),
            (422, "invalid"),
        ), given
    assert not await server.ports.store.single().all(User, {})


async def test_every_spelling_is_the_same_account(market, server):
    """Guard: `email_address.email_to_find` in `sign_in.login` and `lists.users`."""
    stranger = market.anonymous_client()
    new = {"email": "Jos\u00e9@B\u00fccher.example", "name": "J", "role": "customer"}
    new["password"] = PASSWORD
    status, _ = await stranger.http("POST", "/api/account/register", new)
    assert status == 200
    spelling = "JOSE\u0301@xn--bcher-kva.example"
    login = {"email": spelling, "password": PASSWORD}
    status, answer = await stranger.http("POST", "/api/account/login", login)
    assert (status, answer["user"]["email"]) == (200, "jos\u00e9@b\u00fccher.example")
    admin = await market.admin()
    assert len((await admin.call("/admin", "users", {"q": spelling}))["items"]) == 1
