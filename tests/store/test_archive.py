"""What an archive adds to the contract: passes, problems, windows, names of objects, and equality with memory."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import Json, ReadLimits
from keytrail.errors import InputError, SourceError
from keytrail.search import Match, Result, Sizes, match_id, strings_of, workers
from keytrail.sources import SourceObject, SourceSettings, TimeWindow, open_source
from keytrail.sources.files import FileSource
from keytrail.store import ArchiveStore, Damage, EventStore, Interval, MemoryStore, Selector, Sighting, Want
from tests.store.records import (
    ACCOUNT,
    KEY,
    NOW,
    OTHER,
    REGION,
    SPELLINGS,
    archive,
    at,
    event,
    write_lines,
    write_objects,
)

DAY = [event(f"e{hour:02}", at(hour), requestParameters={"keyId": KEY, "n": str(hour)}) for hour in range(12)]


class Passes:
    """Counts the objects that are read."""

    def __init__(self) -> None:
        self.objects = 0

    def __call__(self, result: Result) -> None:
        self.objects += result.counts.objects


def ids(store: EventStore, what: Selector, *times: datetime | None) -> list[object]:
    return [one.data["eventID"] for one in store.find(what, *times)]


def hand_over(store: ArchiveStore, what: Selector, records: list[Json]) -> None:
    """Give the store what a pass of somebody else's found of a selector."""
    for one in records:
        held = tuple(sorted(what.literals & set(strings_of(one))))
        match = Match(
            7, match_id("", one), str(one["eventTime"]), b"", json.dumps(one).encode(), held, str(one["eventID"])
        )
        store.take_over(Result(matches=[match]), {7: what})
    store.taken_over([what])


def test_what_was_prepared_is_answered_from_one_pass(tmp_path: Path) -> None:
    passes = Passes()
    store = archive(write_objects(tmp_path, DAY), observe=passes)
    action = Selector.kql("event.action: Decrypt")
    sighting = Sighting(("sourceIPAddress",), "192.0.2.1", ACCOUNT, at(3))
    wants = [Want(Selector.any_of((KEY, "3", "4"))), Want(Selector.any_of(("5", "6")), at(5), at(8)), Want(action)]
    store.prepare(wants, [sighting])
    assert passes.objects == 6
    assert ids(store, Selector.any_of((KEY,)), at(3), at(5)) == ["e03", "e04"]
    assert ids(store, Selector.any_of(("3", "4"))) == ["e03", "e04"]
    assert ids(store, Selector.any_of(("3", "6")), at(6), at(7)) == ["e06"]
    assert store.count(action, at(2)) == 10
    assert store.seen(sighting)
    assert store.coverage().seen == (Interval(ACCOUNT, REGION, at(0), at(11)),)
    store.prepare(wants, [sighting])
    assert passes.objects == 6


def test_what_was_not_prepared_takes_a_pass_that_is_remembered(tmp_path: Path) -> None:
    passes = Passes()
    store = archive(write_objects(tmp_path, DAY), observe=passes)
    store.prepare([Want(Selector.any_of(("5", "6")), at(6))])
    assert ids(store, Selector.any_of(("5", "6")), at(4)) == ["e05", "e06"]
    assert passes.objects == 12
    assert ids(store, Selector.any_of(("5",)), at(5)) == ["e05"]
    assert store.count(Selector.any_of(("5", "6")), at(4), at(6)) == 1
    assert passes.objects == 12


def test_records_that_a_caller_has_already_read_need_no_pass(tmp_path: Path) -> None:
    passes = Passes()
    store = archive(write_objects(tmp_path, DAY), observe=passes)
    action = Selector.kql("event.action: Decrypt")
    hand_over(store, action, [*DAY, DAY[0]])
    hand_over(store, Selector.any_of(("3", "4")), DAY[3:5])
    assert ids(store, action, at(10)) == ["e10", "e11"]
    assert store.count(action) == 12
    assert ids(store, Selector.any_of(("4",))) == ["e04"]
    assert passes.objects == 0


