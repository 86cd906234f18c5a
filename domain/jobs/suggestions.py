"""Completes what a person types into the search: titles, skills and categories of open jobs."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from domain.jobs.job_words import words_of_query
from domain.kernel.actor import EVERYONE, Actor
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork
from domain.kernel.text_analysis import name_key, pieces
from domain.kernel.text_types import line
from domain.operations.command import Command, Style
from domain.operations.limits import Limit
from domain.operations.operation import operation
from domain.ports.job_index import Completion, JobIndex, Suggested

MOST = 10
MOST_TITLES = 5


class Suggest(Command, frozen=True):
    PERSONAL = frozenset({"q"})

    q: Annotated[
        str,
        line(100),
        about("What is typed by now; its last word may be unfinished."),
    ]


class Suggestion(msgspec.Struct, frozen=True):
    """A text to search for."""

    text: Annotated[str, about("The title, or the name of the skill or category.")]
    kind: Annotated[Suggested, about("What it is.")]
    count: Annotated[int, about("How many open jobs have it; of titles at most 40 are counted.")]


class Suggestions(msgspec.Struct, frozen=True):
    """What a search may be about."""

    items: Annotated[
        list[Suggestion],
        about("Up to 10: categories and skills, the most frequent first, then newer titles."),
    ]


@operation("job.suggest", roles=EVERYONE, style=Style.READ, limits=(Limit(60, 300),), searches=True)
async def suggest(cmd: Suggest, actor: Actor, uow: UnitOfWork, index: JobIndex) -> Suggestions:
    """Complete a search as it is typed, from the open jobs."""
    found = pieces(cmd.q)
    if not found:
        return Suggestions([])
    last, paired = found[-1]
    finished = [piece for piece, _ in found[:-1]]
    if paired and len(last) > 1:  # the index has pairs at most, so the last one is the beginning
        finished.append(last)
        last = last[-2:]
    words = words_of_query(" ".join(finished))
    completions = await index.complete(words, name_key(last), name_key(cmd.q), MOST)
    return Suggestions(
        [Suggestion(each.text, each.kind, each.count) for each in _best(completions)]
    )


def _best(completions: Sequence[Completion]) -> list[Completion]:
    """Spellings of one name are one suggestion, under the most frequent spelling."""
    merged: dict[tuple[Suggested, str], Completion] = {}
    for each in sorted(completions, key=lambda each: -each.count):
        key = (each.kind, name_key(each.text))
        known = merged.get(key)
        count = each.count + known.count if known else each.count
        merged[key] = Completion(known.text if known else each.text, each.kind, count)
    names = [each for each in merged.values() if each.kind is not Suggested.TITLE]
    titles = [each for each in completions if each.kind is Suggested.TITLE]
    names.sort(key=lambda each: -each.count)
    room = max(MOST - MOST_TITLES, MOST - len(titles))
    return [*names[:room], *titles][:MOST]
