"""The records of the lake in the order of their arrival, as rows to be examined; the latest ones from memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from keytrail.search import Rows
from keytrail.store.lake.files import Files
from keytrail.store.lake.model import Segment
from keytrail.store.lake.segment import read_segment
from keytrail.store.state.catalog import Arrived

# Rows that are read at a time: a few groups of them, some 50 MB.
_ROWS = 40_000
# Bytes of records that are kept from when they were written, for the rules that are about to examine them.
_KEPT_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows one behind the other: the first has the position `first`. `quiet`: their alerts are not told."""

    first: int
    rows: Rows
    quiet: bool

    @property
    def end(self) -> int:
        """The position behind the last row."""
        return self.first + len(self.rows)


class Arriving:
    """Reads rows by position. Used by one thread."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: OrderedDict[str, pa.ChunkedArray] = OrderedDict()
        self._size = 0

    def keep(self, segment: Segment, raw: pa.ChunkedArray) -> None:
        """Keep the records of a segment that was just committed, for as long as there is room."""
        self._kept[segment.file.path] = raw
        self._size += raw.nbytes
        while self._size > _KEPT_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._size -= gone.nbytes

    def let_go(self) -> None:
        """Keep nothing: every rule has examined what there is."""
        self._kept.clear()
        self._size = 0

    def stretches(self, arrived: tuple[Arrived, ...], position: int, end: int) -> Iterator[Stretch]:
        """The rows from a position on and before another, but for those of history. Raises StoreError."""
        for one in arrived:
            segment = one.segment
            if segment.end <= position or segment.first_sequence >= end or segment.history:
                continue
            first = max(position - segment.first_sequence, 0)
            last = min(end, segment.end) - segment.first_sequence
            for start in range(first, last, _ROWS):
                raw = self._raw(segment, start, min(start + _ROWS, last))
                yield from _stretches(raw, segment.first_sequence + start, one.quiet)

    def _raw(self, segment: Segment, start: int, end: int) -> pa.ChunkedArray:
        kept = self._kept.get(segment.file.path)
        if kept is not None:
            return kept.slice(start, end - start)
        return read_segment(self._files, segment.file, ["raw"], range(start, end))["raw"]


def _stretches(raw: pa.ChunkedArray, first: int, quiet: bool) -> Iterator[Stretch]:
    for chunk in raw.chunks:
        if len(chunk):
            yield Stretch(first, rows_of(chunk), quiet)
            first += len(chunk)


def rows_of(column: pa.BinaryArray) -> Rows:
    """The records of a binary column of Arrow, where they lie."""
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    return Rows(memoryview(data or b"").cast("B")[places[0] : places[-1]], places)
