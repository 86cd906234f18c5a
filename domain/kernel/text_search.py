"""Search terms: one normal form for stored text and for queries.

Decision: an indexed array of stemmed words instead of a text index. It works on every MongoDB, and
results page by `_id` as all lists do. It has no ranking: results are the newest records that have
all words of the query.
"""

import re
import unicodedata
from collections.abc import Iterable

from domain.kernel.text_analysis import stem

MAX_TERMS = 120  # indexed words of one record, the first ones
MAX_QUERY_TERMS = 8
MAX_LENGTH = 40

_WORD = re.compile(r"[^\W_]+[+#]*")  # keeps C++ and C# apart from C
_COMMON = """
a about all also am an and any are as at be been but by can could did do does don for from had has
have he her here him his how i if in into is it its just ll me more my no nor not of on or our out
over own re s she should so some such t than that the their them then there these they this those
through to too under until up ve very was we were what when where which while who whom why will
with would you your
"""
_STOP_WORDS = frozenset(_COMMON.split())


def fold(text: str) -> str:
    """Lower case without accents, each run of white space as one space."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def terms(texts: Iterable[str], limit: int = MAX_TERMS) -> tuple[str, ...]:
    """The distinct stems of `texts` in their order, without stop words."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(fold(text)):
            if word not in _STOP_WORDS:
                found[stem(word[:MAX_LENGTH], "en")] = None
                if len(found) == limit:
                    return tuple(found)
    return tuple(found)


def query_terms(query: str) -> tuple[str, ...]:
    """The terms of a query, the longest first, as long words tend to be rare."""
    return tuple(sorted(terms([query], MAX_QUERY_TERMS), key=len, reverse=True))
