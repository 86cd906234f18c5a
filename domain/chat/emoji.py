"""Which reactions are emoji, and the one form of each.

They are those that Unicode recommends for general interchange, with their skin tones and flags. An
emoji is also written without its variation selectors, so `❤` is `❤️`, and as text with U+FE0E.
Sources: UTS #51, and its emoji-test.txt as the library has it.
"""

from typing import Any

from emoji import EMOJI_DATA, STATUS

MAX_LENGTH = 16  # code points
_SELECTORS = {0xFE0E: None, 0xFE0F: None}
_FORMS = {
    sign.translate(_SELECTORS): sign
    for sign, facts in EMOJI_DATA.items()
    if facts["status"] == STATUS["fully_qualified"]
}


def one_form(value: Any) -> Any:
    """The fully qualified form of one emoji; other values come back unchanged."""
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return value
    return _FORMS.get(value.translate(_SELECTORS), value)


def is_emoji(text: str) -> bool:
    """Whether the text, in its one form, is one emoji."""
    return _FORMS.get(text.translate(_SELECTORS)) == text
