"""Text analysis: what a person types finds what another one wrote, in their script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.jobs.job_words import SYNONYMS
from domain.kernel.text_analysis import (
    MAX_LENGTH,
    Synonyms,
    differs_in_one_letter,
    fold,
    languages_of,
    name_key,
    normalize,
    parse_query,
    pieces,
    tokens_of,
)


def finds(typed: str, written: str) -> bool:
    """Whether a text has every word of a query."""
    tokens = tokens_of(written, languages_of(written), SYNONYMS)
    words = parse_query(typed, SYNONYMS, 16)
    return bool(words) and all(w.frequent or not w.tokens.isdisjoint(tokens) for w in words)


# A sentence, what finds it, and what does not.
SENTENCES = {
    "Latin": ("Wir suchen einen Gärtner für unsere Gärten in Köln", "garten koeln", "katze"),
    "Cyrillic": ("Нужно починить протекающие трубы на кухне", "труба кухня", "крыша"),
    "Greek": ("Ψάχνω ηλεκτρολόγο για την κουζίνα μου", "ΗΛΕΚΤΡΟΛΟΓΟΣ κουζίνας", "στέγη"),
    "Arabic": ("نحتاج إلى سبّاك لإصلاح الأنابيب في المطبخ", "السباك انابيب", "حديقة"),
    "Hebrew": ("דרוש שרברב לתיקון צינור בָּמִטְבָּח", "שרברב במטבח", "גינה"),
    "Devanagari": ("रसोई में पाइप की मरम्मत के लिए प्लंबर चाहिए", "प्लंबर पाइपों", "बगीचा"),
    "Tamil": ("சமையலறையில் குழாய் பழுது பார்க்க வேண்டும்", "குழாய்", "தோட்டம்"),
    "Armenian": ("Պետք է ջրմուղագործ խոհանոցի համար", "ջրմուղագործի", "այգի"),
    "Georgian": ("სამზარეულოში მილის შეკეთება მჭირდება", "მილის შეკეთება", "ბაღი"),
    "Han": ("需要修理厨房漏水的水管", "水管", "花园"),
    "Kana": ("キッチンの水漏れを修理してほしい", "水漏れ 修理", "庭"),
    "Hangul": ("주방에서 배관을 수리할 사람을 찾습니다", "배관 수리", "정원"),
    "Thai": ("ต้องการช่างซ่อมท่อน้ำรั่วในครัว", "ท่อน้ำ", "สวน"),
    "Khmer": ("ត្រូវការជាងជួសជុលបំពង់ទឹក", "បំពង់ទឹក", "សួន"),
    "Bengali": ("রান্নাঘরের পাইপ মেরামত করতে হবে", "পাইপ মেরামত", "বাগান"),
    "Ethiopic": ("የወጥ ቤት ቧንቧ መጠገን ያስፈልጋል", "ቧንቧ መጠገን", "አትክልት"),
}


@pytest.mark.parametrize("script", SENTENCES)
def test_sentences_are_found_in_their_scripts(script: str) -> None:
    """Guard: `text_analysis.pieces`, `fold` and BLOCKS."""
    written, typed, absent = SENTENCES[script]
    assert finds(typed, written) and finds(unicodedata.normalize("NFD", typed), written)
    assert finds(written[:60], written)
    assert not finds(absent, written)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("lodz", "Malowanie w Łodzi, ul. Łódź"),
        ("koeln", "Köln"),
        ("Köln", "Koeln"),
        ("strasse", "Straße"),
        ("kobenhavn", "København"),
        ("istanbul", "İSTANBUL"),
        ("reparer", "Réparation d'une machine à réparer"),
        ("jardines", "Cuidado del jardín"),
        ("riparazioni", "Riparazione del tetto della casa"),
        ("pinturas", "Preciso de pintura para a casa"),
        ("schilderen", "Wij willen het huis laten schilderen"),
        ("malowanie", "Szukam kogoś, malowania ścian"),
        ("leak pipe", "Leaking pipes"),
        ("nodejs", "A Node.js backend"),
        ("node.js", "NodeJS developers"),
        ("csharp", "C# programmer"),
        (".net", "A dotnet service."),
        ("plumber", "Plumbing in the kitchen"),
        ("plumbers", "plumbing"),
        ("fitting 1st", "ﬁtting the ①st kitchen"),
        ("3", "٣ غرف"),
        ("ＷＥＢ", "web design"),
        ("it", "IT support"),
        ("who is who", "Who is it"),
        ("سباك", "السباك"),
        ("السباك", "سباك"),
        ("والسباك", "سباك"),
        ("ремонта", "Ремонт ёлки"),
        ("елка ремонт", "Ремонт ёлки"),
        ("नलसाजी", "नलसाज़ी का काम"),
        ("सड़क", "सडक की मरम्मत"),
        ("বাডি", "বাড়ি রং করা"),
        ("vuejs", "Vue.js and React.js"),
        ("reactjs nextjs", "A React.js and Next JS page"),
        ("full-stack", "Fullstack developer"),
        ("frontend", "Front-end developer"),
        ("back end", "Backend developers"),
        ("vscode", "VS Code extension"),
        ("diecasting", "Zinc die casting"),
    ],
)
def test_spellings_forms_and_synonyms_meet(typed: str, written: str) -> None:
    """Guard: `fold`, `_DIGRAPHS`, `_stems`, `Synonyms.found_in`."""
    assert finds(typed, written)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("C", "C++ and C#"),
        ("net", "A .NET service"),
        (".net", "Mending a fishing net"),
        ("か", "が"),
        ("node", "NodeJS"),
    ],
)
def test_other_words_stay_apart(typed: str, written: str) -> None:
    """Guard: the signs of `_PIECE`, and `_ACCENTS`, which leaves marks that spell."""
    assert not finds(typed, written)


@pytest.mark.parametrize("signs", ["€", "👍", "!!! ???", "\u200b", "--", "👨‍👩‍👧"])
def test_signs_are_no_words(signs: str) -> None:
    """Guard: `_PIECE`."""
    assert parse_query(signs, SYNONYMS, 16) == ()


def test_frequent_words_count_without_others() -> None:
    """Guard: the end of `parse_query`."""
    assert [w.text for w in parse_query("the who", SYNONYMS, 16) if not w.frequent] == [
        "the",
        "who",
    ]
    assert [w.text for w in parse_query("paint the wall", SYNONYMS, 16) if not w.frequent] == [
        "paint",
        "wall",
    ]


def required(typed: str) -> str:
    return " ".join(w.text for w in parse_query(typed, SYNONYMS, 16) if not w.frequent)


@pytest.mark.parametrize(
    "typed",
    """door repair|van driver|man and van|cat sitting|elder care|go developer|c developer
    final cut pro|fur coat|uber driver|hem trousers|men haircut|nas setup|plus size|hat maker
    bin cleaning|war game|hay bales|it support|will writing|ar developer|tak renovering
    dans dersi|ingenieur son""".replace("\n", "|").split("|"),
)
def test_a_content_word_that_is_a_function_word_elsewhere_is_required(typed: str) -> None:
    """Guard: AMBIGUOUS in `stop_words`."""
    typed = typed.strip()
    assert required(typed) == typed.replace(" and", "")


def test_an_ambiguous_word_is_frequent_beside_others_of_its_language() -> None:
    """Guard: `_languages_of_query`; the spelling in AMBIGUOUS; phrases in `synonyms.txt`."""
    assert required("schilder van de muur") == "schilder muur"
    assert required("who will paint it") == "paint"
    assert required("Maler für Küche") == "maler kuche" and required("the van") == "van"
    assert required("die Wand") == "wand" and required("die casting") == "=die_casting"
    assert required("door in the van") == "door van" and required("door van de") == "door van de"


def test_an_abbreviation_in_capitals_is_required() -> None:
    """Guard: `_abbreviations`."""
    assert required("need an IT consultant") == "it consultant"
    assert required("AV technician for the hall") == "av technician hall"
    assert required("AV TECHNICIAN") == required("av technician") == "technician"
    assert required("IT") == "it" and required("plumber OR painter") == "plumber painter"


def test_words_with_marks_are_tolerant_and_those_with_digits_are_not() -> None:
    """Guard: `_is_tolerant`."""
    words = parse_query("प्लंबर மின்சார plumber c3po4 পাইপলাইন c++++", SYNONYMS, 16)
    assert [word.tolerant for word in words] == [True, True, True, False, True, False]


def test_a_phrase_with_a_synonym_is_one_condition() -> None:
    """Guard: the length of a phrase in `parse_query`; the longest member wins."""
    synonyms = Synonyms("# comment\nnodejs, node.js\njs, javascript\n")
    words = parse_query("node js javascript", synonyms, 16)
    assert [word.text for word in words] == ["=nodejs", "javascript"]
    assert words[1].synonyms == {"=js"}
    assert synonyms.version != Synonyms("nodejs, node.js").version


def test_a_query_and_a_text_are_bounded() -> None:
    """Guard: the limits of `parse_query` and `pieces`."""
    assert len(parse_query(" ".join(f"word{n}" for n in range(99)), SYNONYMS, 16)) == 16
    assert len(pieces("x " * 10_000)) == 4000
    assert all(len(token) <= MAX_LENGTH + 8 for token in tokens_of("x" * 500, ("en",), SYNONYMS))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wir suchen einen Maler für unser Haus", "de"),
        ("Nous cherchons un peintre pour notre maison", "fr"),
        ("Busco un pintor para mi casa", "es"),
        ("Cerco un imbianchino per la mia casa", "it"),
        ("Szukam malarza do mojego domu", "pl"),
    ],
)
def test_frequent_words_tell_the_language(text: str, language: str) -> None:
    """Guard: `languages_of`."""
    assert language in languages_of(text) and "en" in languages_of(text)


texts = st.text(max_size=120)


@given(texts)
def test_folding_is_idempotent_and_composed_text_is_equal(text: str) -> None:
    """Guard: NFKC in `normalize` and NFC in `fold`."""
    folded = name_key(text)
    assert name_key(folded) == folded
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert name_key(composed) == name_key(decomposed) == folded
    assert fold(normalize(composed)) == fold(normalize(decomposed))


@given(texts)
def test_a_text_is_found_by_itself(text: str) -> None:
    """Guard: texts and queries take one way."""
    assert finds(text, text) or not parse_query(text, SYNONYMS, 16)


@given(st.text("abcd", min_size=1, max_size=6), st.integers(0, 6), st.sampled_from("abcd "))
def test_one_edit_is_tolerated(word: str, at: int, letter: str) -> None:
    """Guard: `differs_in_one_letter`."""
    at = min(at, len(word) - 1)
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    edits = [word[:at] + word[at + 1 :], word[:at] + letter + word[at:], swapped]
    edits.append(word[:at] + letter + word[at + 1 :])
    assert all(differs_in_one_letter(word, edit) for edit in edits)
    assert all(differs_in_one_letter(edit, word) for edit in edits)


@pytest.mark.parametrize(("one", "other"), [("paint", "pant s"), ("abcd", "badc"), ("ab", "cd")])
def test_two_edits_are_not(one: str, other: str) -> None:
    """Guard: `differs_in_one_letter`."""
    assert not differs_in_one_letter(one, other)
