"""The fields of the index, and the document of a job.

Texts are analysed by the domain and arrive as tokens separated by spaces, so the engine's own
tokenizers play no part and query and index cannot differ.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import tantivy

from domain.jobs.job_words import SYNONYMS, words_of_fields
from domain.kernel.text_analysis import ANALYSIS, fold, normalize
from domain.ports.job_index import Suggested

SCHEMA_VERSION = 2  # raised when the fields change
# The score of a job doubles with so much later creation: the order does not depend on the time of
# the query, so a position in it stays valid.
HALF_LIFE_MS = 180 * 86_400_000
EPOCH_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
SEPARATOR = "\x1f"
MOST_WORDS_OF_NAME = 8

FINGERPRINT = hashlib.blake2b(
    repr(
        (
            SCHEMA_VERSION,
            ANALYSIS,
            SYNONYMS.version,
            unicodedata.unidata_version,
            version("pystemmer"),
            version("tantivy"),
        )
    ).encode(),
    digest_size=16,
).hexdigest()


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()

    def key(name: str, *, fast: bool = False, stored: bool = False) -> None:
        builder.add_text_field(
            name, stored=stored, fast=fast, tokenizer_name="raw", index_option="basic"
        )

    key("id", stored=True)
    for words in ("title", "skill_words", "text"):
        builder.add_text_field(words, tokenizer_name="whitespace", index_option="basic")
    for name in ("status", "customer", "contractor", "name", "category_shown", "skill_shown"):
        key(name)
    for name in ("category", "skill", "currency", "place"):
        key(name, fast=True)
    key("shown", stored=True)
    for name in ("created", "low", "high"):
        builder.add_integer_field(name, fast=True)
    for name in ("lon", "lat", "weight"):
        builder.add_float_field(name, fast=True)
    return builder.build()


SCHEMA = _schema()


def document(stored: Mapping[str, Any]) -> tantivy.Document:
    """The document of a job as it is stored in MongoDB."""
    category, skills = stored["category"], tuple(stored["skills"])
    words = words_of_fields(stored["title"], category, skills, stored["description"])
    created = int(stored["created_at"].timestamp() * 1000)
    fields: dict[str, Any] = {
        "id": stored["_id"],
        "title": " ".join(words.title),
        "skill_words": " ".join(words.skills),
        "text": " ".join(words.text),
        "status": stored["status"],
        "customer": stored["customer_id"],
        "contractor": stored.get("contractor_id") or "",
        "category": words.category_key,
        "category_shown": spelling(words.category_key, category),
        "skill": list(words.skill_names),
        "skill_shown": [spelling(key, shown) for key, shown in words.skill_names.items()],
        "name": [
            *_names(Suggested.CATEGORY, category),
            *(name for skill in skills for name in _names(Suggested.SKILL, skill)),
        ],
        "currency": stored["currency"],
        "shown": stored["title"],
        "created": created,
        "low": stored["budget_min_amount"],
        "high": stored["budget_max_amount"],
        "weight": 2.0 ** ((created - EPOCH_MS) / HALF_LIFE_MS),
    }
    if stored.get("point"):
        lon, lat = map(float, stored["point"]["coordinates"])
        fields |= {"lon": lon, "lat": lat, "place": place_name(lon, lat)}
    return tantivy.Document(**fields)


def place_name(lon: float, lat: float) -> str:
    return f"{lon:.2f},{lat:.2f}"


def place_of(name: str) -> tuple[float, float]:
    lon, _, lat = name.partition(",")
    return float(lon), float(lat)


def spelling(key: str, shown: str) -> str:
    """How a name is written; all spellings of a name begin with `spelling(key, "")`."""
    return f"{key}{SEPARATOR}{shown}"


def _names(kind: Suggested, shown: str) -> Iterator[str]:
    """What is looked up by its beginning: the name from each of its words on."""
    words = fold(normalize(shown)).split()[:MOST_WORDS_OF_NAME]
    for at in range(len(words)):
        yield SEPARATOR.join((" ".join(words[at:]), kind, shown))


def name_of(entry: str) -> tuple[Suggested, str]:
    _, kind, shown = entry.split(SEPARATOR, 2)
    return Suggested(kind), shown
