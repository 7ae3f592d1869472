"""Matches put aside on disk until all are known, then read back by event time; memory holds only their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from keytrail import search
from keytrail.search import Match

Json = dict[str, object]


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """Where a match lies in the spool. The order is that of the output: event time, then pattern, then id."""

    time: str
    pattern: int
    id: str
    offset: int
    length: int


class Spool:
    """The ECS documents of matches on disk, each kept once by alert id. Not shared between processes."""

    def __init__(self) -> None:
        self._documents = search.Spool()
        self._entries: list[_Entry] = []
        self._seen: set[bytes] = set()

    def add(self, match: Match) -> bool:
        """Keep `match`; False when an event of the same identity has matched the same pattern already."""
        key = bytes.fromhex(match.id)
        if key in self._seen:
            return False
        self._seen.add(key)
        offset = self._documents.add(match.document)
        self._entries.append(_Entry(match.time, match.pattern, match.id, offset, len(match.document)))
        return True

    def __len__(self) -> int:
        return len(self._entries)

    def holds(self, id: str) -> bool:
        """Whether a match of this alert id was kept."""
        return bytes.fromhex(id) in self._seen

    def sorted(self, build: Callable[[int, str, bytes], Json]) -> SpooledAlerts:
        """What was kept, by event time; `build(pattern, id, document)` makes each when it is asked for."""
        return SpooledAlerts(self._documents, sorted(self._entries), build)


class SpooledAlerts(Sequence[Json]):
    """The alerts of a run in order, made from the spool one at a time as they are read."""

    def __init__(
        self, documents: search.Spool, entries: list[_Entry], build: Callable[[int, str, bytes], Json]
    ) -> None:
        self._documents = documents
        self._entries = entries
        self._build = build

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Json]:
        return map(self._made, self._entries)

    @overload
    def __getitem__(self, index: int) -> Json: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Json]: ...
    def __getitem__(self, index: int | slice) -> Json | Sequence[Json]:
        if isinstance(index, slice):
            return SpooledAlerts(self._documents, self._entries[index], self._build)
        return self._made(self._entries[index])

    def _made(self, entry: _Entry) -> Json:
        return self._build(entry.pattern, entry.id, self._documents.read(entry.offset, entry.length))