def test_events_outside_the_stores_own_times_do_not_exist(tmp_path: Path) -> None:
    write_objects(tmp_path, [*DAY, event("none", None, requestParameters={"keyId": KEY})])
    store = ArchiveStore((open_source(str(tmp_path), SourceSettings()),), since=at(4), until=at(7), now=NOW)
    assert ids(store, Selector.any_of((KEY,))) == ["e04", "e05", "e06"]
    assert store.count(Selector.kql("event.action: *"), None, at(5)) == 1
    assert not store.seen(Sighting(("sourceIPAddress",), "192.0.2.1", ACCOUNT, at(4)))
    batch = store.after(0, 1)
    assert [one.data["eventID"] for one in (*batch.records, *store.after(batch.position, 9).records)] == [
        "e04",
        "e05",
        "e06",
    ]
    assert store.coverage().seen[0].first >= at(4)
    hand_over(store, Selector.kql("event.action: Decrypt"), DAY)
    assert store.count(Selector.kql("event.action: Decrypt")) == 3


def test_damage_is_told_with_the_place_that_the_name_gives_and_the_rest_is_found(tmp_path: Path) -> None:
    write_objects(tmp_path, DAY)
    cut, broken = sorted(tmp_path.rglob("*.gz"))[1:3]
    cut.write_bytes(cut.read_bytes()[:-20])
    broken.write_bytes(gzip.compress(gzip.decompress(broken.read_bytes()).replace(b'"eventID"', b'"eventID', 1)))
    elsewhere = tmp_path / "other.json"
    elsewhere.write_text("nothing")
    store = archive(tmp_path)
    assert {"e00", "e01", "e06", "e11"} <= set(ids(store, Selector.any_of((KEY,))))
    damage = store.coverage().damage
    assert Damage(str(cut), ACCOUNT, REGION, date(2026, 3, 1)) in damage
    assert Damage(str(broken), ACCOUNT, REGION, date(2026, 3, 1)) in damage
    assert Damage(str(elsewhere)) in damage
    assert len(store.coverage().damage_of(OTHER, REGION)) == 1
    assert [one.what for one in store.coverage(at(0) + timedelta(days=2)).damage] == [str(elsewhere)]
    # Each problem is given once, however often the objects are read.
    first = store.new_problems()
    assert {one.place.file for one in first if isinstance(one, InputError) and one.place} == {
        one.what for one in damage
    }
    assert ids(store, Selector.any_of(("7",))) == ["e07"]
    assert (store.new_problems(), len(store.errors), store.failures) == ((), len(first), ())


def test_a_source_that_cannot_be_reached_is_a_failure_and_damage_of_unknown_place(tmp_path: Path) -> None:
    sources = [str(write_objects(tmp_path / "there", DAY)), str(tmp_path / "gone")]
    store = ArchiveStore([open_source(one, SourceSettings()) for one in sources])
    assert store.count(Selector.any_of((KEY,))) == 12
    assert [type(one) for one in store.failures] == [SourceError]
    assert [one.account for one in store.coverage().damage_of(OTHER, REGION)] == [""]
    assert len(store.after(0, 99).records) == 12


def test_a_source_that_is_lost_half_way_leaves_damage_behind_what_was_found(tmp_path: Path) -> None:
    class Lost(FileSource):
        def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
            yield from islice(super().objects(window), 3)
            raise SourceError("the connection is gone")

    write_objects(tmp_path, DAY)
    store = ArchiveStore([Lost(str(tmp_path), SourceSettings(), str(tmp_path))])
    store.prepare([Want(Selector.any_of((KEY,)))])
    assert store.count(Selector.any_of((KEY,))) == 6
    assert [str(one) for one in store.failures] == ["the connection is gone"]
    assert Damage("the connection is gone") in store.coverage().damage


def test_large_records_come_whole_each_time(tmp_path: Path) -> None:
    large = event("e1", at(1), requestParameters={"keyId": KEY, "more": "x" * 100_000})
    store = archive(write_objects(tmp_path, [large]))
    for _ in range(2):
        assert [one.data for one in store.find(Selector.any_of((KEY,)))] == [large]


def test_an_objects_coverage_does_not_rest_on_times_in_parameters(tmp_path: Path) -> None:
    fake = {"a": {"eventTime": "2020-01-01T00:00:00Z"}}
    store = archive(write_objects(tmp_path, [event("e1", at(1)), event("e2", at(2), requestParameters=fake)]))
    assert store.coverage().seen == (Interval(ACCOUNT, REGION, at(1), at(1)),)


@pytest.mark.parametrize("hold_bytes", [64 * 1024**2, 1])
def test_objects_with_other_names_tell_their_coverage_by_their_records(tmp_path: Path, hold_bytes: int) -> None:
    records = [event("e1", at(1)), event("e2", at(2), account=OTHER), event("e3", at(3)), event("e4", None)]
    source = open_source(str(write_lines(tmp_path, records)), SourceSettings())
    store = ArchiveStore((source,), limits=ReadLimits(hold_bytes=hold_bytes))
    assert store.coverage().seen == (Interval(ACCOUNT, REGION, at(1), at(3)), Interval(OTHER, REGION, at(2), at(2)))


