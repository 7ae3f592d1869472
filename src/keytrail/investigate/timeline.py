"""The time line of a change: what led to it, what it was used for and what became of it, an event once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from keytrail.investigate.activity import KeyActivity
from keytrail.investigate.acts import act_of
from keytrail.investigate.change import PolicyChange, attempt_of
from keytrail.investigate.events import Event
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Act, Actor, Capped, RelatedActivity, TimelineEntry, Usage
from keytrail.investigate.queries import CHANGES, KMS

Lane = Literal["change", "attempt", "actor", "access", "key", "data"]


@dataclass(frozen=True, slots=True)
class _Line:
    """An entry, whether it is kept before others when there are too many, and whether its like may join it."""

    entry: TimelineEntry
    grave: bool = False
    joins: bool = False


def timeline_of(
    change: PolicyChange,
    attempts: Sequence[Event],
    actor: Actor,
    related: RelatedActivity,
    activity: KeyActivity,
    limits: Limits,
) -> Capped[TimelineEntry]:
    """The entries by time. `attempts` are the refused events that tried the same change.

    An event stands in the most telling lane it belongs to. Runs of the same use, the same access to data or the same
    AssumeRole are one entry with a count and the first event's id. Of too many entries those are kept that tell of
    changes, attempts, and what the change was used for, then those that are nearest to the change.
    """
    sections = (
        _changes(change, attempts, activity),
        _uses(related.uses),
        _grants(related, activity),
        _principals(related),
        _actor(actor),
        _key(change, activity),
    )
    lines: dict[str, _Line] = {}
    for section in sections:
        for line in section:
            lines.setdefault(line.entry.event_id, line)
    joined = _joined(sorted(lines.values(), key=lambda one: (one.entry.time, one.entry.event_id)))
    moment = change.event.time

    def rank(line: _Line) -> tuple[bool, bool, timedelta, datetime, str]:
        entry = line.entry
        itself = entry.event_id == change.event.id
        return not itself, not line.grave, abs(entry.time - moment), entry.time, entry.event_id

    kept = sorted(joined, key=rank)[: limits.max_timeline]
    entries = sorted((line.entry for line in kept), key=lambda one: (one.time, one.event_id))
    return Capped(tuple(entries), len(joined))


# Sections, the most telling first -----------------------------------------------------------------------------------


def _changes(change: PolicyChange, attempts: Sequence[Event], activity: KeyActivity) -> Iterator[_Line]:
    """The change, later ones of the same key, and what was refused."""
    yield _line(act_of(change.event), "change", grave=True)
    for event in attempts:
        yield _line(act_of(event), "attempt", grave=True)
    for event in activity.events:
        if event.provider != KMS or event.name not in CHANGES:
            continue
        made = attempt_of(event)
        if made is None or made.key != change.key:
            continue
        if not event.succeeded:
            yield _line(act_of(event), "attempt", grave=True)
        elif event.time >= change.event.time:
            yield _line(act_of(event), "change", grave=True)


def _uses(uses: Sequence[Usage]) -> Iterator[_Line]:
    for usage in uses:
        name = usage.action.removeprefix("kms:")
        if name == "CreateGrant":
            continue  # each grant has a line of its own
        for run in usage.runs.items:
            late = ", after it was undone" if run.after_revert else ""
            sentence = f"used what the change gave{late}: {name}"
            entry = TimelineEntry(run.first, run.event_id, name, "access", usage.principal, sentence, count=run.count)
            yield _Line(entry, grave=True, joins=True)


def _grants(related: RelatedActivity, activity: KeyActivity) -> Iterator[_Line]:
    """The grants that matter, and what ended them."""
    lanes: dict[str, Lane] = {}
    for grant in related.surviving_grants:
        lanes[grant.event_id] = "key"
    for grant in related.grants_since:
        lanes[grant.event_id] = "access"
        if grant.ended_by is not None:
            lanes[grant.ended_by] = "key"
    for event in activity.events:
        if event.id in lanes:
            yield _line(act_of(event), lanes[event.id], grave=True)


def _principals(related: RelatedActivity) -> Iterator[_Line]:
    for one in related.principals.items:
        for act in (*one.created, *one.policies_attached):
            yield _line(act, "access")
        for act in one.assumed.items:
            yield _line(act, "access", joins=True)
        for act in one.data_access.items:
            yield _line(act, "data", joins=True)


def _actor(actor: Actor) -> Iterator[_Line]:
    for act in (*actor.chain, *actor.acts.items):
        yield _line(act, "actor")


def _key(change: PolicyChange, activity: KeyActivity) -> Iterator[_Line]:
    """What else was done to the key, and with data under it by other services."""
    for event in activity.events:
        if event.provider == KMS:
            yield _line(act_of(event), "key")
        elif event.data.get("readOnly") is not True and event.time > change.event.time:
            yield _line(act_of(event), "data", joins=True)


def _line(act: Act, lane: Lane, *, grave: bool = False, joins: bool = False) -> _Line:
    entry = TimelineEntry(
        time=act.time,
        event_id=act.event_id,
        event_name=act.event_name,
        lane=lane,
        who=act.who,
        sentence=act.sentence,
        failed=act.outcome == "failure",
    )
    return _Line(entry, grave, joins)


def _joined(lines: Sequence[_Line]) -> list[_Line]:
    """The lines, with neighbours that say the same as one."""
    found: list[_Line] = []
    for line in lines:
        before = found[-1] if found else None
        if before is not None and before.joins and line.joins and _says(before) == _says(line):
            found[-1] = replace(before, entry=replace(before.entry, count=before.entry.count + line.entry.count))
        else:
            found.append(line)
    return found


def _says(line: _Line) -> TimelineEntry:
    return replace(line.entry, time=datetime.min, event_id="", count=0)
