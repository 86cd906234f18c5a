"""Which passwords are accepted: 12 characters or more that are hard to guess.

Strength is estimated, and no mix of character classes is demanded (NIST SP 800-63B, 3.1.1.2). The
estimator has lists of the 30,000 commonest passwords, of words, names and keyboard patterns; any
hit on the list of passwords alone needs fewer guesses than are required. Own data counts as known.

Its time grows fast with the number of characters, and it holds the interpreter for that time, so it
gets at most ESTIMATED_CHARACTERS, about 10 ms: both ends of a longer password, one of which must be
strong enough.
"""

import unicodedata
from typing import Annotated, Any

from msgspec import Meta as Limits
from zxcvbn_rs_py import zxcvbn

from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import expected
from domain.kernel.text_types import LimitBroken
from domain.operations.normalization import Normalized

MIN_CHARACTERS, MAX_CHARACTERS = 12, 256  # code points in form C (NIST SP 800-63B, 3.1.1.2)
MAX_DECOMPOSED = 4 * MAX_CHARACTERS  # code points as typed
ESTIMATED_CHARACTERS = 20
MIN_GUESSES = 10**6  # score 2 of 4
MIN_OTHER_CHARACTERS = 8  # beside the person's own data
MIN_PART = 3  # characters of a part of own data
PRODUCT = "jobsphere"


def _short_enough(value: Any) -> Any:
    """A password as it was typed; only its hash is one of form C. Raises LimitBroken."""
    if not isinstance(value, str) or len(value) <= MAX_CHARACTERS:
        return value
    if len(value) > MAX_DECOMPOSED or len(unicodedata.normalize("NFC", value)) > MAX_CHARACTERS:
        raise LimitBroken(Rule.MAX_LENGTH)
    return value


Password = Annotated[
    str, Limits(extra_json_schema={"maxLength": MAX_CHARACTERS}), Normalized(_short_enough)
]
# `check_password` refuses short ones, in words for the person who has typed it.
NewPassword = Annotated[
    str,
    expected(
        f"A password of {MIN_CHARACTERS} to {MAX_CHARACTERS} characters that is hard to guess,"
        " without your name or e-mail address.",
        extra_json_schema={"minLength": MIN_CHARACTERS, "maxLength": MAX_CHARACTERS},
    ),
    Normalized(_short_enough),
]


def check_password(password: str, *, email: str, name: str) -> None:
    """Raises Invalid, with a message that says what to change."""
    password = unicodedata.normalize("NFC", password)
    if len(password) < MIN_CHARACTERS:
        raise Invalid(
            f"use at least {MIN_CHARACTERS} characters.",
            field="password",
            rule=Rule.MIN_LENGTH,
            limit=MIN_CHARACTERS,
        )
    folded = _letters(password)
    for own, words in ((_letters(email), "your e-mail address"), (_letters(name), "your name")):
        used = len(own) >= MIN_PART and own in folded
        if used and len(folded.replace(own, "")) < MIN_OTHER_CHARACTERS:
            raise _weak(f"do not use {words}")
    own_words = _own_words(email, name)
    ends = {password[:ESTIMATED_CHARACTERS], password[-ESTIMATED_CHARACTERS:]}
    if all(zxcvbn(end, own_words).guesses < MIN_GUESSES for end in ends):
        raise _weak("it is too easy to guess. Add a few uncommon words")


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _own_words(email: str, name: str) -> list[str]:
    """The address, the name and their parts, and the name of the product."""
    split = "".join(char if char.isalnum() else " " for char in f"{email} {name}").split()
    parts = [part for part in split if len(part) >= MIN_PART]
    return list(dict.fromkeys((email, email.partition("@")[0], name, *parts, PRODUCT)))


def _weak(reason: str) -> Invalid:
    return Invalid(f"{reason}.", field="password", rule=Rule.VALUE)
