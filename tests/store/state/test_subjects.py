"""What the state keeps, subject by subject: objects, marks and damage, alerts, cases, letters, executions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from keytrail.errors import UsageError
from keytrail.store import Damage
from keytrail.store.state import alerts, cases, objects, outbox, rule_states
from keytrail.store.state.database import Database
from keytrail.store.state.objects import DamagedObject
from keytrail.store.state.outbox import Letter
from keytrail.store.state.rule_states import Choice, Execution, RuleState
from tests.store.state.made import HOSTILE, NOW, alert, case, revision

MINUTE = timedelta(minutes=1)


# -- objects, marks, damage -------------------------------------------------------------------------------------------


def test_objects_are_known_once_they_are_committed(database: Database) -> None:
    ledger = objects.SqlLedger(database)
    names = [f"s3://bucket/{n}.json.gz" for n in range(1201)] + [HOSTILE]
    assert ledger.known([]) == ledger.known(names) == frozenset()
    with database.write() as connection:
        objects.add_objects(connection, [objects.Taken(name, name, 3) for name in names[1:]], NOW)
        objects.add_objects(
            connection, [objects.Taken(name, name, 0) for name in names[:3]], NOW
        )  # again, and one more
    assert ledger.known([*names, "s3://bucket/other"]) == frozenset(names)


def test_marks_are_the_last_that_were_set(database: Database) -> None:
    ledger = objects.SqlLedger(database)
    assert ledger.mark("feed") is None
    for value in ("1", "2"):
        with database.write() as connection:
            objects.set_marks(connection, {"feed": value, "other": "x"})
    assert (ledger.mark("feed"), ledger.mark("other")) == ("2", "x")


def test_damage_is_what_was_last_said_of_an_object(database: Database) -> None:
    broken = DamagedObject(HOSTILE, "111122223333", "eu-west-1", NOW.date())
    with database.write() as connection:
        objects.set_damage(connection, {"b": broken, "a": DamagedObject("cut off", "", "", None)}, NOW)
        assert objects.damage_of(connection) == (Damage("a"), Damage("b", "111122223333", "eu-west-1", NOW.date()))
        objects.set_damage(connection, {"b": None, "a": DamagedObject("still", "", "", None)}, NOW + MINUTE)
        assert objects.damage_of(connection) == (Damage("a"),)


# -- alerts -----------------------------------------------------------------------------------------------------------


def test_an_alert_is_made_once_and_numbered_in_the_order_of_making(database: Database) -> None:
    with database.write() as connection:
        made = alerts.add_alerts(connection, [alert(1), alert(2), alert(1)], NOW)
    assert [one.id for one in made] == [alert(1).id, alert(2).id]
    with database.write() as connection:
        again = [alert(2, severity="low"), alert(3)]
        assert [one.id for one in alerts.add_alerts(connection, again, NOW + MINUTE)] == [alert(3).id]
        found = [alerts.alert(connection, alert(n).id) for n in (1, 2, 3)]
    assert [one.number for one in found] == [0, 1, 2]
    assert (found[1].severity, found[1].created_at, found[1].status) == ("high", NOW, "open")
    assert found[1].document == alert(2).document


def test_hostile_alerts_are_kept(database: Database) -> None:
    hostile = alert(1, rule_name=HOSTILE, event_id=HOSTILE, account=HOSTILE, document={"a": HOSTILE}, event_time=None)
    with database.write() as connection:
        alerts.add_alerts(connection, [hostile], NOW)
        found = alerts.alert(connection, hostile.id)
        assert alerts.alert(connection, HOSTILE) == found  # by its event's id
    assert found.document == {"a": HOSTILE}
    assert found.event_time is None


def test_an_alert_is_found_by_the_beginning_of_its_id_and_by_its_event(database: Database) -> None:
    two = [alert(n, id="abcdef0123" + str(n) * 54) for n in (1, 2)]
    with database.write() as connection:
        alerts.add_alerts(connection, [*two, alert(3, event_id=two[0].id)], NOW)
        assert alerts.alert(connection, "abcdef01231").id == two[0].id
        assert alerts.alert(connection, "event-2").id == two[1].id
        assert alerts.alert(connection, two[0].id).id == two[0].id  # though an event calls itself the same
        with pytest.raises(UsageError, match="more than one"):
            alerts.alert(connection, "abcdef0123")
        for text in ("abcdef0", "ABCDEF01", "event", "", "%", HOSTILE):
            with pytest.raises(UsageError, match="no alert has the id"):
                alerts.alert(connection, text)


def test_a_verdict_is_that_of_all_alerts_of_the_event(database: Database) -> None:
    with database.write() as connection:
        alerts.add_alerts(connection, [alert(1), alert(2, event=alert(1).event), alert(3)], NOW)
        alerts.set_verdict(connection, alert(1).event, verdict="review", score=40, summary=HOSTILE, now=NOW + MINUTE)
        found = alerts.alerts_of_event(connection, alert(1).event)
        assert [(one.verdict, one.score, one.updated_at) for one in found] == [("review", 40, NOW + MINUTE)] * 2
        assert alerts.alert(connection, alert(3).id).verdict == ""


# -- cases ------------------------------------------------------------------------------------------------------------


def test_a_case_is_opened_once_and_due_ones_come_in_order(database: Database) -> None:
    with database.write() as connection:
        seen = case(2, revision=1, watched=(HOSTILE, "key"))
        cases.open_cases(connection, [case(1, due_at=NOW + MINUTE), seen, seen])
        cases.open_cases(connection, [replace(case(1), raw=b"other"), case(3, due_at=None, revision=1)])
        # One that nobody looked at yet comes at once, whatever the clock says, and before all that are due for longer.
        new = case(1, due_at=NOW + MINUTE)
        assert cases.due_cases(connection, NOW, 10) == (new, seen)
        assert cases.due_cases(connection, NOW, 1) == (new,)
        assert cases.next_due(connection) == NOW
        failed = replace(new, failures=1)
        cases.put_case(connection, failed)
        assert cases.due_cases(connection, NOW, 10) == (seen,)
        assert cases.due_cases(connection, NOW + MINUTE, 10) == (failed, seen)
        assert cases.watches(connection, NOW)[0] == cases.Watch(seen.event, 1, (HOSTILE, "key"))
        assert cases.watches(connection, NOW + MINUTE) == ()


def test_a_case_that_is_touched_is_due_unless_it_is_due_before(database: Database) -> None:
    with database.write() as connection:
        opened = [case(1), case(2, due_at=None), case(3, due_at=NOW + 5 * MINUTE, touched=9)]
        cases.open_cases(connection, opened)
        cases.touch(connection, [case(n).event for n in (1, 2, 3)], 7, NOW + MINUTE)
        due = {one.event: (one.due_at, one.touched) for one in cases.due_cases(connection, NOW + MINUTE, 10)}
    assert due == {case(1).event: (NOW, 7), case(2).event: (NOW + MINUTE, 7), case(3).event: (NOW + MINUTE, 9)}


def test_cases_that_nobody_was_told_of_are_found(database: Database) -> None:
    with database.write() as connection:
        opened = [case(1), case(2, opened_at=NOW - MINUTE), case(3, told="new"), case(4, revision=1)]
        cases.open_cases(connection, opened)
        assert [one.event for one in cases.untold(connection, NOW + MINUTE, 10)] == [case(2).event, case(1).event]
        assert [one.event for one in cases.untold(connection, NOW, 10)] == [case(2).event]


def test_every_revision_is_kept(database: Database) -> None:
    with database.write() as connection:
        cases.open_cases(connection, [case(1)])
        assert cases.latest_revision(connection, case(1).event) is None
        for number in (1, 2):
            cases.add_revision(connection, revision(1, number))
        assert cases.latest_revision(connection, case(1).event) == revision(1, 2)
        assert cases.revisions_of(connection, case(1).event) == (revision(1, 1), revision(1, 2))
        assert cases.case_of(connection, case(9).event) is None


# -- letters ----------------------------------------------------------------------------------------------------------


def _letters(database: Database, *letters: Letter) -> None:
    with database.write() as connection:
        alerts.add_alerts(connection, [alert(1)], NOW)
        outbox.post(connection, letters, NOW)


def test_a_letter_is_posted_once_to_each_sink(database: Database) -> None:
    letter = Letter("mail", "m1", alert(1).id, "new", NOW)
    _letters(database, letter, replace(letter, sink="chat"), letter)
    with database.write() as connection:
        outbox.post(connection, [letter], NOW + MINUTE)
        [found] = outbox.waiting(connection, "mail", NOW, 10)
        assert replace(found, id=0) == letter
        outbox.cross_off(connection, [found], "sent", NOW)
        outbox.post(connection, [letter], NOW + MINUTE)  # told is told
        assert outbox.waiting(connection, "mail", NOW + MINUTE, 10) == ()
        assert len(outbox.waiting(connection, "chat", NOW, 10)) == 1
        assert (outbox.sent_since(connection, "mail", NOW), outbox.sent_since(connection, "chat", NOW)) == (1, 0)


def test_a_letter_waits_for_its_time_and_is_tried_again(database: Database) -> None:
    _letters(database, Letter("mail", "m1", alert(1).id, "new", NOW + MINUTE))
    with database.write() as connection:
        [found] = outbox.waiting(connection, "mail", NOW, 10)  # at once, whatever the clock says
        outbox.put_off(connection, [found], NOW + 2 * MINUTE, HOSTILE)
        assert outbox.waiting(connection, "mail", NOW + MINUTE, 10) == ()
        [found] = outbox.waiting(connection, "mail", NOW + 2 * MINUTE, 10)
        assert found.attempts == 1
        waits, refused, said = outbox.backlog(connection)["mail"]
        assert (waits, refused) == (1, 0)
        assert "nul" in said
        outbox.cross_off(connection, [found], "refused", NOW, "no such channel")
        assert outbox.backlog(connection) == {"mail": (0, 1, "no such channel")}


def test_a_digest_is_known_to_have_gone(database: Database) -> None:
    _letters(database, *(Letter("mail", f"m{n}", alert(1).id, "new", NOW) for n in range(3)))
    with database.write() as connection:
        assert not outbox.digested_since(connection, "mail", NOW)
        outbox.cross_off(connection, outbox.waiting(connection, "mail", NOW, 10), "digested", NOW)
        assert outbox.digested_since(connection, "mail", NOW)
        assert not outbox.digested_since(connection, "mail", NOW + MINUTE)
        assert outbox.sent_since(connection, "mail", NOW) == 0


# -- rules ------------------------------------------------------------------------------------------------------------


def test_states_and_choices_are_the_last_that_were_put(database: Database) -> None:
    first = RuleState("r1", HOSTILE.replace("\0", "").replace("\ud800", ""), "f" * 64, 7, last_run=NOW)
    with database.write() as connection:
        rule_states.put_state(connection, replace(first, cursor=1))
        rule_states.put_state(connection, first)
        rule_states.put_state(
            connection, RuleState("r2", "two", "a" * 64, 0, status="failed", failures=3, retry_at=NOW)
        )
        assert rule_states.rule_states(connection)["r1"] == first
        rule_states.move_cursors(connection, ["r1", "r2"], 9, NOW + MINUTE)
        moved = rule_states.rule_states(connection)
        assert [(one.cursor, one.status, one.failures, one.retry_at) for one in moved.values()] == [
            (9, "succeeded", 0, None)
        ] * 2
        for chosen in (Choice(enabled=False), Choice(enabled=True, catch_up=True, snoozed_until=NOW)):
            rule_states.put_choice(connection, "r1", chosen)
        assert rule_states.choices(connection) == {"r1": chosen}


def test_coverage_is_what_was_searched_and_what_was_not(database: Database) -> None:
    with database.write() as connection:
        rule_states.begin_stretch(connection, "r", "searched", 0, NOW)
        rule_states.begin_stretch(connection, "r", "disabled", 10, NOW)
        rule_states.begin_stretch(connection, "r", "searched", 20, NOW)
        rule_states.add_stretch(connection, "other", "disabled", 0, 5, NOW)
        assert rule_states.stretches_of(connection, "r") == (
            ("searched", 0, 10),
            ("disabled", 10, 20),
            ("searched", 20, None),
        )


def test_quiet_executions_are_one_line_that_grows(database: Database) -> None:
    quiet = Execution("r", NOW, NOW, 0.5, first=0, end=10)
    loud = Execution("r", NOW + MINUTE, NOW + MINUTE, 1.0, status="failed", matched=5, created=2, message=HOSTILE[:4])
    assert (quiet.quiet, loud.quiet) == (True, False)
    with database.write() as connection:
        lines = rule_states.log_executions(connection, [quiet, replace(quiet, rule_id="s")])
        rule_states.extend_quiet(connection, lines, 20, 0.5, NOW + MINUTE)
        rule_states.log_executions(connection, [loud])
        grown = replace(quiet, runs=2, end=20, seconds=1.0, finished_at=NOW + MINUTE)
        assert rule_states.executions_of(connection, "r") == (loud, grown)
        assert len(rule_states.executions_of(connection)) == 3
        assert len(rule_states.executions_of(connection, most=1)) == 1
        assert rule_states.forget_executions(connection, NOW + MINUTE) == 0
        assert rule_states.forget_executions(connection, NOW + 2 * MINUTE) == 3


def test_an_imported_rule_replaces_the_one_of_its_id(database: Database) -> None:
    with database.write() as connection:
        for name in ("first", HOSTILE):
            rule_states.put_document(connection, "r", {"rule_id": "r", "name": name}, NOW)
        assert rule_states.documents(connection) == ({"rule_id": "r", "name": HOSTILE},)


def test_two_processes_that_make_the_same_alerts_make_them_once(
    url: str, open_database: Callable[[str], Database]
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def make(_: int) -> int:
        with open_database(url).write() as connection:
            return len(alerts.add_alerts(connection, [alert(n) for n in range(50)], NOW))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(make, range(4))) == 50
