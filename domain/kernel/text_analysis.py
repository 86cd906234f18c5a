"""Text analysis for search: from a text to the tokens that an index holds, and from a query to
the tokens of which one must be there.

Texts and queries take the same way:

1. Compatibility forms are unified (NFKC), case is folded, invisible format characters are removed.
2. Scripts that write words without spaces, and Korean, whose particles are written with the word,
   become single characters and pairs of neighbours. All other text becomes words; a `+` or `#` at
   the end of a word and a dot at its beginning belong to it: C++, C#, .NET.
3. A word is folded: accents, vowel points and nuktas are dropped, letters without a decomposition
   are replaced (ł, ø, đ), Arabic letters of one sound are unified, digits become ASCII.
4. A word of a language with a stemmer also has stems, each tagged with its language: `~de:gart`.
   The language of a text is told by its frequent words, and English is always among them. A query
   is too short to tell, so it has the stems of all languages of its script. The tags keep the stems
   of one language apart from those of another.

Sources: Unicode Standard Annex 15 (normalization forms); Snowball stemmers, snowballstem.org.
"""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import cache, lru_cache

import msgspec
import Stemmer  # type: ignore[import-not-found]

from domain.kernel.stop_words import ABBREVIATIONS, AMBIGUOUS, FREQUENT, STOP_WORDS

ANALYSIS = 3  # raised when the tokens of a text or the conditions of a query change
MAX_LENGTH = 40  # characters of a token
MAX_WORDS = 4000  # of one text
MOST_DETECTED = 2000  # characters that are read to tell the language
LEAST_DIVIDED = 4  # characters of a run in Han, kana or Hangul that may be several words
LEAST_TOLERANT = 5  # letters of a word in which one may be wrong

LATIN = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
    "sv": "swedish",
    "pl": "polish",
    "cs": "czech",
    "tr": "turkish",
    "ro": "romanian",
}
OTHERS = {
    "ru": "russian",
    "el": "greek",
    "ar": "arabic",
    "hi": "hindi",
    "hy": "armenian",
    "ta": "tamil",
}
# The first and last code point of a block, and the language whose stemmer serves its words.
BLOCKS = (
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x052F, "ru"),
    (0x0530, 0x058F, "hy"),
    (0x0600, 0x06FF, "ar"),
    (0x0900, 0x097F, "hi"),
    (0x0B80, 0x0BFF, "ta"),
)
# Scripts that become pairs: Thai, Lao, Myanmar, Khmer, kana, Han, Hangul.
_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
)
_MARKS = "".join(
    chr(code)
    for code in range(0x300, 0x10000)
    if unicodedata.category(chr(code)) in ("Mn", "Mc") and not 0x0E00 <= code <= 0x0EFF
)
_PIECE = re.compile(
    rf"[{_PAIRED}]+|\.?[^\W_{_PAIRED}](?:[^\W_{_PAIRED}]|[{re.escape(_MARKS)}])*[+#]*"
)
_ASCII_PIECE = re.compile(r"\.?[a-z0-9]+[+#]*")
_PAIR_SIGNS = re.compile(r"[\u0e2f\u0e46\u30fb]")  # punctuation within the paired ranges
_FORMAT = re.compile("[\u00ad\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
# Accents of Latin, Greek and Cyrillic; Hebrew points; Arabic vowels; the nukta of Indic scripts,
# which is often left out. Marks of other scripts spell.
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u093c\u09bc\u0a3c\u0abc\u0b3c\u0cbc]"
)
_LETTERS = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ı": "i",
        "ŋ": "n",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ß": "ss",
        "ة": "ه",
        "ى": "ي",
        "ی": "ي",
        "ک": "ك",
        "ٱ": "ا",
    }
)
_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_ARTICLE = re.compile("^[وف]?(?:[بك]?ال|لل)(?=..)")
_BLANK = re.compile(r"\s+")
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")


class Word(msgspec.Struct, frozen=True):
    """One word of a text, or a character or pair of a script that is not split into words.

    `text` is folded. `exact` are its spellings, `stems` its tagged stems. Words with one
    `phrase_key` are one word in a phrase of synonyms. An `ambiguous` one is a function word in one
    language and a content word in another.
    """

    text: str
    exact: frozenset[str]
    stems: frozenset[str] = frozenset()
    phrase_key: str = ""
    paired: bool = False
    ambiguous: bool = False

    def is_frequent(self, languages: Container[str]) -> bool:
        """Whether it is a function word, in a query of these languages."""
        if not self.ambiguous:
            return self.text in FREQUENT
        return any(language in languages for language in _languages_with(self.text))


