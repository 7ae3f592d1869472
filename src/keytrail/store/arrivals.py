"""The records of an archive in the order of their arrival, by position: the slow, exact way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from keytrail.cloudtrail import ReadLimits, Record, event_time, inflate, read_items
from keytrail.errors import InputError, SourceError
from keytrail.search import Result, within
from keytrail.sources import Source, TimeWindow
from keytrail.store.model import Batch, StoredRecord
from keytrail.store.problems import Problems


class Arrivals:
    """The events of sources in a window, object by object as listed. Remembers where each object begins.

    What cannot be read is told to `problems`.
    """

    def __init__(self, sources: Sequence[Source], window: TimeWindow, limits: ReadLimits, problems: Problems) -> None:
        self._sources = sources
        self._window = window
        self._limits = limits
        self._problems = problems
        self._objects: list[tuple[Source, str]] | None = None
        # The positions at which the objects begin that were read to their end, and the one behind them.
        self._starts = [0]

    def head(self) -> int:
        """The position behind the last record."""
        while len(self._starts) <= len(self._listed()):
            for _ in self._records(len(self._starts) - 1):
                pass
        return self._starts[-1]

    def after(self, position: int, limit: int) -> Batch:
        """At most `limit` records from `position` on; one more is looked for, to know whether there is one."""
        found: list[StoredRecord] = []
        number = bisect_right(self._starts, position) - 1
        while number < len(self._listed()) and len(found) <= limit:
            for record in self._records(number):
                if record.position >= position:
                    found.append(record)
                    if len(found) > limit:
                        break
            number += 1
        taken = tuple(found[:limit])
        return Batch(taken, position + len(taken), len(found) > limit)

    def _listed(self) -> list[tuple[Source, str]]:
        if self._objects is None:
            self._objects = []
            for source in self._sources:
                try:
                    for one in source.objects(self._window):
                        self._objects.append((source, one.key))
                except SourceError as error:
                    self._problems.add(Result(failure=error))
                self._problems.add(Result(errors=list(source.problems)))
        return self._objects

    def _records(self, number: int) -> Iterator[StoredRecord]:
        """The records of an object that was read before, or of the first that was not."""
        source, key = self._listed()[number]
        position = self._starts[number]
        for record in self._read(source, key):
            if within(event_time(record.data), self._window.since, self._window.until):
                yield StoredRecord(position, record.raw, record.data)
                position += 1
        if number + 1 == len(self._starts):
            self._starts.append(position)

    def _read(self, source: Source, key: str) -> Iterator[Record]:
        name = source.name(key)
        try:
            for item in read_items(inflate(source.read(key), name, self._limits), name, self._limits):
                if isinstance(item, Record):
                    yield item
                elif isinstance(item, InputError):
                    self._problems.add(Result(errors=[item]))
        except InputError as error:
            self._problems.add(Result(errors=[error]))
        except SourceError as error:
            self._problems.add(Result(failure=error))
