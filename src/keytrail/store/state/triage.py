"""What people do with alerts: each change in one transaction with its line in the audit log."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from keytrail.store.state.alerts import Json, StoredAlert, log, stored
from keytrail.store.state.cases import Revision
from keytrail.store.state.database import in_parts
from keytrail.store.state.tables import alerts, audit, notes, revisions

Status: TypeAlias = Literal["open", "acknowledged", "closed"]

_KIND = "alert"


# -- what is there --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts: an empty tuple means any. `since` and `until` (exclusive) are when alerts were made.

    Alerts that are snoozed at `awake_at` are left out, None leaves none out; building blocks only where asked for.
    A verdict "" is that of alerts without an investigation.
    """

    statuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    building_blocks: bool = False
    awake_at: datetime | None = None


def find_alerts(
    connection: Connection, wanted: AlertFilter, *, most: int, before: int | None = None
) -> tuple[StoredAlert, ...]:
    """The latest alerts, at most `most`, those of higher numbers first; only those numbered below `before`."""
    query = sa.select(alerts).where(*_conditions(wanted)).order_by(alerts.c.number.desc()).limit(most)
    if before is not None:
        query = query.where(alerts.c.number < before)
    return tuple(map(stored, connection.execute(query)))


def count_alerts(connection: Connection, wanted: AlertFilter) -> int:
    """How many there are."""
    return connection.execute(sa.select(sa.func.count()).select_from(alerts).where(*_conditions(wanted))).scalar_one()


def alerts_by_id(connection: Connection, ids: Sequence[str]) -> tuple[StoredAlert, ...]:
    """The alerts of these ids, in the order of the ids; those that there are not are left out."""
    found: dict[str, StoredAlert] = {}
    for some in in_parts(ids):
        query = sa.select(alerts).where(alerts.c.id.in_(some))
        found.update((row.id, stored(row)) for row in connection.execute(query))
    return tuple(found[one] for one in dict.fromkeys(ids) if one in found)


def latest_revisions(connection: Connection, events: Iterable[str]) -> dict[str, Revision]:
    """The latest investigations of events, by event; those without one are left out."""
    found: dict[str, Revision] = {}
    for some in in_parts(dict.fromkeys(events)):
        last = (
            sa.select(revisions.c.event, sa.func.max(revisions.c.revision).label("revision"))
            .where(revisions.c.event.in_(some))
            .group_by(revisions.c.event)
            .subquery()
        )
        query = sa.select(revisions).join(
            last, (revisions.c.event == last.c.event) & (revisions.c.revision == last.c.revision)
        )
        found.update((row.event, Revision(**row._mapping)) for row in connection.execute(query))
    return found


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what when; `detail` has what was before and after."""

    at: datetime
    who: str
    kind: str
    subject: str
    action: str
    detail: Mapping[str, object]


def history(connection: Connection, kind: str, subject: str) -> tuple[AuditLine, ...]:
    """What was done to an alert, a rule or an exception, the first thing first."""
    query = sa.select(audit).where(audit.c.kind == kind, audit.c.subject == subject).order_by(audit.c.id)
    return tuple(
        AuditLine(row.at, row.who, row.kind, row.subject, row.action, row.detail) for row in connection.execute(query)
    )


def last_lines(connection: Connection, kind: str, actions: Collection[str]) -> dict[str, AuditLine]:
    """The last line about each subject of a kind that tells of one of these actions, by subject."""
    query = sa.select(audit).where(audit.c.kind == kind, audit.c.action.in_(actions)).order_by(audit.c.id)
    return {
        row.subject: AuditLine(row.at, row.who, row.kind, row.subject, row.action, row.detail)
        for row in connection.execute(query)
    }


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote about an alert."""

    at: datetime
    who: str
    text: str


def notes_of(connection: Connection, alert_id: str) -> tuple[Note, ...]:
    """The notes about an alert, the first one first."""
    query = sa.select(notes).where(notes.c.alert_id == alert_id).order_by(notes.c.id)
    return tuple(Note(row.at, row.who, row.text) for row in connection.execute(query))


