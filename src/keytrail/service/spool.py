"""Matches put aside on disk until all are known, then read back by event time; memory holds only their keys."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

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
    """An append-only file of ECS documents, each kept once by alert id. Not shared between processes."""

    def __init__(self) -> None:
        # The file has no name, so nothing is left behind however this process ends.
        self._file = tempfile.TemporaryFile(prefix="keytrail-")  # noqa: SIM115 - it lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._size = 0
        self._entries: list[_Entry] = []
        self._seen: set[bytes] = set()

    def add(self, match: Match) -> bool:
        """Keep `match`; False when an event of the same identity has matched the same pattern already."""
        key = bytes.fromhex(match.id)
        if key in self._seen:
            return False
        self._seen.add(key)
        self._file.write(match.document)
        self._entries.append(_Entry(match.time, match.pattern, match.id, self._size, len(match.document)))
        self._size += len(match.document)
        return True

    def __len__(self) -> int:
        return len(self._entries)

    def holds(self, id: str) -> bool:
        """Whether a match of this alert id was kept."""
        return bytes.fromhex(id) in self._seen

    def sorted(self, build: Callable[[int, str, bytes], Json]) -> SpooledAlerts:
        """What was kept, by event time; `build(pattern, id, document)` makes each when it is asked for."""
        self._file.flush()
        return SpooledAlerts(self, sorted(self._entries), build)

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


class SpooledAlerts(Sequence[Json]):
    """The alerts of a run in order, made from the spool one at a time as they are read."""

    def __init__(self, spool: Spool, entries: list[_Entry], build: Callable[[int, str, bytes], Json]) -> None:
        self._spool = spool
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
            return SpooledAlerts(self._spool, self._entries[index], self._build)
        return self._made(self._entries[index])

    def _made(self, entry: _Entry) -> Json:
        return self._build(entry.pattern, entry.id, self._spool.read(entry.offset, entry.length))
