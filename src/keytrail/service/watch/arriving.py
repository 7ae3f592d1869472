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
from keytrail.store.lake.segment import ROW_GROUP_ROWS, read_segment
from keytrail.store.state.catalog import Arrived

# Rows that are read at a time: a group of them as it is stored, some 25 MB.
_ROWS = ROW_GROUP_ROWS
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
        # What was read last, with the number of its first row: who goes on in small steps reads it once.
        self._read: tuple[str, int, pa.ChunkedArray] | None = None

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
        self._read = None

    def stretches(self, arrived: tuple[Arrived, ...], position: int, end: int, most: int = _ROWS) -> Iterator[Stretch]:
        """The rows from a position on and before another, but for those of history, at most `most` at a time.

        Raises StoreError.
        """
        for one in arrived:
            segment = one.segment
            if segment.end <= position or segment.first_sequence >= end or segment.history:
                continue
            first = max(position - segment.first_sequence, 0)
            last = min(end, segment.end) - segment.first_sequence
            for start in range(first, last, most):
                raw = self._raw(segment, start, min(start + most, last))
                yield from _stretches(raw, segment.first_sequence + start, one.quiet)

    def _raw(self, segment: Segment, start: int, end: int) -> pa.ChunkedArray:
        path = segment.file.path
        if (kept := self._kept.get(path)) is not None:
            return kept.slice(start, end - start)
        if self._read is not None:
            read, first, rows = self._read
            if read == path and first <= start and end <= first + len(rows):
                return rows.slice(start - first, end - start)
        last = min(max(start + _ROWS, end), segment.file.rows)
        rows = read_segment(self._files, segment.file, ["raw"], range(start, last))["raw"]
        self._read = (path, start, rows)
        return rows.slice(0, end - start)


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