# -- an archive is what memory is ---------------------------------------------------------------------------------

VALUES = [KEY, "AKIA1", "a/b", "Zoë", "ë", 'x"y', "192.0.2.1", "", "e1", f"{KEY}2", ":", "keyId"]
values = st.sampled_from(VALUES)
moments = st.sampled_from(
    [at(1), at(1, 0, 1), at(2), None, "never", "2026-03-01T01:00:00.5Z", "2026-03-01T03:00:00+02:00"]
)
bounds = st.sampled_from([None, at(1), at(1, 0, 1), at(1) + timedelta(milliseconds=400), at(2), at(3)])
inner = st.recursive(values | st.integers(0, 2) | st.none(), lambda one: st.lists(one, max_size=2), max_leaves=4)
events = st.builds(
    event,
    st.sampled_from(["e1", "e2", "e3", "e4"]),
    moments,
    account=st.sampled_from([ACCOUNT, OTHER]),
    name=st.sampled_from(["Decrypt", "PutKeyPolicy"]),
    sourceIPAddress=values,
    requestParameters=st.dictionaries(st.sampled_from(["keyId", "eventTime", KEY, "Records"]), inner, max_size=2),
)
selectors = st.one_of(
    st.frozensets(values, min_size=1, max_size=3).map(Selector.any_of),
    st.sampled_from(["event.action: Decrypt", "not event.action: Decrypt", "event.outcome: success"]).map(Selector.kql),
)
wants = st.builds(Want, selectors, bounds, bounds)
sightings = st.builds(
    Sighting,
    st.sampled_from([("sourceIPAddress",), ("requestParameters", "keyId")]),
    values,
    st.sampled_from([ACCOUNT, OTHER]),
    bounds.filter(bool),
)


@settings(max_examples=60)
@given(
    records=st.lists(events, max_size=6, unique_by=lambda one: (one["eventID"], one["recipientAccountId"])),
    twice=st.booleans(),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    write=st.sampled_from([write_objects, write_lines]),
    prepared=st.lists(wants, max_size=3),
    known=st.lists(sightings, max_size=2),
    asked=st.lists(wants, min_size=1, max_size=3),
    looked=st.lists(sightings, max_size=2),
)
def test_an_archive_answers_what_memory_answers(
    records: list[Json],
    twice: bool,
    spelling: str,
    write: Callable[..., Path],
    prepared: list[Want],
    known: list[Sighting],
    asked: list[Want],
    looked: list[Sighting],
) -> None:
    records = records * 2 if twice else records
    memory = MemoryStore(records, now=NOW)
    with tempfile.TemporaryDirectory() as folder:
        store = archive(write(Path(folder), records, SPELLINGS[spelling]))
        store.prepare(prepared, known)
        for one in (*prepared, *asked):
            question = (one.what, one.since, one.until)
            assert [found.data for found in store.find(*question)] == [found.data for found in memory.find(*question)]
            assert store.count(*question) == memory.count(*question)
        for sighting in (*known, *looked):
            assert store.seen(sighting) == memory.seen(sighting)
        batch = store.after(0, 99)
        assert [one.data for one in batch.records] == [one.data for one in memory.after(0, 99).records]


def test_processes_do_not_change_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LARGE_BYTES", 0)  # In worker processes from the first object on.
    write_objects(tmp_path, [*DAY, *DAY[3:6]])
    source = open_source(str(tmp_path), SourceSettings())
    answers = []
    for jobs in (1, 2, 3):
        store = ArchiveStore((source,), sizes=Sizes(jobs, batch_objects=1), now=NOW)
        looked = [
            Sighting(("sourceIPAddress",), "192.0.2.1", who, at(hour)) for who in (ACCOUNT, OTHER) for hour in (0, 5)
        ]
        store.prepare([Want(Selector.any_of((KEY, "5"))), Want(Selector.kql("event.action: Decrypt"), at(3))], looked)
        found = [(one.raw, one.data) for one in store.find(Selector.any_of((KEY,)))]
        answers.append(
            (found, [store.seen(one) for one in looked], store.coverage(), store.count(Selector.any_of(("5",))))
        )
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][1] == [False, True, False, False]
