"""What every event store promises, and the small values its questions and answers are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from keytrail.cloudtrail import Json
from keytrail.search import Sighting, strings_of


@dataclass(frozen=True, slots=True, eq=False)
class StoredRecord:
    """One event of a store, `raw` as it was stored. Two are equal when they are the same object.

    `position` is its place in the order of arrival; -1 where a store does not say, as `find` need not.
    """

    position: int
    raw: bytes
    data: Json


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of arrival; `position` is where the next batch begins, `more` whether there is one now."""

    records: tuple[StoredRecord, ...]
    position: int
    more: bool


@dataclass(frozen=True, slots=True)
class Selector:
    """Which events: those that a KQL query matches, or those in which some string value equals one of some literals.

    A literal is compared with every string value of the record, at any depth, but not with the names of members: a
    key's ARN, the name of a role, an access key. Exactly one of the two parts is given.
    """

    query: str = ""
    literals: frozenset[str] = frozenset()

    @classmethod
    def kql(cls, text: str) -> Selector:
        """The events that the query matches."""
        return cls(query=text)

    @classmethod
    def any_of(cls, literals: Iterable[str]) -> Selector:
        """The events that hold one of the literals as a value."""
        return cls(literals=frozenset(literals))


@dataclass(frozen=True, slots=True)
class Want:
    """A question that will be asked: `find(what)` within these event times (`until` exclusive)."""

    what: Selector
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """From when to when (event time, both inclusive) a store holds events of an account and region, at least."""

    account: str
    region: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Damage:
    """An object or record that could not be read. Account, region and day are what its name tells, "" and None else."""

    what: str
    account: str = ""
    region: str = ""
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a store has seen, an interval for each account and region, and what of it could not be read."""

    seen: tuple[Interval, ...] = ()
    damage: tuple[Damage, ...] = ()

    def of(self, account: str, region: str) -> Interval | None:
        """The interval of one account and region, None when nothing of it was seen."""
        return next((one for one in self.seen if (one.account, one.region) == (account, region)), None)

    def damage_of(self, account: str, region: str, day: date | None = None) -> tuple[Damage, ...]:
        """What could not be read and may have been about an account and region, from a day (UTC) on if one is given."""
        return tuple(
            one
            for one in self.damage
            if one.account in ("", account) and one.region in ("", region) and not (day and one.day and one.day < day)
        )


class EventStore(Protocol):
    """Events, in the order of their arrival and by what they hold. Every implementation passes tests/store.

    Positions grow in the order of arrival, from 0 on, and may leave numbers out. `find` and `count` are exact and take
    each event once, by its identity (`cloudtrail.identity`), however often it was delivered; of deliveries that differ,
    any one. Times are event times, `until` exclusive; an event without a readable time lies in no interval and is found
    only where neither bound is given.
    """

    def head(self) -> int:
        """The position behind the last record."""
        ...

    def after(self, position: int, limit: int) -> Batch:
        """At most `limit` records from `position` on, in the order of arrival, each as it was delivered.

        The batch's `position` goes on behind them: a later call with it gives what has arrived since.
        """
        ...

    def find(
        self,
        what: Selector,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredRecord]:
        """The events that are selected, by event time, then by event id. Raises QueryError."""
        ...

    def count(self, what: Selector, since: datetime | None = None, until: datetime | None = None) -> int:
        """How many events `find` gives."""
        ...

    def seen(self, what: Sighting) -> bool:
        """Whether there is such an event."""
        ...

    def coverage(self, since: datetime | None = None, until: datetime | None = None) -> Coverage:
        """What the store has seen, of the interval if one is given: at least that."""
        ...

    def damage(self) -> tuple[Damage, ...]:
        """What could not be read, as far as it has been tried."""
        ...

    def prepare(self, wants: Sequence[Want], sightings: Sequence[Sighting] = ()) -> None:
        """Be told what will be asked, so that a store which has to read for it does so once for all of them.

        A hint: every question gets the same answer without it. A `Want` of several literals covers each of them.
        """
        ...


__all__ = [
    "Batch",
    "Coverage",
    "Damage",
    "EventStore",
    "Interval",
    "Selector",
    "Sighting",
    "StoredRecord",
    "Want",
    "strings_of",
]
