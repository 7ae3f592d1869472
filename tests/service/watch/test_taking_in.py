"""Taking in: each event is kept once however it arrives; what could not be read or fetched is told and comes again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from keytrail.errors import StoreError
from keytrail.service.watch.service import Service
from keytrail.sources.feeds import Delivery
from keytrail.store.state import objects
from tests.service.watch.kit import Bench, MemoryFeed, event, ids_of, probes, rule, stored_bytes

MakeBench = Callable[..., Bench]


def ids(bench: Bench) -> list[str]:
    """The events in the lake, in the order of arrival."""
    return [str(one["eventID"]) for one in bench.lake()]


def test_what_arrives_is_kept_as_it_came_and_settled(bench: MakeBench) -> None:
    one = bench(rule())
    came = one.take("a", [event(1, "Other"), event(2)])
    assert (came.new, came.repeated, came.known, came.unreadable) == (2, 0, 0, 0)
    assert one.lake() == [event(1, "Other"), event(2)]
    assert one.feed.settled == ["a"]
    assert one.alerted() == ["2"]


def test_an_object_that_comes_again_is_not_read_again(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.restart()
    one.feed.unreachable.add("a")
    came = one.take("a", probes(1))
    assert (came.new, came.known) == (0, 1)
    assert one.feed.settled == ["a", "a"]
    assert not one.feed.returned


def test_an_event_that_comes_again_is_kept_and_alerted_once(bench: MakeBench) -> None:
    """In one object, in others at the same time, later, after a restart, after its segment was merged."""
    one = bench(rule())
    one.feed.put("a", [*probes(1, 2), *probes(1)])
    one.feed.put("b", probes(2, 3))
    one.take()
    one.take("c", probes(3, 4))
    one.restart()
    one.take("d", probes(1, 4, 5))
    for number in range(8):
        one.take(f"e{number}", probes(1, 10 + number))
    one.clock.passes(days=1)
    assert one.service.upkeep.compact() > 0
    came = one.take("f", probes(1, 5, 12, 20))
    assert (came.new, came.repeated) == (1, 3)
    assert ids(one) == ["1", "2", "3", "4", "5", *(str(10 + number) for number in range(8)), "20"]
    assert sorted(one.alerted()) == sorted(ids(one))


def test_events_with_the_same_id_in_two_accounts_are_two(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", [event(1), event(1, recipientAccountId="444455556666"), event(1, awsRegion="us-east-1")])
    assert len(one.lake()) == len(one.alerts()) == 3


def test_a_damaged_object_gives_what_can_be_read_of_it_and_is_told(bench: MakeBench) -> None:
    one = bench(rule())
    whole = json.dumps({"Records": probes(*range(20))}).encode()
    came = one.take("a", whole[: len(whole) // 2])
    assert came.new == len(one.alerts()) == len(ids(one)) > 0
    assert came.unreadable
    assert one.feed.settled == ["a"]
    with one.home.database.read() as connection:
        [(name, _, _)] = objects.damaged_objects(connection)
    assert name == "a"


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_an_object_that_is_whole_later_has_lost_nothing(bench: MakeBench, damage: str) -> None:
    one = bench(rule())
    whole = stored_bytes(probes(*range(50)))
    one.take("a", {"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"\x00\xff{"}[damage])
    one.take("a", whole)
    assert sorted(map(int, ids(one))) == list(range(50))
    assert one.alert_ids() == ids_of("probe", probes(*range(50)))
    with one.home.database.read() as connection:
        assert objects.damaged_objects(connection) == ()


def test_what_cannot_be_fetched_comes_again_and_holds_up_nothing_else(bench: MakeBench) -> None:
    one = bench(rule())
    one.feed.unreachable.add("a")
    one.feed.put("a", probes(1))
    one.feed.put("b", probes(2))
    one.take()
    assert [name for name, _ in one.feed.returned] == ["a"]
    assert one.alerted() == ["2"]
    one.feed.unreachable.clear()
    one.take()
    assert one.alerted() == ["2", "1"]
    assert not one.feed.open


def test_a_large_object_that_breaks_off_while_it_is_read_is_taken_again(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of it may be committed before it breaks off; they are told apart when it comes again."""
    monkeypatch.setattr("keytrail.service.watch.ingest._WHOLE_BYTES", 10)
    one = bench(rule())
    one.take("small", probes(1))
    whole = json.dumps({"Records": probes(*range(2_000))}).encode()
    broken = [True]

    def read() -> Iterator[bytes]:
        for at in range(0, len(whole), 4096):
            if broken[0] and at > len(whole) * 0.9:
                raise OSError("cut off") from None
            yield whole[at : at + 4096]

    def chunks() -> Iterator[bytes]:
        from keytrail.errors import ObjectError

        try:
            yield from read()
        except OSError as error:
            raise ObjectError("cut off") from error

    feed = MemoryFeed()
    for _ in range(2):
        one.service.take([Delivery("large", "large", chunks, len(whole))], feed)  # type: ignore[arg-type]
        broken[0] = False
    assert [name for name, _ in feed.returned] == feed.settled == ["large"]
    assert sorted(map(int, ids(one))) == list(range(2_000))


