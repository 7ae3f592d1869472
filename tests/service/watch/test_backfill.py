"""Rules over what is there: a backfill makes the alerts that running on time would have made; a preview makes none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from keytrail.errors import UsageError
from keytrail.rules import Rule
from keytrail.service.rule_admin import all_rules
from keytrail.service.watch.backfill import Span, preview, run_over
from keytrail.store.state.tables import METADATA
from tests.service.watch.kit import START, Bench, event, ids_of, probes, rule

MakeBench = Callable[..., Bench]

HOUR = timedelta(hours=1)
ALL = Span(START - 1000 * HOUR, START + 1000 * HOUR)
SUPPRESSED = {"alert_suppression": {"group_by": ["source.ip"], "duration": {"value": 1, "unit": "h"}}}
RECORDS = [
    event(
        number, "Probe" if number % 3 else "Other", minutes=(number * 37) % 300, sourceIPAddress=f"192.0.2.{number % 4}"
    )
    for number in range(80)
]


def rule_of(bench: Bench, id: str = "probe") -> Rule:
    with bench.home.database.read() as connection:
        return next(one for one in all_rules(bench.settings, connection).rules if one.rule_id == id)


def tables(bench: Bench) -> dict[str, list[tuple[object, ...]]]:
    """The whole state."""
    with bench.home.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))] for table in METADATA.sorted_tables
        }


def deliver(bench: Bench) -> None:
    for at in range(0, len(RECORDS), 8):
        bench.take(f"o{at}", RECORDS[at : at + 8])
    bench.run()


@pytest.mark.parametrize("more", [{}, {"max_signals": 3}, SUPPRESSED, SUPPRESSED | {"max_signals": 2}])
def test_a_backfill_equals_having_run_on_time(bench: MakeBench, more: dict[str, object]) -> None:
    on_time, late = bench(rule(**more)), bench(rule(enabled=False, **more))
    deliver(on_time)
    deliver(late)
    assert late.alerts() == ()
    [result] = run_over(late.home, [rule_of(late)], ALL, late.clock)
    assert [(one.id, one.position) for one in late.alerts()] == [(one.id, one.position) for one in on_time.alerts()]
    counts = [(one.suppression or {}).get("kibana.alert.suppression.docs_count") for one in late.alerts()]
    assert counts == [(one.suppression or {}).get("kibana.alert.suppression.docs_count") for one in on_time.alerts()]
    assert result.counts.created == len(on_time.alerts())


def test_a_backfill_after_having_run_on_time_makes_nothing(bench: MakeBench) -> None:
    for more in ({}, SUPPRESSED):
        one = bench(rule(**more))
        deliver(one)
        before = one.alerts()
        [result] = run_over(one.home, [rule_of(one)], ALL, one.clock)
        assert (result.counts.created, result.counts.matched) == (0, 53)
        assert one.alerts() == before


def test_a_rule_that_runs_on_time_after_a_backfill_makes_nothing_twice(bench: MakeBench) -> None:
    one = bench(rule())
    one.keep("a", RECORDS)
    run_over(one.home, [rule_of(one)], ALL, one.clock)
    assert len(one.alerts()) == 53
    assert one.run() == 0
    assert len(one.alerts()) == 53


def test_the_span_is_of_event_times_its_end_exclusive(bench: MakeBench) -> None:
    one = bench(rule(enabled=False))
    one.take("a", [event(minutes, minutes=minutes) for minutes in range(0, 50, 10)])
    span = Span(START + timedelta(minutes=10), START + timedelta(minutes=30))
    [result] = run_over(one.home, [rule_of(one)], span, one.clock)
    assert one.alerted() == ["10", "20"]
    assert dict(result.by_day) == {START.date(): 2}
    with pytest.raises(UsageError):
        Span(START, START)


@pytest.mark.parametrize("notify", [False, True])
def test_nobody_is_told_of_a_backfill_unless_it_is_asked_for(bench: MakeBench, notify: bool) -> None:
    one = bench(rule(enabled=False))
    one.take("a", probes(1, 2))
    run_over(one.home, [rule_of(one)], ALL, one.clock, notify=notify)
    assert one.tell() == (2 if notify else 0)


def test_a_backfill_finds_what_was_imported_as_history(bench: MakeBench) -> None:
    one = bench(rule())
    with one.importing() as service:
        one.feed.put("a", probes(1, 2))
        service.take(one.feed.receive(), one.feed)  # type: ignore[arg-type]
    one.run()
    assert one.alerts() == ()
    run_over(one.home, [rule_of(one)], ALL, one.clock)
    assert one.alert_ids() == ids_of("probe", probes(1, 2))


def test_a_backfill_is_in_the_record_and_moves_no_cursor(bench: MakeBench) -> None:
    one = bench(rule())
    one.keep("a", probes(1))
    one.service.rules.changed()
    run_over(one.home, [rule_of(one)], ALL, one.clock)
    [line] = [line for line in one.executions() if line.kind == "manual"]
    assert (line.since, line.until, line.matched, line.created) == (ALL.since, ALL.until, 1, 1)
    assert one.cursor() == 0


@pytest.mark.parametrize("more", [{}, {"max_signals": 3}, SUPPRESSED])
def test_a_preview_says_what_a_backfill_would_make_and_writes_nothing(
    bench: MakeBench, more: dict[str, object]
) -> None:
    one = bench(rule(enabled=False, **more))
    deliver(one)
    before = tables(one)
    shown = preview(one.home, rule_of(one), ALL, one.clock, examples=3)
    assert tables(one) == before
    [made] = run_over(one.home, [rule_of(one)], ALL, one.clock)
    assert (shown.counts, shown.by_day, shown.rows) == (made.counts, made.by_day, made.rows)
    assert [alert["kibana.alert.uuid"] for alert in shown.examples] == [alert.id for alert in one.alerts()[:3]]
