"""The words that a message is found by, and those of a query.

Every word counts, frequent ones too: a message is found inside a few conversations, not among all.
Scripts that write no spaces, and Korean, are indexed as single characters and as pairs of
neighbours; a query of two or more characters asks for the pairs. English words are found by other
forms of theirs. How a text becomes words is in `kernel/text_analysis.py`.
"""

from itertools import pairwise

from domain.chat.conversation import MAX_TERMS
from domain.kernel.text_analysis import fold, pieces, stem


def message_terms(text: str) -> tuple[str, ...]:
    """The distinct terms of a message, in their order."""
    found: dict[str, None] = {}
    for piece, paired in pieces(text):
        if paired:
            found |= dict.fromkeys(piece)
            found |= dict.fromkeys(map("".join, pairwise(piece)))
        else:
            found[stem(fold(piece), "en")] = None
    return tuple(found)[:MAX_TERMS]


def query_terms(query: str) -> list[tuple[str, ...]]:
    """The words of a query, each as the terms of which a message must have one.

    The longest come first, as long words tend to be rare.
    """
    found: dict[tuple[str, ...], None] = {}
    for piece, paired in pieces(query):
        if paired and len(piece) > 1:
            found |= dict.fromkeys((one + other,) for one, other in pairwise(piece))
        elif paired:
            found[piece,] = None
        else:
            word = fold(piece)
            found[tuple(dict.fromkeys((stem(word, "en"), word)))] = None
    return sorted(found, key=lambda terms: len(terms[-1]), reverse=True)
