"""What users are found by: the beginnings of the words of their name and e-mail address.

Decision: the beginnings are stored as keyed digests, as the address itself is, and a search is an
equality on one of them. Parts from the middle of a word would need some 40 digests more a user,
and equal digests tell a reader of the database which parts are frequent; so would beginnings of
fewer than SHORTEST characters, which are found as whole words only.
"""

import re
import unicodedata
from typing import Any

SHORTEST, LONGEST = 3, 12  # characters of a beginning; longer words are found by their first ones
MAX_KEYS = 60  # of a name, and of an address
MAX_WORDS = 5  # of a query

_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Lower case without accents, each run of white space as one space."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def search_keys(name: str, email: str) -> tuple[str, ...]:
    """The beginnings of all words of a name and of an address."""
    return tuple(dict.fromkeys((*_beginnings(name), *_beginnings(email))))


def conditions(query: str) -> dict[str, Any] | None:
    """The filter for users who have a word that begins with each word of `query`; None if it has
    no word. Shorter words than SHORTEST count only if there is no other: one is still typing."""
    words = dict.fromkeys(word[:LONGEST] for word in _words(query))
    words = {word: None for word in words if len(word) >= SHORTEST} or words
    branches = [{"search_keys": word} for word in list(words)[:MAX_WORDS]]
    if len(branches) > 1:
        return {"$and": branches}
    return branches[0] if branches else None


def _words(text: str) -> list[str]:
    return _WORD.findall(fold(text))


def _beginnings(text: str) -> list[str]:
    found: dict[str, None] = {}
    for word in _words(text):
        for end in range(min(SHORTEST, len(word)), min(LONGEST, len(word)) + 1):
            found[word[:end]] = None
    return list(found)[:MAX_KEYS]
