"""Builds the engine's queries.

Decision: each word of a query adds a constant for the best place where a job has it, instead of
BM25. A score then depends on the job and the query alone and not on the other jobs of an index, so
it is equal in all processes, and a position in a list stays valid while jobs come and go. As all
words must occur, the rarity of a word says little about the order. The constants are multiples of
a power of two: their sums are exact in any order of addition.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import asin, cos, degrees, radians, sin

from tantivy import FieldType, Occur, Query

from domain.jobs.geo import EARTH_RADIUS_KM
from domain.kernel.text_analysis import QueryWord
from domain.ports.job_index import Amounts, Circle, JobQuery
from server.adapters.job_index.schema import SCHEMA

FIELDS = {"title": 4.0, "skill_words": 2.0, "text": 1.0}
EXACT, STEM, SYNONYM, TOLERANT, FREQUENT = 8.0, 7.0, 6.0, 4.0, 0.5
# Bonus for a job within this part of the circle's radius: less than for a word in a title.
NEARER: Mapping[float, float] = {0.125: 4.0, 0.25: 4.0, 0.5: 4.0}
MARGIN = 0.001  # degrees, for rounding


def term(field: str, value: str) -> Query:
    return Query.term_query(SCHEMA, field, value, index_option="basic")


def one_of(field: str, values: Iterable[str]) -> Query:
    terms = [term(field, value) for value in sorted(values)]
    if len(terms) == 1:
        return terms[0]
    return Query.boolean_query([(Occur.Should, each) for each in terms])


def all_of(conditions: Sequence[Query]) -> Query:
    if not conditions:
        return Query.const_score_query(Query.all_query(), 1.0)
    return Query.boolean_query([(Occur.Must, each) for each in conditions])


def filtering(condition: Query) -> Query:
    """A condition that adds nothing to the score."""
    return Query.const_score_query(condition, 0.0)


def word_query(word: QueryWord, *, tolerant: bool = False) -> Query:
    """Scored by the best field, and there by the best form."""
    options = []
    for field, factor in FIELDS.items():
        for tokens, score in (
            (word.exact, EXACT),
            (word.stems, STEM),
            (word.synonyms, SYNONYM),
        ):
            if tokens:
                score = FREQUENT if word.frequent else score
                options.append(Query.const_score_query(one_of(field, tokens), score * factor))
        if tolerant:
            near = Query.fuzzy_term_query(SCHEMA, field, word.text, 1, True)
            options.append(Query.const_score_query(near, TOLERANT * factor))
    return Query.disjunction_max_query(options)


def with_word(word: QueryWord) -> Query:
    """A job that has the word anywhere, without a score."""
    return filtering(
        Query.boolean_query([(Occur.Should, one_of(field, word.tokens)) for field in FIELDS])
    )


def with_words(words: Sequence[QueryWord], unknown: Iterable[str]) -> list[tuple[Occur, Query]]:
    return [
        (
            Occur.Should if word.frequent else Occur.Must,
            word_query(word, tolerant=word.tolerant and word.text in unknown),
        )
        for word in words
    ]


def scope(query: JobQuery) -> list[Query]:
    """Whose jobs, and in which state."""
    return [
        filtering(term(field, value))
        for field, value in (
            ("status", query.status),
            ("customer", query.customer_id),
            ("contractor", query.contractor_id),
        )
        if value is not None
    ]


def filters(query: JobQuery) -> list[Query]:
    """The conditions besides words and places."""
    found = scope(query)
    if query.category is not None:
        found.append(filtering(term("category", query.category)))
    if query.skills:
        found.append(filtering(one_of("skill", query.skills)))
    if query.budgets:
        ways = [_amounts(each) for each in query.budgets]
        found.append(filtering(Query.boolean_query([(Occur.Should, way) for way in ways])))
    return found


def _amounts(wanted: Amounts) -> Query:
    conditions = [term("currency", wanted.currency)]
    if wanted.lowest is not None:
        conditions.append(between("high", wanted.lowest, None))
    if wanted.highest is not None:
        conditions.append(between("low", None, wanted.highest))
    return all_of(conditions)


def between(field: str, lowest: int | None, highest: int | None) -> Query:
    return Query.range_query(
        SCHEMA, field, FieldType.Integer, lower_bound=lowest, upper_bound=highest
    )


def around(circle: Circle) -> Query:
    """A box of degrees that holds the circle."""
    angle = degrees(circle.radius_km / EARTH_RADIUS_KM) + MARGIN
    south, north = circle.lat - angle, circle.lat + angle
    conditions = [_degrees("lat", south, north)]
    if south > -90 and north < 90:
        spread = degrees(asin(min(1.0, sin(radians(angle)) / cos(radians(circle.lat))))) + MARGIN
        west, east = circle.lon - spread, circle.lon + spread
        parts = [(west, east)]
        if west < -180:
            parts = [(-180.0, east), (west + 360, 180.0)]
        elif east > 180:
            parts = [(west, 180.0), (-180.0, east - 360)]
        ways = [_degrees("lon", low, high) for low, high in parts]
        conditions.append(Query.boolean_query([(Occur.Should, way) for way in ways]))
    return filtering(all_of(conditions))


def _degrees(field: str, low: float, high: float) -> Query:
    return Query.range_query(SCHEMA, field, FieldType.Float, lower_bound=low, upper_bound=high)
