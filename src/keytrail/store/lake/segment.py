"""A segment as a file: written so that it is there whole or not at all, read by rows and columns, checked, swept.

A segment is a Parquet file `day=YYYY-MM-DD/<32 hex digits>.parquet` below the lake's folder, the day that of ingest.
It is written under a temporary name, synced, renamed, and its folder synced; only then may the catalog name it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from io import RawIOBase

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from keytrail.errors import Place, StoreError
from keytrail.store.lake.files import Files, NewFile, explained
from keytrail.store.lake.model import SegmentFile, SiteSpan
from keytrail.store.lake.schema import SCHEMA

ROW_GROUP_ROWS = 20_000
"""Rows that are stored, and so read, together."""
ROW_GROUP_BYTES = 32 * 1024**2
"""Bytes of raw records after which a group of rows ends early, so that one is never large in memory."""

_FOLDER = re.compile(r"day=\d{4}-\d\d-\d\d", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{32}\.parquet(\.part)?", re.ASCII)
_PART = ".part"
_HASH_BYTES = 1024**2
# Fast, and within a tenth of the size that the default level makes of CloudTrail's records.
_ZSTD_LEVEL = 1
# A dictionary pays where values repeat; that of raw records would only be given up when it is full.
_REPEATED = [
    *(field.name for field in SCHEMA if pa.types.is_dictionary(field.type)),
    *("time", "ingested", "identity_arn", "identity_issuer", "access_key", "source_address", "user_agent"),
    "resources.list.element",
]
# Lets a reader pass over a group of rows that has not the value: an event id of ten million is found twenty times as
# fast. What is expected of distinct values in a group sets the size; where there are more, it errs more often.
_BLOOM = {
    "event_id": {"ndv": ROW_GROUP_ROWS, "fpp": 0.01},
    **{name: {"ndv": ROW_GROUP_ROWS // 10, "fpp": 0.01} for name in ("identity_arn", "access_key", "source_address")},
}


def write_segment(files: Files, day: date, tables: Iterable[pa.Table]) -> SegmentFile:
    """Write the rows of `tables`, in their order, as one segment; on return it would outlast a loss of power.

    The tables have SCHEMA and a row at least; only the rows of a group are held at a time. Raises StoreError when the
    disk fails or is full, and what iterating `tables` raises; then there is no such segment.
    """
    folder = f"day={day.isoformat()}"
    path = f"{folder}/{uuid.uuid4().hex}.parquet"
    with explained("write a segment of the lake", path):
        files.make_folder(folder)
        sink = _Sink(files.create(path + _PART))
        about = _Summary()
        try:
            _write(sink, about, tables)
            if not about.rows:
                raise ValueError("a segment has a row at least")
            files.rename(path + _PART, path)
            files.sync_folder(folder)
            # Always: a process that made the folder may have been killed before this.
            files.sync_folder("")
        except BaseException:
            # Best effort: what stays is swept at the next start.
            sink.abandon()
            for name in (path + _PART, path):
                with contextlib.suppress(OSError):
                    files.remove(name)
            raise
    return SegmentFile(
        path=path,
        rows=about.rows,
        size=sink.size,
        checksum=sink.digest.hexdigest(),
        ingest_day=day,
        first_time=min((one[0] for one in about.sites.values()), default=None),
        last_time=max((one[1] for one in about.sites.values()), default=None),
        timeless=about.timeless,
        sites=tuple(SiteSpan(*site, *times) for site, times in sorted(about.sites.items())),
    )


def _write(sink: _Sink, about: _Summary, tables: Iterable[pa.Table]) -> None:
    writer = pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=_REPEATED,
        write_page_checksum=True,
        bloom_filter_options=_BLOOM,
    )
    for group in row_groups(tables):
        about.add(group)
        writer.write_table(group, row_group_size=len(group))
    writer.close()
    sink.finish()


def row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of tables, in their order, in groups as they are stored.

    A group has ROW_GROUP_ROWS rows; fewer where the raw records come to ROW_GROUP_BYTES, of which one alone may have
    more; and fewer at the end.
    """
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        while len(table):
            sizes = pc.binary_length(table["raw"].slice(0, ROW_GROUP_ROWS - rows)).cast(pa.int64())
            sums = pc.cumulative_sum(sizes).to_numpy()
            fits = int(sums.searchsorted(ROW_GROUP_BYTES - size, "right")) or int(not rows)
            if fits:
                held.append(table.slice(0, fits))
                rows += fits
                size += int(sums[fits - 1])
                table = table.slice(fits)
            if len(table) or rows == ROW_GROUP_ROWS:
                yield _joined(held)
                held, rows, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    # With one dictionary for all a column is written with one; else its values are spelled out.
    return pa.concat_tables(tables).unify_dictionaries()


class _Summary:
    """What the catalog has to know of the rows that were written."""

    def __init__(self) -> None:
        self.rows = 0
        self.timeless = 0
        self.sites: dict[tuple[str, str], tuple[datetime, datetime]] = {}

    def add(self, table: pa.Table) -> None:
        self.rows += len(table)
        self.timeless += table["time"].null_count
        for site, times in site_times(table).items():
            known = self.sites.get(site, times)
            self.sites[site] = min(known[0], times[0]), max(known[1], times[1])


