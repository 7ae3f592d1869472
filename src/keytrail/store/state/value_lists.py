"""Value lists: names of long lists of values, which exception items refer to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.exceptions import changed
from keytrail.store.state.tables import value_items, value_lists

# Rows of one statement.
_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class ListHead:
    """A value list without its values, and how many they are."""

    id: str
    type: str
    name: str
    updated_at: datetime
    size: int


def value_list_heads(connection: Connection, ids: Collection[str] | None = None) -> dict[str, ListHead]:
    """The lists of these ids that there are, or all, by id."""
    size = sa.select(sa.func.count()).where(value_items.c.list_id == value_lists.c.id).scalar_subquery()
    query = sa.select(value_lists, size.label("size")).order_by(value_lists.c.id)
    if ids is not None:
        query = query.where(value_lists.c.id.in_(ids))
    return {row.id: ListHead(row.id, row.type, row.name, row.updated_at, row.size) for row in connection.execute(query)}


def values_of(connection: Connection, id: str) -> tuple[str, ...]:
    """The values of a list, in order."""
    query = sa.select(value_items.c.value).where(value_items.c.list_id == id).order_by(value_items.c.value)
    return tuple(connection.execute(query).scalars())


def put_value_list(
    connection: Connection, id: str, type: str, name: str, values: Sequence[str], now: datetime, *, keep: bool = False
) -> None:
    """Store a list with its values, in place of one of the same id; `keep` adds to the values that it has."""
    changed(connection)
    there = sa.update(value_lists).where(value_lists.c.id == id).values(type=type, name=name, updated_at=now)
    if not connection.execute(there).rowcount:
        connection.execute(sa.insert(value_lists).values(id=id, type=type, name=name, updated_at=now))
    if keep:
        known = set(values_of(connection, id))
    else:
        known = set()
        connection.execute(sa.delete(value_items).where(value_items.c.list_id == id))
    fresh = [value for value in dict.fromkeys(values) if value not in known]
    for at in range(0, len(fresh), _ROWS):
        connection.execute(
            sa.insert(value_items), [{"list_id": id, "value": value} for value in fresh[at : at + _ROWS]]
        )


def remove_value_list(connection: Connection, id: str) -> None:
    """Remove a list with its values."""
    connection.execute(sa.delete(value_items).where(value_items.c.list_id == id))
    connection.execute(sa.delete(value_lists).where(value_lists.c.id == id))
    changed(connection)
