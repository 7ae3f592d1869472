"""Which objects were taken in, how far each feed is, and what could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.model import Damage
from keytrail.store.state.database import Database, in_parts
from keytrail.store.state.tables import damage, marks, objects


class SqlLedger:
    """What was committed, as feeds ask for it (sources.feeds.Ledger). Used by several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, identities: Sequence[str]) -> frozenset[str]:
        if not identities:
            return frozenset()
        with self._database.read() as connection:
            return known_objects(connection, identities)

    def mark(self, name: str) -> str | None:
        with self._database.read() as connection:
            return connection.execute(sa.select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Taken:
    """An object that is committed: its identity, its name, how many of its records are new."""

    identity: str
    name: str
    records: int


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """What could not be read of an object; account, Region and day of delivery are what its name tells."""

    what: str
    account: str = ""
    region: str = ""
    day: date | None = None


def known_objects(connection: Connection, identities: Sequence[str]) -> frozenset[str]:
    """Those of the identities that were committed."""
    names = {_digest(one): one for one in identities}
    found: set[str] = set()
    for some in in_parts(names):
        query = sa.select(objects.c.digest).where(objects.c.digest.in_(some))
        found.update(names[bytes(key)] for key in connection.execute(query).scalars())
    return frozenset(found)


def add_objects(connection: Connection, taken: Sequence[Taken], now: datetime) -> None:
    """Note objects as committed; those that are known already, too."""
    rows = {
        _digest(one.identity): {
            "digest": _digest(one.identity), "name": one.name, "committed_at": now, "records": one.records
        }
        for one in taken
        if one.identity
    }  # fmt: skip
    known = known_objects(connection, [one.identity for one in taken]) if rows else frozenset()
    fresh = [row for key, row in rows.items() if key not in {_digest(one) for one in known}]
    if fresh:
        connection.execute(sa.insert(objects), fresh)


def set_marks(connection: Connection, values: Mapping[str, str]) -> None:
    """Store what feeds have to know after a restart."""
    for name, value in values.items():
        if not connection.execute(sa.update(marks).where(marks.c.name == name).values(value=value)).rowcount:
            connection.execute(sa.insert(marks).values(name=name, value=value))


def set_damage(connection: Connection, found: Mapping[str, DamagedObject | None], now: datetime) -> None:
    """What could not be read of each object named, in place of what was said of it before: None if all was read."""
    for some in in_parts(found):
        connection.execute(sa.delete(damage).where(damage.c.object.in_(some)))
    rows = [
        {"object": name, "what": one.what, "account": one.account, "region": one.region, "day": one.day, "at": now}
        for name, one in found.items()
        if one is not None
    ]
    if rows:
        connection.execute(sa.insert(damage), rows)


def damage_of(connection: Connection, most: int = 10_000) -> tuple[Damage, ...]:
    """The objects that could not be read whole, by name: the latest ones, where there are more than `most`."""
    query = sa.select(damage).order_by(damage.c.id.desc()).limit(most)
    found = sorted(connection.execute(query), key=lambda row: row.object)
    return tuple(Damage(row.object, row.account, row.region, row.day) for row in found)


def damaged_objects(connection: Connection, most: int = 100) -> tuple[tuple[str, DamagedObject, datetime], ...]:
    """The names of such objects with what is wrong, and when that was seen, the latest first."""
    query = sa.select(damage).order_by(damage.c.id.desc()).limit(most)
    return tuple(
        (row.object, DamagedObject(row.what, row.account, row.region, row.day), row.at)
        for row in connection.execute(query)
    )


def _digest(identity: str) -> bytes:
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:20]
