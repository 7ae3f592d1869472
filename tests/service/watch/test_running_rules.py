"""Running rules: each examines every record from where it began on, and what it finds is alerted once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keytrail.errors import StoreError, UsageError
from keytrail.rules import item_from_dict
from keytrail.service.exceptions import Author, add_item, default_list
from keytrail.service.rule_admin import all_rules, decide
from keytrail.store.state.rule_states import rule_states
from keytrail.store.state.triage import SetStatus, change_alerts
from tests.service.watch.kit import Bench, event, ids_of, probes, rule

MakeBench = Callable[..., Bench]


def choose(bench: Bench, *, enabled: bool, catch_up: bool = False, rule_id: str = "probe") -> None:
    """What `keytrail rules enable|disable` does, and the time after which the service notices."""
    with bench.home.database.write() as connection:
        rules = [one for one in all_rules(bench.settings, connection).rules if one.rule_id == rule_id]
        decide(connection, rules, enabled=enabled, catch_up=catch_up, author=Author("me", bench.clock()))
    bench.clock.passes(seconds=1)


# -- when -------------------------------------------------------------------------------------------------------------


def test_a_rule_runs_as_soon_as_records_arrive(bench: MakeBench) -> None:
    one = bench(rule(interval="1h"))
    for number in range(3):
        one.take(f"o{number}", probes(number))
        assert one.alerted() == [str(id) for id in range(number + 1)]
        one.check()


def test_where_it_is_told_to_wait_a_rule_runs_when_its_interval_is_over(bench: MakeBench) -> None:
    one = bench(rule(), rule("slow", interval="1h"), watch={"eager": False})
    one.service.run_rules()
    one.take("a", probes(1))
    assert one.alerted() == []
    one.clock.passes(minutes=5)
    one.run()
    assert (one.alerted("probe"), one.alerted("slow")) == (["1"], [])
    one.restart()
    one.clock.passes(minutes=55)
    one.run()
    assert one.alerted("slow") == ["1"]


def test_a_clock_that_is_set_back_makes_no_rule_wait(bench: MakeBench) -> None:
    one = bench(rule(), watch={"eager": False})
    one.service.run_rules()
    one.take("a", probes(1))
    one.clock.passes(days=-3)
    one.run()
    assert one.alerted() == ["1"]


def test_an_event_is_found_however_old_it_is_and_however_late_it_comes(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", [event(1, minutes=-60 * 24 * 300), event(2, minutes=60), event(3) | {"eventTime": "never"}])
    assert one.alerted() == ["1", "2", "3"]


# -- max_signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [True, False])
def test_one_execution_makes_max_signals_alerts_and_the_next_ones_the_rest(bench: MakeBench, eager: bool) -> None:
    one = bench(rule(max_signals=3), watch={"eager": eager})
    one.service.run_rules()
    one.clock.passes(minutes=5)
    one.keep("a", probes(*range(10)))
    made = []
    while (ran := one.service.run_rules()).more:
        made.append(ran.created)
    assert [*made, ran.created] == [3, 3, 3, 1]
    assert one.alerted() == [str(id) for id in range(10)]
    lines = [line for line in one.executions() if line.matched]
    assert [(line.first, line.end, line.created, line.deferred) for line in lines] == [
        (0, 3, 3, 7), (3, 6, 3, 4), (6, 9, 3, 1), (9, 10, 1, 0),
    ]  # fmt: skip
    assert [line.status for line in lines] == ["warning"] * 3 + ["succeeded"]
    assert lines[0].message.startswith("created 3 alerts, the most of one execution (max_signals); 7 matches wait")
    one.check()


def test_far_more_matches_than_a_rule_may_raise_are_all_raised(bench: MakeBench) -> None:
    """More than are held: what waits is read again, and none of it is lost."""
    one = bench(rule(max_signals=7))
    records = [event(id, "Probe" if id % 3 else "Other") for id in range(300)]
    one.keep("a", records)
    one.run()
    assert one.alert_ids() == ids_of("probe", [each for each in records if each["eventName"] == "Probe"])
    assert max(line.created for line in one.executions()) == 7
    one.check()


def test_alerts_that_are_there_cost_nothing(bench: MakeBench) -> None:
    one = bench(rule(max_signals=2))
    one.take("a", probes(*range(6)))
    one.run()
    one.change_rule(rule(query="event.action: (Probe or Nothing)", max_signals=2))
    one.keep("b", probes(6))
    assert one.service.run_rules().created == 1
    [line] = [line for line in one.executions() if line.duplicate]
    assert (line.first, line.end, line.matched, line.created, line.duplicate, line.deferred) == (0, 7, 7, 1, 6, 0)


def test_what_one_rule_defers_holds_up_no_other(bench: MakeBench) -> None:
    one = bench(rule(max_signals=1), rule("all", "event.action: *"))
    one.keep("a", probes(*range(5)))
    one.service.run_rules()
    assert (len(one.alerts("probe")), len(one.alerts("all"))) == (1, 5)
    one.keep("b", probes(5))
    one.service.run_rules()
    assert (len(one.alerts("probe")), len(one.alerts("all"))) == (2, 6)
    one.run()
    assert one.alert_ids("probe") == ids_of("probe", probes(*range(6)))


def test_what_waits_is_raised_by_the_next_process(bench: MakeBench) -> None:
    one = bench(rule(max_signals=2))
    one.keep("a", probes(*range(5)))
    one.service.run_rules()
    one.restart()
    one.run()
    assert one.alerted() == [str(id) for id in range(5)]
    one.check()


# -- passes -----------------------------------------------------------------------------------------------------------


def test_rules_that_stand_together_share_a_pass(bench: MakeBench) -> None:
    one = bench(*(rule(f"r{number}", f'event.action: "A{number}"') for number in range(30)))
    one.service.run_rules()
    one.keep("a", [event(number, f"A{number}") for number in range(30)])
    ran = one.service.run_rules()
    assert (ran.passes, ran.rules, ran.created) == (1, 30, 30)
    assert [(alert.rule_id, alert.event_id) for alert in one.alerts()] == [
        (f"r{n}", str(n)) for n in sorted(range(30), key=str)
    ]


def test_an_event_may_raise_an_alert_of_every_rule(bench: MakeBench) -> None:
    one = bench(rule("a"), rule("b"))
    one.take("o", probes(1))
    assert one.alert_ids() == ids_of("a", probes(1)) | ids_of("b", probes(1))


def test_records_are_read_from_disk_when_they_are_not_in_memory(bench: MakeBench) -> None:
    one = bench(rule())
    one.keep("a", probes(*range(10)))
    one.keep("b", probes(*range(10, 20)))
    one.restart()
    one.run()
    assert one.alerted() == [str(id) for id in range(20)]


def test_a_rule_that_is_behind_goes_on_when_its_segments_were_merged(bench: MakeBench) -> None:
    one = bench(rule(max_signals=5))
    for number in range(9):
        one.keep(f"o{number}", probes(*range(number * 4, number * 4 + 4)))
    one.service.run_rules()
    one.clock.passes(days=1)
    assert one.service.upkeep.compact() == 8
    one.run()
    assert one.alerted() == [str(id) for id in range(36)]
    one.check()


# -- rules that come, go and change -----------------------------------------------------------------------------------


def test_a_new_rule_begins_at_its_from(bench: MakeBench) -> None:
    """By the time of arrival, to the exactness of what was committed together."""
    one = bench(rule("old"))
    for number in range(4):
        one.take(f"o{number}", probes(number))
        one.clock.passes(minutes=3)
    one.change_rule(rule("news", **{"from": "now-7m"}))
    one.run()
    assert one.alerted("news") == ["2", "3"]
    assert one.coverage("news") == [("searched", 2, 4)]


def test_a_rule_that_finds_something_else_now_begins_at_its_from_again(bench: MakeBench) -> None:
    one = bench(rule())
    for number in range(4):
        one.take(f"o{number}", [event(number), event(f"x{number}", "Other")])
        one.clock.passes(minutes=3)
    one.change_rule(rule(query="event.action: (Probe or Other)", **{"from": "now-7m"}))
    one.run()
    assert sorted(one.alerted()) == ["0", "1", "2", "3", "x2", "x3"]
    one.check()
    assert one.coverage() == [("searched", 0, 8)]


def test_a_changed_rule_that_is_far_behind_stays_there(bench: MakeBench) -> None:
    one = bench(rule(max_signals=1))
    one.keep("a", probes(*range(3)))
    one.service.run_rules()
    one.clock.passes(hours=1)
    one.change_rule(rule(query="event.action: (Probe or Other)"))
    one.run()
    assert one.alerted() == ["0", "1", "2"]


@pytest.mark.parametrize("field", [{"name": "Other"}, {"severity": "low"}, {"max_signals": 5}, {"interval": "9m"}])
def test_a_rule_with_another_look_goes_on_where_it_was(bench: MakeBench, field: dict[str, Any]) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.change_rule(rule() | field)
    one.take("b", probes(2))
    assert [line.duplicate for line in one.executions()] == [0] * len(one.executions())
    assert one.alerted() == ["1", "2"]


def test_a_rule_that_is_enabled_again_begins_at_its_from_and_says_what_it_skipped(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(0))
    choose(one, enabled=False)
    for number in range(1, 5):
        one.take(f"o{number}", probes(number))
        one.clock.passes(minutes=4)
    choose(one, enabled=True)
    one.take("b", probes(5))
    # now-6m: what arrived four minutes ago is looked at, what arrived eight minutes ago is not
    assert one.alerted() == ["0", "4", "5"]
    assert one.coverage() == [("searched", 0, 1), ("disabled", 1, 4), ("searched", 4, 6)]


def test_a_rule_that_is_to_catch_up_goes_on_where_it_was(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(0))
    choose(one, enabled=False)
    for number in range(1, 5):
        one.take(f"o{number}", probes(number))
        one.clock.passes(hours=1)
    choose(one, enabled=True, catch_up=True)
    one.run()
    assert one.alerted() == ["0", "1", "2", "3", "4"]
    assert one.coverage() == [("searched", 0, 5)]
    one.check()


def test_the_log_of_a_rule_does_not_tell_of_what_it_skipped(bench: MakeBench) -> None:
    """Quiet runs are one line, but not over a part that was not examined."""
    one = bench(rule(interval="1d"))
    one.take("a", [event(0, "Other")])
    choose(one, enabled=False)
    one.take("b", [event(1, "Other")])
    one.clock.passes(minutes=10)
    choose(one, enabled=True)
    one.take("c", [event(2, "Other")])
    assert one.coverage() == [("searched", 0, 1), ("disabled", 1, 2), ("searched", 2, 3)]
    assert {at for line in one.executions() for at in range(line.first or 0, line.end or 0)} == {0, 2}


def test_a_rule_whose_file_is_gone_and_comes_back_says_what_it_skipped(bench: MakeBench) -> None:
    one = bench(rule(), rule("other"))
    one.take("a", probes(0))
    one.remove_rule("probe")
    one.take("b", probes(1))
    one.clock.passes(minutes=10)
    one.change_rule(rule())
    one.take("c", probes(2))
    assert one.alerted("probe") == ["0", "2"]
    assert one.coverage() == [("searched", 0, 1), ("disabled", 1, 2), ("searched", 2, 3)]


def test_a_rule_begins_at_the_end_of_a_lake_whose_segments_are_gone(bench: MakeBench) -> None:
    """Positions are never given twice: cursors do not go back when what lies before them is not kept any more."""
    one = bench(rule(), lake={"retention_days": 1})
    one.take("a", probes(0, 1))
    one.clock.passes(days=5)
    assert one.service.upkeep.retire() == 1
    one.run()
    assert one.cursor() == 2
    one.take("b", probes(2))
    one.restart()
    one.change_rule(rule("new"))
    one.run()
    assert one.alerted("probe") == ["0", "1", "2"]
    assert all((line.first or 0) <= (line.end or 0) for line in one.executions())
    one.check()


# -- rules that break -------------------------------------------------------------------------------------------------


def broken(monkeypatch: pytest.MonkeyPatch, rule_id: str, error: Exception) -> Callable[[], None]:
    """Let a rule raise an error whenever it is run; what is returned mends it."""
    from keytrail.service.watch import runner

    judge = runner.judge

    def judging(known: Any, rule: Any, *rest: Any, **more: Any) -> Any:
        if rule.rule_id == rule_id:
            raise error
        return judge(known, rule, *rest, **more)

    monkeypatch.setattr(runner, "judge", judging)
    return lambda: monkeypatch.setattr(runner, "judge", judge)


@pytest.mark.parametrize("error", [ValueError("a defect"), UsageError("a query that cannot be")])
def test_a_broken_rule_stops_itself_only_and_is_tried_again_with_growing_pauses(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one = bench(rule(), rule("good"), rule("fine"))
    one.service.run_rules()
    mend = broken(monkeypatch, "probe", error)
    one.take("a", probes(1))
    assert (one.alerted("good"), one.alerted("fine"), one.alerted("probe")) == (["1"], ["1"], [])
    status, message = one.status()
    assert status == "failed"
    assert "a defect" in message or "a query that cannot be" in message
    pauses = []
    for _ in range(4):
        with one.home.database.read() as connection:
            retry_at = rule_states(connection)["probe"].retry_at
        assert retry_at is not None
        pauses.append(retry_at - one.clock())
        one.clock.now = retry_at - timedelta(seconds=1)
        assert one.service.run_rules().failures == []
        one.clock.now = retry_at
        assert len(one.service.run_rules().failures) == 1
    assert pauses == [timedelta(seconds=each) for each in (5, 10, 20, 40)]
    one.take("b", probes(2))
    assert one.alerted("good") == ["1", "2"]
    mend()
    one.restart()
    one.clock.passes(minutes=15)
    one.run()
    assert one.alerted("probe") == ["1", "2"]
    assert one.status() == ("succeeded", "")
    one.check()


def test_a_clock_that_is_set_back_does_not_keep_a_broken_rule_from_being_tried(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(rule())
    one.service.run_rules()
    mend = broken(monkeypatch, "probe", ValueError("a defect"))
    one.take("a", probes(1))
    mend()
    one.clock.passes(days=-2)
    one.run()
    assert one.alerted() == ["1"]


def test_a_changed_rule_is_tried_at_once(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(rule())
    one.service.run_rules()
    mend = broken(monkeypatch, "probe", ValueError("a defect"))
    one.take("a", probes(1))
    mend()
    one.change_rule(rule(query="event.action: (Probe or Other)"))
    one.run()
    assert one.alerted() == ["1"]


def test_a_rule_file_that_cannot_be_read_takes_out_its_rule_only(bench: MakeBench) -> None:
    one = bench(rule(), rule("good"))
    one.take("a", probes(1))
    (one.rule_folder / "probe.ndjson").write_text("{")
    one.clock.passes(seconds=1)
    one.take("b", probes(2))
    assert one.alerted("good") == ["1", "2"]
    assert one.alerted("probe") == ["1"]
    assert len(one.service.rules.errors) == 1
    one.change_rule(rule())
    one.run()
    assert one.alerted("probe") == ["1", "2"]


def test_a_state_that_cannot_be_written_fails_no_rule(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(rule())
    one.service.run_rules()

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.runner.write", full)
        with pytest.raises(StoreError):
            one.take("a", probes(1))
    assert one.alerts() == ()
    one.run()
    assert one.alerted() == ["1"]
    assert one.status()[0] == "succeeded"


# -- exceptions, suppression ------------------------------------------------------------------------------------------


def test_what_an_exception_covers_raises_no_alert_from_when_it_is_there(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", [event(1, sourceIPAddress="192.0.2.1"), event(2, sourceIPAddress="192.0.2.2")])
    with one.home.database.write() as connection:
        [found] = all_rules(one.settings, connection).rules
        list_id, namespace = default_list(found)
        item = item_from_dict(
            {
                "list_id": list_id,
                "namespace_type": namespace,
                "item_id": "known-scanner",
                "type": "simple",
                "name": "Known",
                "description": "",
                "entries": [
                    {"field": "source.ip", "operator": "included", "type": "match", "value": "192.0.2.2"},
                ],
            },
            found.origin,
        )
        add_item(connection, item, Author("me", one.clock()), found)
    one.clock.passes(seconds=1)
    one.take("b", [event(3, sourceIPAddress="192.0.2.1"), event(4, sourceIPAddress="192.0.2.2")])
    assert one.alerted() == ["1", "2", "3"]
    assert [line.excluded for line in one.executions() if line.matched] == [0, 1]


SUPPRESSED = rule(alert_suppression={"group_by": ["source.ip"], "duration": {"value": 1, "unit": "h"}})


def test_a_suppressed_rule_raises_one_alert_for_a_group_and_counts_the_rest(bench: MakeBench) -> None:
    one = bench(SUPPRESSED)
    one.take("a", [event(1), event(2, minutes=5), event(3, sourceIPAddress="192.0.2.2")])
    one.restart()
    one.take("b", [event(4, minutes=30), event(5, minutes=61)])
    assert one.alerted() == ["1", "3", "5"]
    [first, *_] = one.alerts()
    assert first.suppression is not None
    assert first.suppression["kibana.alert.suppression.docs_count"] == 2
    # The same once more, because the rule begins again: nothing is counted twice.
    one.change_rule(SUPPRESSED | {"query": "event.action: (Probe or Other)"})
    one.run()
    assert one.alerts()[0].suppression == first.suppression | {
        "kibana.alert.last_detected": (one.alerts()[0].suppression or {})["kibana.alert.last_detected"]
    }
    assert len(one.alerts()) == 3


def test_closing_an_alert_ends_its_suppression(bench: MakeBench) -> None:
    one = bench(SUPPRESSED)
    one.take("a", probes(1))
    with one.home.database.write() as connection:
        closed = SetStatus("closed", "false_positive")
        change_alerts(connection, [one.alerts()[0].id], closed, who="me", now=one.clock())
    one.take("b", [event(2, minutes=1), event(3, minutes=2)])
    assert one.alerted() == ["1", "2"]


def test_suppression_reaches_over_what_max_signals_defers(bench: MakeBench) -> None:
    one = bench(SUPPRESSED | {"max_signals": 2})
    records = [event(f"{group}-{n}", sourceIPAddress=f"192.0.2.{group}") for n in range(3) for group in range(1, 8)]
    one.keep("a", records)
    one.run()
    assert len(one.alerts()) == 7
    assert {(each.suppression or {})["kibana.alert.suppression.docs_count"] for each in one.alerts()} == {2}


# -- the record of executions -----------------------------------------------------------------------------------------


def test_every_run_is_in_the_record_and_quiet_ones_are_one_line(bench: MakeBench) -> None:
    one = bench(rule())
    one.service.run_rules()
    for number in range(5):
        one.take(f"q{number}", [event(f"q{number}", "Other")])
        one.clock.passes(seconds=10)
    one.take("a", probes(1, 2))
    one.take("b", [event("q5", "Other")])
    lines = one.executions()
    assert [(line.first, line.end, line.matched, line.created) for line in lines] == [
        (0, 5, 0, 0), (5, 7, 2, 2), (7, 8, 0, 0),
    ]  # fmt: skip
    assert lines[0].runs == 6
    assert all(line.started_at <= line.finished_at and line.seconds >= 0 for line in lines)
    one.clock.passes(minutes=6)
    one.run()
    assert len(one.executions()) == 4
    one.check()


def test_quiet_runs_of_two_processes_are_two_lines(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", [event(1, "Other")])
    one.restart()
    one.take("b", [event(2, "Other")])
    assert [(line.first, line.end) for line in one.executions()] == [(0, 1), (1, 2)]


def test_old_lines_are_forgotten(bench: MakeBench) -> None:
    one = bench(rule(), watch={"log_days": 30})
    one.take("a", probes(1))
    one.clock.passes(days=31)
    one.take("b", probes(2))
    one.service.upkeep.clear()
    assert [line.first for line in one.executions()] == [1]
