"""Cells of CSV files, defused: no spreadsheet runs a text of a user as a formula.

A spreadsheet separates cells by the list separator of its locale, regardless of the file. So a
formula is looked for at the start of the text and after everything that some locale takes for a
separator. What is invisible or blank may stand before it.
Source: OWASP, "CSV Injection".
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

Cell = str | int | Decimal | datetime

# List separators of locales, and what ends a line.
SEPARATORS = re.compile("([,;|\t\r\n\v\f\x1c-\x1f\x85\u2028\u2029\uff0c\uff1b\u060c\u061b\u3001])")
STARTS = frozenset("=+-@\u2212")  # U+2212 is the minus sign
BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters and symbols without ink
INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"})


def format_cell(value: Cell) -> str:
    """A cell as text. Numbers and times are never formulas."""
    if isinstance(value, str):
        return defused(value)
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else f"{value}"


def defused(text: str) -> str:
    """The text with an apostrophe before the whole and each part that a spreadsheet would run."""
    parts = SEPARATORS.split(text)
    first, *rest = (f"'{part}" if _is_formula(part) else part for part in parts)
    if _is_formula(text) and first == parts[0]:  # some programs drop separators at the start
        first = f"'{first}"
    return "".join((first, *rest))


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _is_formula(part: str) -> bool:
    for character in part:
        if unicodedata.category(character) in INVISIBLE or character in BLANK_LETTERS:
            continue
        # The compatibility form of a full-width, small or superscript sign is the sign.
        return unicodedata.normalize("NFKC", character)[0] in STARTS
    return False
