"""An event store over the segments of a lake: what columns or bytes cannot rule out is read, and judged by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE
from keytrail.errors import Place
from keytrail.search import Literal, Pattern, Sighting, within
from keytrail.search.cut import Rows
from keytrail.search.examine import Options, read_row
from keytrail.store.answers import Answers, Times, patterns_of, terms_of
from keytrail.store.lake.members import micros_of
from keytrail.store.lake.model import Catalog, Segment
from keytrail.store.lake.narrow import narrowing_of
from keytrail.store.lake.question import Question
from keytrail.store.lake.read import LakeReader, Limits, Piece, Window
from keytrail.store.lake.schema import COLUMN_OF
from keytrail.store.lake.sweep import Hit, as_they_come, in_order
from keytrail.store.model import Batch, Coverage, Damage, Interval, Selector, StoredRecord, Want
from keytrail.store.problems import may_hold

_EVERYTHING = Window()
_LIMITS = Options().limits


@dataclass(frozen=True, slots=True)
class Arrived:
    """Records that arrived one behind the other, the first at `position`; `history` as of their segment."""

    position: int
    rows: Rows
    history: bool


class LakeStore:
    """The events of a lake below `folder`, as the catalog has them whenever a question is asked.

    `now` is what relative dates in a query count from, `damage` tells what did not come into the lake. What `prepare`
    was told stays on disk and is kept up with the lake; all else is read for each question. For one thread. Whatever
    reads raises StoreError where a segment is missing or damaged.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        *,
        now: datetime,
        limits: Limits | None = None,
        damage: Callable[[], Sequence[Damage]] = tuple,
    ) -> None:
        self._catalog = catalog
        self._reader = LakeReader(folder, catalog, limits)
        self._now = now
        self._damage = damage
        self._forget()

    def close(self) -> None:
        """Let go of what was prepared, and of DuckDB."""
        self._forget()
        self._reader.close()

    # -- what events hold -----------------------------------------------------------------------------------------

    def find(
        self,
        what: Selector,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRecord]:
        self._keep_up()
        if not self._answers.missing([Want(what, since, until)]):
            yield from self._answers.records(self._answers.select(what, since, until), limit)
            return
        for hit in islice(self._hits(what, since, until), limit):
            yield StoredRecord(hit.position, hit.raw, read_row(hit.raw, Place(""), _LIMITS))

    def count(self, what: Selector, since: datetime | None = None, until: datetime | None = None) -> int:
        self._keep_up()
        if not self._answers.missing([Want(what, since, until)]):
            return len(self._answers.select(what, since, until))
        return sum(1 for _ in self._hits(what, since, until))

    def seen(self, what: Sighting) -> bool:
        self.prepare((), (what,))
        return self._seen[what]

    def coverage(self, since: datetime | None = None, until: datetime | None = None) -> Coverage:
        times: dict[tuple[str, str], list[datetime]] = {}
        for segment in self._catalog.segments():
            for span in segment.file.sites:
                inside = [one for one in (span.first, span.last) if within(one, since, until)]
                if inside:
                    times.setdefault((span.account, span.region), []).extend(inside)
        seen = tuple(Interval(*site, min(found), max(found)) for site, found in sorted(times.items()))
        damage = (one for one in self._damage() if one.day is None or may_hold(one.day, since, until))
        return Coverage(seen, tuple(damage))

    def damage(self) -> tuple[Damage, ...]:
        return tuple(self._damage())

    def prepare(self, wants: Sequence[Want], sightings: Sequence[Sighting] = ()) -> None:
        """Find all that is not known yet: what columns decide by them, the rest in one pass. Raises QueryError."""
        self._keep_up()
        terms = self._answers.missing(wants)
        asked = [one for one in dict.fromkeys(sightings) if one not in self._seen]
        self._look_for(terms, asked, 0)
        self._answers.complete(terms)

    def _hits(self, what: Selector, since: datetime | None, until: datetime | None) -> Iterator[Hit]:
        terms = {term: [(since, until)] for term in terms_of(what)}
        patterns = [pattern for _, pattern in patterns_of(terms)]
        if patterns:
            question = Question(patterns, now=self._now, window=Window.of(since, until))
            yield from in_order(self._reader, question)

    # -- what was prepared ----------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._answers = Answers()
        self._seen: dict[Sighting, bool] = {}
        # Up to which position the answers are complete, and how many rows there were.
        self._upto = 0
        self._rows = 0

    def _keep_up(self) -> None:
        """Look in what has arrived for what was prepared; forget all when rows are there no longer."""
        segments = self._catalog.segments()
        if _rows_before(segments, self._upto) != self._rows:
            self._forget()
        end = max((segment.end for segment in segments), default=0)
        if end > self._upto:
            again = [one for one, is_seen in self._seen.items() if not is_seen]
            self._look_for(self._answers.terms, again, self._upto)
            self._upto, self._rows = end, _rows_before(segments, end)

    def _look_for(self, terms: Mapping[Selector, Sequence[Times]], sightings: Sequence[Sighting], start: int) -> None:
        """Find terms and sightings in the rows from a position on."""
        together: list[tuple[Selector, Pattern]] = []
        for term, pattern in patterns_of(terms):
            if pattern.literals or not self._has_columns(pattern):
                together.append((term, pattern))
            else:
                self._pass([(term, pattern)], (), start)
        by_column, elsewhere = _parted(sightings)
        if together or elsewhere:
            self._pass(together, elsewhere, start)
        for column, some in by_column.items():
            self._sight(column, some, start)

    def _has_columns(self, pattern: Pattern) -> bool:
        narrowing = narrowing_of(kql.compile(pattern.query, CATALOGUE, now=self._now))
        return bool(narrowing.sql) or narrowing.never

    def _pass(self, wanted: Sequence[tuple[Selector, Pattern]], sightings: Sequence[Sighting], start: int) -> None:
        patterns = [pattern for _, pattern in wanted]
        question = Question(patterns, now=self._now, window=_window(patterns, sightings), sightings=sightings)
        for hit in as_they_come(self._reader, question, self._reader.pieces(question.window, start)):
            self._answers.add(hit.match, wanted[hit.match.pattern][0])
        self._seen.update((one, number in question.seen) for number, one in enumerate(sightings))

    def _sight(self, column: str, sightings: Sequence[Sighting], start: int) -> None:
        """Answer sightings of values that a column holds."""
        values = sorted({one.value for one in sightings})
        window = _window((), sightings)
        firsts: dict[tuple[str, str], int] = {}
        waiting = self._reader.pieces(window, start)[::-1]
        while waiting:
            piece = waiting.pop()
            try:
                times = self._reader.first_times(piece, column, values, window.high)
            except FileNotFoundError:
                waiting += self._reader.replaced(piece)[::-1]
                continue
            for who, first in times.items():
                firsts[who] = min(first, firsts.get(who, first))
        for one in sightings:
            at = firsts.get((one.value, one.account))
            self._seen[one] = at is not None and at < _before(one)

    # -- in the order of arrival ----------------------------------------------------------------------------------

    def head(self) -> int:
        return self._catalog.head()

    def after(self, position: int, limit: int) -> Batch:
        """Also one more is looked for, to know whether there is one."""
        found: list[StoredRecord] = []
        for some in self.arrived(position):
            for row in range(len(some.rows)):
                if len(found) == limit:
                    return Batch(tuple(found), some.position + row, more=True)
                raw = some.rows.raw(row)
                found.append(StoredRecord(some.position + row, raw, read_row(raw, Place(""), _LIMITS)))
        return Batch(tuple(found), max(position, self.head()), more=False)

    def arrived(self, position: int) -> Iterator[Arrived]:
        """The records from `position` on, as many together as are stored together, for `Examiner.examine_rows`."""
        missing: Piece | None = None
        while True:
            if missing is not None:
                self._reader.replaced(missing)  # Raises when it should be there.
            pieces = self._reader.pieces(_EVERYTHING, position)
            try:
                for piece in pieces:
                    missing = piece
                    for group in self._reader.groups(piece, _EVERYTHING):
                        for block in self._reader.blocks(group):
                            first = piece.segment.first_sequence + block.numbers[0]
                            yield Arrived(first, block.rows, piece.segment.history)
                            position = first + len(block.rows)
                return
            except FileNotFoundError:
                continue


