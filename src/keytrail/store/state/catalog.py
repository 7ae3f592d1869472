"""The catalog of the lake: which segments there are, in which order their rows arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from keytrail.errors import StoreError
from keytrail.store.lake.model import Segment, SegmentFile, SiteSpan
from keytrail.store.state.counters import advance, value_of
from keytrail.store.state.database import Database
from keytrail.store.state.tables import dropped, segments

_SEQUENCE = "sequence"
# Grows when segments are replaced or dropped, and not when one is added.
_SWAPS = "swaps"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A segment with when it arrived, and whether the alerts of its records are kept from being told."""

    segment: Segment
    ingested: datetime
    quiet: bool


class SqlCatalog:
    """The segments as committed, read again only as far as they changed. Used by several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._swaps = -1
        self._arrived: tuple[Arrived, ...] = ()

    def segments(self) -> Sequence[Segment]:
        return tuple(one.segment for one in self.arrived())

    def head(self) -> int:
        with self._database.read() as connection:
            return value_of(connection, _SEQUENCE)

    def arrived(self) -> tuple[Arrived, ...]:
        """All segments, by position, with what else is known of them."""
        with self._lock, self._database.read() as connection:
            swaps = value_of(connection, _SWAPS)
            query = sa.select(segments).order_by(segments.c.first_sequence)
            if swaps == self._swaps and self._arrived:
                last = self._arrived[-1].segment
                query = query.where(segments.c.first_sequence >= last.end)
            else:
                self._arrived = ()
            more = tuple(map(_arrived, connection.execute(query)))
            if more or swaps != self._swaps:
                self._arrived = (*self._arrived, *more)
            self._swaps = swaps
            return self._arrived


def add_segment(
    connection: Connection, file: SegmentFile, *, ingested: datetime, history: bool = False, quiet: bool = False
) -> Segment:
    """Commit a written segment: its rows get the next positions."""
    first = advance(connection, _SEQUENCE, file.rows)
    return _insert(connection, file, first, history=history, quiet=quiet, ingested=ingested)


def replace_segments(connection: Connection, old: Sequence[Segment], file: SegmentFile, now: datetime) -> Segment:
    """Put one segment in the place of neighbours with the same rows. Raises StoreError if they are gone meanwhile."""
    found = {row.id: row for row in connection.execute(sa.select(segments).where(segments.c.id.in_(_ids(old))))}
    if len(found) != len(old) or sum(one.file.rows for one in old) != file.rows:
        raise StoreError("segments changed while they were merged", advice="Nothing was changed; it is tried again.")
    drop_segments(connection, old, now)
    first = found[old[0].id]
    return _insert(
        connection,
        file,
        first.first_sequence,
        history=first.history,
        quiet=first.quiet,
        ingested=max(row.ingested for row in found.values()),
    )


def drop_segments(connection: Connection, old: Sequence[Segment], now: datetime) -> None:
    """Take segments out of the catalog; their files are named for the sweep."""
    connection.execute(sa.delete(segments).where(segments.c.id.in_(_ids(old))))
    connection.execute(sa.insert(dropped), [{"path": one.file.path, "dropped_at": now} for one in old])
    advance(connection, _SWAPS, 1)


def dropped_before(connection: Connection, moment: datetime) -> tuple[str, ...]:
    """The files that were taken out before a moment: nobody reads them any more."""
    return tuple(connection.execute(sa.select(dropped.c.path).where(dropped.c.dropped_at < moment)).scalars())


def forget_dropped(connection: Connection, paths: Sequence[str]) -> None:
    """These files are gone."""
    connection.execute(sa.delete(dropped).where(dropped.c.path.in_(paths)))


def _insert(
    connection: Connection, file: SegmentFile, first: int, *, history: bool, quiet: bool, ingested: datetime
) -> Segment:
    made = connection.execute(
        sa.insert(segments)
        .values(
            path=file.path,
            first_sequence=first,
            rows=file.rows,
            size=file.size,
            checksum=file.checksum,
            ingest_day=file.ingest_day,
            first_time=file.first_time,
            last_time=file.last_time,
            timeless=file.timeless,
            sites=[[one.account, one.region, one.first.isoformat(), one.last.isoformat()] for one in file.sites],
            history=history,
            quiet=quiet,
            ingested=ingested,
        )
        .returning(segments.c.id)
    ).scalar_one()
    return Segment(made, first, file, history)


def _arrived(row: Row[tuple[object, ...]]) -> Arrived:
    file = SegmentFile(
        path=row.path,
        rows=row.rows,
        size=row.size,
        checksum=row.checksum,
        ingest_day=row.ingest_day,
        first_time=row.first_time,
        last_time=row.last_time,
        timeless=row.timeless,
        sites=tuple(
            SiteSpan(account, region, datetime.fromisoformat(first), datetime.fromisoformat(last))
            for account, region, first, last in row.sites
        ),
    )
    return Arrived(Segment(row.id, row.first_sequence, file, row.history), row.ingested, row.quiet)


def _ids(old: Sequence[Segment]) -> list[int]:
    return [one.id for one in old]
