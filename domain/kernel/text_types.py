"""The types of text fields in commands: who writes the text decides its rule.

- `line(most)`: what a person writes in one line: names, titles, skills, filters, queries.
- `prose(most)`: what a person writes in several lines: messages, descriptions, reasons.
- `opaque(most)`: what programs make, and what is compared and never shown as a person's words: ids,
  cursors, tokens, codes.

A field of a command is one of them, or has a `pattern` or a form of its own (`Normalized`); a bare
`str` fails `tests/architecture/test_text_fields.py`. `kernel/text_rules.py` has the rule itself.

Decision: lengths are counted in characters as people see them, and each takes BYTES bytes in the
mean, so that a text is bounded in storage as well. JSON Schema counts code points: its `maxLength`
is the same number, so what fits the schema is always accepted, and longer syllables and emoji too.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Meta as Limits

from domain.kernel.errors import Rule
from domain.kernel.fields import EXPECTED
from domain.kernel.text_rules import clean_line, clean_text, count_characters, is_visible

WRITTEN, OPAQUE = "written", "opaque"  # keys of a type's extra data
BYTES = 8  # of UTF-8 for one character: syllables of Indic scripts have 6 to 9
VISIBLE = "Text with at least one visible character."


class LimitBroken(Exception):
    """A text is shorter or longer than its field permits, or blank; `rule` says which."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self.rule = rule


class Written(msgspec.Struct, frozen=True):
    """How a text of a person is cleaned, and its length in characters. One that may be empty is
    empty if nothing in it is visible."""

    clean: Callable[[str], str]
    least: int
    most: int

    def apply(self, value: Any) -> Any:
        """The text in its one form; other values come back unchanged. Raises ValueError,
        LimitBroken."""
        if not isinstance(value, str):
            return value
        if len(value) > BYTES * self.most:
            raise LimitBroken(Rule.MAX_LENGTH)
        text = self.clean(value)
        if not is_visible(text):
            if self.least and value:
                raise LimitBroken(Rule.PATTERN)
            text = ""
        if len(text) < self.least:
            raise LimitBroken(Rule.MIN_LENGTH)
        if len(text) > self.most and count_characters(text) > self.most:
            raise LimitBroken(Rule.MAX_LENGTH)
        if 4 * len(text) > BYTES * self.most and len(text.encode()) > BYTES * self.most:
            raise LimitBroken(Rule.MAX_LENGTH)
        return text


def line(most: int, *, least: int = 1) -> Limits:
    """The limits of what a person writes in one line."""
    return _written(clean_line, least, most)


def prose(most: int, *, least: int = 1) -> Limits:
    """The limits of what a person writes in several lines."""
    return _written(clean_text, least, most)


def opaque(most: int, *, least: int = 0) -> Limits:
    """The limits of what programs make, in code points."""
    return Limits(min_length=least or None, max_length=most, extra={OPAQUE: True})


def _written(clean: Callable[[str], str], least: int, most: int) -> Limits:
    extra: dict[str, Any] = {WRITTEN: Written(clean, least, most)}
    schema: dict[str, Any] = {"maxLength": most}
    if least:
        extra[EXPECTED] = VISIBLE
        schema["minLength"] = least
    return Limits(extra=extra, extra_json_schema=schema)
