"""A question to the lake: what its matches meet, in columns and in bytes, and who judges the records that may match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE
from keytrail.cloudtrail.geo import GeoLookup
from keytrail.errors import Place, StoreError
from keytrail.search import Match, Options, Pattern, Result, Sighting, dispatch, strings_of
from keytrail.search.cut import Rows, escapes
from keytrail.search.examine import Examiner, read_row
from keytrail.search.needles import needle_finder
from keytrail.store.lake.narrow import Narrowing, longest_run, narrowing_of
from keytrail.store.lake.read import Block, Window


@dataclass(frozen=True, slots=True)
class Found:
    """A match, and the number of its row in the segment's file."""

    row: int
    match: Match


class Question:
    """Some patterns, within the times that at least one of them asks for. Raises QueryError.

    With `containing` only events that hold it in a string value, at any depth. `sightings` are looked for besides;
    those that were answered are in `seen`. `narrowing` says what columns know of a question that is one query.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        *,
        now: datetime,
        window: Window,
        containing: str = "",
        sightings: Sequence[Sighting] = (),
        geo: GeoLookup | None = None,
    ) -> None:
        self.window = window
        self._containing = containing
        self._options = Options()
        joined = dispatch(patterns, now=now, sightings=sightings)
        self._examiner = Examiner(joined, self._options, geo)
        self._result = Result()
        self.narrowing = Narrowing()
        (only, *others) = patterns or (None,)
        if only is not None and not others and not only.literals and not sightings:
            query = kql.compile(only.query, CATALOGUE, now=now, strict=only.strict)
            self.narrowing = narrowing_of(query, strict=only.strict)
        run = longest_run((containing,))
        # Every match holds one of each of these, or an escape.
        self._needles = [run.encode()] if run else ([] if joined.narrow else list(self.narrowing.needles))
        self._find = needle_finder(self._needles) if self._needles else None

    @property
    def seen(self) -> set[int]:
        """The numbers of the sightings that were answered by now."""
        return self._result.seen

    def judge(self, block: Block, name: str) -> list[Found]:
        """The matches in records of the segment `name`. Raises StoreError for a row that is no record."""
        numbers, rows = block.numbers, block.rows
        if self._find is not None:
            hits = {index for at, _ in self._find(rows.buffer) if (index := rows.at(at)) is not None}  # type: ignore[arg-type]
            slashes = any(b"/" in needle for needle in self._needles)
            hits.update(rows.holding(escapes(rows.buffer, slashes=slashes)))  # type: ignore[arg-type]
            if not hits:
                return []
            chosen = sorted(hits)
            numbers, rows = [numbers[index] for index in chosen], _some(rows, chosen)
        result = self._result
        found = self._examiner.examine_rows(rows, result, name)
        result.matches.clear()
        if result.errors:
            raise StoreError(
                f"a segment of the lake holds a row that is no record: {result.errors[0].what}",
                place=Place(name),
                advice="Run `keytrail lake verify`, and put the file back from a backup.",
            )
        return [Found(numbers[index], match) for index, match in found if self._holds(match.raw, name)]

    def _holds(self, raw: bytes, name: str) -> bool:
        if not self._containing:
            return True
        data = read_row(raw, Place(name), self._options.limits)
        return any(self._containing in text for text in strings_of(data))


def _some(rows: Rows, indexes: Sequence[int]) -> Rows:
    raws = [rows.raw(index) for index in indexes]
    return Rows(b"".join(raws), list(accumulate(map(len, raws), initial=0)))


__all__ = ["Found", "Question"]
