"""An event is stored once, whatever it comes in and however often, and no event is taken for another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import Json, identity
from keytrail.errors import StoreError
from keytrail.store.lake import columns, digest
from keytrail.store.lake.compact import merge
from keytrail.store.lake.dedup import DigestReader, new_rows
from keytrail.store.lake.digest import Digests
from keytrail.store.lake.model import Segment, SegmentFile
from keytrail.store.lake.segment import write_segment
from tests.store.lake.cloudtrail_records import RECORDS, event, table
from tests.store.lake.memory_files import MemoryFiles

DAY = date(2026, 6, 1)


class Lake:
    """Takes tables in, as the service does."""

    def __init__(self, cache_bytes: int = 1 << 20) -> None:
        self.files = MemoryFiles()
        self.reader = DigestReader(self.files, cache_bytes)
        self.segments: list[Segment] = []
        self.kept: list[Json] = []

    def take(self, some: pa.Table) -> int:
        """Store what is new; how many rows that was."""
        rows = new_rows(some, self.segments, self.reader)
        if len(rows):
            self._add(write_segment(self.files, DAY, [rows]))
            self.kept += rows.to_pylist()
        return len(rows)

    def compact(self) -> None:
        """Make one segment of all."""
        if len(self.segments) > 1:
            made = merge(self.files, self.segments)
            self.segments = []
            self._add(made)

    def _add(self, file: SegmentFile) -> None:
        end = self.segments[-1].end if self.segments else 0
        self.segments.append(Segment(len(self.segments), end, file))


def rows_of(batch: Sequence[Json]) -> pa.Table:
    """A batch as the service has it: of several objects, with dictionaries of their own."""
    return pa.concat_tables([table(batch[at : at + 2]) for at in range(0, len(batch), 2)])


def first_of_each(events: Sequence[Json]) -> list[Json]:
    seen = set()
    found = []
    for one in events:
        if identity(one) not in seen:
            seen.add(identity(one))
            found.append(one)
    return found


# Few ids and times, so that most events come again; each time is spelled in one way.
_TIMES = st.sampled_from(["2026-03-01T08:00:00Z", "2026-03-01T08:00:01Z", "2026-03-02T00:00:00Z", "never", "whenever"])
_IDS = st.sampled_from(["e1", "e2", "", "\ud800", "\ud801", "\ufffd", "e1\x00", "\x00e1"])
_EVENTS = st.builds(
    lambda one, time, id: {**one, "eventName": "x", "eventTime": time, "eventID": id}, RECORDS, _TIMES, _IDS
).filter(lambda one: one.get("eventType") != "AwsCloudTrailInsight")

_BATCHES = st.lists(st.lists(_EVENTS, min_size=1, max_size=8), min_size=1, max_size=5)


def check(batches: list[list[Json]], cache_bytes: int, compacted: int) -> None:
    lake = Lake(cache_bytes)
    for number, batch in enumerate(batches):
        lake.take(rows_of(batch))
        if number == compacted:
            lake.compact()
    everything = [one for batch in batches for one in batch]
    expected = rows_of(first_of_each(everything))["raw"].to_pylist()
    assert [row["raw"] for row in lake.kept] == expected
    # Once more, all at once: nothing is new.
    assert lake.take(rows_of(everything)) == 0


@settings(max_examples=300, deadline=None)
@given(batches=_BATCHES, cache_bytes=st.sampled_from([0, 60, 1 << 20]), compacted=st.integers(0, 5))
def test_each_event_is_kept_once(batches: list[list[Json]], cache_bytes: int, compacted: int) -> None:
    check(batches, cache_bytes, compacted)


@settings(max_examples=300, deadline=None)
@given(batches=_BATCHES, compacted=st.integers(0, 5))
def test_events_whose_digests_are_equal_are_not_taken_for_each_other(batches: list[list[Json]], compacted: int) -> None:
    def two(joined: Iterable[str]) -> Digests:
        return np.array([len(one) % 2 for one in joined], np.int64)

    with pytest.MonkeyPatch.context() as patch:
        for module in (digest, columns):
            patch.setattr(module, "digests", two)
        check(batches, 1 << 20, compacted)


def test_the_first_of_repeated_events_stays() -> None:
    lake = Lake()
    first, second = event("e1", userAgent="first"), event("e1", userAgent="second")
    assert lake.take(table([event("e0"), first, second, first])) == 2
    assert lake.take(table([second])) == 0
    assert [row["user_agent"] for row in lake.kept] == [None, "first"]


@pytest.mark.parametrize(
    "other",
    [
        event("e2", 5),
        event("e1", 6),
        event("e1", 5, account="444455556666"),
        event("e1", 5, awsRegion="us-east-1"),
        event("e1", eventTime="never"),
        event("e1", eventTime=None),
    ],
)
def test_an_event_that_differs_in_its_identity_is_another(other: Json) -> None:
    lake = Lake()
    assert lake.take(table([event("e1", 5)])) == 1
    assert lake.take(table([other])) == 1
    assert lake.take(table([other, event("e1", 5)])) == 0


def test_an_event_without_a_time_is_looked_for_among_such() -> None:
    lake = Lake()
    odd = event("e1", eventTime="2026-02-31T00:00:00Z")
    assert lake.take(table([odd])) == 1
    assert lake.take(table([event("e2"), odd])) == 1
    assert lake.segments[0].file.sites == ()


def asked(batch: Sequence[Json], segments: Sequence[Segment], files: MemoryFiles) -> list[str]:
    """The segments that are read to find out what of a batch is new."""
    opened: list[str] = []
    plain = files.open

    class Watched(MemoryFiles):
        def open(self, path: str) -> pa.NativeFile:
            opened.append(path)
            return plain(path)

    new_rows(table(batch), segments, DigestReader(Watched()))
    return opened


@pytest.mark.parametrize(
    ("batch", "number"),
    [
        ([event("x", 99)], None),
        ([event("x", 100)], 0),
        ([event("x", 150)], 0),
        ([event("x", 200)], 0),
        ([event("x", 201)], None),
        ([event("x", 90), event("y", 210)], 0),
        ([event("x", 150, awsRegion="us-east-1")], None),
        ([event("x", 150, account="2")], None),
        ([event("x", 1_000, account="2")], 1),
        ([event("x", eventTime="never")], None),
    ],
)
def test_only_segments_that_may_hold_an_event_are_read(batch: list[Json], number: int | None) -> None:
    lake = Lake()
    lake.take(table([event("a", 100), event("b", 200)]))
    lake.take(table([event("a", 1_000, account="2")]))
    opened = asked(batch, lake.segments, lake.files)
    assert opened == ([] if number is None else [lake.segments[number].file.path])


def test_digests_are_kept_within_their_bound_the_latest_asked_longest() -> None:
    lake = Lake(cache_bytes=12 * 25)
    for number in range(4):
        lake.take(table([event(f"{number} {one}", number * 100 + one) for one in range(10)]))
    files = [one.file for one in lake.segments]
    reader = lake.reader
    for file in (files[0], files[1], files[0], files[2]):
        reader.digests(file)
        assert reader.held_bytes <= 12 * 25
    assert reader.held_bytes == 2 * 120
    for file in files:
        lake.files.remove(file.path)
    reader.digests(files[0])
    reader.digests(files[2])
    for file in (files[1], files[3]):
        with pytest.raises(StoreError):
            reader.digests(file)


def test_a_segment_that_cannot_be_read_stops_the_batch() -> None:
    lake = Lake(cache_bytes=0)
    lake.take(table([event("e1")]))
    lake.files.remove(lake.segments[0].file.path)
    with pytest.raises(StoreError, match="cannot read a segment"):
        lake.take(table([event("e1")]))
    # Other times are none of its business.
    assert lake.take(table([event("e2", 5_000)])) == 1


def test_a_table_without_repetitions_is_the_table() -> None:
    some = table([event("e1"), event("e2")])
    assert new_rows(some, (), DigestReader(MemoryFiles())) is some
    assert datetime(2026, 3, 1, tzinfo=UTC) in some["time"].to_pylist()
