"""From the matches of a rule to its alerts: exceptions, suppression, budget, and what of it all is written."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.engine import Connection

from keytrail.cloudtrail import Document, Json, event_time, identity
from keytrail.cloudtrail.dates import utc_text
from keytrail.detect import Execution, alert_id, assess, build_alert
from keytrail.detect import budget as budgeting
from keytrail.detect.budget import Counts, Outcome, spend
from keytrail.detect.exceptions import Exceptions
from keytrail.detect.suppression import Suppression, Window, groups_of
from keytrail.rules import Rule
from keytrail.search import Match
from keytrail.store.state.alerts import NewAlert, add_alerts, existing
from keytrail.store.state.suppressions import add_counted, counted_before, put_window, windows_of


@dataclass(slots=True)
class Found:
    """The matches of a rule in the order of arrival, the first `most` of them; what follows is counted, and waits."""

    most: int
    matches: list[tuple[int, Match, bool]] = field(default_factory=list)
    beyond: int = 0
    first_beyond: int | None = None

    @property
    def full(self) -> bool:
        """Whether there is more than the rule can raise."""
        return len(self.matches) >= self.most

    def add(self, position: int, match: Match, quiet: bool) -> int:
        """Add a match; returns how many documents are held more."""
        if self.full:
            self.beyond += 1
            if self.first_beyond is None:
                self.first_beyond = position
            return 0
        self.matches.append((position, match, quiet))
        return 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What an execution of a rule comes to: its new alerts with their records, and where the next one goes on."""

    alerts: tuple[tuple[NewAlert, bytes], ...]
    outcome: Outcome
    cursor: int
    counts: Counts
    warnings: tuple[str, ...] = ()


class Known(Protocol):
    """What is known of a rule's matches from earlier executions."""

    def done(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of the matches that raised an alert, or were counted into one."""
        ...

    def windows(self, rule_id: str, instances: Sequence[str]) -> Sequence[Window]:
        """The windows of suppression of some groups."""
        ...


@dataclass(frozen=True, slots=True)
class KnownInState:
    """What the state knows, in a transaction."""

    connection: Connection

    def done(self, ids: Sequence[str]) -> frozenset[str]:
        return existing(self.connection, ids) | counted_before(self.connection, ids)

    def windows(self, rule_id: str, instances: Sequence[str]) -> Sequence[Window]:
        found = windows_of(self.connection, rule_id, instances)
        return [Window.from_dict(dict(one.window), closed=one.closed) for one in found]


def judge(
    known: Known,
    rule: Rule,
    exceptions: Exceptions,
    suppression: Suppression | None,
    found: Found,
    end: int,
    now: datetime,
    *,
    most: int | None = 0,
    manual: bool = False,
) -> Judged:
    """Decide over the matches of a rule before `end`; writes nothing.

    `most` is how many alerts may be made: 0 for what the rule says, None for any number.
    """
    events: dict[str, tuple[Match, Json, bool]] = {}
    matches: list[budgeting.Match] = []
    for position, match, quiet in found.matches:
        data: Json = json.loads(match.raw)
        document = Document(data)
        events[match.id] = (match, data, quiet)
        matches.append(
            budgeting.Match(
                id=match.id,
                position=position,
                time=event_time(data) or now,
                excluded=exceptions(document),
                groups=groups_of(suppression, document) if suppression is not None else (),
            )
        )
    ids = [one.id for one in matches]
    instances = sorted({group.instance_id for one in matches for group in one.groups})
    outcome = spend(
        matches,
        end=end if found.first_beyond is None else found.first_beyond,
        existing=known.done(ids) if ids else frozenset(),
        max_signals=rule.max_signals if most == 0 else most,
        suppression=suppression,
        windows=known.windows(rule.rule_id, instances) if instances else (),
    )
    execution = Execution(str(uuid.uuid4()), now)
    alerts = tuple(
        (_alert(rule, one, *events[one.match.id], execution, manual=manual), events[one.match.id][0].raw)
        for one in outcome.alerts
    )
    counts = _with_beyond(outcome.counts, found.beyond)
    waits = f"; {found.beyond:,} more matches wait" if found.beyond and outcome.warning else ""
    # An exception that takes no part is worth a line where it might have taken part.
    problems = exceptions.problems if matches else ()
    warnings = [*([outcome.warning + waits] if outcome.warning else []), *map(_problem, problems)]
    return Judged(alerts, outcome, outcome.cursor, counts, tuple(warnings))


def write(connection: Connection, rule: Rule, judged: Judged, now: datetime) -> tuple[NewAlert, ...]:
    """Write the alerts and the windows of suppression of an execution; returns the alerts that were made."""
    made = add_alerts(connection, [alert for alert, _ in judged.alerts], now)
    for window in judged.outcome.windows:
        put_window(
            connection,
            rule.rule_id,
            alert_id=window.alert_id,
            instance_id=window.group.instance_id,
            window=window.to_dict(),
            told=window.alert_fields() | {"kibana.alert.last_detected": utc_text(now)},
        )
    add_counted(connection, [one.match_id for one in judged.outcome.counted], now)
    return made


def _alert(
    rule: Rule, one: budgeting.NewAlert, match: Match, data: Json, quiet: bool, execution: Execution, *, manual: bool
) -> NewAlert:
    document: Json = json.loads(match.document)
    assessment = assess(rule, document)
    who = identity(data)
    alert = build_alert(rule, document, id=one.id, execution=execution)
    if not manual:
        alert["kibana.alert.rule.execution.type"] = "scheduled"
    return NewAlert(
        id=one.id,
        rule_id=rule.rule_id,
        rule_name=assessment.name,
        event=event_digest(data),
        event_id=who.event_id,
        event_time=event_time(data),
        position=one.match.position,
        severity=assessment.severity,
        risk_score=assessment.risk_score,
        account=who.account,
        region=who.region,
        building_block=rule.building_block_type is not None,
        quiet=quiet,
        document=alert,
        suppression=None if one.window is None else one.window.alert_fields(),
    )


def event_digest(data: Mapping[str, object]) -> str:
    """What names an event in the state, whichever rule found it: 64 hex digits of its identity."""
    return alert_id("", dict(data))


def _with_beyond(counts: Counts, beyond: int) -> Counts:
    return Counts(
        counts.matched + beyond,
        counts.created,
        counts.duplicate,
        counts.suppressed,
        counts.excluded,
        counts.deferred + beyond,
    )


def _problem(error: object) -> str:
    return str(error).splitlines()[0]


__all__ = ["Found", "Judged", "event_digest", "judge", "write"]