def test_what_is_not_committed_is_not_settled(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(rule())
    one.service.run_rules()

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.ingest.add_objects", full)
        with pytest.raises(StoreError):
            one.take("a", probes(1))
    assert one.feed.settled == []
    assert one.lake() == []
    one.feed.crash()
    one.take()
    assert one.alerted() == ["1"]
    one.restart()
    assert len(list((one.folder / "lake").rglob("*.parquet"))) == 1


def test_what_a_full_disk_left_behind_is_not_more_with_each_try(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that could not be committed is removed: a disk that is full must not become fuller."""
    one = bench(rule())
    one.service.run_rules()

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.ingest.add_segment", full)
        for _ in range(3):
            one.feed.crash()
            with pytest.raises(StoreError):
                one.take("a", probes(1))
    assert list((one.folder / "lake").rglob("*.parquet*")) == []


def test_the_marks_of_a_feed_are_those_of_what_is_committed(bench: MakeBench) -> None:
    one = bench(rule())
    ledger = objects.SqlLedger(one.home.database)
    one.feed.put("a", probes(1), place="1")
    one.feed.put("b", probes(2), place="2")
    one.feed.unreachable.add("b")
    one.take()
    assert ledger.mark("place") == "1"
    one.feed.unreachable.clear()
    one.take()
    assert ledger.mark("place") == "2"


def test_what_a_stopped_process_left_is_swept_when_the_next_one_starts(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    [segment] = one.home.catalog.segments()
    folder = one.folder / "lake" / segment.file.path.partition("/")[0]
    for name in ("0" * 32 + ".parquet", "1" * 32 + ".parquet.part", "notes.txt"):
        (folder / name).write_bytes(b"x")
    one.restart()
    assert sorted(path.name for path in folder.iterdir()) == sorted([segment.file.path[-40:], "notes.txt"])


def test_one_service_at_a_time_works_on_a_state(bench: MakeBench) -> None:
    one = bench(rule())
    assert one.service
    with pytest.raises(StoreError, match="in use by keytrail on"):
        Service(one.home, (), one.clock).__enter__()
    one.stop()
    with Service(one.home, (), one.clock):
        pass


def test_a_service_whose_lease_is_gone_commits_nothing(bench: MakeBench) -> None:
    """As when a machine slept, and another took over: PostgreSQL has no lock that would have told."""
    from keytrail.store.state.lease import LeaseLost

    one = bench(rule())
    one.take("a", probes(1))
    one.keep("b", probes(2))
    service = one.service
    service.lease.epoch -= 1
    with pytest.raises(LeaseLost):
        one.take("c", probes(3))
    for part in (service.run_rules, service.upkeep.clear):
        with pytest.raises(LeaseLost):
            part()
    assert ids(one) == ["1", "2"]
    assert one.alerted() == ["1"]
    service.lease.epoch += 1
