"""A segment is there whole or not at all, is read back as it was written, and damage to it is found."""

from __future__ import annotations

import errno
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.errors import StoreError
from keytrail.store.lake import segment as module
from keytrail.store.lake.files import Files, OsFiles
from keytrail.store.lake.model import SegmentFile, SiteSpan
from keytrail.store.lake.schema import SCHEMA
from keytrail.store.lake.segment import (
    read_segment,
    remove,
    row_groups,
    stream_segment,
    sweep,
    verify,
    write_segment,
)
from tests.store.lake.cloudtrail_records import RECORDS, event, table
from tests.store.lake.memory_files import MemoryFiles

DAY = date(2026, 6, 1)
EVENTS = [event(f"e{number}", number * 7, requestParameters={"n": number}) for number in range(50)]


def write(files: Files, *tables: pa.Table) -> SegmentFile:
    return write_segment(files, DAY, tables or (table(EVENTS),))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 8)


@settings(max_examples=50, deadline=None)
@given(some=st.lists(st.lists(RECORDS.map(lambda one: {"eventName": "x", **one}), min_size=1, max_size=4), min_size=1))
def test_what_is_written_is_read(some: list[list[dict[str, object]]]) -> None:
    tables = [table(one) for one in some]
    files = MemoryFiles()
    if not sum(map(len, tables)):
        return
    made = write(files, *tables)
    whole = pa.concat_tables(tables)
    assert read_segment(files, made).to_pylist() == whole.to_pylist()
    assert read_segment(files, made).schema.equals(SCHEMA)
    assert made.rows == len(whole)
    assert verify(files, made) is None
    times = [time for time in whole["time"].to_pylist() if time is not None]
    assert (made.first_time, made.last_time) == (min(times, default=None), max(times, default=None))
    assert made.timeless == whole["time"].null_count
    spans: dict[tuple[str, str], list[datetime]] = {}
    for row in whole.to_pylist():
        if row["time"] is not None:
            spans.setdefault((row["account"], row["region"]), []).append(row["time"])
    assert made.sites == tuple(SiteSpan(*site, min(some), max(some)) for site, some in sorted(spans.items()))


def test_on_disk_as_in_memory(tmp_path: Path) -> None:
    files = OsFiles(tmp_path / "lake")
    made = write(files)
    assert made.path.startswith("day=2026-06-01/")
    assert (tmp_path / "lake" / made.path).stat().st_size == made.size
    assert [path.name for path in (tmp_path / "lake" / "day=2026-06-01").iterdir()] == [made.path.partition("/")[2]]
    assert read_segment(files, made).to_pylist() == table(EVENTS).to_pylist()
    assert verify(files, made) is None
    # Any tool can read it.
    assert pq.read_table(tmp_path / "lake" / made.path, partitioning=None).num_rows == 50


@pytest.mark.usefixtures("small_groups")
def test_rows_are_read_by_their_number_and_columns_by_name() -> None:
    files = MemoryFiles()
    made = write(files, table(EVENTS[:3]), table(EVENTS[3:]))
    ids = [one["eventID"] for one in EVENTS]
    for first in range(0, 51, 3):
        for end in range(first, 56, 5):
            found = read_segment(files, made, ["event_id", "account"], range(first, end))
            assert found.column_names == ["event_id", "account"]
            assert found["event_id"].to_pylist() == ids[first:end]
    assert read_segment(files, made, ["resources", "time"]).column_names == ["resources", "time"]
    streamed = list(stream_segment(files, made, ["event_id"]))
    assert [len(one) for one in streamed] == [8, 8, 8, 8, 8, 8, 2]
    assert pa.concat_tables(streamed)["event_id"].to_pylist() == ids


def test_groups_of_rows_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 1_000)
    sizes = [100, 100, 5_000, 100, 400, 400, 400, 900, 10]
    some = table([event("e", requestParameters="x" * max(size - 185, 1)) for size in sizes])
    groups = list(row_groups([some.slice(0, 4), some.slice(4)]))
    assert pa.concat_tables(groups).to_pylist() == some.to_pylist()
    for group in groups:
        assert len(group) == 1 or sum(map(len, group["raw"].to_pylist())) <= 1_000
    assert len(groups) < len(sizes)


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 8))
def test_tables_of_any_size_are_stored_in_full_groups(sizes: list[int], most: int) -> None:
    every = table([event(str(number)) for number in range(sum(sizes))]) if any(sizes) else SCHEMA.empty_table()
    ends = list(accumulate(sizes, initial=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROW_GROUP_ROWS", most)
        groups = list(row_groups(every.slice(start, end - start) for start, end in pairwise(ends)))
    assert [len(one) for one in groups[:-1]] == [most] * (len(groups) - 1)
    assert all(groups)
    assert [name for one in groups for name in one["event_id"].to_pylist()] == every["event_id"].to_pylist()


def test_a_segment_has_a_row_at_least() -> None:
    files = MemoryFiles()
    with pytest.raises(ValueError, match="a row at least"):
        write(files, SCHEMA.empty_table())
    assert not files.paths()


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_anywhere_leaves_no_segment(failure: int) -> None:
    files = MemoryFiles()
    write(files)
    calls = files.calls
    assert calls > 6
    for at in range(calls):
        files = MemoryFiles()
        files.fail_at, files.failure = at, failure
        with pytest.raises(StoreError) as caught:
            write(files)
        assert caught.value.advice
        # A disk that came back holds nothing that the sweep does not take away.
        files.fail_at = None
        sweep(files, (), files.now + timedelta(seconds=1))
        assert not files.paths()
        made = write(files)
        assert verify(files, made) is None


def test_what_iterating_the_tables_raises_leaves_no_segment() -> None:
    def tables() -> object:
        yield table(EVENTS)
        raise StoreError("the segment before is damaged")

    files = MemoryFiles()
    with pytest.raises(StoreError, match="the segment before is damaged"):
        write_segment(files, DAY, tables())  # type: ignore[arg-type]
    assert not files.paths()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), at=st.integers(0, 40))
