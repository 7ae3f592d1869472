"""Changes of key policies that raised alerts: when each is investigated next, and what its investigations said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.objects import set_marks
from keytrail.store.state.tables import cases, marks, revisions

Json = dict[str, object]

# The mark that says up to where records were held against what cases wait for.
_LOOKED = "service/touches"


@dataclass(frozen=True, slots=True)
class Case:
    """A change that is investigated again and again. `event` is the digest of the event's identity, `raw` its record.

    `stage` counts the planned looks that are done; `told` is the gravest verdict that people were told, "none" when
    they were told without one; `watched` are the values of which a new record has to hold one to make it due,
    `touched` is the position behind the last record that did, `as_of` the one that the latest revision knows of.
    """

    event: str
    event_id: str
    event_time: datetime | None
    raw: bytes
    opened_at: datetime
    revision: int = 0
    due_at: datetime | None = None
    stage: int = 0
    verdict: str = ""
    told: str = ""
    as_of: int = 0
    touched: int = 0
    watched: tuple[str, ...] = ()
    failures: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """One investigation of a case; `as_of` is the position in the lake up to which it knows."""

    event: str
    revision: int
    as_of: int
    made_at: datetime
    verdict: str
    score: int
    document: Json


def open_cases(connection: Connection, opened: Sequence[Case]) -> None:
    """Open cases, due at once, but for those that are open."""
    found = connection.execute(sa.select(cases.c.event).where(cases.c.event.in_([one.event for one in opened])))
    known = set(found.scalars())
    fresh = {one.event: one for one in opened if one.event not in known}
    if fresh:
        connection.execute(sa.insert(cases), [_values(one) for one in fresh.values()])


def due_cases(connection: Connection, now: datetime, most: int) -> tuple[Case, ...]:
    """Cases whose time has come: those that nobody looked at yet first, then as they are due."""
    # What was never tried is due at once, also by a clock that was set back since.
    new = (cases.c.revision == 0) & (cases.c.failures == 0)
    query = (
        sa.select(cases)
        .where(new | (cases.c.due_at <= now))
        .order_by(sa.case((cases.c.revision == 0, 0), else_=1), cases.c.due_at)
        .limit(most)
    )
    return tuple(map(_case, connection.execute(query)))


def next_due(connection: Connection) -> datetime | None:
    """When the next case is due."""
    return connection.execute(sa.select(sa.func.min(cases.c.due_at))).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Watch:
    """What a case waits for: a record that holds one of these values."""

    event: str
    revision: int
    watched: tuple[str, ...]


def watches(connection: Connection, since: datetime) -> tuple[Watch, ...]:
    """What the cases that were opened since a time wait for."""
    query = sa.select(cases.c.event, cases.c.revision, cases.c.watched).where(
        cases.c.opened_at >= since, cases.c.revision > 0
    )
    return tuple(Watch(row.event, row.revision, tuple(row.watched)) for row in connection.execute(query))


def touch(connection: Connection, events: Iterable[str], position: int, at: datetime) -> None:
    """Records before a position touch these: they are to be looked at again at a time, unless they are due before."""
    chosen = cases.c.event.in_(list(events))
    connection.execute(sa.update(cases).where(chosen, cases.c.touched < position).values(touched=position))
    later = cases.c.due_at.is_(None) | (cases.c.due_at > at)
    connection.execute(sa.update(cases).where(chosen, later).values(due_at=at))


def hasten(connection: Connection, now: datetime) -> None:
    """What was touched since its latest revision is due now, and not only when more may have come."""
    behind = (cases.c.revision > 0) & (cases.c.touched > cases.c.as_of)
    connection.execute(sa.update(cases).where(behind).values(due_at=now))


def looked_up_to(connection: Connection) -> int:
    """The position from which on no record was held yet against what cases wait for."""
    found = connection.execute(sa.select(marks.c.value).where(marks.c.name == _LOOKED)).scalar_one_or_none()
    return 0 if found is None else int(found)


def put_looked(connection: Connection, position: int) -> None:
    """All records before a position were, and the cases that they touch are known."""
    set_marks(connection, {_LOOKED: str(position)})


def untold(connection: Connection, before: datetime, most: int) -> tuple[Case, ...]:
    """Cases opened before a time that have no investigation yet, and of which nobody was told."""
    query = (
        sa.select(cases)
        .where(cases.c.revision == 0, cases.c.told == "", cases.c.opened_at < before)
        .order_by(cases.c.opened_at)
        .limit(most)
    )
    return tuple(map(_case, connection.execute(query)))


def put_case(connection: Connection, case: Case) -> None:
    """Store a case that is open."""
    connection.execute(sa.update(cases).where(cases.c.event == case.event).values(**_values(case)))


def case_of(connection: Connection, event: str) -> Case | None:
    """The case of an event, None if it has none."""
    found = connection.execute(sa.select(cases).where(cases.c.event == event)).first()
    return None if found is None else _case(found)


def add_revision(connection: Connection, revision: Revision) -> None:
    """Keep an investigation."""
    connection.execute(sa.insert(revisions).values({name: getattr(revision, name) for name in Revision.__slots__}))


def latest_revision(connection: Connection, event: str) -> Revision | None:
    """The latest investigation of an event, None if there is none."""
    query = sa.select(revisions).where(revisions.c.event == event).order_by(revisions.c.revision.desc()).limit(1)
    found = connection.execute(query).first()
    return None if found is None else Revision(**found._mapping)


def revisions_of(connection: Connection, event: str) -> tuple[Revision, ...]:
    """All investigations of an event, the first one first."""
    query = sa.select(revisions).where(revisions.c.event == event).order_by(revisions.c.revision)
    return tuple(Revision(**row._mapping) for row in connection.execute(query))


def forget_revisions(connection: Connection, before: datetime) -> int:
    """Drop revisions made before a time that say what the one before said; the first and the latest stay."""
    other = revisions.alias()
    latest = sa.select(sa.func.max(other.c.revision)).where(other.c.event == revisions.c.event).scalar_subquery()
    previous = revisions.alias()
    same = (
        sa.select(previous.c.verdict)
        .where(previous.c.event == revisions.c.event, previous.c.revision == revisions.c.revision - 1)
        .scalar_subquery()
    )
    return connection.execute(
        sa.delete(revisions).where(
            revisions.c.made_at < before, revisions.c.revision < latest, revisions.c.verdict == same
        )
    ).rowcount


def _values(case: Case) -> dict[str, object]:
    values = {name: getattr(case, name) for name in Case.__slots__}
    values["watched"] = list(case.watched)
    return values


def _case(row: sa.Row[tuple[object, ...]]) -> Case:
    values = dict(row._mapping)
    values["watched"] = tuple(row.watched)
    return Case(**values)
