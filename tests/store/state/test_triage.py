"""Triage: every change is kept with who made it, whoever else writes at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keytrail.store.state.alerts import add_alerts, alert, set_verdict
from keytrail.store.state.cases import add_revision, open_cases
from keytrail.store.state.database import Database
from keytrail.store.state.lease import acquire
from keytrail.store.state.triage import (
    AddNote,
    AlertFilter,
    Assign,
    Change,
    SetStatus,
    Snooze,
    Tag,
    alerts_by_id,
    change_alerts,
    count_alerts,
    find_alerts,
    history,
    latest_revisions,
    notes_of,
)
from tests.store.state import made
from tests.store.state.made import HOSTILE, NOW

Open = Callable[[str], Database]
MINUTE = timedelta(minutes=1)


def _change(database: Database, change: Change, *numbers: int, who: str = "ada", minutes: int = 1) -> tuple[str, ...]:
    with database.write() as connection:
        ids = [made.alert(number).id for number in numbers]
        return change_alerts(connection, ids, change, who=who, now=NOW + minutes * MINUTE)


@pytest.fixture
def filled(database: Database) -> Database:
    """Three alerts."""
    with database.write() as connection:
        add_alerts(connection, [made.alert(number) for number in (1, 2, 3)], NOW)
    return database


def test_a_change_is_kept_with_who_made_it_and_what_was_before(filled: Database) -> None:
    assert _change(filled, SetStatus("closed", "duplicate"), 1, 2, 9) == (made.alert(1).id, made.alert(2).id)
    assert _change(filled, SetStatus("open"), 1, who=HOSTILE, minutes=2) == (made.alert(1).id,)
    with filled.read() as connection:
        first, second, third = alerts_by_id(connection, [made.alert(n).id for n in (1, 2, 3)])
        lines = history(connection, "alert", first.id)
    assert (first.status, first.close_reason, first.status_at) == ("open", "", NOW + 2 * MINUTE)
    assert (second.status, second.close_reason, second.status_by) == ("closed", "duplicate", "ada")
    assert (third.status, third.status_by, third.status_at, third.updated_at) == ("open", "", None, NOW)
    assert [(line.at, line.action) for line in lines] == [(NOW + MINUTE, "close"), (NOW + 2 * MINUTE, "reopen")]
    assert lines[0].who == "ada"
    assert lines[0].detail == {
        "before": {"status": "open", "close_reason": ""},
        "after": {"status": "closed", "close_reason": "duplicate"},
    }
    assert "nul" in lines[1].who


@pytest.mark.parametrize(
    "change",
    [SetStatus("acknowledged"), Assign(("ada",)), Tag((HOSTILE,)), Snooze(NOW + MINUTE)],
    ids=lambda one: type(one).__name__,
)
def test_what_is_so_already_is_not_changed_again(filled: Database, change: Change) -> None:
    assert _change(filled, change, 1) == (made.alert(1).id,)
    assert _change(filled, change, 1, minutes=5) == ()
    with filled.read() as connection:
        assert len(history(connection, "alert", made.alert(1).id)) == 1
        assert alert(connection, made.alert(1).id).updated_at == NOW + MINUTE


def test_names_and_tags_are_sets_in_the_order_in_which_they_came(filled: Database) -> None:
    _change(filled, Assign(("ada", HOSTILE)), 1)
    _change(filled, Assign(("grace", "ada"), remove=(HOSTILE, "nobody")), 1)
    _change(filled, Tag(("b", "a", "b")), 1)
    _change(filled, Snooze(NOW + MINUTE), 1)
    _change(filled, Snooze(None), 1)
    with filled.read() as connection:
        found = alert(connection, made.alert(1).id)
    assert (found.assignees, found.tags, found.snoozed_until) == (("ada", "grace"), ("b", "a"), None)


def test_notes_stay_as_they_were_written(filled: Database) -> None:
    for number, text in enumerate(("first", "two\nlines")):
        _change(filled, AddNote(text), 1, minutes=number)
    with filled.read() as connection:
        found = notes_of(connection, made.alert(1).id)
        assert [(one.text, one.who, one.at) for one in found] == [
            ("first", "ada", NOW),
            ("two\nlines", "ada", NOW + MINUTE),
        ]
        assert [line.detail for line in history(connection, "alert", made.alert(1).id)] == [
            {"text": "first"},
            {"text": "two\nlines"},
        ]


def test_filters_find_what_they_say_and_nothing_else(database: Database) -> None:
    alerts = [
        made.alert(1, severity="low", rule_id="other"),
        made.alert(2, building_block=True),
        made.alert(3),
        made.alert(4),
    ]
    with database.write() as connection:
        for minute, one in enumerate(alerts):
            add_alerts(connection, [one], NOW + minute * MINUTE)
        set_verdict(connection, made.alert(3).event, verdict="malicious", score=90, summary="", now=NOW)
    _change(database, SetStatus("acknowledged"), 3)
    _change(database, Assign(('a "quoted", name', "Ada")), 3)
    _change(database, Snooze(NOW + 10 * MINUTE), 4)

    def found(**wanted: Any) -> list[int]:
        asked = AlertFilter(**wanted)
        with database.read() as connection:
            numbers = [one.number + 1 for one in find_alerts(connection, asked, most=10)]
            assert count_alerts(connection, asked) == len(numbers)
        return numbers

    assert found() == [4, 3, 1]
    assert found(building_blocks=True) == [4, 3, 2, 1]
    assert found(statuses=("acknowledged", "closed")) == [3]
    assert found(severities=("low",), rules=("other", "none")) == [1]
    assert found(verdicts=("malicious",)) == [3]
    assert found(verdicts=("",)) == [4, 1]
    assert found(assignees=("Ada", "none")) == found(assignees=('a "quoted", name',)) == [3]
    assert found(assignees=("ada",)) == found(assignees=("quoted",)) == found(assignees=("%",)) == []
    assert found(since=NOW + MINUTE, until=NOW + 3 * MINUTE) == [3]
    assert found(awake_at=NOW) == [3, 1]
    assert found(awake_at=NOW + 10 * MINUTE) == [4, 3, 1]
    assert found(rules=(HOSTILE,)) == found(assignees=(HOSTILE,)) == []
    with database.read() as connection:
        page = find_alerts(connection, AlertFilter(building_blocks=True), most=2, before=3)
        assert [one.number for one in page] == [2, 1]


def test_the_latest_investigations_are_found_for_many_events_at_once(database: Database) -> None:
    with database.write() as connection:
        open_cases(connection, [made.case(number) for number in range(3)])
        for number, latest in ((0, 1), (1, 3)):
            for revision in range(1, latest + 1):
                add_revision(connection, made.revision(number, revision))
        found = latest_revisions(connection, [made.case(number).event for number in (2, 1, 0, 1)])
    assert {event: one.revision for event, one in found.items()} == {made.case(0).event: 1, made.case(1).event: 3}


# -- at the same time -------------------------------------------------------------------------------------------------

OTHER = """
import sys
from datetime import UTC, datetime
from keytrail.store.state.database import Database
from keytrail.store.state.triage import Assign, change_alerts
database = Database(sys.argv[1])
for number in range(20):
    with database.write() as connection:
        change_alerts(connection, sys.argv[2:], Assign((f"other-{number}",)), who="other", now=datetime.now(UTC))
