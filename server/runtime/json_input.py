"""JSON from clients, with its depth, lists, objects and numbers bounded before it is parsed.

msgspec parses 64 KiB in less than a millisecond, with two exceptions. Depth ends in a recursion
error only after a thousand levels. A number such as `1e308` is computed digit by digit: 64 KiB of
them hold the event loop for 90 milliseconds.
"""

import re
from typing import Any

import msgspec

MAX_DEPTH = 64  # lists and objects within each other
SHALLOW = 2 * MAX_DEPTH  # characters; in fewer, no list or object is nested more deeply
MAX_CONTAINERS = 2000  # lists and objects in all
SHORT = 512  # characters; in fewer, no number is worth a search
# An exponent of three digits after the start of a value. It may also be within a text.
MAYBE_EXTREME = re.compile(r"[\[:,\s][-0-9.]+[eE][+-]?[0-9]{3}")
EXTREME = re.compile(r"[eE][+-]?[0-9]{3}")
# Also one without an end: a pattern that can fail would be tried again at every quotation mark.
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
AS_LISTS = bytes.maketrans(b"{}", b"[]")
OPENING = ord("[")
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def decode(text: str) -> Any:
    """Raises ValueError or RecursionError."""
    if len(text) > SHALLOW and _needs_check(text):
        _check(STRING.sub("", text))
    return msgspec.json.decode(text)


def _needs_check(text: str) -> bool:
    if text.count("[") + text.count("{") > MAX_DEPTH:
        return True
    return len(text) > SHORT and MAYBE_EXTREME.search(text) is not None


def _check(values: str) -> None:
    """Check JSON of which the strings are removed. Raises ValueError."""
    if EXTREME.search(values):
        raise ValueError("a number is too large or too small")
    brackets = values.encode(errors="replace").translate(AS_LISTS, NO_BRACKETS)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise ValueError(f"there are more than {MAX_CONTAINERS} lists and objects")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket == OPENING else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"lists and objects are nested more than {MAX_DEPTH} deep")
