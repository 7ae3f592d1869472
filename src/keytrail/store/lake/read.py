"""The reading of segments: which rows may hold events of some times, their raw records, and what columns say of them.

A segment's file may be gone when it is opened, for compaction has put its rows elsewhere or they were kept long enough:
FileNotFoundError says so, and `LakeReader.replaced` where the rows are now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from keytrail.errors import Place, StoreError
from keytrail.search.cut import Rows
from keytrail.store.lake.duck import DuckLimits, connect
from keytrail.store.lake.files import OsFiles, explained
from keytrail.store.lake.members import micros_of
from keytrail.store.lake.model import Catalog, Segment
from keytrail.store.lake.narrow import Narrowing

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

TIMELESS = -(2**63)
"""The time, in microseconds since 1970, that stands for that of a record without one: before all others."""
_LAST = 2**63 - 1

# The files are the first parameter. The folder of a day is called as others call a partition, and is none.
_ROWS = "read_parquet(?, file_row_number = true, hive_partitioning = false)"

# Footers that are kept; that of a segment of half a million rows takes some 200 kB.
_MOST_FOOTERS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what reading takes. `pending_bytes` is what waits in memory for its turn, to be given in order."""

    duck: DuckLimits = field(default_factory=DuckLimits)
    threads: int = 2
    pending_bytes: int = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Window:
    """Event times in microseconds since 1970, from `low` on and before `high`."""

    low: int = TIMELESS
    high: int = _LAST

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None) -> Window:
        """The window of an interval."""
        low, high = micros_of(since), micros_of(until)
        return cls(TIMELESS if low is None else low, _LAST if high is None else high)

    @property
    def timeless(self) -> bool:
        """Whether events without a time count: they lie in no interval with a bound."""
        return self.low == TIMELESS and self.high == _LAST

    def span(self, first: int | None, last: int | None, timeless: bool) -> tuple[int, int] | None:
        """Of rows with times from `first` to `last`, and such without if `timeless`: those that count; None if none."""
        counts = self.timeless and timeless
        if first is None or last is None or first >= self.high or last < self.low:
            return (TIMELESS, TIMELESS) if counts else None
        return (TIMELESS if counts else max(first, self.low)), min(last, self.high - 1)

    def narrowing(self) -> tuple[str, tuple[object, ...]]:
        """The condition on the column `time`, "" when every time counts."""
        parts: list[str] = []
        params: list[object] = []
        for bound, sign in ((self.low, ">="), (self.high, "<")):
            if bound not in (TIMELESS, _LAST):
                parts.append(f"time {sign} make_timestamptz(?::BIGINT)")
                params.append(bound)
        return " AND ".join(parts), tuple(params)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a segment, by their numbers in its file, `end` exclusive."""

    segment: Segment
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a piece that are stored together: the group's `number` in the file, and that of its first row there.

    `low` and `high` bound the times of those of its events that count.
    """

    piece: Piece
    number: int
    first: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Block:
    """Records that follow each other: `numbers` are those of the rows in their file."""

    numbers: Sequence[int]
    rows: Rows


