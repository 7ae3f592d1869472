"""Alert suppression: groups of an event, windows on the time of events, and that each event is alerted or counted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.cloudtrail import Document
from keytrail.detect import Group, Match, Outcome, Suppression, Window, groups_of, spend
from keytrail.detect.suppression import MAX_DURATION, MAX_GROUPS_PER_EVENT
from keytrail.errors import Place
from keytrail.rules import Rule
from keytrail.text import for_json
from tests.query.conftest import DictFields

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = Suppression("r", ("user.name",), timedelta(hours=1), timedelta(minutes=5))
EACH_RUN = replace(HOUR, duration=None)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def groups(suppression: Suppression = HOUR, **user: object) -> tuple[Group, ...]:
    return groups_of(suppression, DictFields({"user": user}))


ADA = groups(name="ada")


def match(position: int, at: float, of: tuple[Group, ...] = ADA) -> Match:
    return Match(f"m{position}", position, minute(at), groups=of)


def run(*matches: Match, suppression: Suppression = HOUR, windows: tuple[Window, ...] = ()) -> Outcome:
    return spend(matches, end=10**6, existing=(), max_signals=None, suppression=suppression, windows=windows)


def rule(interval: str = "5m", **suppression: Any) -> Rule:
    return Rule(
        rule_id="r", name="n", description="d", type="query", severity="low", risk_score=1, origin=Place("x"),
        interval=interval, alert_suppression=suppression or None,
    )  # fmt: skip


# What a rule says -----------------------------------------------------------------------------------------------------


def test_settings_of_a_rule() -> None:
    assert Suppression.of(rule()) is None
    assert Suppression.of(rule(duration={"value": 5, "unit": "m"})) is None
    assert Suppression.of(rule("1h", group_by=["a", "b"])) == Suppression("r", ("a", "b"), None, timedelta(hours=1))
    said = Suppression.of(
        rule(group_by=["a"], duration={"value": 2, "unit": "h"}, missing_fields_strategy="doNotSuppress"),
        closing_restarts=False,
    )
    assert said == Suppression("r", ("a",), timedelta(hours=2), timedelta(minutes=5), True, False)


def test_an_absurd_duration_is_cut() -> None:
    said = Suppression.of(rule(group_by=["a"], duration={"value": 10**12, "unit": "h"}))
    assert said is not None
    assert said.duration == MAX_DURATION


# Groups ---------------------------------------------------------------------------------------------------------------


def test_an_event_is_in_the_group_of_its_values() -> None:
    suppression = replace(HOUR, group_by=("user.name", "event.action"))
    document = Document({"eventName": "PutKeyPolicy", "userIdentity": {"type": "IAMUser", "userName": "ada"}})
    (group,) = groups_of(suppression, document)
    assert group.terms == (("user.name", "ada"), ("event.action", "PutKeyPolicy"))
    assert len(group.instance_id) == 64


def test_groups_of_different_rules_and_of_different_values_are_not_the_same() -> None:
    ids = {
        group.instance_id
        for suppression in (HOUR, replace(HOUR, rule_id="other"))
        for values in ({"name": "ada"}, {"name": "bob"}, {"name": "true"}, {"name": True}, {"name": 1}, {})
        for group in groups(suppression, **values)
    }
    assert len(ids) == 12


def test_elements_of_arrays_are_groups_of_their_own() -> None:
    suppression = replace(HOUR, group_by=("user.name", "user.roles"))
    found = groups(suppression, name=["a", "b", "a"], roles=["x", "y"])
    assert [tuple(value for _, value in group.terms) for group in found] == [
        ("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")
    ]  # fmt: skip


def test_an_event_of_too_many_groups_is_alerted_by_itself() -> None:
    names = [f"u{number}" for number in range(MAX_GROUPS_PER_EVENT)]
    assert len(groups(name=names)) == MAX_GROUPS_PER_EVENT
    assert groups(name=[*names, "one more"]) == ()


def test_a_missing_field_is_a_value_or_no_group_at_all() -> None:
    (group,) = groups()
    assert group.terms == (("user.name", None),)
    assert groups(replace(HOUR, keep_missing=True)) == ()


# Windows --------------------------------------------------------------------------------------------------------------


def test_the_window_begins_with_the_alert_and_does_not_slide() -> None:
    outcome = run(match(1, 0), match(2, 30), match(3, 59), match(4, 60), match(5, 61))
    assert [alert.id for alert in outcome.alerts] == ["m1", "m4"]
    first, second = outcome.windows
    assert (first.start, first.end, first.first, first.last, first.count) == (
        minute(0), minute(60), minute(0), minute(59), 2
    )  # fmt: skip
    assert (second.start, second.count) == (minute(60), 1)
    assert outcome.counts.created == 2
    assert outcome.counts.suppressed == 3


def test_other_groups_have_windows_of_their_own() -> None:
    outcome = run(match(1, 0), match(2, 1, groups(name="bob")), match(3, 2), match(4, 3, groups()))
    assert [alert.id for alert in outcome.alerts] == ["m1", "m2", "m4"]


def test_a_window_of_the_state_goes_on() -> None:
    (window,) = run(match(1, 0)).windows
    outcome = run(match(2, 10), windows=(window,))
    assert outcome.alerts == ()
    assert outcome.windows == (replace(window, last=minute(10), count=1),)


def test_a_late_event_raises_an_alert_whose_window_ends_where_the_next_begins() -> None:
    (window,) = run(match(1, 30)).windows
    outcome = run(match(2, 10), match(3, 29), match(4, 30), match(5, 89), windows=(window,))
    assert [alert.id for alert in outcome.alerts] == ["m2"]
    assert [(one.start, one.end, one.count) for one in outcome.windows] == [
        (minute(10), minute(30), 1), (minute(30), minute(90), 2)
    ]  # fmt: skip


@pytest.mark.parametrize("restarts", [True, False])
def test_closing_an_alert_ends_its_window_unless_told_otherwise(restarts: bool) -> None:
    (window,) = run(match(1, 0)).windows
    outcome = run(
        match(2, 10), match(3, 11), suppression=replace(HOUR, closing_restarts=restarts),
        windows=(replace(window, closed=True),),
    )  # fmt: skip
    assert [alert.id for alert in outcome.alerts] == (["m2"] if restarts else [])
    assert outcome.windows[0].count == (1 if restarts else 2)


def test_without_a_duration_windows_are_those_of_the_interval_on_the_clock() -> None:
    # 12:03 and 12:04:59 lie in one interval of five minutes, 12:05 in the next.
    outcome = run(match(1, 4), match(2, 3), match(3, 4.99), match(4, 5), suppression=EACH_RUN)
    assert [alert.id for alert in outcome.alerts] == ["m1", "m4"]
    first = outcome.windows[0]
    assert (first.start, first.end) == (minute(0), minute(5))
    assert (first.first, first.last, first.count) == (minute(3), minute(4.99), 2)


def test_an_event_of_several_groups_counts_in_each() -> None:
    both = groups(name=["ada", "bob"])
    outcome = run(match(1, 0), match(2, 1, both), match(3, 2, both))
    assert [alert.match.id for alert in outcome.alerts] == ["m1", "m2"]
    assert outcome.alerts[1].id not in ("m1", "m2")
    assert [(window.group.terms[0][1], window.count) for window in outcome.windows] == [("ada", 2), ("bob", 1)]
    assert outcome.counts.suppressed == 1


def test_an_event_without_groups_is_an_alert_like_any_other() -> None:
    outcome = run(match(1, 0, ()), match(2, 1, ()))
    assert [(alert.id, alert.window) for alert in outcome.alerts] == [("m1", None), ("m2", None)]
    assert outcome.counted == ()
    assert outcome.windows == ()


@pytest.mark.parametrize("suppression", [HOUR, EACH_RUN, replace(HOUR, duration=MAX_DURATION)])
def test_the_ends_of_time_are_no_trouble(suppression: Suppression) -> None:
    for at in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        outcome = run(Match("m", 1, at, groups=ADA), suppression=suppression)
        assert len(outcome.alerts) == 1


def test_what_an_alert_says_about_its_suppression() -> None:
    alert = run(match(1, 0, groups()), match(2, 1, groups())).alerts[0]
    assert alert.window is not None
    assert alert.window.alert_fields() == {
        "kibana.alert.suppression.terms": [{"field": "user.name", "value": None}],
        "kibana.alert.suppression.start": "2026-03-04T12:00:00.000Z",
        "kibana.alert.suppression.end": "2026-03-04T12:01:00.000Z",
        "kibana.alert.suppression.docs_count": 1,
        "kibana.alert.instance.id": groups()[0].instance_id,
    }


def test_a_window_is_kept_as_json() -> None:
    for window in run(match(1, 0.123), match(2, 1, groups(name=[True, 1, "x"])), match(3, 2, groups())).windows:
        kept = json.loads(for_json(window.to_dict()))
        assert Window.from_dict(kept) == window
        assert Window.from_dict(kept, closed=True) == replace(window, closed=True)


# What holds for every order of events --------------------------------------------------------------------------------

NAMES = st.sampled_from(["ada", "bob", None, ["ada", "bob"]])
EVENTS = st.lists(st.tuples(st.integers(0, 200), NAMES), max_size=25)


def matches_of(events: list[tuple[int, object]], suppression: Suppression) -> list[Match]:
    return [
        match(position, at, groups(suppression, **({} if name is None else {"name": name})))
        for position, (at, name) in enumerate(events)
    ]


SUPPRESSIONS = st.sampled_from(
    [HOUR, EACH_RUN, replace(HOUR, keep_missing=True), replace(HOUR, duration=timedelta(minutes=7))]
)


@given(EVENTS, SUPPRESSIONS)
def test_every_event_is_an_alert_or_counted_into_one_of_its_group_and_time(
    events: list[tuple[int, object]], suppression: Suppression
) -> None:
    matches = matches_of(events, suppression)
    outcome = run(*matches, suppression=suppression)
    grouped = sum(len(one.groups) for one in matches)
    assert len(outcome.counted) == grouped
    assert sum(1 + window.count for window in outcome.windows) == grouped
    assert len(outcome.alerts) == len(outcome.windows) + sum(not one.groups for one in matches)
    windows = {window.alert_id: window for window in outcome.windows}
    by_id = {one.id: one for one in matches}
    for counted in outcome.counted:
        window = windows[counted.alert_id]
        assert window.group in by_id[counted.match_id].groups
        assert window.start <= window.first <= by_id[counted.match_id].time <= window.last < window.end


@given(EVENTS, SUPPRESSIONS)
def test_windows_of_a_group_do_not_overlap_and_are_no_longer_than_asked(
    events: list[tuple[int, object]], suppression: Suppression
) -> None:
    outcome = run(*matches_of(events, suppression), suppression=suppression)
    ordered = sorted(outcome.windows, key=lambda window: (window.group.instance_id, window.start))
    for window, following in pairwise(ordered):
        assert window.group != following.group or window.end <= following.start
    assert all(window.end - window.start <= (suppression.duration or suppression.interval) for window in ordered)


@given(EVENTS)
def test_events_in_the_order_of_their_time_raise_the_alerts_of_the_plain_definition(
    events: list[tuple[int, object]],
) -> None:
    events = [(at, name) for at, name in sorted(events, key=lambda event: event[0]) if not isinstance(name, list)]
    expected, since = [], {}
    for position, (at, name) in enumerate(events):
        if name not in since or at - since[name] >= 60:
            since[name] = at
            expected.append(f"m{position}")
    assert [alert.id for alert in run(*matches_of(events, HOUR)).alerts] == expected


@given(st.permutations(range(8)), st.lists(st.integers(0, 30), min_size=8, max_size=8))
def test_without_a_duration_the_order_of_arrival_changes_no_window(order: list[int], times: list[int]) -> None:
    def seen(numbers: list[int]) -> list[tuple[object, ...]]:
        matches = [match(position, times[number]) for position, number in enumerate(numbers)]
        windows = run(*matches, suppression=EACH_RUN).windows
        return sorted((one.start, one.end, one.first, one.last, one.count) for one in windows)

    assert seen(order) == seen(list(range(8)))