def test_a_crash_leaves_the_whole_segment_or_no_final_name(data: st.DataObject, at: int) -> None:
    files = MemoryFiles()
    before = write(files)
    files.fail_at = at
    try:
        made = write(files)
    except StoreError:
        made = None
    survives = data.draw(st.sampled_from(["nothing", "anything"]))
    files.crash(lambda: survives == "anything" and data.draw(st.booleans()))
    assert verify(files, before) is None
    if made is not None:
        assert verify(files, made) is None
    for path in files.paths():
        if path.endswith(".parquet"):
            assert pq.read_table(files.open(path)).num_rows == 50


# -- damage -------------------------------------------------------------------------------------------------------


def test_a_missing_segment_says_so(tmp_path: Path) -> None:
    for files in (MemoryFiles(), OsFiles(tmp_path)):
        made = write(files)
        remove(files, [made.path])
        assert verify(files, made) == "it is missing"
        with pytest.raises(StoreError, match="No such file") as caught:
            read_segment(files, made)
        assert "backup" in caught.value.advice
        remove(files, [made.path])  # once more is no error


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 1 << 20), change=st.sampled_from(["flip", "cut", "append", "zeros"]))
def test_damage_is_found_and_never_read_as_records(at: int, change: str) -> None:
    files = MemoryFiles()
    made = write(files)
    good = files.data(made.path)
    at %= len(good)
    bad = {
        "flip": good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :],
        "cut": good[:at],
        "append": good + b"x",
        "zeros": good[:at] + bytes(len(good) - at),
    }[change]
    if bad == good:
        return
    files.put(made.path, bad)
    assert verify(files, made)
    try:
        found = read_segment(files, made)
    except StoreError as error:
        place, advice = str(error.place), error.advice
        assert (place, bool(advice)) == (made.path, True)
    else:
        # The damage is to what is not read here, such as statistics and filters.
        assert found.to_pylist() == table(EVENTS).to_pylist()


def test_a_segment_that_is_another_one_says_so() -> None:
    files = MemoryFiles()
    made, other = write(files), write(files, table(EVENTS[:3]))
    files.put(made.path, files.data(other.path))
    assert "bytes long" in str(verify(files, made))
    with pytest.raises(StoreError, match="it holds 3 records and not 50") as caught:
        read_segment(files, made)
    assert "keytrail lake verify" in caught.value.advice


def test_a_page_that_rotted_is_not_read() -> None:
    files = MemoryFiles()
    made = write(files)
    good = files.data(made.path)
    column = pq.ParquetFile(files.open(made.path)).metadata.row_group(0).column(SCHEMA.get_field_index("digest"))
    at = column.data_page_offset + column.total_compressed_size - 5
    files.put(made.path, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(StoreError, match="a segment of the lake is damaged"):
        read_segment(files, made, ["digest"])
    assert verify(files, made) == "its bytes are not those that were written"


# -- sweeping -----------------------------------------------------------------------------------------------------


def test_only_our_own_old_files_that_nobody_names_are_swept() -> None:
    files = MemoryFiles(datetime(2026, 6, 1, tzinfo=UTC))
    named, nameless = write(files), write(files)
    half = f"day=2026-06-01/{'0' * 32}.parquet.part"
    files.put(half, b"x")
    others = [
        "notes.txt",
        "day=2026-06-01/notes.parquet",
        f"day=2026-06-01/{'0' * 32}.parquet.bak",
        f"day=today/{'0' * 32}.parquet",
        f"other/{'0' * 32}.parquet",
        f"{'0' * 32}.parquet",
    ]
    for path in others:
        files.put(path, b"x")
    files.now += timedelta(hours=1)
    young = write(files)
    before = files.now - timedelta(minutes=10)
    assert set(sweep(files, {named.path}, before)) == {nameless.path, half}
    assert files.paths() == {named.path, young.path, *others}
    assert sweep(files, {named.path}, before) == ()


def test_an_empty_lake_has_nothing_to_sweep(tmp_path: Path) -> None:
    files = OsFiles(tmp_path / "lake")
    files.make_folder("")
    assert sweep(files, (), datetime.now(UTC)) == ()
