"""Passwords: which ones are accepted, and their one form."""

import pytest
from argon2 import PasswordHasher, extract_parameters

from domain.accounts.password_policy import MAX_CHARACTERS, MIN_CHARACTERS, check_password
from domain.accounts.user import NO_PASSWORD
from domain.kernel.errors import Invalid
from server.adapters.argon2_passwords import Argon2Passwords
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import PASSWORD, Json
from tests.support.password_cost import LEAST_COST

pytestmark = one_server

NEW = {"email": "nia.new@example.com", "name": "Nia Newhouse", "role": "customer"}


REFUSED = [
    "1234567890",
    "elevenchars",
    "123456789012",
    "password1234",
    "qwertyuiop12",
    "aaaaaaaaaaaa",
    "1qaz2wsx3edc",
    "jobsphere1234",
    "NIA.NEW@example.com",
    "nia.new@example.com1",
    "Nia Newhouse",
    "nianewhouse!",
    "x" * (MAX_CHARACTERS + 1),
    "e\u0301" * (MIN_CHARACTERS - 1),  # 11 characters in two code points each
]


async def test_a_guessable_password_is_refused_with_a_reason(market: Market) -> None:
    """Guard: `password_policy.check_password`, and the limits of `NewPassword`."""
    before = await market.traces()
    wrong = []
    for password in REFUSED:
        status, problem = await market.anonymous_client().http(
            "POST", "/api/account/register", NEW | {"password": password}
        )
        found = status, problem.get("code"), problem.get("details", {}).get("field")
        if found != (422, "invalid", "password") or password in problem["title"]:
            wrong.append((password, problem))
    assert wrong == []
    assert await market.traces() == before


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "demo-jobsphere",
        "password-1234",
        "correct horse",
        "a long enough password",
        "zwölf Zeichen",
        "漆塗りの木の柵を二度塗る人",
        "nia.new@example.com and eight more",
        "4@8({[<369&#!1|7 0$5+%2" * 11,
    ],
)
def test_no_mix_of_characters_is_demanded(password: str) -> None:
    """Guard: `password_policy.MIN_GUESSES`, and no rules of composition."""
    check_password(password, email=NEW["email"], name=NEW["name"])


def test_the_message_says_what_to_change() -> None:
    """Guard: the reasons in `password_policy.check_password`."""
    for password, words in (
        (NEW["email"], "e-mail"),
        (NEW["name"], "name"),
        ("password1234", "easy to guess"),
        ("1234567890", "at least 12 characters"),
    ):
        with pytest.raises(Invalid, match=words):
            check_password(password, email=NEW["email"], name=NEW["name"])


async def test_both_ways_to_write_a_character_are_one_password(market: Market) -> None:
    """Guard: `_one_form` in `Argon2Passwords.hash` and `verify`."""
    stranger = market.anonymous_client()
    fields: Json = NEW | {"password": "une clé de fenêtre"}
    assert (await stranger.http("POST", "/api/account/register", fields))[0] == 200
    login = {"email": NEW["email"], "password": "une cle\u0301 de fene\u0302tre"}
    assert (await stranger.http("POST", "/api/account/login", login))[0] == 200


async def test_a_hash_of_another_form_still_verifies_and_is_renewed(market: Market) -> None:
    """Guard: both forms in `Argon2Passwords._fits`, and the form in `renewed`."""
    party = await market.customer(connect=False)
    users = market.store.database["users"]
    typed, composed = "une cle\u0301 de fene\u0302tre", "une clé de fenêtre"
    older = PasswordHasher.from_parameters(LEAST_COST).hash(typed)
    await users.update_one({"_id": party.id}, {"$set": {"password_hash": older}})

    async def sign_in(password: str) -> int:
        login = {"email": party.email, "password": password}
        return (await market.anonymous_client().http("POST", "/api/account/login", login))[0]

    assert await sign_in(composed) == 401
    assert [await sign_in(each) for each in (typed, composed, typed)] == [200, 200, 200]


async def test_an_account_without_a_password_takes_as_long() -> None:
    """Guard: `usable` in `Argon2Passwords.verify`: a fast answer would show that there is one."""
    passwords = Argon2Passwords()
    assert not await passwords.verify(PASSWORD, NO_PASSWORD)
    assert "_decoy" in vars(passwords), "it was compared with this"


async def test_a_sign_in_renews_a_hash_of_an_older_cost(market: Market) -> None:
    """Guard: `registration._renew_hash`, after the right password only."""
    party = await market.customer()
    users = market.store.database["users"]
    older = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    await users.update_one({"_id": party.id}, {"$set": {"password_hash": older}})

    async def sign_in(password: str) -> tuple[int, str]:
        login = {"email": party.email, "password": password}
        status, _ = await market.anonymous_client().http("POST", "/api/account/login", login)
        return status, (await users.find_one({"_id": party.id}))["password_hash"]

    assert await sign_in("not the password") == (401, older)
    status, renewed = await sign_in(PASSWORD)
    assert status == 200 and extract_parameters(renewed) == LEAST_COST
    assert await sign_in(PASSWORD) == (200, renewed)
