"""Alert suppression: which matches of a rule become alerts, and which are only counted into one that is there.

A rule with `alert_suppression` makes one alert for all matches that share the values of its `group_by` fields within a
window of time. This module is the state machine of that, over values alone. Facts: spec/elastic-engine.md, 3.7; where
keytrail decides otherwise:

* Windows lie on the time of the *events*, not on that of executions. So running late, in pieces, or again (a backfill)
  gives the alerts that running on time gives, as long as the events are taken in the order of their arrival.
* A window begins with its first event, lasts for `duration`, end exclusive, and does not slide. An event that is older
  than the window that is there (it came late) is in no window, so it becomes an alert, whose window ends where the next
  begins. Nothing vanishes: each event is an alert or is counted into one.
* Without a duration ("per rule execution") the windows of all groups are those of a clock: as long as the rule's
  interval, aligned to midnight UTC on 1 January 1970. When rules run as soon as records arrive, an execution is no
  measure of anything; the interval is the pace the rule's author had in mind.
* Closing an alert ends its window, as by default in the reference engine; `closing_restarts=False` lets it go on.
* Each combination of elements of arrays is a group of its own. An event of more than MAX_GROUPS_PER_EVENT is alerted
  by itself: arrays are as long as their author likes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from math import prod
from typing import Any, TypeAlias

from keytrail.query import Fields
from keytrail.rules import Rule
from keytrail.text import for_json

Json = dict[str, object]

MAX_GROUPS_PER_EVENT = 64
# Longer is taken for this; nobody waits ten years for an alert.
MAX_DURATION = timedelta(days=3650)

# A value of a group_by field; None for a field without one.
GroupValue: TypeAlias = str | int | float | bool | None

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Suppression:
    """What a rule says about suppression.

    `duration` is None for "per rule execution", which `interval`, the rule's, then stands for. `keep_missing` says that
    events without a value in a group_by field are alerted by themselves (doNotSuppress); otherwise null is one value
    more. `closing_restarts`: closing an alert ends its window.
    """

    rule_id: str
    group_by: tuple[str, ...]
    duration: timedelta | None
    interval: timedelta
    keep_missing: bool = False
    closing_restarts: bool = True

    @classmethod
    def of(cls, rule: Rule, *, closing_restarts: bool = True) -> Suppression | None:
        """Return what `rule` says about suppression, None if it says nothing or names no field to group by."""
        told: Mapping[str, Any] = rule.alert_suppression or {}
        if not told.get("group_by"):
            return None
        length = told.get("duration")
        return cls(
            rule_id=rule.rule_id,
            group_by=tuple(told["group_by"]),
            duration=_length(length["value"], length["unit"]) if length else None,
            interval=_length(int(rule.interval[:-1]), rule.interval[-1]),
            keep_missing=told.get("missing_fields_strategy") == "doNotSuppress",
            closing_restarts=closing_restarts,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The fields of group_by with one value each. `instance_id` (hex SHA-256) names rule and group everywhere."""

    instance_id: str
    terms: tuple[tuple[str, GroupValue], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of event time, `start` to `end` (exclusive), in which matches of one group count into one alert.

    `first` and `last` are the times of the alert's earliest and latest event, its own included; `count` is how many
    were counted into it beside its own. `closed` says that a person closed the alert. All times are aware.
    """

    group: Group
    alert_id: str
    start: datetime
    end: datetime
    first: datetime
    last: datetime
    count: int = 0
    closed: bool = False

    def alert_fields(self) -> Json:
        """Return what the alert says about its suppression."""
        return {
            "kibana.alert.suppression.terms": [{"field": name, "value": value} for name, value in self.group.terms],
            "kibana.alert.suppression.start": _instant(self.first),
            "kibana.alert.suppression.end": _instant(self.last),
            "kibana.alert.suppression.docs_count": self.count,
            "kibana.alert.instance.id": self.group.instance_id,
        }

    def to_dict(self) -> Json:
        """Return the window as JSON values, for `from_dict`; whether its alert is closed is kept with the alert."""
        return {
            "instance_id": self.group.instance_id,
            "terms": [[name, value] for name, value in self.group.terms],
            "alert_id": self.alert_id,
            **{name: getattr(self, name).isoformat() for name in ("start", "end", "first", "last")},
            "count": self.count,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, closed: bool = False) -> Window:
        """Return the window that `to_dict` told; `closed` is whether its alert is closed by now."""
        start, end, first, last = (datetime.fromisoformat(data[name]) for name in ("start", "end", "first", "last"))
        group = Group(data["instance_id"], tuple((name, value) for name, value in data["terms"]))
        return cls(group, data["alert_id"], start, end, first, last, data["count"], closed)


def groups_of(suppression: Suppression, document: Fields) -> tuple[Group, ...]:
    """Return the groups that an event belongs to, none if it is to be alerted by itself."""
    values: list[tuple[GroupValue, ...]] = []
    for name in suppression.group_by:
        # By their JSON: to Python, true and 1 are the same.
        found = {for_json(value): value for value in document.values(name)}
        scalars = tuple(value for value in found.values() if isinstance(value, str | int | float))
        if not scalars and suppression.keep_missing:
            return ()
        values.append(scalars or (None,))
    if prod(map(len, values)) > MAX_GROUPS_PER_EVENT:
        return ()
    return tuple(_group(suppression, combination) for combination in product(*values))


def suppressed_alert_id(match_id: str, group: Group, groups: int) -> str:
    """Return the id of the alert of a match in `group`: that of the match, unless the match is in several `groups`.

    A group's alert of an event with arrays has an id made of both, hex SHA-256, as one event may raise several.
    """
    if groups == 1:
        return match_id
    return hashlib.sha256(f"keytrail/suppression/1\0{match_id}\0{group.instance_id}".encode()).hexdigest()


class Windows:
    """The windows of a rule while one execution runs: matches are offered in the order of their arrival.

    It is filled from the windows of the state, and says at the end which are new or changed. Windows of a group that
    count do not overlap.
    """

    def __init__(self, suppression: Suppression, windows: Iterable[Window]) -> None:
        self._suppression = suppression
        self._of: dict[str, list[Window]] = {}  # by instance id, by start
        self._changed: dict[str, Window] = {}  # by alert id
        for window in windows:
            if not (window.closed and suppression.closing_restarts):
                insort(self._of.setdefault(window.group.instance_id, []), window, key=_start)

    @property
    def changed(self) -> tuple[Window, ...]:
        """The windows that are new or have counted something, the order is that of their first change."""
        return tuple(self._changed.values())

    def covers(self, group: Group, time: datetime) -> bool:
        """Whether a match of `group` at `time` only counts, into an alert that is there."""
        return self._find(group, time) is not None

    def count(self, group: Group, time: datetime) -> str:
        """Count a match that a window covers; return the id of its alert."""
        at = self._find(group, time)
        assert at is not None
        windows = self._of[group.instance_id]
        old = windows[at]
        windows[at] = new = replace(old, first=min(old.first, time), last=max(old.last, time), count=old.count + 1)
        self._changed[new.alert_id] = new
        return new.alert_id

    def open(self, group: Group, time: datetime, alert: str) -> None:
        """Begin the window of the alert with the id `alert`, which no window covers."""
        windows = self._of.setdefault(group.instance_id, [])
        start, end = self._span(time)
        next_one = bisect_right(windows, time, key=_start)
        if next_one < len(windows):
            end = min(end, windows[next_one].start)
        window = Window(group, alert, start, end, first=time, last=time)
        insort(windows, window, key=_start)
        self._changed[alert] = window

    def _find(self, group: Group, time: datetime) -> int | None:
        windows = self._of.get(group.instance_id, [])
        at = bisect_right(windows, time, key=_start) - 1
        return at if at >= 0 and time < windows[at].end else None

    def _span(self, time: datetime) -> tuple[datetime, datetime]:
        """Return from when to when a window lasts that an event at `time` begins."""
        duration, interval = self._suppression.duration, self._suppression.interval
        if duration is not None:
            return time, _later(time, duration)
        past = (time - _EPOCH) % interval
        start = time - past if time - datetime.min.replace(tzinfo=UTC) >= past else time
        return start, _later(start, interval)


def _group(suppression: Suppression, values: tuple[GroupValue, ...]) -> Group:
    terms = tuple(zip(suppression.group_by, values, strict=True))
    told = for_json(["keytrail/suppression/1", suppression.rule_id, terms])
    return Group(hashlib.sha256(told.encode()).hexdigest(), terms)


def _start(window: Window) -> datetime:
    return window.start


def _later(time: datetime, length: timedelta) -> datetime:
    return time + length if _LAST - time >= length else _LAST


def _length(value: int, unit: str) -> timedelta:
    longest = int(MAX_DURATION.total_seconds())
    return timedelta(seconds=min(value * _UNIT_SECONDS[unit], longest))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
