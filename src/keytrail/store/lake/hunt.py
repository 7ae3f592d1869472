"""Hunts: the events of a lake that a KQL query matches, by their times, as they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from keytrail.cloudtrail import Document, Json
from keytrail.cloudtrail.geo import GeoLookup
from keytrail.errors import Place, StoreError
from keytrail.search import Options, Pattern
from keytrail.search.examine import read_row
from keytrail.store.lake.model import Catalog
from keytrail.store.lake.question import Question
from keytrail.store.lake.read import LakeReader, Limits, Window
from keytrail.store.lake.sweep import Hit, in_order


@dataclass(frozen=True, slots=True)
class Hunt:
    """What is hunted for: events of these times (`until` exclusive) that `query` matches, each once.

    With `containing` only those that hold it in a string value, at any depth. `now` is what relative dates in the
    query count from; `strict` as of `query.compile`.
    """

    query: str
    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    containing: str = ""
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Hunted:
    """An event that was found, with its position, its record as stored and as parsed."""

    position: int
    raw: bytes
    data: Json
    geo: GeoLookup | None = None

    def document(self) -> Json:
        """Its ECS document."""
        return Document(self.data, geo=self.geo).to_dict()


def hunt(
    folder: Path,
    catalog: Catalog,
    what: Hunt,
    *,
    newest: bool = True,
    limit: int | None = None,
    geo: GeoLookup | None = None,
    limits: Limits | None = None,
) -> Iterator[Hunted]:
    """The events, by time and then by id, or the `newest` first in the very reverse; at most `limit` of them.

    An event without a readable time comes before all others, and is found only where neither bound is given.
    Raises QueryError at once; StoreError where a segment is missing or damaged.
    """
    question = _question(what, geo)

    def found() -> Iterator[Hunted]:
        for hit in islice(_hits(LakeReader(folder, catalog, limits), question, newest), limit):
            yield Hunted(hit.position, hit.raw, read_row(hit.raw, Place(""), Options().limits), geo)

    return found()


def count(
    folder: Path, catalog: Catalog, what: Hunt, *, geo: GeoLookup | None = None, limits: Limits | None = None
) -> int:
    """How many events `hunt` finds; without reading a record where columns alone decide. Raises as it does."""
    question = _question(what, geo)
    narrowing = question.narrowing
    if narrowing.exact and not what.containing:
        reader = LakeReader(folder, catalog, limits)
        try:
            pieces = [] if narrowing.never else reader.pieces(question.window)
            found = reader.count(pieces, narrowing, question.window) if pieces else 0
        except (FileNotFoundError, StoreError):
            found = None  # Whoever reads segment by segment knows what to do about it.
        finally:
            reader.close()
        if found is not None:
            return found
    return sum(1 for _ in _hits(LakeReader(folder, catalog, limits), question, newest=False))


def _question(what: Hunt, geo: GeoLookup | None) -> Question:
    pattern = Pattern("", what.query, strict=what.strict, since=what.since, until=what.until, raw_only=True)
    window = Window.of(what.since, what.until)
    return Question([pattern], now=what.now, window=window, containing=what.containing, geo=geo)


def _hits(reader: LakeReader, question: Question, newest: bool) -> Iterator[Hit]:
    try:
        yield from in_order(reader, question, newest=newest)
    finally:
        reader.close()


__all__ = ["Hunt", "Hunted", "count", "hunt"]
