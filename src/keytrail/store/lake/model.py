"""Segments, and the catalog that says which there are: the small values that the lake stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SiteSpan:
    """The first and the last event time that a segment holds of an account and Region (both inclusive)."""

    account: str
    region: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment that was written and is not committed: a Parquet file below the lake's folder, and what it holds.

    `path` is relative to that folder, `size` in bytes, `checksum` the hex SHA-256 of the file. `first_time` and
    `last_time` are event times, None when no record has a readable one; `timeless` counts those that have none.
    """

    path: str
    rows: int
    size: int
    checksum: str
    ingest_day: date
    first_time: datetime | None
    last_time: datetime | None
    timeless: int
    sites: tuple[SiteSpan, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the catalog. The position of a row is `first_sequence` + its number in the file.

    `history` says that its records were imported: they are hunted and investigated over, and not detected.
    """

    id: int
    first_sequence: int
    file: SegmentFile
    history: bool = False

    @property
    def end(self) -> int:
        """The position behind its last row."""
        return self.first_sequence + self.file.rows


class Catalog(Protocol):
    """Which segments there are, as committed. Compaction replaces neighbours by one with the same rows and places."""

    def segments(self) -> Sequence[Segment]:
        """All segments, by position."""
        ...

    def head(self) -> int:
        """The position behind the last row; also what counts when all is empty."""
        ...
