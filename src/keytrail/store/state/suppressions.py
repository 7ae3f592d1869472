"""Windows of suppression and the matches counted into them, as values that `detect.suppression` reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.database import in_parts
from keytrail.store.state.tables import alerts, counted, suppressions

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window as it was stored, and whether a person closed its alert."""

    window: Mapping[str, object]
    closed: bool


def windows_of(connection: Connection, rule_id: str, instances: Iterable[str]) -> tuple[StoredWindow, ...]:
    """The windows of a rule's groups, by their instance ids."""
    found: list[StoredWindow] = []
    for some in in_parts(instances):
        query = (
            sa.select(suppressions.c.window, alerts.c.status)
            .join(alerts, alerts.c.id == suppressions.c.alert_id)
            .where(suppressions.c.rule_id == rule_id, suppressions.c.instance_id.in_(some))
        )
        found += [StoredWindow(row.window, row.status == "closed") for row in connection.execute(query)]
    return tuple(found)


def put_window(
    connection: Connection, rule_id: str, *, alert_id: str, instance_id: str, window: Json, told: Json
) -> None:
    """Store a window that is new or has counted something; `told` is what its alert says about it."""
    there = sa.update(suppressions).where(suppressions.c.alert_id == alert_id)
    if not connection.execute(there.values(window=window)).rowcount:
        connection.execute(
            sa.insert(suppressions).values(alert_id=alert_id, rule_id=rule_id, instance_id=instance_id, window=window)
        )
    connection.execute(sa.update(alerts).where(alerts.c.id == alert_id).values(suppression=told))


def counted_before(connection: Connection, match_ids: Sequence[str]) -> frozenset[str]:
    """Those of the matches that were counted."""
    found: set[str] = set()
    for some in in_parts(match_ids):
        query = sa.select(counted.c.match_id).where(counted.c.match_id.in_(some))
        found.update(connection.execute(query).scalars())
    return frozenset(found)


def forget_counted(connection: Connection, before: datetime) -> int:
    """Drop matches that were counted before a time; returns how many."""
    return connection.execute(sa.delete(counted).where(counted.c.at < before)).rowcount


def add_counted(connection: Connection, match_ids: Iterable[str], now: datetime) -> None:
    """Note matches as counted."""
    wanted = list(dict.fromkeys(match_ids))
    known = counted_before(connection, wanted)
    fresh = [{"match_id": one, "at": now} for one in wanted if one not in known]
    if fresh:
        connection.execute(sa.insert(counted), fresh)
