"""Words to search by: one normal form for stored text and for what people type.

Decision: an indexed array of stemmed words instead of a text index, so that search is the same on
every MongoDB and pages by `_id` like every other list. Ranking was given up for that: results are
the newest that have all the words.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import snowballstemmer  # type: ignore[import-untyped]

MAX_TERMS = 120  # distinct words of one record that can be found; the first ones win
MAX_QUERY_TERMS = 8
MAX_LENGTH = 40

_WORD = re.compile(r"[^\W_]+[+#]*")  # keeps C++ and C# apart from C
_STEMMER = snowballstemmer.stemmer("english")
_COMMON = """
a about all also am an and any are as at be been but by can could did do does don for from had has
have he her here him his how i if in into is it its just ll me more my no nor not of on or our out
over own re s she should so some such t than that the their them then there these they this those
through to too under until up ve very was we were what when where which while who whom why will
with would you your
"""
_STOP_WORDS = frozenset(_COMMON.split())


def fold(text: str) -> str:
    """Lower case without accents, runs of white space as one space: equal for a human reader."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def terms(texts: Iterable[str], limit: int = MAX_TERMS) -> tuple[str, ...]:
    """The distinct stems of `texts` in their order, without stop words."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(fold(text)):
            if word not in _STOP_WORDS:
                found[_stem(word[:MAX_LENGTH])] = None
                if len(found) == limit:
                    return tuple(found)
    return tuple(found)


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """Remembered, as stemming costs more than everything else here and words come again."""
    return str(_STEMMER.stemWord(word))


def query_terms(query: str) -> tuple[str, ...]:
    """The terms of a query, the longest first: long words tend to be rare."""
    return tuple(sorted(terms([query], MAX_QUERY_TERMS), key=len, reverse=True))
