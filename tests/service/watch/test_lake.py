"""The lake under the service: merged while it is read, kept as long as somebody needs it, filled by imports."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keytrail.errors import StoreError
from keytrail.service.lake import (
    HuntRequest,
    ImportRequest,
    compact_lake,
    count_lake,
    hunt_lake,
    import_archives,
    verify_lake,
)
from keytrail.service.lake_store import lake_store
from keytrail.store import Selector
from keytrail.store.state.catalog import replace_segments
from tests.investigate import records as made
from tests.service.watch.kit import Bench, event, ids_of, probes, rule, stored_bytes

MakeBench = Callable[..., Bench]

OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
CREATED = made.create_key("11:00", made.user(), made.policy(OWN))
OPENED = made.put_policy("11:55", made.user(), made.policy(OWN, made.allow({"AWS": made.root_arn(made.OUTSIDE)})))


def files(bench: Bench) -> set[str]:
    """The segment files on disk."""
    return {path.name for path in (bench.folder / "lake").rglob("*.parquet")}


# -- merging ----------------------------------------------------------------------------------------------------------


def test_merging_keeps_records_order_and_positions(bench: MakeBench) -> None:
    one = bench(rule())
    for number in range(20):
        one.take(f"o{number}", probes(number, f"x{number}"))
    before = one.lake(), one.alerts(), one.home.catalog.head()
    assert one.service.upkeep.compact() > 0
    one.clock.passes(days=1)
    one.service.upkeep.compact()
    [segment] = one.home.catalog.segments()
    assert (segment.first_sequence, segment.end) == (0, 40)
    assert (one.lake(), one.alerts(), one.home.catalog.head()) == before
    assert verify_lake(one.settings, clock=one.clock).damaged == ()


def test_who_reads_while_segments_are_merged_reads_all_and_the_files_go_later(bench: MakeBench) -> None:
    one = bench(rule(), lake={"grace_seconds": 600})
    for number in range(10):
        one.take(f"o{number}", probes(f"{number}-a", f"{number}-b"))
    with lake_store(one.home, one.clock()) as store:
        reading = store.find(Selector.kql("event.action: Probe"))
        seen = [next(reading).data["eventID"]]
        one.clock.passes(days=1)
        old = files(one)
        assert one.service.upkeep.compact() == 9
        one.service.upkeep.clear()
        assert old < files(one)
        seen += [found.data["eventID"] for found in reading]
    assert sorted(map(str, seen)) == sorted(str(each["eventID"]) for each in one.lake())
    one.clock.passes(seconds=599)
    assert one.service.upkeep.clear() == 0
    one.clock.passes(seconds=2)
    assert one.service.upkeep.clear() == 10
    assert len(files(one)) == 1


def test_a_file_that_was_replaced_and_is_still_read_outlives_a_restart(bench: MakeBench) -> None:
    one = bench(rule())
    for number in range(10):
        one.take(f"o{number}", probes(number))
    one.service.upkeep.compact()
    old = files(one)
    one.restart()
    assert files(one) == old


def test_a_merge_that_cannot_be_committed_leaves_nothing(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(rule())
    for number in range(10):
        one.take(f"o{number}", probes(number))
    before = files(one)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.upkeep.replace_segments", full)
        with pytest.raises(StoreError):
            one.service.upkeep.compact()
    assert files(one) == before
    assert len(one.lake()) == 10


def test_a_merge_whose_commit_took_place_though_it_seemed_to_fail_keeps_its_file(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(rule())
    for number in range(10):
        one.take(f"o{number}", probes(number))
    dialect = one.home.database.engine.dialect
    commit = dialect.do_commit

    def replace(*arguments: Any) -> None:
        replace_segments(*arguments)
        monkeypatch.setattr(dialect, "do_commit", lost)

    def lost(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        commit(connection)
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.upkeep.replace_segments", replace)
        with pytest.raises((OSError, StoreError)):
            one.service.upkeep.compact()
    assert len(one.lake()) == 10
    assert len(one.home.catalog.segments()) < 10


def test_what_is_not_told_stays_apart_from_what_is(bench: MakeBench) -> None:
    one = bench(rule(enabled=False))
    for number in range(10):
        one.keep(f"o{number}", probes(number))
    with one.importing(history=False, quiet=True) as service:
        for number in range(10):
            one.feed.put(f"q{number}", probes(f"q{number}"))
            service.take(one.feed.receive(), one.feed)  # type: ignore[arg-type]
    one.clock.passes(days=1)
    one.service.upkeep.compact()
    assert [(arrived.quiet, arrived.segment.file.rows) for arrived in one.home.catalog.arrived()] == [
        (False, 10), (True, 10),
    ]  # fmt: skip


# -- keeping ----------------------------------------------------------------------------------------------------------


def test_events_are_kept_for_as_many_days_as_is_set(bench: MakeBench) -> None:
    one = bench(rule(), lake={"retention_days": 10})
    one.take("a", probes(1))
    one.clock.passes(days=5)
    one.take("b", probes(2))
    one.clock.passes(days=5)
    assert one.service.upkeep.retire() == 0
    one.clock.passes(days=1)
    assert one.service.upkeep.retire() == 1
    assert [each["eventID"] for each in one.lake()] == ["2"]
    one.clock.passes(hours=1)
    one.service.upkeep.clear()
    assert len(files(one)) == 1
    assert len(one.alerts()) == 2


@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_rule_has_not_examined_is_kept_beyond_that_with_a_warning(
    bench: MakeBench, caplog: pytest.LogCaptureFixture, fresh: bool
) -> None:
    """Also by a service that has only begun, and run no rule yet."""
    one = bench(rule(max_signals=1), rule("quick", "event.action: Nothing"), lake={"retention_days": 1})
    for number in range(3):
        one.keep(f"o{number}", probes(f"{number}-a", f"{number}-b"))
    one.service.run_rules()
    one.service.run_rules()
    one.service.run_rules()
    assert one.cursor() == 3
    one.clock.passes(days=5)
    if fresh:
        one.restart()
    with caplog.at_level(logging.WARNING, "keytrail.watch"):
        caplog.clear()
        assert one.service.upkeep.retire() == 1
        assert one.service.upkeep.retire() == 0
    assert [line.getMessage() for line in caplog.records] == [
        "events are kept beyond their time, for a rule that has not examined them"
    ]
    one.run()
    assert len(one.alerts()) == 6
    assert one.service.upkeep.retire() == 2
    one.check()


def test_a_disabled_rule_keeps_nothing(bench: MakeBench) -> None:
    one = bench(rule(), rule("other"), lake={"retention_days": 1})
    one.take("a", probes(1))
    one.remove_rule("other")
    one.take("b", probes(2))
    one.clock.passes(days=5)
    assert one.service.upkeep.retire() == 2


# -- importing --------------------------------------------------------------------------------------------------------


def archive(bench: Bench, *objects: list[object]) -> Path:
    """A folder with these objects."""
    folder = bench.folder / "archive"
    folder.mkdir(exist_ok=True)
    for number, records in enumerate(objects):
        (folder / f"{number}.json.gz").write_bytes(stored_bytes(records))  # type: ignore[arg-type]
    return folder


def test_what_is_imported_is_history(bench: MakeBench) -> None:
    """Hunted and investigated over, not detected."""
    one = bench(rule(query="event.action: (Probe or PutKeyPolicy)"))
    folder = archive(one, [*probes(1, 2), CREATED], [event(3, "Other")])
    came = import_archives(ImportRequest((str(folder),), settings=one.settings), clock=one.clock)
    assert (came.objects, came.records, came.repeated, came.known, came.alerts) == (2, 4, 0, 0, 0)
    one.run()
    assert one.alerts() == ()
    assert count_lake(HuntRequest("event.action: Probe", settings=one.settings), clock=one.clock) == 2
    found = list(hunt_lake(HuntRequest('event.id: "3"', settings=one.settings), clock=one.clock))
    assert len(found) == 1
    one.take("a", [OPENED, *probes(4)])
    one.look()
    [first, second] = one.alerts()
    # What the key was before is known from the history.
    [revision] = one.revisions(str(OPENED["eventID"]))
    assert str(CREATED["eventID"]) in json.dumps(revision.document["before"])
    assert {first.event_id, second.event_id} == {"4", OPENED["eventID"]}


def test_an_import_can_be_asked_again_and_goes_on_where_it_was(bench: MakeBench) -> None:
    one = bench(rule())
    folder = archive(one, probes(1), probes(2))
    request = ImportRequest((str(folder),), settings=one.settings)
    import_archives(request, clock=one.clock)
    archive(one, probes(1), probes(2), probes(2, 3))
    came = import_archives(request, clock=one.clock)
    assert (came.objects, came.known, came.records, came.repeated) == (3, 2, 1, 1)
    assert len(one.lake()) == 3


def test_what_arrived_live_is_not_imported_again_and_stays_detected(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.stop()
    import_archives(ImportRequest((str(archive(one, probes(1, 2))),), settings=one.settings), clock=one.clock)
    assert [each["eventID"] for each in one.lake()] == ["1", "2"]
    one.take("b", probes(2, 3))
    assert one.alerted() == ["1", "3"]
    one.check()


@pytest.mark.parametrize(("detect", "notify"), [(True, False), (True, True)])
def test_with_detect_rules_run_and_with_notify_people_are_told(bench: MakeBench, detect: bool, notify: bool) -> None:
    one = bench(rule(max_signals=1), rule("change", "event.action: PutKeyPolicy"))
    folder = archive(one, [*probes(1, 2, 3), CREATED, OPENED])
    request = ImportRequest((str(folder),), detect=detect, notify=notify, settings=one.settings)
    came = import_archives(request, clock=one.clock)
    assert came.alerts == 4
    assert one.alert_ids() == ids_of("probe", probes(1, 2, 3)) | ids_of("change", [OPENED])
    assert len(one.revisions(str(OPENED["eventID"]))) == 1
    assert one.tell() == (4 if notify else 0)
    one.check()


def test_nothing_is_imported_while_the_service_works(bench: MakeBench) -> None:
    one = bench(rule())
    assert one.service
    for work in (
        lambda: import_archives(ImportRequest((str(archive(one, probes(1))),), settings=one.settings)),
        lambda: compact_lake(one.settings),
    ):
        with pytest.raises(StoreError, match="in use"):
            work()


# -- damage -----------------------------------------------------------------------------------------------------------


def test_a_damaged_segment_is_told_and_what_can_be_read_is_gone_on_with(bench: MakeBench) -> None:
    """Rules that have passed it go on; one that has not waits there, and loses nothing when the file is put back."""
    one = bench(rule(max_signals=1), rule("all", "event.action: *"))
    one.keep("a", probes(1, 2))
    one.service.run_rules()
    assert (len(one.alerts("all")), len(one.alerts("probe"))) == (2, 1)
    one.restart()
    [segment] = one.home.catalog.segments()
    path = one.folder / "lake" / segment.file.path
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes(len(whole) - 50))
    verified = verify_lake(one.settings, clock=one.clock)
    assert [name for name, _ in verified.damaged] == [segment.file.path]
    one.take("b", [event(3, "Other", recipientAccountId="444455556666")])
    status, message = one.status("probe")
    assert status == "failed"
    assert "damaged" in message
    assert one.feed.settled == ["a", "b"]
    assert len(one.alerts("all")) == 3
    assert one.alerted("probe") == ["1"]
    path.write_bytes(whole)
    one.clock.passes(minutes=1)
    one.run()
    assert one.alerted("probe") == ["1", "2"]
    one.check("probe")
    one.check("all")