def normalize(text: str) -> str:
    """Step 1: lower case in one form, without format characters; accents stay."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", _FORMAT.sub("", text)).casefold()
    return unicodedata.normalize("NFC", _FORMAT.sub("", plain))


def fold(word: str) -> str:
    """Step 3: a normalized word without accents and variants of letters."""
    if word.isascii():
        return word
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", word)).translate(_LETTERS)
    bare = unicodedata.normalize("NFC", bare)
    if any(letter.isdecimal() for letter in bare):
        bare = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in bare)
    return bare


def name_key(name: str) -> str:
    """The form in which names of skills and categories are compared."""
    return _BLANK.sub(" ", fold(normalize(name))).strip()


def pieces(text: str) -> list[tuple[str, bool]]:
    """Step 2: the words of a text, and the runs of scripts that become pairs (True)."""
    found: list[tuple[str, bool]] = []
    plain = normalize(text)
    expression = _ASCII_PIECE if plain.isascii() else _PIECE
    for match in expression.finditer(plain):
        piece = match[0]
        if _is_paired(piece[0]):
            found += ((run, True) for run in _PAIR_SIGNS.split(piece) if run)
            continue
        if piece[0] == "." and (match.start() and not match.string[match.start() - 1].isspace()):
            piece = piece[1:]  # the end of a sentence, or node.js
        found.append((piece[:MAX_LENGTH], False))
        if len(found) >= MAX_WORDS:
            break
    return found


def _is_paired(letter: str) -> bool:
    return letter >= "\u0e00" and _PIECE_OF_PAIRS.match(letter) is not None


_DIVIDED = re.compile("[\u3005-\u30ff\u31f0-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")  # not Thai
_PIECE_OF_PAIRS = re.compile(f"[{_PAIRED}]")


def languages_of(text: str) -> tuple[str, ...]:
    """The languages of a text in Latin letters, as its frequent words tell; English is in it."""
    found = _most_likely(piece for piece, _ in pieces(text[:MOST_DETECTED]))
    return tuple(sorted({"en", *(language for language in found if language in LATIN)}))


def _languages_of_query(words: Sequence[Word]) -> frozenset[str]:
    """The languages that the unambiguous function words of a query tell: none without any, and
    English alone where it is one of several."""
    found = _most_likely(word.text for word in words if not word.ambiguous)
    return found & {"en"} or found


def _abbreviations(text: str) -> frozenset[str]:
    """Those that are in capitals, in a query that has other letters too: `need IT support`."""
    if text.isupper():
        return frozenset()
    return ABBREVIATIONS & {word.lower() for word in _CAPITALS.findall(text)}


def _most_likely(words: Iterable[str]) -> frozenset[str]:
    """The languages with the most function words among these."""
    counts = Counter(language for word in words for language in _languages_with(word))
    most = max(counts.values(), default=0)
    return frozenset(language for language, count in counts.items() if count == most)


@lru_cache(maxsize=20_000)
def _languages_with(piece: str) -> tuple[str, ...]:
    word = fold(piece)
    return tuple(language for language, words in STOP_WORDS.items() if word in words)


def words_of(text: str, languages: Iterable[str] | None = None) -> list[Word]:
    """The words of a text for an index. Runs of paired scripts give characters and pairs.

    Without `languages` Latin words have the stems of all languages, as in a query.
    """
    known = tuple(languages) if languages is not None else tuple(LATIN)
    found: list[Word] = []
    for piece, paired in pieces(text):
        if paired:
            found += map(_paired, _characters_and_pairs(piece))
        else:
            found.append(_word(piece, known))
    return found


def query_words(text: str) -> list[Word]:
    """The words of a query, of each of which a text must have a form. A single character counts
    only where there is no pair."""
    found: list[Word] = []
    for piece, paired in pieces(text):
        if not paired:
            found.append(_word(piece, tuple(LATIN)))
        elif len(piece) == 1:
            found.append(_paired(piece))
        else:
            found += _conditions(piece)
    return found


def _conditions(run: str) -> list[Word]:
    """A run of a query may be several words in another order, such as those of `repair tap`. So of
    each two neighbouring pairs of a longer one, which may cross a boundary, one must occur."""
    pairs = _pairs(run)
    if len(run) < LEAST_DIVIDED or not _DIVIDED.match(run):
        return [_paired(pair) for pair in pairs]
    return [
        Word(one, frozenset((one, other)), phrase_key=one, paired=True)
        for one, other in itertools.pairwise(pairs)
    ]


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]


def _characters_and_pairs(run: str) -> list[str]:
    return [*run, *_pairs(run)]


@lru_cache(maxsize=50_000)
def _paired(token: str) -> Word:
    return Word(token, frozenset((token,)), phrase_key=token, paired=True)


@lru_cache(maxsize=100_000)
def _word(piece: str, languages: tuple[str, ...]) -> Word:
    """Cached: stemming is the most expensive step, and words repeat."""
    folded = fold(piece)
    exact = {folded}
    if not piece.isascii() and (spelled := piece.translate(_DIGRAPHS)) != piece:
        exact.add(fold(spelled))
    stems = _stems(piece, folded, languages)
    return Word(folded, frozenset(exact), stems, _phrase_key(folded), ambiguous=piece in AMBIGUOUS)


def _stems(piece: str, folded: str, languages: tuple[str, ...]) -> frozenset[str]:
    if folded.isnumeric():
        return frozenset()
    first = ord(folded[0])
    if first >= 0x0370:
        languages = tuple(tag for low, high, tag in BLOCKS if low <= first <= high)
    found = set()
    for language in languages:
        for form in {piece, folded, *_without_article(folded, language)}:
            found.add(f"~{language}:{fold(stem(form, language))}")
    return frozenset(found)


def _without_article(folded: str, language: str) -> tuple[str, ...]:
    return (_ARTICLE.sub("", folded),) if language == "ar" else ()


def stem(word: str, language: str) -> str:
    """Words of one stem are forms of one word. Takes about a microsecond."""
    return str(_stemmer(language).stemWord(word))


@cache
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer((LATIN | OTHERS)[language], 0)


# -- synonyms --------------------------------------------------------------------------------


class Synonyms:
    """Groups of words and phrases with one meaning. `version` changes with their content.

    The text of a file has one group a line, its members separated by commas; `#` at the beginning
    of a line starts a comment.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        groups = [line.split(",") for line in lines if line and not line.startswith("# ")]
        self.version = msgspec.json.encode(groups)
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for members in groups:
            token = f"={name_key(members[0])}".replace(" ", "_")
            for member in members:
                key = tuple(_phrase_key(fold(piece)) for piece, _ in pieces(member))
                self._phrases.setdefault(key[0], []).append((key, token))
        for phrases in self._phrases.values():
            phrases.sort(key=lambda phrase: -len(phrase[0]))

    def found_in(self, words: Sequence[Word]) -> list[tuple[int, int, str]]:
        """The first word, the number of words, and the token of each group that occurs; of
        several at one place the longest."""
        found = []
        for at, word in enumerate(words):
            for phrase, token in self._phrases.get(word.phrase_key, ()):
                if tuple(each.phrase_key for each in words[at : at + len(phrase)]) == phrase:
                    found.append((at, len(phrase), token))
                    break
        return found


