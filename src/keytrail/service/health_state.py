"""What the state and the disks tell of the service, read at one moment: the facts that its health is judged by."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.errors import StoreError
from keytrail.service.installation import Installation
from keytrail.service.watch.keys import Look, last_look
from keytrail.service.watch.status import Status, last_status
from keytrail.store.state.cases import next_due
from keytrail.store.state.catalog import Arrived
from keytrail.store.state.database import Database
from keytrail.store.state.lease import STALE_SECONDS, holder_of
from keytrail.store.state.migrate import version
from keytrail.store.state.objects import damaged_objects
from keytrail.store.state.outbox import backlog
from keytrail.store.state.rule_states import RuleState, rule_states
from keytrail.store.state.tables import outbox

SILENT_SECONDS = 2 * STALE_SECONDS
"""Without a word for so long, a service is taken for dead or stuck: it renews its lease every few seconds."""

# Refused messages are of interest for so long; they stay in the outbox.
_RECENT = timedelta(days=1)
_MOST_DAMAGED = 1_000
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease, or had it last."""

    name: str
    heard_at: datetime
    released: bool

    def silent(self, now: datetime) -> bool:
        """Whether nothing was heard of it for too long; a time to come is no sign of life either."""
        return abs((now - self.heard_at).total_seconds()) > SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class RuleProgress:
    """A rule that runs. `behind` counts records that it has to examine; `since` is when the first of them arrived.

    Where segments were merged, `since` may be later than that, and never is earlier.
    """

    state: RuleState
    behind: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class SinkProgress:
    """The messages to a sink: how many wait, since when, how many it refused of late, what last stood in the way."""

    name: str
    waiting: int
    oldest: datetime | None
    refused: int
    message: str


@dataclass(frozen=True, slots=True)
class Room:
    """A folder that the service writes to, and the bytes that are free there, None where that cannot be told."""

    folder: Path
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything at one moment.

    `damaged` are names of objects with what is wrong, the latest first; `due_at` is when the investigation is due that
    waits longest; `look` is the last look at keys.
    """

    database: str
    version: str
    status: Status | None
    holder: Holder | None
    rules: tuple[RuleProgress, ...]
    sinks: tuple[SinkProgress, ...]
    due_at: datetime | None
    damaged: tuple[tuple[str, str], ...]
    segments: int
    records: int
    stored_bytes: int
    rooms: tuple[Room, ...]
    look: Look | None = None


def look(home: Installation, now: datetime) -> Seen:
    """Read it all. Raises StoreError where the state cannot be read."""
    database = home.database
    status = last_status(database)
    last = last_look(database)
    arrived = home.catalog.arrived()
    with database.read() as connection:
        states = [one for one in rule_states(connection).values() if one.running]
        held = holder_of(connection)
        damaged = damaged_objects(connection, _MOST_DAMAGED)
        return Seen(
            database=str(database),
            version=version(database) or "",
            status=status,
            holder=None if held is None else Holder(*held),
            rules=tuple(_progress(states, arrived)),
            sinks=tuple(_sinks(connection, now - _RECENT)),
            due_at=next_due(connection),
            damaged=tuple((name, one.what) for name, one, _ in damaged),
            segments=len(arrived),
            records=sum(one.segment.file.rows for one in arrived),
            stored_bytes=sum(one.segment.file.size for one in arrived),
            rooms=tuple(_rooms(home)),
            look=last,
        )


def heard_from(database: Database, now: datetime) -> bool:
    """Whether the service that has the lease was heard of: what a supervisor's watchdog asks in its process.

    A database that does not answer is no reason to start anew, which would not mend it.
    """
    try:
        with database.read() as connection:
            held = holder_of(connection)
    except StoreError:
        return True
    return held is not None and not Holder(*held).silent(now)


def behind(cursor: int, arrived: Sequence[Arrived]) -> tuple[int, datetime | None]:
    """How many records lie before a rule, and when the first of them arrived. History is passed over, as rules do."""
    ahead = [one for one in arrived if one.segment.end > cursor and not one.segment.history]
    records = sum(one.segment.end - max(cursor, one.segment.first_sequence) for one in ahead)
    return records, ahead[0].ingested if ahead else None


def _progress(states: Iterable[RuleState], arrived: Sequence[Arrived]) -> Iterator[RuleProgress]:
    known: dict[int, tuple[int, datetime | None]] = {}  # most rules stand at the same place
    for one in sorted(states, key=lambda state: state.rule_id):
        if one.cursor not in known:
            known[one.cursor] = behind(one.cursor, arrived)
        yield RuleProgress(one, *known[one.cursor])


def _sinks(connection: Connection, recent: datetime) -> Iterator[SinkProgress]:
    oldest = _by_sink(connection, sa.func.min(outbox.c.created_at), outbox.c.state == "waiting")
    refused = _by_sink(connection, sa.func.count(), (outbox.c.state == "refused") & (outbox.c.sent_at >= recent))
    for name, (waiting, _, message) in sorted(backlog(connection).items()):
        yield SinkProgress(name, waiting, oldest.get(name), refused.get(name, 0), message)


def _by_sink(
    connection: Connection, value: sa.ColumnElement[_Value], where: sa.ColumnElement[bool]
) -> Mapping[str, _Value]:
    query = sa.select(outbox.c.sink, value).where(where).group_by(outbox.c.sink)
    return {row[0]: row[1] for row in connection.execute(query)}


def _rooms(home: Installation) -> Iterator[Room]:
    """The room of each disk that is written to."""
    folders = [home.folder] + ([home.database.path.parent] if home.database.path is not None else [])
    disks: set[int] = set()
    for folder in folders:
        try:
            disk, free = os.stat(folder).st_dev, shutil.disk_usage(folder).free
        except OSError:
            yield Room(folder, None)
            continue
        if disk not in disks:
            disks.add(disk)
            yield Room(folder, free)
