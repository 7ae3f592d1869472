"""Case files: each change is whole and kept with who made it, whoever else works on the same case."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from keytrail.errors import UsageError
from keytrail.store.state import case_files
from keytrail.store.state.alerts import add_alerts
from keytrail.store.state.case_files import (
    CaseFile,
    add_alerts_to,
    add_note,
    alerts_in,
    alerts_not_closed,
    case_file,
    case_notes_of,
    cases_with,
    close_case,
    count_cases,
    find_cases,
    open_case,
    remove_alerts_from,
    reopen_case,
    verdicts_in,
)
from keytrail.store.state.case_plans import half_applied, plans_about
from keytrail.store.state.database import Database
from keytrail.store.state.plans import PlanStep, ShownPlan, add_step, put_plans
from keytrail.store.state.triage import SetStatus, change_alerts, history
from tests.store.state import made
from tests.store.state.made import HOSTILE, NOW

Open = Callable[[str], Database]
MINUTE = timedelta(minutes=1)
IDS = tuple(made.alert(number).id for number in range(5))


@pytest.fixture
def filled(database: Database) -> Database:
    """Five alerts; the last two are of one event."""
    with database.write() as connection:
        event = made.alert(3).event
        add_alerts(connection, [*(made.alert(n) for n in range(4)), made.alert(4, event=event)], NOW)
    return database


def opened(database: Database, ids: Sequence[str] = IDS[:2], **changes: Any) -> CaseFile:
    with database.write() as connection:
        values: dict[str, Any] = {"title": "A key is open", "note": "", "who": "ada", "now": NOW}
        return open_case(connection, ids, **values | changes)


def test_a_case_is_what_was_said_and_the_audit_log_has_it(filled: Database) -> None:
    case = opened(filled, note="first")
    assert case == CaseFile("C-1", 1, "A key is open", "open", "", NOW, "ada", None, "")
    with filled.read() as connection:
        assert [case_file(connection, name) for name in ("C-1", "c-1", "C1", "1", " c-001 ")] == [case] * 5
        assert [(one.alert_id, one.at, one.who) for one in alerts_in(connection, "C-1")] == [
            (IDS[0], NOW, "ada"),
            (IDS[1], NOW, "ada"),
        ]
        assert [(one.text, one.who) for one in case_notes_of(connection, "C-1")] == [("first", "ada")]
        lines = history(connection, "case", "C-1")
    assert [(line.who, line.action, line.detail) for line in lines] == [
        ("ada", "open", {"title": "A key is open", "alerts": list(IDS[:2])}),
        ("ada", "note", {"text": "first"}),
    ]


@pytest.mark.parametrize("name", ["", "2", "C-0", "C-", "1 or 1=1", "-1", "1" * 30, "C-\x1b1", "١"])
def test_a_name_of_no_case_is_told(filled: Database, name: str) -> None:
    opened(filled)
    with filled.read() as connection, pytest.raises(UsageError, match="no case has the id"):
        case_file(connection, name)


def test_alerts_come_and_go_and_may_be_in_several_cases(filled: Database) -> None:
    first, second = opened(filled), opened(filled, IDS[1:2])
    with filled.write() as connection:
        assert add_alerts_to(connection, first.id, IDS[1:4], who="bo", now=NOW + MINUTE) == IDS[2:4]
        assert add_alerts_to(connection, first.id, IDS[1:4], who="bo", now=NOW + MINUTE) == ()
        assert remove_alerts_from(connection, first.id, (IDS[0], IDS[4]), who="bo", now=NOW + MINUTE) == (IDS[0],)
        assert remove_alerts_from(connection, first.id, IDS[:1], who="bo", now=NOW + MINUTE) == ()
        assert [(one.alert_id, one.who) for one in alerts_in(connection, first.id)] == [
            (IDS[1], "ada"),
            (IDS[2], "bo"),
            (IDS[3], "bo"),
        ]
        assert cases_with(connection, IDS[1]) == (first, second)
        assert cases_with(connection, IDS[0]) == ()
        lines = history(connection, "case", first.id)[1:]
    assert [(line.action, line.detail) for line in lines] == [
        ("add", {"alerts": list(IDS[2:4])}),
        ("remove", {"alerts": [IDS[0]]}),
    ]


def test_closing_keeps_the_outcome_and_opening_again_clears_it(filled: Database) -> None:
    case = opened(filled)
    with filled.write() as connection:
        assert close_case(connection, case.id, "Put back", who="bo", now=NOW + MINUTE)
        assert not close_case(connection, case.id, "Put back", who="cy", now=NOW + 2 * MINUTE)
        closed = case_file(connection, case.id)
        assert (closed.status, closed.outcome, closed.closed_at, closed.closed_by) == (
            "closed", "Put back", NOW + MINUTE, "bo",
        )  # fmt: skip
        assert close_case(connection, case.id, "Put back, by us", who="cy", now=NOW + 3 * MINUTE)
        for change in (add_alerts_to, remove_alerts_from):
            with pytest.raises(UsageError, match="C-1 is closed"):
                change(connection, case.id, IDS[:1], who="bo", now=NOW)
        add_note(connection, case.id, "It was a test of theirs", who="bo", now=NOW + 4 * MINUTE)
        assert reopen_case(connection, case.id, who="di", now=NOW + 5 * MINUTE)
        assert not reopen_case(connection, case.id, who="di", now=NOW + 5 * MINUTE)
        assert case_file(connection, case.id) == case
        lines = history(connection, "case", case.id)[1:]
    assert [(line.who, line.action) for line in lines] == [
        ("bo", "close"),
        ("cy", "close"),
        ("bo", "note"),
        ("di", "reopen"),
    ]
    assert lines[1].detail["before"] == {"status": "closed", "outcome": "Put back"}
    assert lines[3].detail["before"] == {"status": "closed", "outcome": "Put back, by us"}


def test_lists_have_the_latest_first(filled: Database) -> None:
    cases = [opened(filled) for _ in range(3)]
    with filled.write() as connection:
        close_case(connection, cases[1].id, "x", who="ada", now=NOW)
        assert [one.id for one in find_cases(connection, (), most=2)] == ["C-3", "C-2"]
        assert [one.id for one in find_cases(connection, (), most=9, before=3)] == ["C-2", "C-1"]
        assert [one.id for one in find_cases(connection, ("open",), most=9)] == ["C-3", "C-1"]
        assert (count_cases(connection, ()), count_cases(connection, ("closed",))) == (3, 1)
        assert verdicts_in(connection, ["C-1", "C-3"]) == {"C-1": ("", ""), "C-3": ("", "")}


@pytest.mark.parametrize("title", ["", " \n", "x" * 201])
def test_a_title_is_short_and_says_something(filled: Database, title: str) -> None:
    with pytest.raises(UsageError, match="title"):
        opened(filled, title=title)
    assert opened(filled, title=" " + "x" * 200).number == 1  # what failed took no number


def test_a_case_has_no_more_alerts_than_can_be_shown(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_files, "MOST_ALERTS", 2)
    with pytest.raises(UsageError, match="would have 3 alerts"):
        opened(filled, IDS[:3])
    case = opened(filled)
    with filled.write() as connection, pytest.raises(UsageError, match="would have 4 alerts"):
        add_alerts_to(connection, case.id, IDS[2:4], who="ada", now=NOW)
    with filled.read() as connection:
        assert len(alerts_in(connection, case.id)) == 2


def test_texts_may_be_anything(filled: Database) -> None:
    case = opened(filled, title=HOSTILE, note=HOSTILE, who=HOSTILE)
    with filled.write() as connection:
        close_case(connection, case.id, HOSTILE, who=HOSTILE, now=NOW)
        found = case_file(connection, case.id)
        [note] = case_notes_of(connection, case.id)
    kept = HOSTILE.replace("\0", "\\x00").replace("\ud800", "\\ud800")
    assert {case.title, found.outcome, found.closed_by, note.text, note.who} == {kept}


def test_alerts_that_are_closed_are_left_as_they_are(filled: Database) -> None:
    with filled.write() as connection:
        change_alerts(connection, IDS[1:2], SetStatus("closed", "duplicate"), who="ada", now=NOW)
        assert alerts_not_closed(connection, [*IDS[2::-1], "none"]) == (IDS[0], IDS[2])


# -- plans ----------------------------------------------------------------------------------------------------------


def shown(id: str, alert_id: str = IDS[3], kind: str = "restore", minutes: int = 0) -> ShownPlan:
    document = {"title": HOSTILE, "subject": "arn:key", "calls": [{"service": "kms"}, {"service": "kms"}]}
    return ShownPlan(id, alert_id, "arn:key", kind, document, NOW + minutes * MINUTE, "ada")


def kept(database: Database, plan: ShownPlan, *lines: tuple[int, str], minutes: int = 0, refused: bool = False) -> None:
    with database.write() as connection:
        put_plans(connection, [plan])
        for step, state in lines:
            detail = {"refused": refused} if state == "failed" else {}
            add_step(connection, PlanStep(plan.id, step, state, NOW + minutes * MINUTE, "ada", "arn:role", detail))


@pytest.mark.parametrize(
    ("lines", "refused", "standing"),
    [
        ([], False, "shown"),
        ([(-1, "failed")], True, "shown"),
        ([(-1, "checked")], False, "shown"),
        ([(-1, "checked"), (0, "begun")], False, "half applied"),
        ([(0, "begun"), (0, "failed"), (-1, "failed")], True, "refused"),
        ([(0, "begun"), (0, "failed"), (-1, "failed")], False, "half applied"),
        ([(0, "done"), (1, "begun"), (1, "failed"), (-1, "failed")], True, "half applied"),
        ([(0, "begun"), (0, "done"), (1, "begun"), (1, "done")], False, "half applied"),
        ([(0, "done"), (1, "done"), (0, "agreed"), (1, "not seen"), (-1, "not seen")], False, "half applied"),
        ([(0, "done"), (1, "done"), (0, "agreed"), (1, "disputed"), (-1, "disputed")], False, "half applied"),
        ([(0, "there already"), (1, "done"), (1, "agreed"), (-1, "agreed")], False, "applied"),
        ([(0, "done"), (1, "failed"), (0, "there already"), (1, "done"), (1, "agreed")], False, "applied"),
    ],
)
def test_how_far_a_plan_is_follows_from_what_was_done(
    filled: Database, lines: list[tuple[int, str]], refused: bool, standing: str
) -> None:
    kept(filled, shown("aa"), *lines, refused=refused)
    with filled.read() as connection:
        [found] = plans_about(connection, [IDS[3]])
    assert found.standing == standing
    assert half_applied([found]) == (("aa",) if standing == "half applied" else ())


def test_plans_are_those_of_the_alerts_and_of_others_of_their_events(filled: Database) -> None:
    for number, (id, alert_id) in enumerate([("bb", IDS[3]), ("aa", IDS[4]), ("cc", IDS[0])]):
        kept(filled, shown(id, alert_id, minutes=number))
    with filled.read() as connection:
        assert [one.shown.id for one in plans_about(connection, [IDS[4], IDS[1]])] == ["bb", "aa"]
        assert plans_about(connection, []) == ()


def test_a_later_plan_of_the_same_kind_makes_good_what_was_half_applied(filled: Database) -> None:
    kept(filled, shown("aa"), (0, "begun"))
    kept(filled, shown("bb", kind="remove"), (0, "agreed"), (1, "agreed"), minutes=2)
    with filled.read() as connection:
        assert half_applied(plans_about(connection, [IDS[3]])) == ("aa",)
    kept(filled, shown("cc"), (0, "agreed"), (1, "agreed"), minutes=1)
    with filled.read() as connection:
        found = plans_about(connection, [IDS[3]])
    assert {one.shown.id: one.standing for one in found} == {"aa": "superseded", "bb": "applied", "cc": "applied"}


# -- at the same time -------------------------------------------------------------------------------------------------

OTHER = """
import sys
from datetime import UTC, datetime
from keytrail.store.state import case_files as files
from keytrail.store.state.database import Database
database = Database(sys.argv[1])
ids, now = sys.argv[2:], datetime.now(UTC)
for number in range(15):
    with database.write() as connection:
        files.open_case(connection, reversed(ids), title=f"other {number}", note="", who="other", now=now)
    with database.write() as connection:
        files.add_note(connection, "C-1", f"other {number}", who="other", now=now)
        files.add_alerts_to(connection, "C-1", ids, who="other", now=now)
    with database.write() as connection:
        files.remove_alerts_from(connection, "C-1", reversed(ids), who="other", now=now)
