"""What is searched for: compiled queries, and the literals that a record must hold for one of them to match.

A query names (field, literal) pairs of which a match has at least one (`Query.necessary`); the field catalogue says
which fields are byte copies of a path in the raw record. Joined, they give two narrowings, both tested against running
every query on every record: literals to look for in the bytes before any JSON is parsed, and an index from the
value at a path to the few queries that can match.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE
from keytrail.query import Query
from keytrail.search.values import Literal, Sighting, Values

Json = dict[str, object]

# Letters that JSON writers never escape unless they mean to hide something; `\\u00` in a record is looked for apart.
_PLAIN = re.compile(r"[A-Za-z0-9 ._:@+=,~-]+")

RawPath = tuple[str, ...]
Clause = frozenset[tuple[str, str]]


class Catalogue(Protocol):
    """The part of the field catalogue that narrowing stands on."""

    def constant_of(self, field: str, /) -> str | None: ...
    def raw_path(self, field: str, /) -> RawPath | None: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """One query to run over records, or literals of which a record has to hold one; `key` names it to the caller.

    Where there are literals they count, and not the query. The query is asked of events from `since` on and before
    `until`; each literal has its own times. With `raw_only` a match carries the record and no ECS document, as those
    of literals do.
    """

    key: str
    query: str = ""
    strict: bool = False
    literals: frozenset[Literal] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    raw_only: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """What a record must hold: at one of these raw paths, one of these values. `never` means that nothing matches."""

    pairs: frozenset[tuple[RawPath, str]] = frozenset()
    never: bool = False


def need_of(clauses: Iterable[Clause], catalogue: Catalogue = CATALOGUE) -> Need | None:
    """The most selective clause that speaks of raw paths and plain literals only; None when there is none.

    A clause on constant fields alone is either always true and says nothing, or never and rules everything out.
    """
    best: Need | None = None
    for clause in clauses:
        pairs: set[tuple[RawPath, str]] = set()
        usable, satisfied = True, False
        for field, value in clause:
            constant = catalogue.constant_of(field)
            path = catalogue.raw_path(field)
            if constant is not None:
                satisfied = satisfied or constant == value
            elif path is not None and _PLAIN.fullmatch(value):
                pairs.add((path, value))
            else:
                usable = False
        if satisfied or not usable:
            continue
        if not pairs:
            return Need(never=True)
        candidate = Need(frozenset(pairs))
        if best is None or _preference(candidate) < _preference(best):
            best = candidate
    return best


# Which fields tell records apart best: what was done says more than by which service, and that more than by whom.
_SELECTIVE: Mapping[RawPath, int] = {
    ("eventID",): 0,
    ("userIdentity", "accessKeyId"): 1,
    ("eventName",): 2,
    ("errorCode",): 3,
    ("eventSource",): 5,
}


def _preference(need: Need) -> tuple[int, int, list[tuple[RawPath, str]]]:
    rank = max(_SELECTIVE.get(path, 4) for path, _ in need.pairs)
    return rank, len(need.pairs), sorted(need.pairs)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pattern with its predicate, at its place in the list of patterns."""

    number: int
    pattern: Pattern
    query: Query
    need: Need | None


@dataclass(frozen=True)
class Dispatch:
    """Which patterns can match a record, and what a record must hold for any to. `patterns` are those with a query.

    `pairs` are keys and values of which a record needs one, unless a `residual` pattern can match any record; while
    there is such a one, no record may be passed over. `values` are the literals and sightings, which are looked for
    beside these.
    """

    given: tuple[Pattern, ...]
    patterns: tuple[Compiled, ...]
    pairs: frozenset[tuple[str, str]]
    residual: tuple[Compiled, ...]
    index: tuple[tuple[RawPath, Mapping[str, tuple[Compiled, ...]]], ...]
    values: Values
    narrow: bool

    def candidates(self, record: Json) -> Sequence[Compiled]:
        """The queries that can match `record`, in their order; exact in that no other can."""
        found: list[Compiled] = []
        for (first, *rest), by_value in self.index:
            value = record.get(first)
            for step in rest:
                value = value.get(step) if isinstance(value, dict) else None
            if isinstance(value, str) and value in by_value:
                found.extend(by_value[value])
        if not found:
            return self.residual
        found.extend(self.residual)
        # A pattern whose clause names several paths is found at each of them.
        return sorted({one.number: one for one in found}.values(), key=lambda one: one.number)


def dispatch(
    patterns: Sequence[Pattern], *, now: datetime, narrow: bool = True, sightings: Sequence[Sighting] = ()
) -> Dispatch:
    """Compile `patterns`; raises QueryError. `narrow=False` runs every pattern on every record: the slow path."""
    compiled: list[Compiled] = []
    for number, pattern in enumerate(patterns):
        if pattern.literals:
            continue
        query = kql.compile(pattern.query, CATALOGUE, now=now, strict=pattern.strict)
        compiled.append(Compiled(number, pattern, query, need_of(query.necessary) if narrow else None))
    index: dict[RawPath, dict[str, list[Compiled]]] = defaultdict(lambda: defaultdict(list))
    pairs: set[tuple[str, str]] = set()
    residual: list[Compiled] = []
    for one in compiled:
        if one.need is None:
            residual.append(one)
            continue
        for path, value in one.need.pairs:
            index[path][value].append(one)
            pairs.add((path[-1], value))
    values = Values(
        {number: one.literals for number, one in enumerate(patterns) if one.literals},
        sightings,
        queries=sorted({value for _, value in pairs}),
    )
    return Dispatch(
        given=tuple(patterns),
        patterns=tuple(compiled),
        pairs=frozenset(pairs),
        residual=tuple(residual),
        index=tuple(
            (path, {value: tuple(ones) for value, ones in by_value.items()}) for path, by_value in index.items()
        ),
        values=values,
        narrow=narrow and not residual and not values.residual,
    )
