"""A simple search to compare with: records that have all words of a query, the newest first."""

import re
from collections.abc import Iterable

from domain.accounts.search_keys import fold
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


def terms(texts: Iterable[str], limit: int = MAX_TERMS) -> tuple[str, ...]:
    """The distinct English stems of `texts` in their order, without stop words."""
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
