"""Which rules run, from where on, and when; what changes when rules come, go, change, or are disabled for a time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from keytrail.query.dates import resolve
from keytrail.rules import Rule
from keytrail.store.state.catalog import Arrived
from keytrail.store.state.rule_states import (
    Choice,
    RuleState,
    add_stretch,
    begin_stretch,
    put_state,
    rule_states,
)

_INTERVAL = re.compile(r"0*(\d+)([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def interval_of(rule: Rule) -> timedelta:
    """How long a rule waits between two runs, where it does not run as soon as records arrive.

    >>> from keytrail.rules import builtin
    >>> str(interval_of(builtin().rules[0]))
    '0:05:00'
    """
    found = _INTERVAL.fullmatch(rule.interval)
    assert found is not None  # the format of rules has it so
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def begins_at(rule: Rule, now: datetime) -> datetime:
    """The time of arrival from which on a new rule examines records: its `from`."""
    return datetime.fromtimestamp(resolve(rule.from_, now, up=False) / 1000, UTC)


def fingerprint(rule: Rule) -> str:
    """What tells whether a rule was changed in what it finds: a digest of that, 64 hex digits."""
    told = {name: value for name, value in rule.to_dict().items() if name in _DECIDES}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


_DECIDES = frozenset(
    {"type", "query", "language", "filters", "index", "data_view_id", "saved_id", "from", "exceptions_list",
     "alert_suppression"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A rule that runs, and where it is."""

    rule: Rule
    state: RuleState

    def due(self, now: datetime, head: int, *, eager: bool) -> bool:
        """Whether it is to run now: it has waited long enough, or there is something new and it need not wait."""
        state = self.state
        # A clock that was set back must not make rules wait for it to come round again.
        ago = timedelta() if state.last_run is None else now - state.last_run
        if state.retry_at is not None and now < state.retry_at and ago >= timedelta():
            return False
        if eager and state.cursor < head:
            return True
        if state.last_run is None:
            return True
        return ago >= interval_of(self.rule) or ago < timedelta()


def reconcile(
    connection: Connection,
    rules: Sequence[Rule],
    choices: Mapping[str, Choice],
    arrived: Sequence[Arrived],
    head: int,
    now: datetime,
) -> tuple[Scheduled, ...]:
    """Note what became of the rules since the service last looked; returns those that run.

    `rules` are all that there are, their `enabled` as decided. A new rule begins at its `from`; one that finds
    something else now, at the earlier of where it was and its `from`; one that was disabled, at its `from` or where it
    was, if it is to catch up: what it passes over is noted as such.
    """
    known = rule_states(connection)
    running: list[Scheduled] = []
    for rule in rules:
        state = known.pop(rule.rule_id, None)
        if rule.enabled and rule.supported:
            start = _position(arrived, head, begins_at(rule, now))
            new = _begun(connection, rule, state, choices.get(rule.rule_id, Choice()), start, now)
            if new != state:
                put_state(connection, new)
            running.append(Scheduled(rule, new))
        elif state is not None and state.running:
            _stop(connection, state, "disabled", now)
    for state in known.values():
        if state.running:
            _stop(connection, state, "gone", now)
    return tuple(running)


def _begun(
    connection: Connection, rule: Rule, state: RuleState | None, choice: Choice, start: int, now: datetime
) -> RuleState:
    print_of = fingerprint(rule)
    if state is None:
        begin_stretch(connection, rule.rule_id, "searched", start, now)
        return RuleState(rule.rule_id, rule.name, print_of, start)
    cursor = state.cursor
    if not state.running:
        if not choice.catch_up and start > cursor:
            add_stretch(connection, rule.rule_id, "disabled", cursor, start, now)
            cursor = start
        begin_stretch(connection, rule.rule_id, "searched", cursor, now)
    if state.fingerprint != print_of and start < cursor:
        cursor = start
        begin_stretch(connection, rule.rule_id, "searched", cursor, now)
    if state.running and state.fingerprint == print_of:
        return replace(state, name=rule.name)
    # Whatever stood in its way may do so no more.
    return replace(
        state,
        name=rule.name,
        fingerprint=print_of,
        cursor=cursor,
        running=True,
        status="new",
        message="",
        failures=0,
        retry_at=None,
    )


def _stop(connection: Connection, state: RuleState, status: str, now: datetime) -> None:
    put_state(connection, replace(state, running=False, status=status))  # type: ignore[arg-type]
    begin_stretch(connection, state.rule_id, "disabled", state.cursor, now)


def _position(arrived: Iterable[Arrived], head: int, moment: datetime) -> int:
    """The position of the first record that arrived at a moment or later, to the exactness of segments."""
    return next((one.segment.first_sequence for one in arrived if one.ingested >= moment), head)


__all__ = ["Scheduled", "begins_at", "fingerprint", "interval_of", "reconcile"]
