"""The arithmetic of one execution of a rule: which matches become alerts, and from where the next one goes on.

Values in, values out: the caller looks things up, and writes alerts, windows and cursor in one transaction.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime

from keytrail.detect.suppression import Group, Suppression, Window, Windows, suppressed_alert_id


@dataclass(frozen=True, slots=True)
class Match:
    """An event that a rule matched.

    `id` is `detect.alert_id` of rule and event, `position` that of its row, `time` the event's own (when it arrived, if
    it tells none), aware. `excluded` says that an exception item covers it; `groups` are those of suppression, none for
    a rule without and for an event that is to be alerted by itself.
    """

    id: str
    position: int
    time: datetime
    excluded: bool = False
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert to create. `window` is its suppression as it stands at the end of the execution, None without."""

    id: str
    match: Match
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A match of a rule with suppression that is done with: it raised the alert `alert_id`, or counts into it."""

    match_id: str
    alert_id: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the matches of an execution: `created` counts alerts, everything else matches.

    `duplicate` were done with before, `suppressed` only count into alerts, `excluded` are covered by exception items,
    `deferred` lie behind the cursor and were not looked into. If no event raises alerts in several groups of
    suppression, matched = created + duplicate + suppressed + excluded + deferred.
    """

    matched: int = 0
    created: int = 0
    duplicate: int = 0
    suppressed: int = 0
    excluded: int = 0
    deferred: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an execution comes to. The next one takes the matches from position `cursor` on.

    `counted` holds every match of a rule with suppression that was done with now and has groups; remember their
    `match_id`s, by them such a match is known again. `windows` are those that are new or have counted something: one
    whose alert is not among `alerts` changes what that alert says about its suppression. `warning` is "" if nothing
    waits.
    """

    alerts: tuple[NewAlert, ...]
    counted: tuple[Counted, ...]
    windows: tuple[Window, ...]
    cursor: int
    counts: Counts
    warning: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing waits; if something does, the next execution is due at once."""
        return not self.counts.deferred


def spend(
    matches: Iterable[Match],
    *,
    end: int,
    existing: Container[str],
    max_signals: int | None,
    suppression: Suppression | None = None,
    windows: Iterable[Window] = (),
) -> Outcome:
    """Return what one execution makes of `matches`, which are in the order of their positions.

    `end` is the position behind the last row that was searched: the cursor, if nothing is deferred. `existing` holds
    the ids of alerts that are there and of matches that were counted (`Outcome.counted`). At most `max_signals` alerts
    are created (None: any number), and more only if a single event raises more by itself; duplicates, excluded and
    suppressed matches cost nothing. `windows` are those of the rule's groups, as the state has them.

    However the matches are cut into executions, together they create the same alerts. Raises ValueError if positions
    do not ascend.
    """
    if max_signals is not None and max_signals < 1:
        raise ValueError("max_signals must be at least 1")
    execution = _Execution(existing, max_signals, suppression, windows)
    cursor: int | None = None
    before = -1
    deferred = 0
    for match in matches:
        if match.position <= before:
            raise ValueError(f"matches must be in the order of their positions, {match.position} follows {before}")
        before = match.position
        if cursor is None and not execution.take(match):
            cursor = match.position
        if cursor is not None:
            deferred += 1
    return execution.outcome(end if cursor is None else cursor, deferred)


class _Execution:
    def __init__(
        self,
        existing: Container[str],
        max_signals: int | None,
        suppression: Suppression | None,
        windows: Iterable[Window],
    ) -> None:
        self._existing = existing
        self._max_signals = max_signals
        self._windows = Windows(suppression, windows) if suppression else None
        self._done: set[str] = set()
        self._alerts: list[NewAlert] = []
        self._counted: list[Counted] = []
        self._duplicate = self._suppressed = self._excluded = 0

    def take(self, match: Match) -> bool:
        """Do with a match what is to be done; return False, and do nothing, if the budget does not reach for it."""
        if match.excluded:
            self._excluded += 1
            return True
        if match.id in self._done or match.id in self._existing:
            self._duplicate += 1
            return True
        if self._windows is None or not match.groups:
            if not self._affords(1):
                return False
            self._alerts.append(NewAlert(match.id, match))
        elif not self._take_groups(match, self._windows):
            return False
        self._done.add(match.id)
        return True

    def _take_groups(self, match: Match, windows: Windows) -> bool:
        opened = [group for group in match.groups if not windows.covers(group, match.time)]
        if opened and not self._affords(len(opened)):
            return False
        for group in match.groups:
            if windows.covers(group, match.time):
                self._counted.append(Counted(match.id, windows.count(group, match.time)))
            else:
                id = suppressed_alert_id(match.id, group, len(match.groups))
                windows.open(group, match.time, id)
                self._alerts.append(NewAlert(id, match))
                self._counted.append(Counted(match.id, id))
        if not opened:
            self._suppressed += 1
        return True

    def _affords(self, alerts: int) -> bool:
        # The first event passes whatever it raises: one that costs more than a whole budget would wait for ever.
        return self._max_signals is None or not self._alerts or len(self._alerts) + alerts <= self._max_signals

    def outcome(self, cursor: int, deferred: int) -> Outcome:
        changed = self._windows.changed if self._windows else ()
        of_alert = {window.alert_id: window for window in changed}
        alerted = len({alert.match.id for alert in self._alerts})
        return Outcome(
            alerts=tuple(NewAlert(alert.id, alert.match, of_alert.get(alert.id)) for alert in self._alerts),
            counted=tuple(self._counted),
            windows=changed,
            cursor=cursor,
            counts=Counts(
                matched=alerted + self._duplicate + self._suppressed + self._excluded + deferred,
                created=len(self._alerts),
                duplicate=self._duplicate,
                suppressed=self._suppressed,
                excluded=self._excluded,
                deferred=deferred,
            ),
            warning=_warning(len(self._alerts), deferred),
        )


def _warning(created: int, deferred: int) -> str:
    if not deferred:
        return ""
    return (
        f"created {created:,} alerts, the most of one execution (max_signals); {deferred:,} matches wait for the next, "
        "which is due at once, and none is dropped"
    )
