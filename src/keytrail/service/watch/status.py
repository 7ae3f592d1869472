"""How the service is, written down every few seconds: what `keytrail health` reads, and metrics repeat."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.sources.feeds import Feed
from keytrail.store.state.database import Database
from keytrail.store.state.objects import set_marks
from keytrail.store.state.outbox import backlog
from keytrail.store.state.tables import marks

if TYPE_CHECKING:
    from keytrail.service.watch.service import Service
    from keytrail.service.watch.threads import Trouble

_MARK = "service/status"


@dataclass(frozen=True, slots=True)
class FeedLine:
    """A feed: what is wrong, None if nothing; how far it knows itself behind, in seconds."""

    label: str
    problem: str | None
    advice: str
    since: str | None
    lag_seconds: float | None
    waiting: int | None
    set_aside: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule: where it is, and how its last run went."""

    rule_id: str
    name: str
    cursor: int
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class SinkLine:
    """A sink: what waits for it, what it refused, and what last stood in the way."""

    name: str
    waiting: int
    refused: int
    message: str


@dataclass(frozen=True, slots=True)
class TroubleLine:
    """A part of the service that fails and is tried again: what stands in its way, and since when."""

    part: str
    what: str
    advice: str
    since: str


@dataclass(frozen=True, slots=True)
class Status:
    """The service at a moment. Times are RFC 3339 in UTC; positions count records."""

    at: str
    started_at: str
    running: bool
    holder: str
    head: int
    feeds: tuple[FeedLine, ...]
    rules: tuple[RuleLine, ...]
    sinks: tuple[SinkLine, ...]
    troubles: tuple[TroubleLine, ...]
    rule_errors: tuple[str, ...]

    @classmethod
    def of(
        cls, service: Service, feeds: Sequence[Feed], troubles: Sequence[Trouble], started: datetime, *, running: bool
    ) -> Status:
        """How a service is now."""
        with service.home.database.read() as connection:
            letters = backlog(connection)
        return cls(
            at=service.clock().isoformat(),
            started_at=started.isoformat(),
            running=running,
            holder=service.lease.holder,
            head=service.home.catalog.head(),
            feeds=tuple(map(_feed, feeds)),
            rules=tuple(
                RuleLine(one.rule_id, one.name, one.cursor, one.status, one.message) for one in service.runner.states
            ),
            sinks=tuple(SinkLine(name, *each) for name, each in sorted(letters.items())),
            troubles=tuple(TroubleLine(one.part, one.what, one.advice, one.since.isoformat()) for one in troubles),
            rule_errors=tuple(map(str, service.rules.errors[:20])),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Status:
        """The status that `put_status` wrote."""
        return cls(
            **{
                **data,
                "feeds": tuple(FeedLine(**{**one, "notes": tuple(one["notes"])}) for one in data["feeds"]),
                "rules": tuple(RuleLine(**one) for one in data["rules"]),
                "sinks": tuple(SinkLine(**one) for one in data["sinks"]),
                "troubles": tuple(TroubleLine(**one) for one in data["troubles"]),
                "rule_errors": tuple(data["rule_errors"]),
            }
        )


def put_status(connection: Connection, status: Status) -> None:
    """Write it down, in place of the one before."""
    set_marks(connection, {_MARK: json.dumps(asdict(status))})


def last_status(database: Database) -> Status | None:
    """What was written down last, None if no service ever ran, or one of another version did."""
    with database.read() as connection:
        found = connection.execute(sa.select(marks.c.value).where(marks.c.name == _MARK)).scalar_one_or_none()
    if found is None:
        return None
    try:
        return Status.from_dict(json.loads(found))
    except (KeyError, TypeError, ValueError):
        return None


def _feed(feed: Feed) -> FeedLine:
    found = feed.status()
    problem = found.problem
    return FeedLine(
        feed.label,
        None if problem is None else problem.what,
        "" if problem is None else problem.advice,
        None if found.since is None else found.since.isoformat(),
        found.lag_seconds,
        found.waiting,
        found.set_aside,
        found.notes,
    )
