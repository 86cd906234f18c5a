"""The words that a message is found by, and those of a query.

Every word counts, frequent ones too: a message is found inside a few conversations, not among all.
Scripts that write no spaces have no words to split at, so their text is indexed as single
characters and as pairs of neighbours; a query of two or more characters asks for the pairs.
Korean has spaces, but joins particles to its nouns, and is treated the same.

Accents and vowel points are ignored. Signs that make another letter are not: the voicing of kana,
and the vowel signs of Indic scripts and of Thai. English words are found by other forms of theirs.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import snowballstemmer  # type: ignore[import-untyped]

from domain.chat.conversation import MAX_TERMS

MAX_LENGTH = 40  # characters of a word
STEMMED = 100  # words of a message: a stem takes 40 microseconds, and long texts have many words

# Of combining marks, by their canonical combining class. Source: Unicode Standard, table 4-3.
_POINTS = range(10, 37)  # of Hebrew, Arabic and Syriac
_ACCENTS = 200  # from this class on

_MARK_BLOCKS = (range(0x0300, 0x3100), range(0xA600, 0xAC00))
_MARKS = "".join(
    chr(code)
    for block in _MARK_BLOCKS
    for code in block
    if unicodedata.category(chr(code)).startswith("M")
)
# Thai, Lao, Myanmar, Khmer; kana, Han; Hangul.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff\u1100-\u11ff\uac00-\ud7af"
)
_WORD = re.compile(rf"[^\W_][^\W_{_MARKS}]*(?:[{_MARKS}]+[^\W_]*)*[+#]*")  # C++ and C# are words
_UNSPACED_RUN = re.compile(rf"([{_UNSPACED}][{_UNSPACED}{_MARKS}]*)")
_CHARACTER = re.compile(rf".[{_MARKS}]*", re.DOTALL)
_STEMMER = snowballstemmer.stemmer("english")
# Letters that have no decomposition, and characters that are invisible inside of words.
_FOLDED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "\u0131": "i"}
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", "")
)


def message_terms(text: str) -> tuple[str, ...]:
    """The distinct terms of a message, in their order: stems of the first STEMMED words."""
    found: dict[str, None] = {}
    for word, unspaced in _words(text):
        if unspaced:
            characters = _CHARACTER.findall(word)
            found |= dict.fromkeys(characters)
            found |= dict.fromkeys(map("".join, pairwise(characters)))
        else:
            found[_stem(word) if len(found) < STEMMED else word] = None
    return tuple(found)[:MAX_TERMS]


def query_terms(query: str) -> list[tuple[str, ...]]:
    """The words of a query, each as the terms of which a message must have one.

    The longest come first, as long words tend to be rare.
    """
    found: dict[tuple[str, ...], None] = {}
    for word, unspaced in _words(query):
        characters = _CHARACTER.findall(word) if unspaced else []
        if len(characters) > 1:
            found |= dict.fromkeys((one + next,) for one, next in pairwise(characters))
        elif unspaced:
            found[word,] = None
        else:
            found[tuple(dict.fromkeys((_stem(word), word)))] = None
    return sorted(found, key=lambda terms: len(terms[-1]), reverse=True)


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """The words, each with whether it is of a script without spaces."""
    for word in _WORD.findall(_folded(text)):
        for part in _UNSPACED_RUN.split(word):
            if part:
                unspaced = _UNSPACED_RUN.fullmatch(part) is not None
                yield (part if unspaced else part[:MAX_LENGTH]), unspaced


def _folded(text: str) -> str:
    """Lower case without accents and points."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(char for char in plain if not _is_ignored(unicodedata.combining(char)))
    return unicodedata.normalize("NFC", letters.translate(_FOLDED))


def _is_ignored(combining_class: int) -> bool:
    return combining_class in _POINTS or combining_class >= _ACCENTS
