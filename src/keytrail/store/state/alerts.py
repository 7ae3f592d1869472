"""Alerts: made once, whoever makes them again; what people do about them stands beside what the rule said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.errors import UsageError
from keytrail.store.state.counters import advance, hold
from keytrail.store.state.database import in_parts
from keytrail.store.state.tables import alerts, audit

Json = dict[str, object]
_NUMBERS = "alerts"
_LEAST_PREFIX = 8  # characters of an id that name it


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert to be made. `event` names the event (hex digest of its identity), whichever rule raised it.

    `quiet` keeps it from being told. `document` is the alert document without what people and investigations add.
    """

    id: str
    rule_id: str
    rule_name: str
    event: str
    event_id: str
    event_time: datetime | None
    position: int | None
    severity: str
    risk_score: float
    account: str
    region: str
    building_block: bool
    quiet: bool
    document: Json
    suppression: Json | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert with what became of it."""

    id: str
    number: int
    rule_id: str
    rule_name: str
    event: str
    event_id: str
    event_time: datetime | None
    position: int | None
    created_at: datetime
    severity: str
    risk_score: float
    account: str
    region: str
    building_block: bool
    status: str
    close_reason: str
    status_by: str
    status_at: datetime | None
    assignees: tuple[str, ...]
    tags: tuple[str, ...]
    snoozed_until: datetime | None
    updated_at: datetime
    verdict: str
    score: int | None
    summary: str
    quiet: bool
    suppression: Json | None
    document: Json


def existing(connection: Connection, ids: Iterable[str]) -> frozenset[str]:
    """Those of the ids that are alerts already."""
    found: set[str] = set()
    for some in in_parts(ids):
        query = sa.select(alerts.c.id).where(alerts.c.id.in_(some))
        found.update(connection.execute(query).scalars())
    return frozenset(found)


def one_at_a_time(connection: Connection) -> None:
    """Let this transaction alone make alerts until it ends: what is not there now, nobody else makes meanwhile."""
    hold(connection, _NUMBERS)


def add_alerts(connection: Connection, made: Sequence[NewAlert], now: datetime) -> tuple[NewAlert, ...]:
    """Make alerts, but for those whose id there is; returns the ones that were made."""
    # Whoever else makes alerts waits from here on, so that nobody makes one between the question and the answer.
    advance(connection, _NUMBERS, 0)
    known = existing(connection, [one.id for one in made])
    fresh = tuple({one.id: one for one in made if one.id not in known}.values())
    if fresh:
        first = advance(connection, _NUMBERS, len(fresh))
        connection.execute(
            sa.insert(alerts),
            [
                {name: getattr(one, name) for name in NewAlert.__slots__}
                | {
                    "number": number,
                    "created_at": now,
                    "updated_at": now,
                    "status": "open",
                    "close_reason": "",
                    "status_by": "",
                    "assignees": [],
                    "tags": [],
                    "verdict": "",
                    "summary": "",
                }
                for number, one in enumerate(fresh, first)
            ],
        )
    return fresh


def alert(connection: Connection, text: str) -> StoredAlert:
    """The alert of an id, of the beginning of one (8 characters or more), or of its event's id. Raises UsageError."""
    chosen = alerts.c.event_id == text
    if len(text) >= _LEAST_PREFIX and all(one in "0123456789abcdef" for one in text):
        chosen |= alerts.c.id.between(text, text + "g")
    found = connection.execute(sa.select(alerts).where(chosen).order_by(alerts.c.number).limit(3)).all()
    if not found:
        raise UsageError(
            f"no alert has the id {text!r}", advice="keytrail alerts list shows the alerts with their ids."
        )
    exact = [one for one in found if one.id == text]
    if len(found) > 1 and not exact:
        shown = ", ".join(one.id[:12] for one in found)
        raise UsageError(f"{text!r} names more than one alert: {shown}", advice="Give the id of one, or more of it.")
    return stored((exact or found)[0])


def alerts_of_event(connection: Connection, event: str) -> tuple[StoredAlert, ...]:
    """The alerts that were raised for one event, by the digest of its identity."""
    query = sa.select(alerts).where(alerts.c.event == event).order_by(alerts.c.number)
    return tuple(map(stored, connection.execute(query)))


def set_verdict(connection: Connection, event: str, *, verdict: str, score: int, summary: str, now: datetime) -> None:
    """What the latest investigation of an event says, for all its alerts."""
    connection.execute(
        sa.update(alerts)
        .where(alerts.c.event == event)
        .values(verdict=verdict, score=score, summary=summary, updated_at=now)
    )


def log(
    connection: Connection,
    *,
    who: str,
    kind: str,
    subject: str,
    action: str,
    detail: Mapping[str, object],
    now: datetime,
) -> None:
    """Add a line to the audit log."""
    connection.execute(
        sa.insert(audit).values(at=now, who=who, kind=kind, subject=subject, action=action, detail=dict(detail))
    )


def stored(row: sa.Row[tuple[object, ...]]) -> StoredAlert:
    """The alert of a row of the table."""
    values = dict(row._mapping)
    values["assignees"] = tuple(row.assignees)
    values["tags"] = tuple(row.tags)
    return StoredAlert(**values)


def lines_about(connection: Connection, kinds: Collection[str]) -> int:
    """How many lines the audit log has about these kinds: another number means that something changed.

    Not the number of the last line: one that was begun earlier may be committed later.
    """
    query = sa.select(sa.func.count()).select_from(audit).where(audit.c.kind.in_(kinds))
    return connection.execute(query).scalar_one()
