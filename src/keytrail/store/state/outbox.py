"""What is to be told to whom: written with what it tells of, and crossed off once it was delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.tables import outbox


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one sink. `message_id` is the same however often it is sent."""

    sink: str
    message_id: str
    alert_id: str
    reason: str
    due_at: datetime
    id: int = 0
    attempts: int = 0


def post(connection: Connection, letters: Sequence[Letter], now: datetime) -> None:
    """Put letters into the outbox, but for those that were put there before."""
    for one in letters:
        there = sa.select(outbox.c.id).where(outbox.c.sink == one.sink, outbox.c.message_id == one.message_id)
        if connection.execute(there).first() is None:
            connection.execute(
                sa.insert(outbox).values(
                    sink=one.sink,
                    message_id=one.message_id,
                    alert_id=one.alert_id,
                    reason=one.reason,
                    created_at=now,
                    due_at=one.due_at,
                    attempts=0,
                    state="waiting",
                    message="",
                )
            )


def waiting(connection: Connection, sink: str, now: datetime, most: int) -> tuple[Letter, ...]:
    """Letters to a sink whose time has come, as they were posted."""
    # What was never tried is due at once, also by a clock that was set back since.
    due = (outbox.c.attempts == 0) | (outbox.c.due_at <= now)
    query = (
        sa.select(outbox)
        .where(outbox.c.state == "waiting", outbox.c.sink == sink, due)
        .order_by(outbox.c.id)
        .limit(most)
    )
    return tuple(
        Letter(row.sink, row.message_id, row.alert_id, row.reason, row.due_at, row.id, row.attempts)
        for row in connection.execute(query)
    )


def sent_since(connection: Connection, sink: str, since: datetime) -> int:
    """How many letters a sink got singly since a time."""
    query = sa.select(sa.func.count()).where(outbox.c.sink == sink, outbox.c.state == "sent", outbox.c.sent_at >= since)
    return connection.execute(query).scalar_one()


def digested_since(connection: Connection, sink: str, since: datetime) -> bool:
    """Whether a sink got a digest since a time."""
    query = sa.select(outbox.c.id).where(outbox.c.sink == sink, outbox.c.state == "digested", outbox.c.sent_at >= since)
    return connection.execute(query.limit(1)).first() is not None


def cross_off(connection: Connection, letters: Sequence[Letter], state: str, now: datetime, message: str = "") -> None:
    """These were delivered ("sent", "digested"), or are refused for good ("refused")."""
    ids = [one.id for one in letters]
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(state=state, sent_at=now, attempts=outbox.c.attempts + 1, message=message)
    )


def put_off(connection: Connection, letters: Sequence[Letter], until: datetime, message: str) -> None:
    """These could not be delivered, and are tried again at a time."""
    ids = [one.id for one in letters]
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(due_at=until, attempts=outbox.c.attempts + 1, message=message)
    )


def forget_letters(connection: Connection, before: datetime) -> int:
    """Drop letters that were delivered before a time; what was refused stays. Returns how many."""
    done = outbox.c.state.in_(("sent", "digested")) & (outbox.c.sent_at < before)
    return connection.execute(sa.delete(outbox).where(done)).rowcount


def backlog(connection: Connection) -> dict[str, tuple[int, int, str]]:
    """Of each sink: how many letters wait, how many were refused, and what last stood in the way."""
    found: dict[str, tuple[int, int, str]] = {}
    query = sa.select(outbox.c.sink, outbox.c.state, sa.func.count(), sa.func.max(outbox.c.message)).group_by(
        outbox.c.sink, outbox.c.state
    )
    for sink, state, count, message in connection.execute(query):
        held, refused, said = found.get(sink, (0, 0, ""))
        if state == "waiting":
            found[sink] = (count, refused, message or said)
        elif state == "refused":
            found[sink] = (held, count, said or message)
        else:
            found.setdefault(sink, (0, 0, ""))
    return found