class LakeReader:
    """Reads the segments of a catalog, below `folder`. For one thread, but `blocks`. `close` lets go of DuckDB."""

    def __init__(self, folder: Path, catalog: Catalog, limits: Limits | None = None) -> None:
        self.folder = folder
        self.catalog = catalog
        self.limits = limits or Limits()
        self._files = OsFiles(folder)
        self._duck: duckdb.DuckDBPyConnection | None = None
        self._footers: dict[str, pq.FileMetaData] = {}

    def close(self) -> None:
        """Let go of what is held; the next question takes it again."""
        if self._duck is not None:
            self._duck.close()
            self._duck = None

    # -- which rows -----------------------------------------------------------------------------------------------

    def pieces(self, window: Window, start: int = 0) -> list[Piece]:
        """The rows from position `start` on of the segments that may hold events of these times, by position."""
        found = []
        for segment in self.catalog.segments():
            first = max(start - segment.first_sequence, 0)
            if first < segment.file.rows and span_of(segment, window) is not None:
                found.append(Piece(segment, first, segment.file.rows))
        return found

    def replaced(self, piece: Piece) -> list[Piece]:
        """Where the rows of a piece are now, whose file was not there; some or all may be kept no longer.

        Raises StoreError when the catalog still says that they are there.
        """
        first, end = piece.segment.first_sequence + piece.start, piece.segment.first_sequence + piece.end
        found = []
        for segment in self.catalog.segments():
            if segment.first_sequence < end and segment.end > first:
                if segment.file.path == piece.segment.file.path:
                    raise StoreError(
                        "a segment of the lake is missing",
                        place=Place(segment.file.path),
                        advice="Put it back from a backup; `keytrail lake verify` says what else is missing.",
                    )
                start = segment.first_sequence
                found.append(Piece(segment, max(first - start, 0), min(end, segment.end) - start))
        return found

    def groups(self, piece: Piece, window: Window) -> list[Group]:
        """The groups of a piece's rows that may hold events of these times."""
        footer = self._footer(piece)
        found = []
        first = 0
        for number in range(footer.num_row_groups):
            about = footer.row_group(number)
            if first < piece.end and first + about.num_rows > piece.start:
                known = about.column(0).statistics
                if known is not None and known.has_null_count and (known.has_min_max or known.num_values == 0):
                    times = (micros_of(known.min), micros_of(known.max)) if known.has_min_max else (None, None)
                    span = window.span(*times, known.null_count > 0)
                else:
                    span = span_of(piece.segment, window)
                if span is not None:
                    found.append(Group(piece, number, first, *span))
            first += about.num_rows
        return found

    # -- records --------------------------------------------------------------------------------------------------

    def blocks(self, group: Group) -> list[Block]:
        """The records of a group. Any thread may ask."""
        with self._opened(group.piece, self._footers.get(group.piece.segment.file.path)) as file:
            column = file.read_row_group(group.number, columns=["raw"], use_threads=False)["raw"]
        blocks = []
        at = group.first
        for chunk in column.chunks:
            start, end = max(group.piece.start - at, 0), min(group.piece.end - at, len(chunk))
            if start < end:
                blocks.append(Block(range(at + start, at + end), rows_of(chunk.slice(start, end - start))))
            at += len(chunk)
        return blocks

    def fetch(self, piece: Piece, numbers: Numbers) -> list[Block]:
        """The records of single rows, ascending by number."""
        table = self._ask(
            piece,
            f"SELECT file_row_number, raw FROM {_ROWS} "  # noqa: S608 - no values
            "WHERE file_row_number BETWEEN ? AND ? AND file_row_number IN (SELECT unnest(?::BIGINT[])) "
            "ORDER BY file_row_number",
            (int(numbers.min()), int(numbers.max()), numbers.tolist()),
        )
        return [
            Block(batch["file_row_number"].to_pylist(), rows_of(batch["raw"])) for batch in table.to_batches() if batch
        ]

    def chosen(self, piece: Piece, narrowing: Narrowing, window: Window) -> tuple[Numbers, Numbers]:
        """The numbers and the times of the rows that meet a condition on columns."""
        timed, bounds = window.narrowing()
        where = " AND ".join(["file_row_number BETWEEN ? AND ?", *filter(None, (timed, narrowing.sql))])
        table = self._ask(
            piece,
            "SELECT file_row_number, coalesce(epoch_us(time), -9223372036854775808) AS at "  # noqa: S608 - no values
            f"FROM {_ROWS} WHERE {where}",
            (piece.start, piece.end - 1, *bounds, *narrowing.params),
        )
        return table["file_row_number"].to_numpy(), table["at"].to_numpy()

    def first_times(
        self, piece: Piece, column: str, values: Sequence[str], before: int
    ) -> Mapping[tuple[str, str], int]:
        """Of each of the values of a column and each account: the time of its first event, if that is `before` then."""
        table = self._ask(
            piece,
            f"SELECT {column} AS value, account, min(epoch_us(time)) AS at "  # noqa: S608 - the name of a column
            f"FROM {_ROWS} WHERE file_row_number BETWEEN ? AND ? "
            f"AND time < make_timestamptz(?::BIGINT) AND {column} IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1, 2",
            (piece.start, piece.end - 1, before, list(values)),
        )
        return {(row["value"], row["account"]): row["at"] for row in table.to_pylist()}

    # -- files ----------------------------------------------------------------------------------------------------

    def count(self, pieces: Sequence[Piece], narrowing: Narrowing, window: Window) -> int | None:
        """How many rows of whole segments meet a condition on columns; None unless these are as many events.

        Raises FileNotFoundError, too, when one of the files is not there.
        """
        timed, bounds = window.narrowing()
        where = " AND ".join(["true", *filter(None, (timed, narrowing.sql))])
        sql = f"SELECT count(*), count(DISTINCT digest) FROM {_ROWS} WHERE {where}"  # noqa: S608 - no values
        table = self._asked(pieces, sql, (*bounds, *narrowing.params))
        rows, events = (column[0].as_py() for column in table.columns)
        return rows if rows == events else None

    def _ask(self, piece: Piece, sql: str, params: Sequence[object]) -> pa.Table:
        return self._asked([piece], sql, params)

    def _asked(self, pieces: Sequence[Piece], sql: str, params: Sequence[object]) -> pa.Table:
        """The answer about the files of pieces, which are the first parameter."""
        paths = [str(self.folder.resolve() / piece.segment.file.path) for piece in pieces]
        if self._duck is None:
            self._duck = connect(self.folder, self.limits.duck)
        try:
            return self._duck.sql(sql, params=[paths, *params]).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise StoreError(
                "a question to the lake needs more memory than it may use",
                place=Place(pieces[0].segment.file.path),
                advice="Ask for fewer days, or raise the limit.",
            ) from error
        except duckdb.Error as error:
            for path in paths:
                if not Path(path).exists():
                    raise FileNotFoundError(path) from error
            raise _damaged(pieces[0].segment, str(error)) from error

    def _footer(self, piece: Piece) -> pq.FileMetaData:
        path = piece.segment.file.path
        footer = self._footers.get(path)
        if footer is None:
            with self._opened(piece, None) as file:
                footer = self._footers[path] = file.metadata
            if len(self._footers) > _MOST_FOOTERS:
                del self._footers[next(iter(self._footers))]
        return footer

    @contextmanager
    def _opened(self, piece: Piece, footer: pq.FileMetaData | None) -> Iterator[pq.ParquetFile]:
        path = piece.segment.file.path
        try:
            with (
                self._files.open(path) as source,
                pq.ParquetFile(source, metadata=footer, page_checksum_verification=True) as file,
            ):
                yield file
        except FileNotFoundError:
            raise
        except (pa.ArrowException, EOFError, ValueError) as error:
            raise _damaged(piece.segment, str(error)) from error
        except OSError as error:
            if error.errno is None:  # As Arrow tells damage of a page.
                raise _damaged(piece.segment, str(error)) from error
            with explained("read a segment of the lake", path):
                raise


def span_of(segment: Segment, window: Window) -> tuple[int, int] | None:
    """The first and the last time of the events of a segment that may count; None when none can."""
    file = segment.file
    return window.span(micros_of(file.first_time), micros_of(file.last_time), file.timeless > 0)


def rows_of(column: pa.Array) -> Rows:
    """The rows of a column of bytes, without a copy."""
    wide = pa.types.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    if not len(column):
        return Rows(b"", (0,))
    every = memoryview(offsets).cast("B").cast("q" if wide else "i")
    some = every[column.offset : column.offset + len(column) + 1]
    return Rows(memoryview(data or b"").cast("B")[some[0] : some[-1]], some)


def _damaged(segment: Segment, why: str) -> StoreError:
    return StoreError(
        f"a segment of the lake is damaged: {why}",
        place=Place(segment.file.path),
        advice="Run `keytrail lake verify` to see what else is, and put the file back from a backup; "
        "without one, take it out with `keytrail lake verify --drop-damaged`, and `lake import --again` its days.",
    )


__all__ = ["TIMELESS", "Block", "Group", "LakeReader", "Limits", "Piece", "Window", "rows_of", "span_of"]
