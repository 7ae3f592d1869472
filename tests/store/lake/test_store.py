"""What a lake adds to the contract: it grows, it is compacted, and what was prepared keeps up with it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import Json, event_time
from keytrail.errors import StoreError
from keytrail.search import Options, Pattern, Result, dispatch
from keytrail.search.examine import Examiner
from keytrail.store import Damage, Interval, MemoryStore, Selector, Sighting, StoredRecord, Want
from keytrail.store.lake.model import Segment
from keytrail.store.lake.read import LakeReader, Piece
from keytrail.store.lake.store import LakeStore
from tests.store.lake.made import LIMITS, NOW, MemoryCatalog, drop, fill, merge, write
from tests.store.records import ACCOUNT, KEY, OTHER, REGION, SPELLINGS, at, event, plain
from tests.store.test_archive import events, sightings, wants

DAY = [event(f"e{hour:02}", at(hour), requestParameters={"keyId": KEY, "n": str(hour)}) for hour in range(12)]
TEXTS = list(map(plain, DAY))
HELD = Selector.any_of((KEY,))
ACTION = Selector.kql("event.action: Decrypt")
FREE = Selector.kql("not event.outcome: failure")
ADDRESS = ("sourceIPAddress",)


@pytest.fixture
def catalog(tmp_path: Path) -> MemoryCatalog:
    return fill(tmp_path, TEXTS)


@pytest.fixture
def store(tmp_path: Path, catalog: MemoryCatalog) -> Iterator[LakeStore]:
    made = LakeStore(tmp_path, catalog, now=NOW, limits=LIMITS)
    yield made
    made.close()


class Reads:
    """Counts the groups of rows that are read, and the rows that are fetched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.groups = 0
        self.rows = 0
        blocks, fetch = LakeReader.blocks, LakeReader.fetch

        def counted(reader: LakeReader, group: object) -> object:
            self.groups += 1
            return blocks(reader, group)  # type: ignore[arg-type]

        def fetched(reader: LakeReader, piece: Piece, numbers: object) -> object:
            self.rows += len(numbers)  # type: ignore[arg-type]
            return fetch(reader, piece, numbers)  # type: ignore[arg-type]

        monkeypatch.setattr(LakeReader, "blocks", counted)
        monkeypatch.setattr(LakeReader, "fetch", fetched)


def ids(store: LakeStore, what: Selector, *times: object) -> list[object]:
    return [one.data["eventID"] for one in store.find(what, *times)]  # type: ignore[arg-type]


