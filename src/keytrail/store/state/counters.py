"""Counters that only grow, each in one row: what is taken from one is taken once, in the order of the commits."""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from keytrail.store.state.tables import counters

COUNTERS = ("alerts", "case_files", "sequence", "swaps")
"""All that there are. Each has its row from the beginning: a row that is not there cannot be waited for."""


def advance(connection: Connection, name: str, by: int) -> int:
    """Take the next `by` numbers; returns the first. Others who take of it wait for this transaction."""
    after: int | None = connection.execute(
        sa.update(counters)
        .where(counters.c.name == name)
        .values(value=counters.c.value + by)
        .returning(counters.c.value)
    ).scalar_one_or_none()
    if after is None:
        # Another process may make it at the same time: it waits for this one, or this one for it.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(sa.insert(counters).values(name=name, value=0))
        return advance(connection, name, by)
    return after - by


def value_of(connection: Connection, name: str) -> int:
    """The number that is taken next."""
    return connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one_or_none() or 0


def hold(connection: Connection, name: str) -> None:
    """Make others who take of a counter wait for this transaction."""
    same = sa.update(counters).where(counters.c.name == name).values(value=counters.c.value)
    if not connection.execute(same).rowcount:
        connection.execute(sa.insert(counters).values(name=name, value=0))
