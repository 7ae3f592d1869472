"""Repeated events are found before they are stored: those of a batch, and those that the lake holds already.

A repetition has the same identity (`cloudtrail.identity`), hence the same account, Region and time: only segments that
hold events of that account and Region at that time are asked. They are asked for the digest, and where that is the
same, for the event itself, so that two events whose digests happen to be equal are both kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from keytrail.cloudtrail import Identity, ReadLimits, Record, identity
from keytrail.cloudtrail.records import record_from_slice
from keytrail.errors import Place
from keytrail.store.lake.digest import Digests
from keytrail.store.lake.files import Files
from keytrail.store.lake.model import Segment, SegmentFile
from keytrail.store.lake.segment import read_segment, site_times

CACHE_BYTES = 64 * 1024**2
"""What the digests of segments may take in memory, at 12 bytes a row. The least recently asked are let go."""

_IDENTITY = {"event_id": pa.string(), "time": pa.int64(), "account": pa.string(), "region": pa.string()}
_UNKNOWN = "\ufffd"  # what a column holds for a character that it cannot hold

_NEVER = datetime.min.replace(tzinfo=UTC)

Sites = dict[tuple[str, str], tuple[datetime, datetime]]
Mask = npt.NDArray[np.bool_]


class _Key(NamedTuple):
    """What the columns tell of an identity; the time in microseconds since 1970."""

    event_id: str
    time: int | None
    account: str
    region: str

    @property
    def is_whole(self) -> bool:
        """Whether equal keys with equal digests are the same event; else the raw records have to be asked."""
        return self.time is not None and _UNKNOWN not in f"{self.event_id}{self.account}{self.region}"


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The digests of a segment in ascending order, and the row of each."""

    digests: Digests
    rows: npt.NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        return self.digests.nbytes + self.rows.nbytes


class DigestReader:
    """Reads the digests of segments, and keeps those asked last within `cache_bytes`. Used by one thread."""

    def __init__(self, files: Files, cache_bytes: int = CACHE_BYTES) -> None:
        self.files = files
        self._most = cache_bytes
        self._held: OrderedDict[str, _Sorted] = OrderedDict()
        self._size = 0

    @property
    def held_bytes(self) -> int:
        """What is held now."""
        return self._size

    def digests(self, file: SegmentFile) -> _Sorted:
        """The digests of a segment. Raises StoreError where it cannot be read."""
        found = self._held.get(file.path)
        if found is not None:
            self._held.move_to_end(file.path)
            return found
        column = read_segment(self.files, file, ["digest"])["digest"].to_numpy()
        order = np.argsort(column, kind="stable").astype(np.int32)
        found = _Sorted(column[order], order)
        if found.nbytes <= self._most:
            self._held[file.path] = found
            self._size += found.nbytes
            while self._size > self._most:
                _, gone = self._held.popitem(last=False)
                self._size -= gone.nbytes
        return found


def new_rows(table: pa.Table, segments: Iterable[Segment], reader: DigestReader) -> pa.Table:
    """The rows of `table` (in SCHEMA) whose events are neither in the segments nor further up in the table.

    Raises StoreError where a segment that has to be asked cannot be read: what cannot be compared is not stored.
    """
    digests = table["digest"].to_numpy()
    new = _first_of_each(table, digests)
    sites, timeless = site_times(table), table["time"].null_count > 0
    first = min((times[0] for times in sites.values()), default=_NEVER)
    last = max((times[1] for times in sites.values()), default=_NEVER)
    for segment in segments:
        file = segment.file
        # Most of a lake is told apart by time alone, and quickly.
        apart = file.first_time is None or file.last_time is None or file.last_time < first or last < file.first_time
        if (not apart or timeless) and _may_share(file, sites, timeless):
            _take_away(new, table, digests, file, reader)
    return table if new.all() else table.filter(pa.array(new))


def _first_of_each(table: pa.Table, digests: Digests) -> Mask:
    """Which rows are the first of their event in the table."""
    new = np.ones(len(table), np.bool_)
    order = np.argsort(digests, kind="stable")
    equal = digests[order][1:] == digests[order][:-1]
    if not equal.any():
        return new
    suspects = np.zeros(len(table), np.bool_)
    suspects[order[1:][equal]] = suspects[order[:-1][equal]] = True
    rows = np.flatnonzero(suspects)
    seen: set[tuple[int, _Key | Identity]] = set()
    for row, key in zip(rows, _exact(table, rows), strict=True):
        known = (int(digests[row]), key)
        new[row] = known not in seen
        seen.add(known)
    return new


def _may_share(file: SegmentFile, sites: Sites, timeless: bool) -> bool:
    """Whether a segment may hold an event of the table."""
    if timeless and file.timeless:
        return True
    for span in file.sites:
        times = sites.get((span.account, span.region))
        if times is not None and times[0] <= span.last and span.first <= times[1]:
            return True
    return False


def _take_away(new: Mask, table: pa.Table, digests: Digests, file: SegmentFile, reader: DigestReader) -> None:
    """Say False in `new` for the rows whose events are in the segment."""
    there = reader.digests(file)
    begin = np.searchsorted(there.digests, digests, "left")
    end = np.searchsorted(there.digests, digests, "right")
    suspects = np.flatnonzero((end > begin) & new)
    if not len(suspects):
        return
    asked = np.unique(np.concatenate([there.rows[begin[row] : end[row]] for row in suspects]))
    stored = zip(asked, _exact_stored(file, asked, reader), strict=True)
    by_row = {int(row): key for row, key in stored}
    for row, key in zip(suspects, _exact(table, suspects), strict=True):
        same = there.rows[begin[row] : end[row]]
        new[row] = all(by_row[int(one)] != key for one in same)


def _exact(table: pa.Table, rows: npt.NDArray[np.int64]) -> list[_Key | Identity]:
    """What tells the event of each of the rows from all others with the same digest."""
    keys = _keys(table.select(list(_IDENTITY)).take(pa.array(rows)))
    raws = table["raw"]
    return [key if key.is_whole else _identity(raws[int(row)].as_py()) for row, key in zip(rows, keys, strict=True)]


def _exact_stored(file: SegmentFile, rows: npt.NDArray[np.int32], reader: DigestReader) -> Iterator[_Key | Identity]:
    """The same for rows of a segment, ascending; raw records are read only where columns do not tell."""
    first = int(rows[0])
    near = read_segment(reader.files, file, list(_IDENTITY), range(first, int(rows[-1]) + 1))
    keys = _keys(near.take(pa.array(rows - first)))
    for row, key in zip(rows, keys, strict=True):
        if key.is_whole:
            yield key
        else:
            yield _identity(read_segment(reader.files, file, ["raw"], range(row, row + 1))["raw"][0].as_py())


def _keys(rows: pa.Table) -> list[_Key]:
    # As plain numbers and strings: Arrow makes Python's times, and strings of dictionaries, one slow step at a time.
    plain = [rows[name].cast(kind).to_pylist() for name, kind in _IDENTITY.items()]
    return list(map(_Key._make, zip(*plain, strict=True)))


def _identity(raw: bytes) -> Identity:
    """The identity of a record that was stored, and so read before."""
    limits = ReadLimits(max_record_bytes=len(raw), max_depth=max(raw.count(b"{") + raw.count(b"["), 1))
    found = record_from_slice(raw, Place("the lake"), limits)
    if not isinstance(found, Record):  # an object in the lake that holds an event is one
        raise AssertionError("a stored record is no event")
    return identity(found.data)


__all__ = ["CACHE_BYTES", "DigestReader", "new_rows"]
