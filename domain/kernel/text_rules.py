"""The rule for text that people write: one form, nothing hidden, its length as they see it.

- Unicode's normal form C, so that equal texts are equal.
- No control characters. Every kind of line break is one newline; a line, such as a name, has none.
- Directional overrides are refused: what they show is not what is stored. Embeddings and isolates
  are closed at the end of their line, so that they change the direction of nothing after it.
- A character is what a person sees as one: an extended grapheme cluster. A family emoji, a Hindi
  syllable and a letter with its accents are one each. What has no shape, such as a zero-width
  space, is none.

Joiners, variation selectors and directional marks stay: Persian, Indic scripts, emoji and mixed
directions need them. Sources: UAX #9, #15 and #29, and DerivedCoreProperties for what is ignorable.
The library has Unicode's data of this year; those of Python are as old as its version.
"""

import re
import unicodedata
from itertools import islice

import regex  # type: ignore[import-untyped]

_PLAIN_LINE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
# Controls except tab and newline, line breaks, and what sets a direction. U+0000 stays: it is
# refused by name in every field.
_ODD = re.compile("[\x01-\x08\v-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]")
_BREAK = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]+")
_OVERRIDE = re.compile("[\u202d\u202e]")
_DIRECTION = re.compile("[\u202a-\u202c\u2066-\u2069]")
_EMBED, _ISOLATE = frozenset("\u202a\u202b"), frozenset("\u2066\u2067\u2068")
_END_EMBED, _END_ISOLATE = "\u202c", "\u2069"

# Ignorable, and without use in a script: zero-width spaces, fillers, soft hyphens.
_HIDDEN = regex.compile(
    r"""(?V1)[\p{Default_Ignorable_Code_Point}--[
    \u034f \u061c \u115f \u1160 \u17b4 \u17b5 \u180b-\u180f \u200c-\u200f \u202a-\u202e
    \u2066-\u2069 \ufe00-\ufe0f \U000e0020-\U000e007f \U000e0100-\U000e01ef]]""",
    regex.VERBOSE,
)
_SHAPELESS = regex.compile(
    r"(?V1)[\p{Default_Ignorable_Code_Point}--[\u200c\u200d\ufe00-\ufe0f\U000e0020-\U000e007f]]"
)
# U+2800 is the empty pattern of Braille. Unassigned characters may be newer than the library.
_VISIBLE = regex.compile(
    r"""(?V1)[^\s\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{M}\u2800
    \p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]""",
    regex.VERBOSE,
)
_CHARACTER = regex.compile(r"\X")
CODE_POINTS = 8  # of one character in a text that is cut
OVERRIDES = "take out the invisible characters that reverse the direction of the text."


def clean_text(text: str) -> str:
    """Text of several lines in its one form. Raises ValueError for directional overrides."""
    text = unicodedata.normalize("NFC", text)
    if not _ODD.search(text):
        return text
    return _close_lines(_without_controls(text))


def clean_line(text: str) -> str:
    """Text of one line in its one form: each run of white space is a space, and there is none at
    the ends. Raises ValueError for directional overrides."""
    if _PLAIN_LINE.fullmatch(text):
        return text
    text = unicodedata.normalize("NFC", text)
    return _close(" ".join(_HIDDEN.sub("", _without_controls(text)).split()))


def is_visible(text: str) -> bool:
    """Whether a reader sees something: a letter, a digit or a sign."""
    return bool(_VISIBLE.search(text))


def count_characters(text: str) -> int:
    """The number of characters as people see them."""
    if text.isascii():
        return len(text)
    return len(_CHARACTER.findall(_SHAPELESS.sub("", text)))


def shorten(text: str, most: int) -> str:
    """The first `most` characters of a clean text, of CODE_POINTS each in the mean."""
    if len(text) <= most:
        return text
    if text.isascii():
        return text[:most]
    found = islice(_CHARACTER.finditer(text, endpos=CODE_POINTS * most), most)
    return _close_lines("".join(each[0] for each in found))


def shorten_bytes(text: str, most: int) -> str:
    """The first characters, in at most `most` bytes of UTF-8."""
    size = end = 0
    for found in _CHARACTER.finditer(text):
        size += len(found[0].encode())
        if size > most:
            break
        end += len(found[0])
    return text[:end]


def _without_controls(text: str) -> str:
    text = _CONTROL.sub("", _BREAK.sub("\n", text))
    if _OVERRIDE.search(text):
        raise ValueError(OVERRIDES)
    return text


def _close_lines(text: str) -> str:
    return "\n".join(map(_close, text.split("\n"))) if _DIRECTION.search(text) else text


def _close(line: str) -> str:
    """The line with its embeddings and isolates closed, and without ends of others."""
    if not _DIRECTION.search(line):
        return line
    closed, ends = [], []
    for sign in line:
        if sign in _EMBED:
            ends.append(_END_EMBED)
        elif sign in _ISOLATE:
            ends.append(_END_ISOLATE)
        elif sign == _END_EMBED:
            if not ends or ends[-1] != sign:
                continue
            ends.pop()
        elif sign == _END_ISOLATE:
            if sign not in ends:
                continue
            while ends[-1] != sign:
                closed.append(ends.pop())
            ends.pop()
        closed.append(sign)
    return "".join((*closed, *reversed(ends)))