def test_times_and_columns_rule_out_what_is_not_read(store: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    assert ids(store, HELD, at(5), at(6)) == ["e05"]
    assert (reads.groups, reads.rows) == (1, 0)
    assert ids(store, Selector.kql("event.action: Decrypt and event.id: e07")) == ["e07"]
    assert ids(store, Selector.kql("event.action: Encrypt")) == []
    assert (reads.groups, reads.rows) == (1, 1)
    assert list(store.find(HELD, at(20))) == []
    assert (reads.groups, reads.rows) == (1, 1)


def test_what_is_found_has_its_position(store: LakeStore) -> None:
    assert [(one.position, one.raw) for one in store.find(HELD, at(3), at(5))] == [
        (3, TEXTS[3].encode()),
        (4, TEXTS[4].encode()),
    ]


def test_what_was_prepared_is_answered_without_reading(store: LakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sighting = Sighting(ADDRESS, "192.0.2.1", ACCOUNT, at(3))
    store.prepare([Want(Selector.any_of((KEY, "3"))), Want(ACTION), Want(FREE, at(2), at(9))], [sighting])
    reads = Reads(monkeypatch)
    assert ids(store, HELD, at(3), at(5)) == ["e03", "e04"]
    assert ids(store, Selector.any_of(("3",))) == ["e03"]
    assert store.count(ACTION, at(2)) == 10
    assert ids(store, FREE, at(7), at(9)) == ["e07", "e08"]
    assert store.seen(sighting)
    assert (reads.groups, reads.rows) == (0, 0)
    assert ids(store, FREE, at(8), at(10)) == ["e08", "e09"]
    assert reads.groups


def test_what_was_prepared_keeps_up_with_what_arrives(
    store: LakeStore, tmp_path: Path, catalog: MemoryCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Sighting(ADDRESS, "192.0.2.7", ACCOUNT, at(9))
    store.prepare([Want(HELD), Want(ACTION)], [late])
    assert not store.seen(late)
    more = event("e99", at(5, 30), sourceIPAddress="192.0.2.7", requestParameters={"keyId": KEY})
    catalog.commit(write(tmp_path, [plain(more)]))
    reads = Reads(monkeypatch)
    assert ids(store, HELD, at(5), at(7)) == ["e05", "e99", "e06"]
    assert store.count(ACTION) == 13
    assert store.seen(late)
    # Only the new segment: its group for the literal, its row for the query.
    assert (reads.groups, reads.rows) == (1, 1)
    assert ids(store, Selector.kql("event.id: e99")) == ["e99"]


@pytest.mark.parametrize("prepared", [False, True])
def test_compaction_changes_no_answer(store: LakeStore, tmp_path: Path, catalog: MemoryCatalog, prepared: bool) -> None:
    if prepared:
        store.prepare([Want(HELD), Want(ACTION)])
    first = store.after(0, 5)
    merge(tmp_path, catalog, 0, 1)
    assert ids(store, HELD) == ids(store, ACTION) == [one["eventID"] for one in DAY]
    rest = store.after(first.position, 99)
    assert [one.data for one in (*first.records, *rest.records)] == DAY
    assert [one.position for one in rest.records] == list(range(5, 12))


def test_what_is_kept_no_longer_is_found_no_longer(store: LakeStore, tmp_path: Path, catalog: MemoryCatalog) -> None:
    store.prepare([Want(HELD)], [Sighting(ADDRESS, "192.0.2.1", ACCOUNT, at(1))])
    assert store.count(HELD) == 12
    drop(tmp_path, catalog, 0)
    assert ids(store, HELD) == [one["eventID"] for one in DAY[4:]]
    assert not store.seen(Sighting(ADDRESS, "192.0.2.1", ACCOUNT, at(1)))
    batch = store.after(0, 99)
    assert [one.position for one in batch.records] == list(range(4, 12))
    assert (batch.position, batch.more) == (12, False)
    assert store.after(2, 1).position == 5


class Swapped(MemoryCatalog):
    """Two segments are merged and one is removed after the catalog was read, when it was read so often before."""

    folder: Path
    left = -1

    def segments(self) -> tuple[Segment, ...]:
        found = tuple(self.committed)
        if self.left == 0:
            merge(self.folder, self, 0, 1)
            drop(self.folder, self, 1)
        self.left -= 1
        return found


@pytest.mark.parametrize("what", [HELD, ACTION, FREE])
@pytest.mark.parametrize("prepared", [False, True])
def test_segments_that_vanish_after_the_catalog_was_read_are_followed(
    tmp_path: Path, what: Selector, prepared: bool
) -> None:
    made = fill(tmp_path, TEXTS)
    catalog = Swapped(made.committed, made.next)
    catalog.folder = tmp_path
    store = LakeStore(tmp_path, catalog, now=NOW, limits=LIMITS)
    assert store.coverage().seen
    # The store first asks whether there is anything new; then it reads what it was told.
    catalog.left = 1
    if prepared:
        store.prepare([Want(what)])
    assert ids(store, what) == [one["eventID"] for one in DAY[:8]]
    assert catalog.left < 0
    store.close()


def test_arrival_goes_on_where_compaction_and_retention_have_left_the_rows(tmp_path: Path) -> None:
    catalog = fill(tmp_path, TEXTS)
    store = LakeStore(tmp_path, catalog, now=NOW, limits=LIMITS)
    arriving = store.arrived(1)
    found = [next(arriving), next(arriving)]
    merge(tmp_path, catalog, 1, 2)
    found += arriving
    assert [(one.position, len(one.rows)) for one in found] == [(1, 1), (2, 2), (4, 8)]
    drop(tmp_path, catalog, 1)
    assert [one.position for one in store.arrived(1)] == [1, 2]
    store.close()


def test_a_segment_that_should_be_there_is_missed(store: LakeStore, tmp_path: Path, catalog: MemoryCatalog) -> None:
    (tmp_path / catalog.committed[1].file.path).unlink()
    for ask in (
        lambda: ids(store, HELD),
        lambda: ids(store, ACTION),
        lambda: store.after(3, 9),
        lambda: store.prepare([Want(HELD)]),
        lambda: store.seen(Sighting(ADDRESS, "192.0.2.1", OTHER, at(9))),
    ):
        with pytest.raises(StoreError, match="missing"):
            ask()
    assert ids(store, HELD, at(0), at(3)) == ["e00", "e01", "e02"]


def test_a_damaged_segment_says_what_to_do(store: LakeStore, tmp_path: Path, catalog: MemoryCatalog) -> None:
    path = tmp_path / catalog.committed[1].file.path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for ask in (lambda: ids(store, HELD), lambda: ids(store, ACTION), lambda: store.after(3, 9)):
        with pytest.raises(StoreError, match="damaged") as caught:
            ask()
        assert "verify" in caught.value.advice


def test_rows_that_arrived_can_be_examined_as_they_are(
    store: LakeStore, catalog: MemoryCatalog, tmp_path: Path
) -> None:
    catalog.commit(write(tmp_path, [plain(event("h1", at(1), name="PutKeyPolicy"))]), history=True)
    examiner = Examiner(dispatch([Pattern("r", "event.action: PutKeyPolicy or event.id: e07")], now=NOW), Options())
    found = [
        (some.position + row, match.event_id, some.history)
        for some in store.arrived(3)
        for row, match in examiner.examine_rows(some.rows, Result())
    ]
    assert found == [(7, "e07", False), (12, "h1", True)]
    assert list(store.arrived(13)) == []


def test_coverage_comes_from_the_catalog_and_damage_from_the_caller(tmp_path: Path, catalog: MemoryCatalog) -> None:
    lost = [Damage("a.gz", ACCOUNT, REGION, at(0).date()), Damage("b.gz")]
    store = LakeStore(tmp_path, catalog, now=NOW, limits=LIMITS, damage=lambda: lost)
    for one in catalog.committed:
        (tmp_path / one.file.path).unlink()
    assert store.coverage().seen == (Interval(ACCOUNT, REGION, at(0), at(11)),)
    assert store.coverage(at(3), at(8)).seen == (Interval(ACCOUNT, REGION, at(3), at(7)),)
    assert store.damage() == store.coverage().damage == tuple(lost)
    assert [one.what for one in store.coverage(at(0) + timedelta(days=3)).damage] == ["b.gz"]


def test_what_was_found_of_many_values_at_many_times_is_told_apart(store: LakeStore) -> None:
    store.prepare([Want(Selector.any_of(("1", "2")), at(1), at(3)), Want(Selector.any_of(("2", "3")), at(3))])
    assert ids(store, Selector.any_of(("1", "2", "3"))) == ["e01", "e02", "e03"]
    assert ids(store, Selector.any_of(("2",)), at(1), at(3)) == ["e02"]
    assert ids(store, Selector.any_of(("2",)), at(3)) == []


def test_a_value_that_no_column_can_hold_is_seen_in_the_record(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, fill(tmp_path, [json.dumps(event("e1", at(1), sourceIPAddress="\ud800"))]), now=NOW)
    assert store.seen(Sighting(ADDRESS, "\ud800", ACCOUNT, at(2)))
    assert not store.seen(Sighting(ADDRESS, "\ufffd", ACCOUNT, at(2)))
    store.close()


# -- a lake is what memory is -------------------------------------------------------------------------------------


def in_order(found: Iterable[StoredRecord]) -> list[Json]:
    """What was found; events with the same time and id, of two accounts, are in no particular order."""
    records = [one.data for one in found]
    keys = [(event_time(one) or datetime.min.replace(tzinfo=UTC), one["eventID"]) for one in records]
    assert keys == sorted(keys)  # type: ignore[type-var]
    return sorted(records, key=lambda one: (str(one.get("eventTime")), str(one["eventID"]), str(one)))


@settings(max_examples=60)
@given(
    records=st.lists(events, max_size=6, unique_by=lambda one: (one["eventID"], one["recipientAccountId"])),
    twice=st.booleans(),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    prepared=st.lists(wants, max_size=3),
    known=st.lists(sightings, max_size=2),
    asked=st.lists(wants, min_size=1, max_size=3),
    looked=st.lists(sightings, max_size=2),
    late=st.integers(0, 6),
)
def test_a_lake_answers_what_memory_answers(
    records: list[Json],
    twice: bool,
    spelling: str,
    prepared: list[Want],
    known: list[Sighting],
    asked: list[Want],
    looked: list[Sighting],
    late: int,
) -> None:
    records = records * 2 if twice else records
    texts = [SPELLINGS[spelling](one) for one in records]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalog = fill(folder, texts[late:], each=3)
        store = LakeStore(folder, catalog, now=NOW, limits=LIMITS)
        store.prepare(prepared, known)
        arrived = [*records[late:], *records[:late]]
        if texts[:late]:
            catalog.commit(write(folder, texts[:late]))
        memory = MemoryStore(arrived, now=NOW)
        for one in (*prepared, *asked):
            question = (one.what, one.since, one.until)
            assert in_order(store.find(*question)) == in_order(memory.find(*question))
            assert store.count(*question) == memory.count(*question)
        for sighting in (*known, *looked):
            assert store.seen(sighting) == memory.seen(sighting)
        for account in (ACCOUNT, OTHER):
            assert store.coverage().of(account, REGION) == memory.coverage().of(account, REGION)
        batch = store.after(0, 99)
        assert [one.data for one in batch.records] == arrived
        assert [event_time(one.data) for one in batch.records] == [event_time(one) for one in arrived]
        store.close()
