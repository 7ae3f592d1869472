"""An event store over archives: objects that are read again for every question that was not told before.

What will be asked is collected, one pass over the objects finds it all, and the records lie on disk until they are
asked for; memory holds an entry for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from keytrail import search
from keytrail.cloudtrail import ReadLimits, event_time
from keytrail.errors import InputError, SourceError
from keytrail.search import Crew, Listing, Options, Plan, Result, Sizes, Spans, merge, within
from keytrail.sources import Source, TimeWindow
from keytrail.store.answers import Answers, Entry, Times, patterns_of, terms_of
from keytrail.store.arrivals import Arrivals
from keytrail.store.model import Batch, Coverage, Damage, Interval, Selector, Sighting, StoredRecord, Want
from keytrail.store.problems import Problems


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
        self._answers = Answers()
        self._seen: dict[Sighting, bool] = {}
        self._spans: Spans | None = None
        self._problems = Problems()
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
        yield from self._answers.records(self._selected(what, since, until), limit)

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
        terms = self._answers.missing(wants)
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
                self._answers.add(match, selectors[match.pattern])

    def taken_over(self, selectors: Iterable[Selector]) -> None:
        """Be told that every match of these was taken over, of all times."""
        self._answers.complete({term: [(None, None)] for term in chain.from_iterable(map(terms_of, selectors))})

    def _selected(self, what: Selector, since: datetime | None, until: datetime | None) -> list[Entry]:
        """The entries of a selector, each event once."""
        self.prepare((Want(what, since, until),))
        return self._answers.select(what, since, until)

    def _pass(self, terms: Mapping[Selector, Sequence[Times]], sightings: tuple[Sighting, ...]) -> Spans:
        """Look for all terms and sightings in every object, once; returns what the objects cover."""
        wanted = patterns_of(terms)
        plan = Plan(
            patterns=tuple(pattern for _, pattern in wanted),
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
                self._answers.add(match, wanted[match.pattern][0])
            seen |= result.seen
            merge(spans, result.spans)
            self._problems.add(result)
            if self._observe is not None:
                self._observe(result)
        self._problems.add(Result(errors=[problem for source in self._sources for problem in source.problems]))
        self._answers.complete(terms)
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

    # -- in the order of arrival ----------------------------------------------------------------------------------

    def head(self) -> int:
        return self._arrivals.head()

    def after(self, position: int, limit: int) -> Batch:
        return self._arrivals.after(position, limit)