def _rows_before(segments: Iterable[Segment], position: int) -> int:
    """How many rows there are before a position."""
    return sum(max(min(one.end, position) - one.first_sequence, 0) for one in segments)


def _parted(sightings: Iterable[Sighting]) -> tuple[dict[str, list[Sighting]], list[Sighting]]:
    """Sightings by the column that answers them, and those that none does: columns are exact for ASCII."""
    by_column: dict[str, list[Sighting]] = {}
    elsewhere: list[Sighting] = []
    for one in sightings:
        column = COLUMN_OF.get(one.path)
        if column is not None and one.value.isascii() and one.account.isascii():
            by_column.setdefault(column, []).append(one)
        else:
            elsewhere.append(one)
    return by_column, elsewhere


def _window(patterns: Iterable[Pattern], sightings: Iterable[Sighting]) -> Window:
    """The times that at least one of them asks for."""
    asked: list[Pattern | Literal] = []
    for pattern in patterns:
        asked += pattern.literals or [pattern]
    windows = [Window.of(one.since, one.until) for one in asked]
    windows += [Window(high=_before(one)) for one in sightings]
    return Window(min(one.low for one in windows), max(one.high for one in windows))


def _before(sighting: Sighting) -> int:
    before = micros_of(sighting.before)
    assert before is not None
    return before


__all__ = ["Arrived", "LakeStore"]
