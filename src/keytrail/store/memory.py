"""An event store over records in memory: the protocol in its plainest form, for few events and for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document, Identity, Json, event_time, identity
from keytrail.search import value_at, within
from keytrail.store.model import Batch, Coverage, Damage, Interval, Selector, Sighting, StoredRecord, Want, strings_of


class MemoryStore:
    """The records that were given, in their order. Nothing is indexed: every question looks at all of them."""

    def __init__(self, records: Iterable[Json], *, now: datetime | None = None) -> None:
        self._records = tuple(
            StoredRecord(number, json.dumps(data).encode(), data) for number, data in enumerate(records)
        )
        self._now = now or datetime.now(UTC)

    def head(self) -> int:
        return len(self._records)

    def after(self, position: int, limit: int) -> Batch:
        found = self._records[position : position + limit]
        end = min(position + limit, len(self._records))
        return Batch(found, end, end < len(self._records))

    def find(
        self,
        what: Selector,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRecord]:
        yield from sorted(self._selected(what, since, until), key=_order)[:limit]

    def count(self, what: Selector, since: datetime | None = None, until: datetime | None = None) -> int:
        return len(self._selected(what, since, until))

    def seen(self, what: Sighting) -> bool:
        for one in self._records:
            moment = event_time(one.data)
            account = identity(one.data).account
            is_there = value_at(one.data, what.path) == what.value
            if is_there and account == what.account and moment is not None and moment < what.before:
                return True
        return False

    def coverage(self, since: datetime | None = None, until: datetime | None = None) -> Coverage:
        times: dict[tuple[str, str], list[datetime]] = {}
        for one in self._records:
            moment = event_time(one.data)
            if moment is not None and within(moment, since, until):
                who = identity(one.data)
                times.setdefault((who.account, who.region), []).append(moment)
        return Coverage(tuple(Interval(*site, min(found), max(found)) for site, found in sorted(times.items())))

    def damage(self) -> tuple[Damage, ...]:
        return ()

    def prepare(self, wants: Sequence[Want], sightings: Sequence[Sighting] = ()) -> None:
        pass

    def _selected(self, what: Selector, since: datetime | None, until: datetime | None) -> list[StoredRecord]:
        query = kql.compile(what.query, CATALOGUE, now=self._now) if what.query else None
        found: dict[Identity, StoredRecord] = {}
        for one in self._records:
            if not within(event_time(one.data), since, until):
                continue
            if query is None:
                hit = not what.literals.isdisjoint(strings_of(one.data))
            else:
                hit = query.matches(Document(one.data))
            if hit:
                found.setdefault(identity(one.data), one)
        return list(found.values())


def _order(record: StoredRecord) -> tuple[datetime, str]:
    return event_time(record.data) or datetime.min.replace(tzinfo=UTC), identity(record.data).event_id
