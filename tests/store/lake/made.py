"""Lakes for tests: segments written as ingest writes them, and a catalog in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from keytrail.cloudtrail import Json, ReadLimits
from keytrail.store.lake import segment as segments
from keytrail.store.lake.columns import table_of
from keytrail.store.lake.duck import DuckLimits
from keytrail.store.lake.files import OsFiles
from keytrail.store.lake.model import Segment, SegmentFile
from keytrail.store.lake.read import Limits
from keytrail.store.lake.rows import read_rows
from keytrail.store.lake.segment import read_segment, write_segment
from keytrail.store.lake.store import LakeStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = date(2026, 6, 1)
LIMITS = Limits(DuckLimits(memory_bytes=64 * 1024**2, threads=1), threads=1)


@dataclass
class MemoryCatalog:
    """What is committed."""

    committed: list[Segment] = field(default_factory=list)
    next: int = 0

    def segments(self) -> Sequence[Segment]:
        return tuple(self.committed)

    def head(self) -> int:
        return self.next

    def commit(self, file: SegmentFile, *, history: bool = False) -> Segment:
        made = Segment(len(self.committed) + 1, self.next, file, history)
        self.committed.append(made)
        self.next += file.rows
        return made


def table(texts: Iterable[str]) -> pa.Table:
    """The records as a table; each text is that of one."""
    stored = "\n".join(texts).encode("utf-8", "surrogatepass")
    tables = [table_of(rows, "made", NOW) for rows in read_rows([stored], "made", ReadLimits())]
    return pa.concat_tables(tables, promote_options="none")


def write(folder: Path, texts: Sequence[str], group: int = 2) -> SegmentFile:
    """A segment with groups of so many rows."""
    size, segments.ROW_GROUP_ROWS = segments.ROW_GROUP_ROWS, group
    try:
        return write_segment(OsFiles(folder), DAY, [table(texts)])
    finally:
        segments.ROW_GROUP_ROWS = size


def fill(folder: Path, texts: Sequence[str], each: int = 4, group: int = 2) -> MemoryCatalog:
    """The records in segments of `each` rows."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = MemoryCatalog()
    for at in range(0, len(texts), each):
        some = texts[at : at + each]
        if len(table(some)):
            catalog.commit(write(folder, some, group))
    return catalog


def merge(folder: Path, catalog: MemoryCatalog, first: int, last: int) -> None:
    """Compact neighbours, from the segment with index `first` to that with `last`, and remove their files."""
    files = OsFiles(folder)
    old = catalog.committed[first : last + 1]
    file = write_segment(files, DAY, [read_segment(files, one.file) for one in old])
    catalog.committed[first : last + 1] = [Segment(99, old[0].first_sequence, file, old[0].history)]
    for one in old:
        (folder / one.file.path).unlink()


def drop(folder: Path, catalog: MemoryCatalog, index: int) -> None:
    """Keep a segment no longer."""
    (folder / catalog.committed.pop(index).file.path).unlink()


def lake(folder: Path, records: Iterable[Json], spell: Callable[[Json], str], *, each: int = 4) -> LakeStore:
    return LakeStore(
        folder, fill(folder, [spell(one).replace("\n", " ") for one in records], each), now=NOW, limits=LIMITS
    )