def site_times(table: pa.Table) -> dict[tuple[str, str], tuple[datetime, datetime]]:
    """The first and the last event time of each account and Region of a table that has a readable one."""
    words = [table[name].cast(pa.string()) for name in ("account", "region")]
    timed = pa.table([*words, table["time"]], names=["account", "region", "time"])
    timed = timed.filter(pc.is_valid(timed["time"]))
    found = timed.group_by(["account", "region"], use_threads=False).aggregate([("time", "min"), ("time", "max")])
    names = ("account", "region", "time_min", "time_max")
    rows = zip(*(found[name].to_pylist() for name in names), strict=True)
    return {(account, region): (first, last) for account, region, first, last in rows}


class _Sink(RawIOBase):
    """Takes what the Parquet writer writes: counted and hashed on its way to the file."""

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self._failed = False
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that pyarrow gives
        if self._failed:  # the writer tries to end the file even so
            return len(data)
        try:
            self._file.write(data)
        except OSError:
            self._failed = True
            raise
        self.size += len(data)
        self.digest.update(data)
        return len(data)

    def finish(self) -> None:
        self._file.sync()
        self._file.close()

    def abandon(self) -> None:
        self._failed = True
        with contextlib.suppress(OSError):
            self._file.close()


# -- reading ------------------------------------------------------------------------------------------------------


def read_segment(
    files: Files, segment: SegmentFile, columns: Sequence[str] | None = None, rows: range | None = None
) -> pa.Table:
    """The rows of a segment, all or those whose numbers (from 0) lie in `rows`, with all columns or those named.

    Only the groups in which such rows lie are read. Raises StoreError where the file is missing or damaged.
    """
    first, end = (rows.start, rows.stop) if rows is not None else (0, segment.rows)
    tables: list[pa.Table] = []
    start = first
    with _opened(files, segment) as file:
        at = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if at < end and at + size > first:
                if not tables:
                    start = at
                tables.append(file.read_row_group(group, columns=columns, use_threads=False))
            at += size
        table = pa.concat_tables(tables) if tables else file.schema_arrow.empty_table()
        if columns is not None:
            table = table.select(columns)
    return table.slice(max(first - start, 0), max(end - first, 0))


def stream_segment(files: Files, segment: SegmentFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """All rows of a segment, a group of them at a time. Raises StoreError as `read_segment` does."""
    with _opened(files, segment) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns, use_threads=False)
            yield table if columns is None else table.select(columns)


@contextlib.contextmanager
def _opened(files: Files, segment: SegmentFile) -> Iterator[pq.ParquetFile]:
    try:
        with (
            explained("read a segment of the lake", segment.path),
            files.open(segment.path) as source,
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            if file.metadata.num_rows != segment.rows:
                raise _damaged(segment, f"it holds {file.metadata.num_rows} records and not {segment.rows}")
            if not file.schema_arrow.equals(SCHEMA):
                raise _damaged(segment, "its columns are not those that this version of keytrail writes")
            yield file
    except (pa.ArrowException, EOFError, ValueError) as error:
        raise _damaged(segment, str(error)) from error
    except StoreError as error:
        # Arrow tells damage of a page as an OSError without a number.
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno is None:
            raise _damaged(segment, str(cause)) from cause
        raise


def _damaged(segment: SegmentFile, why: str) -> StoreError:
    return StoreError(
        f"a segment of the lake is damaged: {why}",
        place=Place(segment.path),
        advice="Run `keytrail lake verify` to see what else is, and put the file back from a backup; "
        "without one, take it out with `keytrail lake verify --drop-damaged`, and `lake import --again` its days.",
    )


def verify(files: Files, segment: SegmentFile) -> str | None:
    """What is wrong with the file of a segment: None when it is the one that was written, to the last bit."""
    digest = hashlib.sha256()
    try:
        with files.open(segment.path) as source:
            size = source.size()
            if size != segment.size:
                return f"it is {size} bytes long and not {segment.size}"
            while data := source.read(_HASH_BYTES):
                digest.update(data)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error}"
    if digest.hexdigest() != segment.checksum:
        return "its bytes are not those that were written"
    try:
        with _opened(files, segment):
            pass
    except StoreError as error:
        return error.what
    return None


# -- files that nobody needs any more -----------------------------------------------------------------------------


def unnamed(files: Files, named: Collection[str], before: datetime) -> tuple[str, ...]:
    """The segments and halves of segments below the folder that are not `named` and were last changed before then.

    Whatever is not called as this module calls files is none of the lake's and never told.
    """
    found = []
    with explained("list the lake's folder", ""):
        for folder in files.list(""):
            if not folder.is_folder or not _FOLDER.fullmatch(folder.name):
                continue
            for entry in files.list(folder.name):
                path = f"{folder.name}/{entry.name}"
                ours = entry.is_file and _NAME.fullmatch(entry.name)
                if ours and path not in named and entry.modified < before:
                    found.append(path)
    return tuple(found)


def remove(files: Files, paths: Iterable[str]) -> None:
    """Remove segments that the catalog does not name; one that is gone already is no error. Raises StoreError."""
    for path in paths:
        with explained("remove a segment of the lake", path), contextlib.suppress(FileNotFoundError):
            files.remove(path)


def sweep(files: Files, named: Collection[str], before: datetime) -> tuple[str, ...]:
    """Remove what `unnamed` tells, and say what that was. `named` are the paths that the catalog holds on to."""
    found = unnamed(files, named, before)
    remove(files, found)
    return found


__all__ = [
    "ROW_GROUP_BYTES",
    "ROW_GROUP_ROWS",
    "read_segment",
    "remove",
    "row_groups",
    "site_times",
    "stream_segment",
    "sweep",
    "unnamed",
    "verify",
    "write_segment",
]
