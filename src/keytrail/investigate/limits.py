"""Bounds on an investigation: how far it looks, and how much of each section its document holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """The same numbers are the defaults of `[investigate]` in keytrail.toml, which says what each is for."""

    actor_hours: int = 24
    revert_minutes: int = 60
    max_acts: int = 100
    max_data: int = 50
    max_principals: int = 25
    max_timeline: int = 200
    max_event_ids: int = 25
    max_calls: int = 50_000

    def window(self, moment: datetime) -> tuple[datetime, datetime]:
        """From when to when around a change the actor's acts are of interest."""
        return later(moment, -self.around), later(moment, self.around)

    @property
    def around(self) -> timedelta:
        """How long before and after a change the actor's acts are of interest."""
        return timedelta(hours=self.actor_hours)

    @property
    def revert(self) -> timedelta:
        """How soon a change must be undone to count as reverted shortly after."""
        return timedelta(minutes=self.revert_minutes)


def later(moment: datetime, span: timedelta) -> datetime:
    """A moment and a span, or the first or last moment there is: times of records may be any.

    >>> later(datetime(1, 1, 1, tzinfo=UTC), timedelta(hours=-1)).year
    1
    """
    try:
        return moment + span
    except OverflowError:
        return (datetime.min if span < timedelta() else datetime.max).replace(tzinfo=UTC)
