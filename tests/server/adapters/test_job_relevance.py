"""What people type finds first what they mean: 60 queries over 400 jobs in five languages.

`relevance/jobs_*.txt` has blocks of four jobs. The titles of the first three are about the block's
subject, and the fourth only mentions it. `relevance/queries.txt` has a language, a subject and what
is typed for it: plurals, other forms, missing accents, wrong letters, synonyms.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.jobs.job_words import words_of_query
from domain.ports.job_index import JobQuery, Order
from server.adapters.job_index.files import Files
from server.adapters.job_index.reading import Reading
from server.adapters.job_index.schema import document
from tests.server.adapters import word_search

FOLDER = Path(__file__).parents[2] / "domain" / "jobs" / "relevance"
LANGUAGES = ("de", "en", "es", "fr", "zh")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def jobs() -> Iterator[dict[str, Any]]:
    number = 0
    for language in LANGUAGES:
        subject, place = "", 0
        for line in (FOLDER / f"jobs_{language}.txt").read_text("utf-8").splitlines():
            if line.startswith("# "):
                subject, place = line[2:], 0
                continue
            category, skills, title, description = line.split("|")
            names = [each.strip() for each in skills.split(",")]
            number, place = number + 1, place + 1
            yield {
                "_id": f"{language} {subject} {place}",
                "title": title,
                "description": description,
                "category": category,
                "skills": names,
                "status": "open",
                "customer_id": "usr_1",
                "budget_min_amount": 100,
                "budget_max_amount": 200,
                "currency": "EUR",
                "created_at": BEGAN + timedelta(hours=number),
            }


def share_found_first(find: Callable[[str], list[str]]) -> tuple[int, float, list[str]]:
    """The queries with all three expected jobs in the first three places, the share of these places
    that have an expected one, and the other queries."""
    whole, places, missed = 0, 0, []
    queries = (FOLDER / "queries.txt").read_text("utf-8").splitlines()
    for line in queries:
        language, subject, typed = line.split(" ", 2)
        expected = {f"{language} {subject} {place}" for place in (1, 2, 3)}
        right = len(expected & set(find(typed)[:3]))
        places += right
        if right == 3:
            whole += 1
        else:
            missed.append(f"{line}: {find(typed)[:3]}")
    assert len(queries) == 60
    return whole, places / 180, missed


def test_what_is_meant_is_found_first(tmp_path: Path, record_property: Any) -> None:
    """Guard: FIELDS in `queries`, `text_analysis`, `synonyms.txt`, HALF_LIFE_MS."""
    stored = list(jobs())
    assert len(stored) == 400
    files = Files(tmp_path)
    files.open()
    for each in stored:
        files.writer.add_document(document(each))
    files.commit()

    def index(typed: str) -> list[str]:
        query = JobQuery(status="open", words=words_of_query(typed))
        hits, _ = Reading(files.searcher, query).find(Order.RELEVANCE, None, 3)
        return [hit.id for hit in hits]

    words = {
        each["_id"]: set(
            word_search.terms(
                (each["title"], each["category"], *each["skills"], each["description"])
            )
        )
        for each in stored
    }

    def all_words_newest_first(typed: str) -> list[str]:
        wanted = set(word_search.query_terms(typed))
        return [id for id in reversed(words) if wanted <= words[id]]

    before = share_found_first(all_words_newest_first)
    after = share_found_first(index)
    files.close()
    record_property("before", before[:2])
    record_property("after", after[:2])
    print(f"before {before[:2]}, after {after[:2]}", *after[2], sep="\n")  # shown with -s
    assert after[0] >= 52 and after[1] >= 0.92
    assert after[0] > before[0] + 20


if __name__ == "__main__":
    pytest.main([__file__, "-s"])
