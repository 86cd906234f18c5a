"""What users are found by, and that every change of a name or an address changes it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts.search_backfill import fill_search_keys
from domain.accounts.search_keys import MAX_KEYS, conditions, fold, search_keys
from domain.accounts.user import User
from tests.conftest import Server
from tests.support.market import Market
from tests.support.parties import PASSWORD


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Ünal", ["unal"]),
        ("ann-lena B.", ["ann", "lena"]),
        ("B.", ["b"]),
        ("anna anna", ["anna"]),
        ("Bartholomäus-Maria", ["bartholomaus", "maria"]),
        ("wolfeschlegelstein", ["wolfeschlege"]),
    ],
)
def test_the_words_of_a_query_are_beginnings(query: str, words: list[str]) -> None:
    """Guard: `search_keys.conditions`, and `search_keys.fold` for both sides."""
    asked = conditions(query)
    assert asked is not None
    assert [branch["search_keys"] for branch in asked.get("$and", [asked])] == words
    assert set(words) <= set(search_keys(query, ""))


def test_keys_are_bounded() -> None:
    """Guard: `MAX_KEYS`: an address of many words leaves the name its keys."""
    keys = search_keys("Anna", ".".join(f"w{n}" for n in range(99)) + "@people.test")
    assert len(keys) == 2 + MAX_KEYS and keys[:2] == ("ann", "anna")
    assert conditions("@ . -") is None


@given(st.text(max_size=300))
def test_folding_is_idempotent_and_plain(text: str) -> None:
    """Fails when `fold` keeps accents or white space that a second folding would take away."""
    folded = fold(text)
    assert fold(folded) == folded
    assert not any(unicodedata.combining(letter) for letter in folded)
    assert folded == " ".join(folded.split())


@given(st.text(max_size=300))
def test_composed_and_decomposed_text_is_equal(text: str) -> None:
    """Fails without NFKD."""
    assert fold(unicodedata.normalize("NFC", text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)


async def test_users_are_found_by_what_they_are_called_now(server: Server, market: Market) -> None:
    """Guard: `search_keys` in `user.new_user`, `profile.update`, `deletion.anonymize`, and
    `search_backfill.fill_search_keys`, which a damaged user does not stop."""
    admin = await market.admin()

    async def found(q: str) -> list[str]:
        return [user["id"] for user in (await admin.call("/admin", "users", {"q": q}))["items"]]

    fields = {"email": "berta.blum@firma.test", "password": PASSWORD, "name": "Berta Blum"}
    _, opened = await market.anonymous_client().http(
        "POST", "/api/account/register", {**fields, "role": "customer"}
    )
    berta = opened["user"]["id"]
    assert await found("ber fir") == await found("blum") == [berta]
    stored = await server.store.database[User.COLLECTION].find_one({"_id": berta})
    assert isinstance(stored["search_keys"], bytes) and "blum" not in str(stored)

    dora = await market.customer("Dora Dorn")
    await dora.call("/account", "update", {"name": "Dora Winter"})
    assert await found("winter") == [dora.id] and await found("dorn") == []

    plain = {"$unset": {"search_keys": 1, "search_keys_digest": 1}}
    users = server.store.database[User.COLLECTION]
    await users.update_many({}, plain)
    await users.update_one({"_id": berta}, {"$set": {"role": 7}})
    assert await found("winter") == []
    assert await fill_search_keys(server.ports) == 2
    await users.update_one({"_id": berta}, {"$set": {"role": "customer"}})
    assert await fill_search_keys(server.ports) == 1
    assert await fill_search_keys(server.ports) == 0
    assert await found("win peo") == [dora.id]

    await dora.call("/account", "delete", {"password": PASSWORD})
    assert await found("dora") == await found("winter") == []
