"""Exception lists and their items, as people keep them: the API's documents, by id and namespace."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.errors import Place
from keytrail.rules import ExceptionItem, ExceptionList, item_from_dict, list_from_dict
from keytrail.store.state.counters import advance, value_of
from keytrail.store.state.tables import exception_items, exception_lists

Key = tuple[str, str]
"""An id and a namespace: what makes a list or an item the one it is."""

# Grows with every change of exceptions and value lists.
_VERSION = "exceptions"
# Where what is kept here stands, for messages about it.
_HERE = Place("the state")


def version(connection: Connection) -> int:
    """A number that changes with exceptions and value lists: what was made of them is good while it stays."""
    return value_of(connection, _VERSION)


def changed(connection: Connection) -> None:
    """Say that exceptions or value lists are others now; whoever else changes them waits for this transaction."""
    advance(connection, _VERSION, 1)


def all_lists(connection: Connection) -> tuple[ExceptionList, ...]:
    """Every list, by id."""
    query = sa.select(exception_lists.c.document).order_by(exception_lists.c.list_id, exception_lists.c.namespace)
    return tuple(list_from_dict(document, _HERE) for document in connection.execute(query).scalars())


def list_of(connection: Connection, key: Key) -> ExceptionList | None:
    """The list of an id and namespace, None if there is none."""
    query = sa.select(exception_lists.c.document).where(_is(exception_lists, "list_id", key))
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else list_from_dict(found, _HERE)


def put_list(connection: Connection, made: ExceptionList, now: datetime) -> bool:
    """Store a list, in place of one of the same key; returns whether there was one."""
    changed(connection)
    there = sa.update(exception_lists).where(_is(exception_lists, "list_id", made.key))
    replaced = bool(connection.execute(there.values(document=made.to_dict(), updated_at=now)).rowcount)
    if not replaced:
        connection.execute(
            sa.insert(exception_lists).values(
                list_id=made.list_id, namespace=made.namespace_type, document=made.to_dict(), updated_at=now
            )
        )
    return replaced


def remove_list(connection: Connection, key: Key) -> None:
    """Remove a list with its items."""
    connection.execute(sa.delete(exception_items).where(_is(exception_items, "list_id", key)))
    connection.execute(sa.delete(exception_lists).where(_is(exception_lists, "list_id", key)))
    changed(connection)


def all_items(connection: Connection) -> tuple[ExceptionItem, ...]:
    """Every item, by list and id."""
    columns = exception_items.c
    query = sa.select(columns.document).order_by(columns.list_id, columns.namespace, columns.item_id)
    return tuple(item_from_dict(document, _HERE) for document in connection.execute(query).scalars())


def items_of(connection: Connection, lists: Collection[Key]) -> tuple[ExceptionItem, ...]:
    """The items of these lists, by list and id."""
    if not lists:
        return ()
    columns = exception_items.c
    query = (
        sa.select(columns.document)
        .where(sa.or_(*(_is(exception_items, "list_id", key) for key in lists)))
        .order_by(columns.list_id, columns.namespace, columns.item_id)
    )
    return tuple(item_from_dict(document, _HERE) for document in connection.execute(query).scalars())


def item_of(connection: Connection, key: Key) -> ExceptionItem | None:
    """The item of an id and namespace, None if there is none. The row is locked, where a database locks rows."""
    query = sa.select(exception_items.c.document).where(_is(exception_items, "item_id", key))
    found = connection.execute(query.with_for_update()).scalar_one_or_none()
    return None if found is None else item_from_dict(found, _HERE)


def put_item(connection: Connection, item: ExceptionItem, now: datetime) -> bool:
    """Store an item of a list that there is, in place of one of the same key; returns whether there was one."""
    changed(connection)
    values = {"list_id": item.list_id, "document": item.to_dict(), "updated_at": now}
    there = sa.update(exception_items).where(_is(exception_items, "item_id", item.key))
    replaced = bool(connection.execute(there.values(**values)).rowcount)
    if not replaced:
        connection.execute(
            sa.insert(exception_items).values(item_id=item.item_id, namespace=item.namespace_type, **values)
        )
    return replaced


def remove_item(connection: Connection, key: Key) -> None:
    """Remove an item."""
    connection.execute(sa.delete(exception_items).where(_is(exception_items, "item_id", key)))
    changed(connection)


def _is(table: sa.Table, name: str, key: Key) -> sa.ColumnElement[bool]:
    id, namespace = key
    return (table.c[name] == id) & (table.c.namespace == namespace)