# -- what is done ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Open, acknowledge or close, with the reason of who closes it. Closing again with another reason changes that."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Assign:
    """Add and remove names of people who take care."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """Add and remove tags."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddNote:
    """Write something down about it."""

    text: str


@dataclass(frozen=True, slots=True)
class Snooze:
    """Let it rest until a time, or (None) no longer."""

    until: datetime | None


Change: TypeAlias = SetStatus | Assign | Tag | AddNote | Snooze


def change_alerts(
    connection: Connection, ids: Sequence[str], change: Change, *, who: str, now: datetime
) -> tuple[str, ...]:
    """Change alerts that there are; returns the ids of those that were not so already.

    In PostgreSQL the rows are locked in the order of their ids, so that two people who change the same alerts at the
    same time wait for each other and each builds on what the other did.
    """
    changed: list[str] = []
    for one in sorted(dict.fromkeys(ids)):
        row = connection.execute(sa.select(alerts).where(alerts.c.id == one).with_for_update()).first()
        if row is None:
            continue
        if isinstance(change, AddNote):
            connection.execute(sa.insert(notes).values(alert_id=one, at=now, who=who, text=change.text))
            values: Json = {}
            detail: Json = {"text": change.text}
        else:
            before = stored(row)
            values = _changed(before, change, who, now)
            told = [name for name in values if not name.startswith("status_")]
            if all(values[name] == getattr(before, name) for name in told):
                continue
            detail = {
                "before": {name: _plain(getattr(before, name)) for name in told},
                "after": {name: _plain(values[name]) for name in told},
            }
        connection.execute(sa.update(alerts).where(alerts.c.id == one).values(updated_at=now, **values))
        log(connection, who=who, kind=_KIND, subject=one, action=_action(change), detail=detail, now=now)
        changed.append(one)
    return tuple(changed)


def _changed(before: StoredAlert, change: SetStatus | Assign | Tag | Snooze, who: str, now: datetime) -> Json:
    """The columns as they are to be."""
    match change:
        case SetStatus(status, reason):
            return {"status": status, "close_reason": reason, "status_by": who, "status_at": now}
        case Assign(add, remove):
            return {"assignees": _without(before.assignees, add, remove)}
        case Tag(add, remove):
            return {"tags": _without(before.tags, add, remove)}
        case Snooze(until):
            return {"snoozed_until": until}


def _without(there: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in dict.fromkeys((*there, *add)) if one not in remove)


def _action(change: Change) -> str:
    match change:
        case SetStatus(status):
            return {"open": "reopen", "acknowledged": "acknowledge", "closed": "close"}[status]
        case Assign():
            return "assign"
        case Tag():
            return "tag"
        case AddNote():
            return "note"
        case Snooze():
            return "snooze"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


def _conditions(wanted: AlertFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, values in (
        (alerts.c.status, wanted.statuses),
        (alerts.c.severity, wanted.severities),
        (alerts.c.rule_id, wanted.rules),
        (alerts.c.verdict, wanted.verdicts),
    ):
        if values:
            found.append(column.in_(values))
    if wanted.assignees:
        found.append(sa.or_(*map(_assigned_to, wanted.assignees)))
    if wanted.since is not None:
        found.append(alerts.c.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(alerts.c.created_at < wanted.until)
    if not wanted.building_blocks:
        found.append(alerts.c.building_block.is_(False))
    if wanted.awake_at is not None:
        found.append(alerts.c.snoozed_until.is_(None) | (alerts.c.snoozed_until <= wanted.awake_at))
    return found


def _assigned_to(name: str) -> ColumnElement[bool]:
    """Whether the list of names, a JSON text in which each stands as JSON writes it, has this one.

    Not LIKE, which tells upper from lower case in one database and not in the other.
    """
    text = sa.type_coerce(alerts.c.assignees, sa.Text)
    return sa.func.replace(text, json.dumps(name), "") != text
