"""An event store over archives: objects that are read again for every question that was not told before.

What will be asked is collected, one pass over the objects finds it all, and the records lie on disk until they are
asked for; memory holds an entry for each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain

from keytrail import search
from keytrail.cloudtrail import ReadLimits, event_time
from keytrail.errors import InputError, SourceError
from keytrail.search import (
    Crew,
    Listing,
    Literal,
    Match,
    Options,
    Pattern,
    Plan,
    Result,
    Sizes,
    Spans,
    Spool,
    merge,
    within,
)
from keytrail.sources import Source, TimeWindow
from keytrail.store.arrivals import Arrivals
from keytrail.store.model import Batch, Coverage, Damage, Interval, Selector, Sighting, StoredRecord, Want
from keytrail.store.problems import Problems

# Records that are kept parsed, most of them some 5 kB; larger ones than so many bytes are parsed each time.
_MOST_PARSED = 4_096
_LARGE_BYTES = 16 * 1024

Times = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record in the spool. Deliveries of one event that differ have the same `name`."""

    moment: datetime | None
    event_id: str
    name: bytes
    offset: int
    length: int


class ArchiveStore:
    """The events of `sources` from `since` on and before `until`: to the store, others do not exist.

    A question is answered from what `prepare` and `take_over` have put aside, if that covers it; else by a pass of its
    own, which is remembered. Sources have to give the same objects each time they are read. `now` is what relative
    dates in a query count from. `observe` is told every result of a pass; `listing` is that of the latest pass. The
    workers of a `crew` make the passes, if it has any.

    `coverage` promises no more than it says. The bounds of an interval are the times of two events that the objects
    hold of the account and Region, yet there may be earlier and later ones. Where objects have no names of AWS's
    layout, an account and Region with few events may be left out.

    What could not be read is in `errors` (the first ones), in `failures`, and in the damage that `coverage` tells.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        limits: ReadLimits | None = None,
        sizes: Sizes | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        now: datetime | None = None,
        observe: Callable[[Result], None] | None = None,
        crew: Crew | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._limits = limits or ReadLimits()
        self._sizes = sizes or Sizes()
        self._times: Times = (since, until)
        self._now = now or datetime.now(UTC)
        self._observe = observe
        self._crew = crew
        self.listing = Listing()
        self._spool = Spool()
        self._entries: list[_Entry] = []
        self._numbers: dict[bytes, int] = {}
        # Of each query and each single literal: when it was looked for, and the numbers of the entries found.
        self._prepared: dict[Selector, list[Times]] = {}
        self._found: dict[Selector, set[int]] = {}
        self._seen: dict[Sighting, bool] = {}
        self._spans: Spans | None = None
        self._problems = Problems()
        # What is asked about one change is often asked about the next; records are not changed by who gets them.
        self._record = lru_cache(_MOST_PARSED)(self._read)
        self._arrivals = Arrivals(self._sources, TimeWindow(since, until), self._limits, self._problems)

    @property
    def errors(self) -> tuple[InputError, ...]:
        """What could not be read, each problem once."""
        return self._problems.errors

    @property
    def failures(self) -> tuple[SourceError, ...]:
        """The sources that could not be reached, or were lost."""
        return self._problems.failures

    def new_problems(self) -> tuple[InputError | SourceError, ...]:
        """The errors and failures that were not given by this method before."""
        return self._problems.new()

    # -- what events hold -----------------------------------------------------------------------------------------

    def find(
        self,
        what: Selector,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRecord]:
        found = sorted(self._selected(what, since, until), key=_order)
        for entry in found[:limit]:
            record = self._record if entry.length <= _LARGE_BYTES else self._read
            yield record(entry.offset, entry.length)

    def _read(self, offset: int, length: int) -> StoredRecord:
        raw = self._spool.read(offset, length)
        return StoredRecord(-1, raw, json.loads(raw))

    def count(self, what: Selector, since: datetime | None = None, until: datetime | None = None) -> int:
        return len(self._selected(what, since, until))

    def seen(self, what: Sighting) -> bool:
        self.prepare((), (what,))
        return self._seen[what]

    def coverage(self, since: datetime | None = None, until: datetime | None = None) -> Coverage:
        spans = self._pass({}, ()) if self._spans is None else self._spans
        times: dict[tuple[str, str], list[datetime]] = {}
        for (account, region, _), moments in spans.items():
            inside = [one for one in moments if within(one, since, until)]
            if inside:
                times.setdefault((account, region), []).extend(inside)
        seen = tuple(Interval(*site, min(found), max(found)) for site, found in sorted(times.items()))
        return Coverage(seen, self._problems.damage(since, until))

    def damage(self) -> tuple[Damage, ...]:
        return self._problems.damage(*self._times)

    def prepare(self, wants: Sequence[Want], sightings: Sequence[Sighting] = ()) -> None:
        """Find all that is not known yet in one pass. Raises QueryError."""
        terms: dict[Selector, list[Times]] = {}
        for want in wants:
            for term in _terms(want.what):
                times = (want.since, want.until)
                if not _covered(times, chain(self._prepared.get(term, ()), terms.get(term, ()))):
                    terms.setdefault(term, []).append(times)
        asked = tuple(dict.fromkeys(one for one in sightings if one not in self._seen))
        if terms or asked:
            self._pass(terms, asked)

    def take_over(self, result: Result, selectors: Mapping[int, Selector]) -> None:
        """Take over a result from a caller who examines all objects itself: its problems, and the matches of some.

        `selectors` are by the numbers of their patterns, whose key is "" and which hold the record (`raw_only`).
        """
        self._problems.add(result)
        for match in result.matches:
            if match.pattern in selectors and within(event_time({"eventTime": match.time}), *self._times):
                self._put_aside(match, selectors[match.pattern])

    def taken_over(self, selectors: Iterable[Selector]) -> None:
        """Be told that every match of these was taken over, of all times."""
        for term in chain.from_iterable(map(_terms, selectors)):
            self._prepared.setdefault(term, []).append((None, None))

    def _selected(self, what: Selector, since: datetime | None, until: datetime | None) -> list[_Entry]:
        """The entries of a selector, each event once."""
        self.prepare((Want(what, since, until),))
        numbers = set[int]().union(*(self._found.get(term, ()) for term in _terms(what)))
        found: dict[bytes, _Entry] = {}
        for number in sorted(numbers):
            entry = self._entries[number]
            if within(entry.moment, since, until):
                found.setdefault(entry.name, entry)
        return list(found.values())

    def _pass(self, terms: Mapping[Selector, Sequence[Times]], sightings: tuple[Sighting, ...]) -> Spans:
        """Look for all terms and sightings in every object, once; returns what the objects cover."""
        selectors: list[Selector] = []
        patterns: list[Pattern] = []
        for term, wanted in terms.items():
            for since, until in wanted if term.query else ():
                selectors.append(term)
                patterns.append(Pattern("", term.query, since=since, until=until, raw_only=True))
        literals = frozenset(
            Literal(value, *times) for term, wanted in terms.items() for value in term.literals for times in wanted
        )
        if literals:
            selectors.append(Selector.any_of(one.value for one in literals))
            patterns.append(Pattern("", literals=literals))
        plan = Plan(
            patterns=tuple(patterns),
            now=self._now,
            sources=self._sources,
            options=Options(self._limits, *self._window(terms, sightings), spans=self._spans is None),
            sightings=sightings,
        )
        seen: set[int] = set()
        spans: Spans = {}
        self.listing = Listing()
        for result in search.run(plan, self._sizes, listing=self.listing, crew=self._crew):
            for match in result.matches:
                self._put_aside(match, selectors[match.pattern])
            seen |= result.seen
            merge(spans, result.spans)
            self._problems.add(result)
            if self._observe is not None:
                self._observe(result)
        self._problems.add(Result(errors=[problem for source in self._sources for problem in source.problems]))
        for term, wanted in terms.items():
            self._prepared.setdefault(term, []).extend(wanted)
        self._seen.update((one, number in seen) for number, one in enumerate(sightings))
        if self._spans is None:
            self._spans = spans
        return self._spans

    def _window(self, terms: Mapping[Selector, Sequence[Times]], sightings: tuple[Sighting, ...]) -> Times:
        """The times in which a pass has to look: the store's own, or less if all that is wanted lies within less."""
        wanted = [times for each in terms.values() for times in each]
        if self._spans is None or sightings or not wanted:
            return self._times
        starts, ends = zip(*wanted, strict=True)
        since, until = self._times
        if None not in starts:
            since = max(min(starts), since) if since is not None else min(starts)
        if None not in ends:
            until = min(max(ends), until) if until is not None else max(ends)
        return since, until

    def _keep(self, match: Match) -> int:
        """The number of the entry of a record; one that was delivered again, byte for byte, is kept once."""
        key = hashlib.blake2b(match.raw, digest_size=16).digest()
        number = self._numbers.setdefault(key, len(self._entries))
        if number == len(self._entries):
            moment = event_time({"eventTime": match.time})
            offset = self._spool.add(match.raw)
            self._entries.append(_Entry(moment, match.event_id, _name(match), offset, len(match.raw)))
        return number

    def _put_aside(self, match: Match, what: Selector) -> None:
        """Keep the record of a match for the query that found it, or for those of the literals that it holds."""
        number = self._keep(match)
        for term in map(_literal, match.literals) if what.literals else (what,):
            self._found.setdefault(term, set()).add(number)

    # -- in the order of arrival ----------------------------------------------------------------------------------

    def head(self) -> int:
        return self._arrivals.head()

    def after(self, position: int, limit: int) -> Batch:
        return self._arrivals.after(position, limit)


def _terms(what: Selector) -> tuple[Selector, ...]:
    """What is looked for and remembered by itself: a query, or each single literal."""
    return (what,) if what.query else tuple(map(_literal, sorted(what.literals)))


def _literal(value: str) -> Selector:
    return Selector(literals=frozenset((value,)))


def _covered(times: Times, prepared: Iterable[Times]) -> bool:
    """Whether one of the intervals holds another. One without bounds also holds the events without a time."""
    since, until = times
    return any(
        (first is None or (since is not None and first <= since))
        and (end is None or (until is not None and until <= end))
        for first, end in prepared
    )


def _name(match: Match) -> bytes:
    """An event's identity, short: by the id of what finds it, which says nothing of its time, and by its time."""
    return hashlib.blake2b(f"{match.id} {match.time}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _order(entry: _Entry) -> tuple[datetime, str]:
    return entry.moment or datetime.min.replace(tzinfo=UTC), entry.event_id