@lru_cache(maxsize=50_000)
def _phrase_key(folded: str) -> str:
    """Plurals of a member are members."""
    return stem(folded, "en") if folded.isalpha() and folded.isascii() else folded


def tokens_of(text: str, languages: Iterable[str], synonyms: Synonyms) -> set[str]:
    """All tokens under which an index holds a text."""
    words = words_of(text, languages)
    found = {token for _, _, token in synonyms.found_in(words)}
    for word in set(words):
        found.update(word.exact, word.stems)
    return found


class QueryWord(msgspec.Struct, frozen=True):
    """One condition of a query: one of these tokens, or where the word is unknown and `tolerant`
    a word that differs in one letter. A `frequent` word is optional beside others."""

    text: str
    exact: frozenset[str]
    stems: frozenset[str] = frozenset()
    synonyms: frozenset[str] = frozenset()
    frequent: bool = False
    tolerant: bool = False

    @property
    def tokens(self) -> frozenset[str]:
        return self.exact | self.stems | self.synonyms

    @property
    def key(self) -> str:
        """Equal for forms of one word."""
        stem = min((stem for stem in self.stems if stem.startswith("~en:")), default="")
        return min(self.synonyms, default=stem or self.text)


def parse_query(text: str, synonyms: Synonyms, limit: int) -> tuple[QueryWord, ...]:
    """The conditions of a query, each once, the first `limit`.

    A phrase with a synonym is one condition. Frequent words are marked unless there are no
    others: then they are meant.
    """
    words = query_words(text)
    languages, abbreviations = _languages_of_query(words), _abbreviations(text)
    groups = {at: (count, token) for at, count, token in synonyms.found_in(words)}
    found: dict[frozenset[str], QueryWord] = {}
    at = 0
    while at < len(words) and len(found) < limit:
        word = words[at]
        count, token = groups.get(at, (1, ""))
        if count > 1:
            made = QueryWord(token, frozenset(), synonyms=frozenset((token,)))
        else:
            made = QueryWord(
                word.text,
                word.exact,
                word.stems,
                frozenset((token,) if token else ()),
                word.is_frequent(languages) and not token and word.text not in abbreviations,
                _is_tolerant(word),
            )
        found.setdefault(made.tokens, made)
        at += count
    made_words = tuple(found.values())
    if all(word.frequent for word in made_words):
        return tuple(msgspec.structs.replace(word, frequent=False) for word in made_words)
    return made_words


def _is_tolerant(word: Word) -> bool:
    """Letters with the marks that spell, as in Devanagari; no digits and signs."""
    return (
        not word.paired
        and len(word.text) >= LEAST_TOLERANT
        and all(unicodedata.category(letter)[0] in "LM" for letter in word.text)
    )


def differs_in_one_letter(one: str, other: str) -> bool:
    """Whether two words are at most one insertion, deletion, replacement or exchange of neighbours
    apart (restricted Damerau-Levenshtein distance)."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    a, b = one[start:], other[start:]
    return (
        a == b
        or a[1:] == b[1:]
        or a[1:] == b
        or a == b[1:]
        or (a[:2] == b[1::-1] and a[2:] == b[2:])
    )
