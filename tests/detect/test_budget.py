"""The budget of an execution: what costs, what is deferred, and that no cut changes which alerts there are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.detect import Counts, Group, Match, NewAlert, Outcome, Suppression, Window, groups_of, spend
from tests.query.conftest import DictFields

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SUPPRESSION = Suppression("r", ("user.name",), timedelta(minutes=10), timedelta(minutes=5))


def match(position: int, *, excluded: bool = False, groups: tuple[Group, ...] = (), at: int = 0) -> Match:
    return Match(f"m{position}", position, START + timedelta(minutes=at), excluded, groups)


def groups(*names: str) -> tuple[Group, ...]:
    return groups_of(SUPPRESSION, DictFields({"user": {"name": list(names)}}))


def ids(outcome: Outcome) -> list[str]:
    return [alert.id for alert in outcome.alerts]


def test_all_within_the_budget_moves_the_cursor_to_the_end() -> None:
    outcome = spend([match(3), match(5)], end=9, existing=(), max_signals=2)
    assert outcome == Outcome(
        (NewAlert("m3", match(3)), NewAlert("m5", match(5))), (), (), 9, Counts(matched=2, created=2), ""
    )
    assert outcome.complete


def test_what_the_budget_does_not_reach_waits_at_its_own_position() -> None:
    outcome = spend([match(3), match(5), match(7)], end=9, existing=(), max_signals=1)
    assert ids(outcome) == ["m3"]
    assert outcome.cursor == 5
    assert outcome.counts == Counts(matched=3, created=1, deferred=2)
    assert not outcome.complete
    assert outcome.warning == (
        "created 1 alerts, the most of one execution (max_signals); 2 matches wait for the next, "
        "which is due at once, and none is dropped"
    )


def test_existing_and_excluded_matches_cost_nothing() -> None:
    outcome = spend(
        [match(1), match(2, excluded=True), match(3), match(4)], end=9, existing={"m1", "m2"}, max_signals=2
    )
    assert ids(outcome) == ["m3", "m4"]
    assert outcome.counts == Counts(matched=4, created=2, duplicate=1, excluded=1)
    assert outcome.cursor == 9


def test_suppressed_matches_cost_nothing() -> None:
    ada, bob = groups("ada"), groups("bob")
    matches = [match(1, groups=ada), match(2, groups=ada), match(3, groups=ada), match(4, groups=bob)]
    outcome = spend(matches, end=9, existing=(), max_signals=1, suppression=SUPPRESSION)
    assert ids(outcome) == ["m1"]
    assert outcome.counts == Counts(matched=4, created=1, suppressed=2, deferred=1)
    assert outcome.cursor == 4


def test_an_event_repeated_in_a_batch_is_alerted_once() -> None:
    again = replace(match(2), id="m1")
    outcome = spend([match(1), again], end=9, existing=(), max_signals=None)
    assert ids(outcome) == ["m1"]
    assert outcome.counts == Counts(matched=2, created=1, duplicate=1)


def test_the_alerts_of_one_event_are_created_together() -> None:
    matches = [match(1), match(2, groups=groups("a", "b")), match(3)]
    outcome = spend(matches, end=9, existing=(), max_signals=2, suppression=SUPPRESSION)
    assert (ids(outcome), outcome.cursor) == (["m1"], 2)
    # A single event that raises more than the whole budget does not wait for ever.
    outcome = spend(matches[1:], end=9, existing=(), max_signals=1, suppression=SUPPRESSION)
    assert (len(outcome.alerts), outcome.cursor) == (2, 3)


def test_no_matches() -> None:
    assert spend([], end=9, existing=(), max_signals=1) == Outcome((), (), (), 9, Counts())


def test_matches_out_of_order_and_budgets_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="in the order of their positions, 4 follows 4"):
        spend([match(4), match(4)], end=9, existing=(), max_signals=1)
    with pytest.raises(ValueError, match="at least 1"):
        spend([], end=9, existing=(), max_signals=0)


# Any budgets, any cuts ------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What a store keeps of a rule: the ids of its alerts, the matches it counted, its windows."""

    alerts: list[NewAlert] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    windows: dict[str, Window] = field(default_factory=dict)
    suppressed: int = 0
    excluded: int = 0

    def commit(self, outcome: Outcome) -> None:
        assert not self.known & {alert.id for alert in outcome.alerts}
        self.alerts += outcome.alerts
        self.known |= {alert.id for alert in outcome.alerts} | {counted.match_id for counted in outcome.counted}
        self.windows |= {window.alert_id: window for window in outcome.windows}
        self.suppressed += outcome.counts.suppressed
        self.excluded += outcome.counts.excluded

    def run(self, matches: list[Match], end: int, budget: int | None) -> Outcome:
        return spend(
            matches, end=end, existing=self.known, max_signals=budget,
            suppression=SUPPRESSION, windows=self.windows.values(),
        )  # fmt: skip

    @property
    def result(self) -> tuple[object, ...]:
        return [(one.id, one.match) for one in self.alerts], self.windows, self.suppressed, self.excluded


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([(), groups("ada"), groups("bob"), groups("ada", "bob", "eve")]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=20,
)


@given(EVENTS, st.data())
def test_whatever_the_budgets_and_the_cuts_the_alerts_are_those_of_one_unlimited_execution(
    events: list[tuple[int, tuple[Group, ...], bool]], data: st.DataObject
) -> None:
    matches = [
        match(2 * number, at=at, groups=of, excluded=excluded) for number, (at, of, excluded) in enumerate(events)
    ]
    head = 2 * len(matches)
    whole, pieces = State(), State()
    outcome = whole.run(matches, head, None)
    assert outcome.complete
    whole.commit(outcome)

    cursor = 0
    while cursor < head:
        end = data.draw(st.integers(cursor + 1, head))
        batch = [one for one in matches if cursor <= one.position < end]
        budget = data.draw(st.integers(1, 4))
        outcome = pieces.run(batch, end, budget)
        assert outcome.cursor > cursor or not outcome.complete
        assert len(outcome.alerts) <= budget or len({alert.match.id for alert in outcome.alerts}) == 1
        assert outcome.complete == (outcome.cursor == end)
        if data.draw(st.booleans()):  # it crashed before it committed
            assert pieces.run(batch, end, budget) == outcome
        pieces.commit(outcome)
        cursor = outcome.cursor
    assert pieces.result == whole.result


@given(EVENTS)
def test_running_the_same_matches_again_changes_nothing(events: list[tuple[int, tuple[Group, ...], bool]]) -> None:
    matches = [match(number, at=at, groups=of, excluded=excluded) for number, (at, of, excluded) in enumerate(events)]
    state = State()
    state.commit(state.run(matches, len(matches), None))
    again = state.run(matches, len(matches), 1)
    assert (again.alerts, again.counted, again.windows) == ((), (), ())
    assert again.counts.duplicate == again.counts.matched - again.counts.excluded
    assert again.complete
