"""Merging keeps rows, order and positions, and does not rewrite without end; what expires is told with who needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.errors import StoreError
from keytrail.store.lake import compact as module
from keytrail.store.lake import segment as segments_module
from keytrail.store.lake.compact import Group, Sizes, expired, merge, plan
from keytrail.store.lake.model import Segment, SegmentFile
from keytrail.store.lake.segment import read_segment, verify, write_segment
from tests.store.lake.cloudtrail_records import event, table
from tests.store.lake.memory_files import MemoryFiles

TODAY = date(2026, 6, 10)
SIZES = Sizes(target_bytes=1_000, fewest=4)


def segment(number: int, size: int, first: int | None = None, *, day: date = TODAY, history: bool = False) -> Segment:
    file = SegmentFile(f"day={day}/{number:032x}.parquet", 10, size, "", day, None, None, 0, ())
    return Segment(number, number * 10 if first is None else first, file, history)


def segments(*sizes: int, day: date = TODAY) -> list[Segment]:
    return [segment(number, size, day=day) for number, size in enumerate(sizes)]


def sizes_of(groups: Sequence[Group]) -> list[list[int]]:
    return [[one.file.size for one in group] for group in groups]


@st.composite
def catalogs(draw: st.DrawFn) -> list[Segment]:
    """Segments by position, of some days and kinds, with gaps where some expired."""
    found: list[Segment] = []
    position = 0
    for number in range(draw(st.integers(0, 30))):
        day = TODAY - timedelta(days=draw(st.sampled_from([2, 1, 0, 0, 0])))
        history = draw(st.sampled_from([False] * 6 + [True]))
        position += draw(st.sampled_from([0] * 9 + [5]))
        size = draw(st.integers(1, 1_500) | st.integers(1, 100))
        found.append(segment(number, size, position, day=day, history=history))
        position += 10
    return found


@given(catalogs())
def test_groups_are_neighbours_that_belong_together(some: list[Segment]) -> None:
    groups = plan(some, TODAY, SIZES)
    chosen = [one.id for group in groups for one in group]
    assert len(chosen) == len(set(chosen))
    for group in groups:
        assert len(group) >= 2
        assert sum(one.file.size for one in group) <= SIZES.target_bytes
        for before, after in pairwise(group):
            assert before.end == after.first_sequence
            assert before.file.ingest_day == after.file.ingest_day
            assert before.history == after.history
            assert after.id == before.id + 1


def merged(some: Sequence[Segment], group: Group) -> list[Segment]:
    """The catalog after the merge; the new segment is as large as the old ones together."""
    place = some.index(group[0])
    first = group[0]
    file = SegmentFile(
        first.file.path,
        sum(one.file.rows for one in group),
        sum(one.file.size for one in group),
        "",
        first.file.ingest_day,
        None,
        None,
        0,
        (),
    )
    new = Segment(first.id, first.first_sequence, file, first.history)
    return [*some[:place], new, *some[place + len(group) :]]


@given(catalogs())
def test_a_day_that_is_over_ends_in_few_segments(some: list[Segment]) -> None:
    tomorrow = TODAY + timedelta(days=1)
    for _ in range(len(some) + 1):
        groups = plan(some, tomorrow, SIZES)
        if not groups:
            break
        for group in groups:
            some = merged(some, group)
    assert not plan(some, tomorrow, SIZES)
    for before, after in pairwise(some):
        together = (
            before.end == after.first_sequence
            and before.file.ingest_day == after.file.ingest_day
            and before.history == after.history
        )
        assert not together or before.file.size + after.file.size > SIZES.target_bytes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=100, max_size=300))
def test_while_the_day_lasts_a_record_is_rewritten_a_few_times(arriving: list[int]) -> None:
    some: list[Segment] = []
    rewritten = 0
    for number, size in enumerate(arriving):
        some = [*some, segment(number, size)]
        while groups := plan(some, TODAY, SIZES):
            rewritten += sum(one.file.size for one in groups[0])
            some = merged(some, groups[0])
    # A segment at least doubles each time, from one byte to the target: ten times at most.
    assert rewritten <= 10 * sum(arriving)
    # And it pays: what is left is a fraction of what arrived.
    assert len(some) < len(arriving) / 3


def test_what_is_merged_while_the_day_lasts() -> None:
    assert sizes_of(plan(segments(10, 10, 10), TODAY, SIZES)) == []
    assert sizes_of(plan(segments(10, 12, 9, 11), TODAY, SIZES)) == [[10, 12, 9, 11]]
    # One that is larger than all that has come since is left alone, until they are as much together.
    assert sizes_of(plan(segments(100, 10, 10, 10), TODAY, SIZES)) == []
    assert sizes_of(plan(segments(100, 40, 40, 40), TODAY, SIZES)) == [[100, 40, 40, 40]]
    assert sizes_of(plan(segments(300, 300, 300, 300, 10, 10, 10, 10), TODAY, SIZES)) == [[10, 10, 10, 10]]
    assert plan([], TODAY, SIZES) == ()


def test_what_is_merged_when_the_day_is_over() -> None:
    over = TODAY - timedelta(days=1)
    assert sizes_of(plan(segments(10, 900, 80, 30, 2_000, 5, day=over), TODAY, SIZES)) == [[10, 900, 80]]
    assert sizes_of(plan(segments(10, 900, 90, 30, 2_000, 5, day=over), TODAY, SIZES)) == [[10, 900, 90]]
    assert sizes_of(plan(segments(600, 600, day=over), TODAY, SIZES)) == []
    assert sizes_of(plan(segments(2_000, 1, 1, day=over), TODAY, SIZES)) == [[1, 1]]


def test_records_that_were_imported_and_others_stay_apart() -> None:
    over = TODAY - timedelta(days=1)
    some = [segment(number, 10, day=over, history=number in (2, 3)) for number in range(6)]
    assert [[one.id for one in group] for group in plan(some, TODAY, SIZES)] == [[0, 1], [2, 3], [4, 5]]


def test_sizes_that_make_no_sense() -> None:
    for wrong in (0, 100), (100, 1):
        with pytest.raises(ValueError, match="two at least"):
            Sizes(*wrong)


# -- the merge ----------------------------------------------------------------------------------------------------


def written(files: MemoryFiles, *tables: pa.Table, day: date = TODAY) -> list[Segment]:
    found: list[Segment] = []
    for number, some in enumerate(tables):
        file = write_segment(files, day, [some])
        found.append(Segment(number, found[-1].end if found else 0, file))
    return found


def some_tables(count: int, each: int = 7) -> Iterator[pa.Table]:
    for number in range(count):
        events = [event(f"{number} {one}", number * 100 + one, account=str(one % 3)) for one in range(each)]
        yield table([*events, event(f"odd {number}", eventTime="never")], name=f"object {number}")


def test_a_merge_keeps_rows_and_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "ROW_GROUP_ROWS", 5)
    files = MemoryFiles()
    group = written(files, *some_tables(6))
    made = merge(files, group)
    rows = [row for one in group for row in read_segment(files, one.file).to_pylist()]
    assert read_segment(files, made).to_pylist() == rows
    assert verify(files, made) is None
    assert made.rows == len(rows)
    assert made.timeless == 6
    assert made.ingest_day == TODAY
    assert made.first_time == min(one.file.first_time for one in group if one.file.first_time)
    assert made.last_time == max(one.file.last_time for one in group if one.file.last_time)
    # Positions still name the same rows.
    for one in group:
        at = one.first_sequence - group[0].first_sequence
        part = read_segment(files, made, ["event_id"], range(at, at + one.file.rows))
        assert part.equals(read_segment(files, one.file, ["event_id"]))
    # The old ones stay until the catalog names the new one.
    assert files.paths() == {made.path, *(one.file.path for one in group)}


def test_a_merge_holds_a_group_of_rows_and_not_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "ROW_GROUP_ROWS", 8)
    files = MemoryFiles()
    group = written(files, *some_tables(40))
    largest = 0
    plain = write_segment

    def watched(files: MemoryFiles, day: date, tables: Iterator[pa.Table]) -> SegmentFile:
        def each() -> Iterator[pa.Table]:
            nonlocal largest
            for some in tables:
                largest = max(largest, len(some))
                yield some

        return plain(files, day, each())

    monkeypatch.setattr(module, "write_segment", watched)
    assert merge(files, group).rows == 320
    assert largest == 8


def test_a_damaged_segment_is_not_merged() -> None:
    files = MemoryFiles()
    group = written(files, *some_tables(3))
    path = group[1].file.path
    good = files.data(path)
    files.put(path, good[: len(good) // 2])
    before = files.paths()
    with pytest.raises(StoreError, match="a segment of the lake is damaged"):
        merge(files, group)
    assert files.paths() == before


def test_a_full_disk_ends_a_merge_and_nothing_else() -> None:
    files = MemoryFiles()
    group = written(files, *some_tables(3))
    before = files.paths()
    files.fail_at = 6
    with pytest.raises(StoreError, match="cannot write a segment of the lake"):
        merge(files, group)
    files.crash()
    assert files.paths() == before
    assert all(verify(files, one.file) is None for one in group)


def test_what_are_no_neighbours_is_not_merged() -> None:
    files = MemoryFiles()
    first, second, third = written(files, *some_tables(3))
    for wrong in ([first], [first, third], [second, first], []):
        with pytest.raises(ValueError, match="only neighbours"):
            merge(files, wrong)


# -- retention ----------------------------------------------------------------------------------------------------


def test_what_is_older_than_is_kept_expires() -> None:
    some = [segment(number, 1, day=TODAY - timedelta(days=9 - number)) for number in range(10)]
    found = expired(some, TODAY, keep_days=3)
    assert [one.id for one in found.done] == [0, 1, 2, 3, 4, 5]
    assert found.needed == ()
    assert expired(some, TODAY, keep_days=9) == expired([], TODAY, keep_days=0)


@pytest.mark.parametrize(
    ("slowest", "needed"), [(0, [0, 1, 3]), (9, [0, 1, 3]), (10, [1, 3]), (19, [1, 3]), (20, [3]), (40, []), (99, [])]
)
def test_what_a_rule_has_not_read_is_told_apart(slowest: int, needed: list[int]) -> None:
    old = TODAY - timedelta(days=30)
    some = [segment(number, 1, day=old, history=number == 2) for number in range(4)]
    found = expired([*some, segment(4, 1)], TODAY, keep_days=7, slowest=slowest)
    assert [one.id for one in found.needed] == needed
    # Imported records are waited for by no rule.
    assert [one.id for one in found.done] == [number for number in range(4) if number not in needed]
