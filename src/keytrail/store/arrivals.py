"""The records of an archive in the order of their arrival, by position: the slow, exact way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from keytrail.cloudtrail import ReadLimits, Record, event_time, inflate, read_items
from keytrail.errors import InputError, SourceError
from keytrail.search import Result, within
from keytrail.sources import Source, TimeWindow
from keytrail.store.model import Batch, StoredRecord
from keytrail.store.problems import Problems

# A position names an object, by its number in the listing, and a record in it: so it is known without reading the
# objects before, and no object holds that many records.
_RECORDS = 2**32


class Arrivals:
    """The events of sources in a window, object by object as listed. What cannot be read is told to `problems`."""

    def __init__(self, sources: Sequence[Source], window: TimeWindow, limits: ReadLimits, problems: Problems) -> None:
        self._sources = sources
        self._window = window
        self._limits = limits
        self._problems = problems
        self._objects: list[tuple[Source, str]] | None = None

    def head(self) -> int:
        """The position behind the last record."""
        return len(self._listed()) * _RECORDS

    def after(self, position: int, limit: int) -> Batch:
        """At most `limit` records from `position` on; one more is looked for, to know whether there is one."""
        found = tuple(islice(self._from(position), limit + 1))
        if len(found) <= limit:
            return Batch(found, max(position, self.head()), more=False)
        return Batch(found[:limit], found[limit].position, more=True)

    def _from(self, position: int) -> Iterator[StoredRecord]:
        for number in range(position // _RECORDS, len(self._listed())):
            for record in self._records(number):
                if record.position >= position:
                    yield record

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
        source, key = self._listed()[number]
        for place, record in enumerate(self._read(source, key)):
            if within(event_time(record.data), self._window.since, self._window.until):
                yield StoredRecord(number * _RECORDS + place, record.raw, record.data)

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