print("done")
"""


def test_people_in_threads_and_another_process_lose_nothing_while_the_service_writes(
    url: str, open_database: Open
) -> None:
    service = open_database(url)
    numbers = (1, 2, 3)
    ids = [made.alert(number).id for number in numbers]
    with service.write() as connection:
        add_alerts(connection, [made.alert(number) for number in numbers], NOW)
    lease = acquire(service, "service", NOW)
    errors: list[Exception] = []

    def in_thread(work: Callable[[Database, int], None]) -> threading.Thread:
        def run() -> None:
            database = open_database(url)
            try:
                for number in range(20):
                    work(database, number)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may fail
                errors.append(error)

        return threading.Thread(target=run)

    def serve(database: Database, number: int) -> None:
        with database.write() as connection:
            lease.check(connection)
            add_alerts(connection, [made.alert(100 + number)], NOW)
            set_verdict(connection, made.alert(1).event, verdict="review", score=number, summary="", now=NOW)

    def assign(database: Database, number: int) -> None:
        # In the other order than the other process, which must not make the two wait for each other for ever.
        _change(database, Assign((f"thread-{number}",)), *reversed(numbers))

    def tag(database: Database, number: int) -> None:
        _change(database, Tag((f"tag-{number}",)), *numbers)

    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, url, *ids], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    threads = [in_thread(serve), in_thread(assign), in_thread(tag)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    said, failed = process.communicate(timeout=60)
    assert (errors, said, failed) == ([], "done\n", "")
    with service.read() as connection:
        for found in alerts_by_id(connection, ids):
            assert set(found.assignees) == {f"{who}-{n}" for who in ("thread", "other") for n in range(20)}
            assert found.tags == tuple(f"tag-{n}" for n in range(20))
            assert len(history(connection, "alert", found.id)) == 60
        assert alert(connection, ids[0]).score == 19
        assert count_alerts(connection, AlertFilter()) == 23
    lease.release(service)
