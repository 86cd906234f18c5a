"""The normal form of words: what is stored is found by whoever types it somewhat differently."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import search

texts = st.text(max_size=300)


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("Leaking pipes", "leak pipe"),
        ("Café façade", "CAFE FACADE"),
        ("Straße", "strasse"),
        ("C++ developer", "developers c++"),
        ("ﬁtting the ①st kitchen", "fit 1st kitchens"),
    ],
)
def test_different_spellings_meet(written: str, typed: str) -> None:
    """Fails without the NFKD folding, the case folding or the stemmer."""
    assert set(search.asked(typed)) == set(search.terms([written]))


def test_signs_that_tell_languages_apart_stay() -> None:
    """Fails when `_WORD` stops at the letters: C, C++ and C# would be one."""
    assert search.terms(["C, C++ and C#; node.js"]) == ("c", "c++", "c#", "node", "js")


def test_common_words_and_repeats_are_left_out() -> None:
    """Fails without the stop words, or when a term is kept twice."""
    assert search.terms(["The painting of the walls", "paint a wall"]) == ("paint", "wall")


def test_a_query_begins_with_its_longest_term() -> None:
    """Fails without the sorting in `asked`: the database would look at the common word first."""
    assert search.asked("fix oak wardrobe") == ("wardrob", "fix", "oak")


@given(texts)
def test_folding_is_stable_and_plain(text: str) -> None:
    """Fails when `fold` normalises only before case folding: some letters come apart by it."""
    folded = search.fold(text)
    assert search.fold(folded) == folded
    assert not any(unicodedata.combining(letter) for letter in folded)
    assert folded == " ".join(folded.split())


@given(texts)
def test_composed_and_decomposed_text_is_the_same(text: str) -> None:
    """Fails without NFKD."""
    assert search.fold(unicodedata.normalize("NFC", text)) == search.fold(text)
    assert search.fold(unicodedata.normalize("NFD", text)) == search.fold(text)


@given(st.lists(texts, max_size=5), st.integers(1, 20))
def test_terms_are_few_short_and_distinct(written: list[str], limit: int) -> None:
    """Fails without the cap on count or length: index entries would grow with the text."""
    found = search.terms(written, limit)
    assert len(found) <= limit
    assert len(set(found)) == len(found)
    assert all(0 < len(term) <= search.MAX_LENGTH for term in found)


@given(st.lists(st.text(max_size=40), max_size=5))
def test_a_text_is_found_by_its_own_words(written: list[str]) -> None:
    """Fails when texts and queries are normalised differently."""
    query = " ".join(written)[:200]
    found = search.terms(written)
    if len(found) <= search.MAX_QUERY_TERMS and query == " ".join(written):
        assert set(search.asked(query)) == set(found)


@given(texts)
def test_a_query_has_a_few_terms_at_most(query: str) -> None:
    """Fails without the limit of `asked`."""
    assert len(search.asked(query)) <= search.MAX_QUERY_TERMS