print("done")
"""


def test_people_in_threads_and_another_process_lose_nothing(url: str, filled: Database, open_database: Open) -> None:
    assert opened(filled).id == "C-1"
    errors: list[Exception] = []

    def in_thread(work: Callable[[Database, int], None]) -> threading.Thread:
        def run() -> None:
            database = open_database(url)
            try:
                for number in range(15):
                    work(database, number)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may fail
                errors.append(error)

        return threading.Thread(target=run)

    def open_others(database: Database, number: int) -> None:
        opened(database, IDS, title=f"thread {number}")

    def change(database: Database, number: int) -> None:
        with database.write() as connection:
            add_note(connection, "1", f"thread {number}", who="thread", now=NOW)
            add_alerts_to(connection, "1", IDS[::-1], who="thread", now=NOW)

    def close_alerts(database: Database, number: int) -> None:
        with database.write() as connection:
            held = add_note(connection, "1", f"closed {number}", who="thread", now=NOW)
            members = [one.alert_id for one in alerts_in(connection, held.id)]
            what = SetStatus("closed" if number % 2 else "open", "duplicate" if number % 2 else "")
            change_alerts(connection, alerts_not_closed(connection, members), what, who="thread", now=NOW)

    def triage(database: Database, number: int) -> None:
        with database.write() as connection:
            change_alerts(connection, IDS[::-1], SetStatus("acknowledged"), who=f"{number}", now=NOW)

    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, url, *IDS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    threads = [in_thread(work) for work in (open_others, change, close_alerts, triage)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    said, failed = process.communicate(timeout=60)
    assert (errors, said, failed) == ([], "done\n", "")
    with filled.read() as connection:
        cases = find_cases(connection, (), most=99)
        assert [one.number for one in cases] == list(range(31, 0, -1))
        assert {one.title for one in cases[:-1]} == {f"{who} {n}" for who in ("thread", "other") for n in range(15)}
        assert len({one.text for one in case_notes_of(connection, "C-1")}) == 45
        there = set(IDS[:2])
        for line in history(connection, "case", "C-1")[1:]:
            if line.action == "add":
                assert not there & set(line.detail["alerts"])  # type: ignore[call-overload]
                there |= set(line.detail["alerts"])  # type: ignore[call-overload]
            elif line.action == "remove":
                assert set(line.detail["alerts"]) <= there  # type: ignore[call-overload]
                there -= set(line.detail["alerts"])  # type: ignore[call-overload]
        assert {one.alert_id for one in alerts_in(connection, "C-1")} == there
