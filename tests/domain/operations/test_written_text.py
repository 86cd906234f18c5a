"""The rule for what people write, with sentences in many scripts, on both wires."""
# ruff: noqa: RUF001

import json
import unicodedata
from typing import Any

import pytest

from domain.kernel.errors import Rule
from domain.kernel.text_rules import (
    clean_line,
    clean_text,
    count_characters,
    is_visible,
    shorten,
)
from domain.kernel.text_types import BYTES, LimitBroken, Written
from domain.operations.input_size import LEAST
from tests.domain.chat.test_conversations import meet
from tests.support.market import Market

# Each with the number of characters that its readers count.
SENTENCES = {
    "Latin": ("Żółta łódź płynie do Gdańska.", 29),
    "Cyrillic": ("Нужно покрасить забор до пятницы.", 33),
    "Greek": ("Θέλω να βάψω την κουζίνα.", 25),
    "Arabic": ("أحتاج إلى نجّار في القاهرة.", 26),
    "Hebrew": ("צריך לצבוע את הסלון השבוע.", 26),
    "Persian": ("می\u200cخواهم دیوار را رنگ کنم.", 25),
    "Devanagari": ("मुझे दीवार रंगवानी है।", 14),
    "Bengali": ("আমার একটি মিস্ত্রি দরকার।", 16),
    "Tamil": ("எனக்கு ஒரு தச்சர் தேவை.", 16),
    "Thai": ("ต้องการช่างทาสีบ้าน", 15),
    "Georgian": ("მჭირდება ხელოსანი თბილისში.", 27),
    "Armenian": ("Ինձ պետք է ներկարար։", 20),
    "Han": ("我需要一个油漆工。", 9),
    "Japanese": ("壁を塗り替えてください。", 12),
    "Hangul": ("벽을 다시 칠해 주세요.", 13),
    "Ethiopic": ("ቤቴን መቀባት እፈልጋለሁ።", 16),
    "Burmese": ("အိမ်ဆေးသုတ်ချင်ပါတယ်။", 13),
    "emoji": ("👩🏽\u200d🔧👨\u200d👩\u200d👧 ❤️🇺🇦1️⃣", 6),
}


@pytest.mark.parametrize("script", SENTENCES)
def test_sentences_stay_as_they_are_written(script: str) -> None:
    """Guard: `text_rules.clean_line`, `clean_text` and `count_characters`."""
    sentence, characters = SENTENCES[script]
    stored = unicodedata.normalize("NFC", sentence)
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, sentence)
        assert clean_line(f"  {written}\r\n") == stored == clean_line(stored)
        assert clean_text(f"{written}\r\n{written}") == f"{stored}\n{stored}"
    assert is_visible(stored) and count_characters(stored) == characters
    assert shorten(stored * 3, characters + 1) == stored + stored[: len(shorten(stored, 1))]


@pytest.mark.parametrize(
    ("written", "line", "text"),
    [
        ("A\tB\x07\x1b C\x7f\x9b", "A B C", "A\tB C"),
        ("A\r\nB\rC\vD\fE\x85F\u2028G\u2029H", "A B C D E F G H", "A\nB\nC\nD\nE\nF\nG\nH"),
        ("An\u200bna\u00ad\ufeff\u3164 B", "Anna B", "An\u200bna\u00ad\ufeff\u3164 B"),
        ("a \u202bb\nc", "a \u202bb c\u202c", "a \u202bb\u202c\nc"),
        ("\u2067a\u202ab\u2069c", "\u2067a\u202ab\u202c\u2069c", "\u2067a\u202ab\u202c\u2069c"),
        ("a\u2069b\u202cc", "abc", "abc"),
        ("  two   words ", "two words", "  two   words "),
        ("e\u0301\u212b\ufdd0", "\u00e9\u00c5", "\u00e9\u00c5"),
    ],
)
def test_what_is_hidden_changes_nothing(written: str, line: str, text: str) -> None:
    """Guard: `text_rules._without_controls`, `_HIDDEN` and `_close`."""
    assert (clean_line(written), clean_text(written)) == (line, text)
    assert (clean_line(line), clean_text(text)) == (line, text)


def test_overrides_are_refused() -> None:
    """Guard: `text_rules._OVERRIDE`."""
    for sign in "\u202d\u202e":
        for clean in (clean_line, clean_text):
            with pytest.raises(ValueError, match="reverse the direction"):
                clean(f"photo{sign}gpj.exe")


def test_lengths_are_what_people_see_and_bytes() -> None:
    """Guard: `Written.apply`."""
    field = Written(clean_text, 1, 10)
    for ten in ("👨\u200d👩" * 10, "स्ते" * 6 + "नम" * 2, "e\u0301" * 10, "x" * 10):
        if len(ten.encode()) <= 10 * BYTES:
            assert field.apply(ten) == unicodedata.normalize("NFC", ten)
    for wrong, rule in (
        ("x" * 11, Rule.MAX_LENGTH),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467" * 8, Rule.MAX_LENGTH),  # 8 and 144 bytes
        ("a" + "\u0301" * 100, Rule.MAX_LENGTH),
        ("", Rule.MIN_LENGTH),
        *((blank, Rule.PATTERN) for blank in ("   ", "\u3164", "\u200b", "\u2800", "\u0301", "\n")),
    ):
        with pytest.raises(LimitBroken) as broken:
            field.apply(wrong)
        assert broken.value.rule is rule, wrong
    assert Written(clean_text, 0, 10).apply(" \u200b ") == ""


async def test_texts_of_the_greatest_length_pass_on_both_wires(market: Market) -> None:
    """Guard: `max_characters` in `command_table`, `most` in `routes._body`, and the text types of
    names, titles, filters and messages."""
    talk = await meet(market)
    customer = talk.customer
    for script, (sentence, _) in SENTENCES.items():
        sent = await talk.say(customer, unicodedata.normalize("NFD", sentence))
        assert sent["text"] == unicodedata.normalize("NFC", sentence), script
    longest = "👍🏽" * 4000
    place = {"conversation_id": talk.id}
    assert len(json.dumps(longest)) > LEAST  # as this client of ours escapes it
    for text in (longest, longest[:-2] + "\r\n"):
        fields = place | {"text": text}
        path = f"/api/chat/{talk.id}/messages"
        headers = {"Content-Type": "application/json"}
        status, sent = await customer.http(
            "POST", path, data=json.dumps({"text": text}).encode(), headers=headers
        )
        assert (status, sent["text"]) == (200, clean_text(text))
        assert (await customer.call("/chat", "send", fields))["text"] == clean_text(text)
    preview = (await customer.call("/chat", "list"))["items"][0]["last_message"]["text"]
    assert preview == "👍🏽" * 200
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("/account", "update", {"name": "\u3164"}),
        ("/account", "update", {"name": "Anna\u202e"}),
        ("/account", "update", {"skills": ["\u200b"]}),
        ("/chat", "send", place | {"text": "\u200b\u3164"}),
        ("/chat", "send", place | {"text": longest + "!"}),
    ]
    for namespace, event, fields in refused:
        answer = await customer.ack(namespace, event, fields)
        assert answer["error"]["code"] == "invalid", fields
    given = {"name": "  Ana\u0301\nB\u200b ", "headline": "\u200b", "skills": ["C\u2028D"]}
    user = await customer.call("/account", "update", given)
    assert (user["name"], user["headline"], user["skills"]) == ("An\u00e1 B", "", ["C D"])
