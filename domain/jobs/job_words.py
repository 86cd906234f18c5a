"""The words of a job, as its index and the saved searches see them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files

import msgspec

from domain.jobs.job import Job
from domain.kernel.text_analysis import (
    QueryWord,
    Synonyms,
    differs_in_one_letter,
    languages_of,
    name_key,
    parse_query,
    tokens_of,
)

MAX_QUERY_WORDS = 16

SYNONYMS = Synonyms(files("domain.jobs").joinpath("synonyms.txt").read_text("utf-8"))


class JobWords(msgspec.Struct, frozen=True):
    """The tokens of the title, of skills and category, and of the description.

    `category_key` and the keys of `skill_names` are what filters compare, its values are the skills
    as they were written, one spelling of each.
    """

    title: frozenset[str]
    skills: frozenset[str]
    text: frozenset[str]
    category_key: str
    skill_names: Mapping[str, str]

    @property
    def all(self) -> frozenset[str]:
        return self.title | self.skills | self.text

    def have(self, word: QueryWord, unknown: Iterable[str] = ()) -> bool:
        """Whether a search for the word finds the job. Of the words in `unknown` one letter may
        differ."""
        if not word.tokens.isdisjoint(self.all):
            return True
        if not word.tolerant or word.text not in unknown:
            return False
        return any(differs_in_one_letter(word.text, token) for token in self.all)


def job_words(job: Job) -> JobWords:
    return words_of_fields(job.title, job.category, tuple(job.skills), job.description)


@lru_cache(maxsize=500)
def words_of_fields(
    title: str, category: str, skills: tuple[str, ...], description: str
) -> JobWords:
    """Cached, because one task compares a job with many saved searches."""
    languages = languages_of(f"{title}\n{description}")
    asked = "\n".join((category, *skills))
    return JobWords(
        frozenset(tokens_of(title, languages, SYNONYMS)),
        frozenset(tokens_of(asked, languages, SYNONYMS)),
        frozenset(tokens_of(description, languages, SYNONYMS)),
        name_key(category),
        {name_key(skill): skill for skill in reversed(skills)},
    )


def words_of_query(q: str | None) -> tuple[QueryWord, ...]:
    return parse_query(q, SYNONYMS, MAX_QUERY_WORDS) if q else ()
