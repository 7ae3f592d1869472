"""Small segments become large ones, and old ones go: which, decided from the catalog alone; and the merge itself.

Merging keeps rows and positions: only neighbours in the order of arrival are merged, of one ingest day, and records
that were imported with such. While a day lasts, segments are merged once there are several of which none is as large
as the others together: so a segment at least doubles whenever it is rewritten, and a record is written a few times, not
with every segment that arrives. When the day is over, all that is small is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from keytrail.errors import StoreError
from keytrail.store.lake.files import Files
from keytrail.store.lake.model import Segment, SegmentFile
from keytrail.store.lake.segment import stream_segment, write_segment


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large segments become: at most `target_bytes` as files; `fewest` are merged at once while their day lasts."""

    target_bytes: int = 256 * 1024**2
    fewest: int = 8

    def __post_init__(self) -> None:
        if self.target_bytes < 1 or self.fewest < 2:
            raise ValueError("segments become a byte long at least, by merging two at least")


Group = tuple[Segment, ...]


def plan(segments: Iterable[Segment], today: date, sizes: Sizes = Sizes()) -> tuple[Group, ...]:
    """The groups of neighbours (in the order of arrival, two at least) that are to be one segment each.

    `segments` are those of the catalog or a part of it, by position; `today` is the ingest day that still lasts.
    """
    groups: list[Group] = []
    for run in _runs(segments):
        if run[0].file.ingest_day < today:
            groups += _packed(run, sizes.target_bytes)
        else:
            groups += _worthwhile(run, sizes)
    return tuple(groups)


def _runs(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Segments that may be merged with each other, in their order."""
    run: list[Segment] = []
    for one in segments:
        if run and not _joins(run[-1], one):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _joins(before: Segment, after: Segment) -> bool:
    same_day = before.file.ingest_day == after.file.ingest_day
    return before.end == after.first_sequence and same_day and before.history == after.history


def _packed(run: Sequence[Segment], target: int) -> Iterator[Group]:
    """The run in groups as large as may be."""
    group: list[Segment] = []
    size = 0
    for one in run:
        if group and size + one.file.size > target:
            if len(group) > 1:
                yield tuple(group)
            group, size = [], 0
        group.append(one)
        size += one.file.size
    if len(group) > 1:
        yield tuple(group)


def _worthwhile(run: Sequence[Segment], sizes: Sizes) -> Iterator[Group]:
    """Groups of at least `fewest` segments of which none outweighs the others; the smallest, and so cheapest, first."""
    size = max(min(one.file.size for one in run), 1)
    while size <= sizes.target_bytes:
        size *= sizes.fewest
        found: list[Group] = []
        for stretch in _stretches(run, min(size, sizes.target_bytes)):
            found += [group for group in _packed(stretch, sizes.target_bytes) if _pays(group, sizes.fewest)]
        if found:
            yield from found
            return


def _pays(group: Group, fewest: int) -> bool:
    each = [one.file.size for one in group]
    return len(each) >= fewest and 2 * max(each) <= sum(each)


def _stretches(run: Iterable[Segment], below: int) -> Iterator[list[Segment]]:
    """The longest stretches of a run of segments that are smaller than `below` bytes."""
    stretch: list[Segment] = []
    for one in run:
        if one.file.size < below:
            stretch.append(one)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def merge(files: Files, group: Sequence[Segment]) -> SegmentFile:
    """Write the rows of a group, in their order, as one segment file; the old ones stay.

    What is held in memory is a group of rows, not a segment. Raises StoreError when one cannot be read, or the new one
    not be written; then there is no new one.
    """
    if len(group) < 2 or not all(_joins(before, after) for before, after in pairwise(group)):
        raise ValueError("only neighbours of one ingest day and kind are merged")
    rows = (some for one in group for some in stream_segment(files, one.file))
    made = write_segment(files, group[0].file.ingest_day, rows)
    if made.rows != sum(one.file.rows for one in group):
        raise StoreError(
            "a merged segment has not the records of those it was made of",
            advice="Nothing was changed. This is a defect of keytrail: please report it.",
        )
    return made


@dataclass(frozen=True, slots=True)
class Expired:
    """Segments that are older than is kept: those that nobody waits for, and those that a rule has not read yet."""

    done: Group
    needed: Group


def expired(segments: Iterable[Segment], today: date, keep_days: int, slowest: int | None = None) -> Expired:
    """Which segments were taken in more than `keep_days` days before `today`.

    `slowest` is the smallest position that a rule still has to read from, None when there is no rule; `needed` are the
    segments with rows from there on. Imported records are waited for by no rule.
    """
    oldest = today - timedelta(days=keep_days)
    old = [one for one in segments if one.file.ingest_day < oldest]
    needed = [one for one in old if slowest is not None and one.end > slowest and not one.history]
    return Expired(tuple(one for one in old if one not in needed), tuple(needed))


__all__ = ["Expired", "Group", "Sizes", "expired", "merge", "plan"]
