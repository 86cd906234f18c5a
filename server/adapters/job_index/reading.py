"""Reads a snapshot of the index: pages in four orders, facets, completions. Runs in a thread."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from tantivy import DocAddress, Occur, Query, Searcher

from domain.jobs.geo import distance_km
from domain.kernel.text_analysis import QueryWord
from domain.ports.job_index import (
    BudgetSpan,
    Completion,
    Count,
    FoundFacets,
    Hit,
    JobQuery,
    Order,
    Position,
    Suggested,
)
from server.adapters.job_index import queries
from server.adapters.job_index.schema import SCHEMA, name_of, place_of, spelling

MAX_PLACES = 20_000  # of one search, those with the most jobs
DEEPEST = 50_000  # hits of one list in the order of relevance
RANK = 2.0**40  # above every amount
COMPLETIONS_OF_WORD = 30
TITLES_READ = 40

# A hit that is not read yet: its key, the time of its creation, where it is.
Found = tuple[float, int, DocAddress]


class _Batch(msgspec.Struct, frozen=True):
    """The first hits in the order of keys, and whether these are all."""

    hits: list[Found]
    whole: bool


class Reading:
    """One query on one snapshot."""

    def __init__(self, searcher: Searcher, query: JobQuery, unknown: Sequence[str] | None = None):
        """`unknown` are the words that are tolerated with a wrong letter; those that the index
        does not know, if not given."""
        self._searcher = searcher
        self._query = query
        self.unknown = tuple(unknown_words(searcher, query) if unknown is None else unknown)
        self._filters = queries.filters(query)
        self._words = queries.with_words(query.words, self.unknown)
        self._places = self._places_inside()

    # -- conditions --------------------------------------------------------------------------

    def _all(self, *more: Query) -> Query:
        return _both([*self._words, *((Occur.Must, each) for each in (*self._filters, *more))])

    def _places_inside(self) -> Mapping[str, tuple[float, int]] | None:
        """The places of matching jobs within the circle: their distance and number of jobs, the
        nearest first. The places are few where jobs are many, as they are rounded to about 1 km;
        they decide exactly on the circle, which the engine knows as a box only."""
        near = self._query.near
        if near is None:
            return None
        found = self._searcher.aggregate(
            self._all(queries.around(near)),
            {"places": {"terms": {"field": "place", "size": MAX_PLACES}}},
        )
        center = (near.lon, near.lat)
        inside = [
            (distance_km(center, place_of(each["key"])), each["key"], each["doc_count"])
            for each in found["places"]["buckets"]
        ]
        return {
            name: (distance, count)
            for distance, name, count in sorted(inside)
            if distance <= near.radius_km
        }

    def _conditions(self) -> Query:
        if self._places is None:
            return self._all()
        return self._all(_at(self._places))

    # -- pages -------------------------------------------------------------------------------

    def find(self, order: Order, after: Position | None, limit: int) -> tuple[list[Hit], bool]:
        read = {
            Order.RELEVANCE: self._by_relevance,
            Order.NEWEST: self._by_creation,
            Order.BUDGET: self._by_budget,
            Order.DISTANCE: self._by_distance,
        }[order]
        return self._page(lambda most: read(after, most), after, limit)

    def _page(
        self, read: Callable[[int], _Batch], after: Position | None, limit: int
    ) -> tuple[list[Hit], bool]:
        """Hits with equal keys are ordered by creation and id. Those with the last key of a batch
        that is not whole may be cut among such, so more are read."""
        most = limit + 20
        while True:
            batch = read(most)
            certain = batch.hits
            if not batch.whole and most < DEEPEST:
                certain = [each for each in certain if each[0] > batch.hits[-1][0]]
            if after is not None:
                certain = [each for each in certain if each[:2] <= (after.key, after.created)]
            if len(certain) > limit + 1 or batch.whole or most >= DEEPEST:
                positions = self._positions(certain, after, limit)
                if len(positions) > limit or batch.whole or most >= DEEPEST:
                    return self._hits(positions[:limit]), len(positions) > limit
            most *= 4

    def _positions(
        self, found: list[Found], after: Position | None, limit: int
    ) -> list[tuple[Position, DocAddress]]:
        """In order; reads the ids of as few hits as decide on the page."""
        found.sort(key=lambda each: (-each[0], -each[1]))
        positions: list[tuple[Position, DocAddress]] = []
        for key, created, address in found:
            if len(positions) > limit and (key, created) < (
                positions[-1][0].key,
                positions[-1][0].created,
            ):
                break
            id = self._searcher.doc(address)["id"][0]
            if after is None or (key, created, id) < (after.key, after.created, after.id):
                positions.append((Position(key, created, id, self.unknown), address))
        positions.sort(key=lambda each: (each[0].key, each[0].created, each[0].id), reverse=True)
        return positions[: limit + 1]

    def _hits(self, positions: list[tuple[Position, DocAddress]]) -> list[Hit]:
        near = self._query.near
        if near is None:
            return [Hit(position) for position, _ in positions]
        addresses = [address for _, address in positions]
        lons = self._searcher.fast_field_values("lon", addresses)
        lats = self._searcher.fast_field_values("lat", addresses)
        center = (near.lon, near.lat)
        return [
            Hit(position, distance_km(center, (float(lon or 0), float(lat or 0))))
            for (position, _), lon, lat in zip(positions, lons, lats, strict=True)
        ]

    def _search(self, query: Query, most: int, by: str) -> list[Found]:
        """The first hits by a field, or by score and `weight`, whose key is the score."""
        weight, field = (by, None) if by == "weight" else (None, by)
        found = self._searcher.search(
            query, most, count=False, order_by_field=field, weight_by_field=weight
        )
        hits = found.hits
        created = self._searcher.fast_field_values("created", [address for _, address in hits])
        return [
            (float(key), int(at or 0), address)
            for (key, address), at in zip(hits, created, strict=True)
        ]

    def _by_relevance(self, after: Position | None, most: int) -> _Batch:
        query = self._conditions()
        if self._places and self._query.near:
            bonuses = []
            for part, bonus in queries.NEARER.items():
                reach = self._query.near.radius_km * part
                nearer = [name for name, (away, _) in self._places.items() if away <= reach]
                if nearer:
                    bonuses.append(Query.const_score_query(_term_set(nearer), bonus))
            query = _both([(Occur.Must, query), *((Occur.Should, each) for each in bonuses)])
        if not self._query.words:
            base = Query.const_score_query(Query.all_query(), 1.0)
            query = _both([(Occur.Must, query), (Occur.Must, base)])
        hits = self._search(query, most, "weight")
        return _Batch(hits, len(hits) < most)

    def _by_creation(self, after: Position | None, most: int) -> _Batch:
        more = [_until("created", int(after.key))] if after else []
        hits = self._search(
            _both([(Occur.Must, q) for q in (self._conditions(), *more)]), most, "created"
        )
        return _Batch(hits, len(hits) < most)

    def _by_budget(self, after: Position | None, most: int) -> _Batch:
        """The currencies of each rank are read apart and merged."""
        found: list[Found] = []
        floor: float | None = None
        query = self._conditions()
        for each in sorted(self._query.budgets, key=lambda each: each.rank):
            base = -each.rank * RANK
            if after and after.key - base < 0:
                continue  # all of this rank come before
            conditions = [query, queries.filtering(queries.term("currency", each.currency))]
            if after and after.key - base < RANK:
                conditions.append(_until("high", int((after.key - base) / each.rate) + 1))
            hits = self._search(_both([(Occur.Must, q) for q in conditions]), most, "high")
            found += ((base + key * each.rate, at, address) for key, at, address in hits)
            if len(hits) == most:
                floor = max(floor or float("-inf"), base + hits[-1][0] * each.rate)
        found.sort(key=lambda each: (-each[0], -each[1]))
        if floor is None:
            return _Batch(found, whole=True)
        return _Batch([each for each in found if each[0] >= floor], whole=False)

    def _by_distance(self, after: Position | None, most: int) -> _Batch:
        found: list[Found] = []
        for name, (distance, _) in (self._places or {}).items():
            if after and -distance > after.key:
                continue
            conditions = [self._all(), queries.filtering(queries.term("place", name))]
            if after and -distance == after.key:
                conditions.append(_until("created", after.created))
            query = _both([(Occur.Must, each) for each in conditions])
            hits = self._search(query, most - len(found), "created")
            found += ((-distance, at, address) for _, at, address in hits)
            if len(found) >= most:
                return _Batch(found, whole=False)
        return _Batch(found, whole=True)

    # -- facets ------------------------------------------------------------------------------

    def count(self) -> int:
        total = {"total": {"value_count": {"field": "created"}}}
        return int(self._searcher.aggregate(self._conditions(), total)["total"]["value"])

    def facets(self, values: int) -> FoundFacets:
        spans = {"low": {"min": {"field": "low"}}, "high": {"max": {"field": "high"}}}
        query = self._conditions()
        found = self._searcher.aggregate(
            query,
            {
                "categories": {"terms": {"field": "category", "size": values}},
                "skills": {"terms": {"field": "skill", "size": values}},
                "budgets": {"terms": {"field": "currency", "size": values}, "aggs": spans},
                "total": {"value_count": {"field": "created"}},
            },
        )
        return FoundFacets(
            int(found["total"]["value"]),
            [
                Count(self._shown("category_shown", each["key"], query), each["doc_count"])
                for each in _most_frequent(found["categories"])
            ],
            [
                Count(self._shown("skill_shown", each["key"], query), each["doc_count"])
                for each in _most_frequent(found["skills"])
            ],
            [
                BudgetSpan(
                    each["key"],
                    int(each["low"]["value"]),
                    int(each["high"]["value"]),
                    each["doc_count"],
                )
                for each in _most_frequent(found["budgets"])
            ],
        )

    def _shown(self, field: str, key: str, query: Query) -> str:
        """The spelling of a name that most of the jobs have. Most names have one, which is found
        without counting."""
        beginning = spelling(key, "")
        found = self._searcher.terms_with_prefix(field, beginning, None, 2)
        if len(found) > 1:
            found = self._searcher.terms_with_prefix(field, beginning, query, 1)
        return found[0][0].removeprefix(beginning)

    def bands(self, currency: str, edges: Sequence[int]) -> list[int]:
        bounds = [None, *edges, None]
        ranges = [
            {name: float(at) for name, at in (("from", low), ("to", high)) if at is not None}
            for low, high in itertools.pairwise(bounds)
        ]
        query = _both(
            [
                (Occur.Must, self._conditions()),
                (Occur.Must, queries.term("currency", currency)),
            ]
        )
        found = self._searcher.aggregate(
            query, {"bands": {"range": {"field": "high", "ranges": ranges}}}
        )
        return [int(each["doc_count"]) for each in found["bands"]["buckets"]]


def unknown_words(searcher: Searcher, query: JobQuery) -> list[str]:
    """The words that no job has in the state, and of the people, that the query is about."""
    scope = queries.scope(query)

    def is_known(word: QueryWord) -> bool:
        conditions = queries.all_of([queries.with_word(word), *scope])
        return bool(searcher.search(conditions, 1, count=False).hits)

    return [
        word.text
        for word in query.words
        if word.tolerant and not word.frequent and not is_known(word)
    ]


def complete(
    searcher: Searcher, words: Sequence[QueryWord], beginning: str, whole: str, limit: int
) -> list[Completion]:
    """Names of skills and categories that begin with `whole`, then titles with all `words` and a
    word that begins with `beginning`; of open jobs."""
    is_open = queries.filtering(queries.term("status", "open"))
    found: list[Completion] = []
    for entry, count in searcher.terms_with_prefix("name", whole, is_open, limit * 2):
        kind, shown = name_of(entry)
        found.append(Completion(shown, kind, count))
    ends = searcher.terms_with_prefix("title", beginning, is_open, COMPLETIONS_OF_WORD)
    if ends:
        last = Query.const_score_query(queries.one_of("title", [end for end, _ in ends]), 1.0)
        conditions = [
            (Occur.Must, is_open),
            (Occur.Must, last),
            *(
                (Occur.Must, queries.one_of("title", word.tokens))
                for word in words
                if not word.frequent
            ),
        ]
        hits = searcher.search(
            Query.boolean_query(conditions), TITLES_READ, count=False, order_by_field="created"
        ).hits
        titles: dict[str, int] = {}
        for _, address in hits:
            title = searcher.doc(address)["shown"][0]
            titles[title] = titles.get(title, 0) + 1
        found += (Completion(title, Suggested.TITLE, count) for title, count in titles.items())
    return found


def _both(conditions: Sequence[tuple[Occur, Query]]) -> Query:
    """All that must be; what should be adds to the score and excludes nothing."""
    every = (Occur.Must, queries.filtering(Query.all_query()))
    return Query.boolean_query([*conditions, every])


def _until(field: str, highest: int) -> Query:
    return queries.filtering(queries.between(field, None, min(highest, 2**62)))


def _term_set(places: Sequence[str]) -> Query:
    return Query.term_set_query(SCHEMA, "place", list(places))


def _at(places: Mapping[str, object]) -> Query:
    return queries.filtering(_term_set(list(places)) if places else Query.empty_query())


def _most_frequent(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    buckets: list[dict[str, Any]] = found["buckets"]
    return sorted(buckets, key=lambda each: (-each["doc_count"], each["key"]))
