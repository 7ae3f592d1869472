"""Housekeeping beside the work: small segments are merged, old ones dropped, files that nobody reads removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby

from keytrail.errors import StoreError
from keytrail.service.installation import Installation
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.committing import committing
from keytrail.store.lake.compact import Group, Sizes, expired, merge, plan
from keytrail.store.lake.segment import remove
from keytrail.store.state.cases import forget_revisions
from keytrail.store.state.catalog import (
    Arrived,
    drop_segments,
    dropped_before,
    forget_dropped,
    replace_segments,
)
from keytrail.store.state.lease import Lease
from keytrail.store.state.outbox import forget_letters
from keytrail.store.state.rule_states import forget_executions, rule_states
from keytrail.store.state.suppressions import forget_counted

_LOG = logging.getLogger("keytrail.watch")


class Upkeep:
    """Merges, drops and forgets for the holder of a lease. Used by one thread."""

    def __init__(self, home: Installation, lease: Lease, clock: Clock) -> None:
        self._home = home
        self._lease = lease
        self._clock = clock
        self._last: datetime | None = None
        self._warned: tuple[int, ...] = ()

    def round(self) -> None:
        """Do what is due. Raises StoreError."""
        now = self._clock()
        pause = timedelta(minutes=self._home.settings.watch.compact_minutes)
        if self._last is not None and timedelta() <= now - self._last < pause:
            return
        self._last = now
        self.compact()
        self.retire()
        self.clear()

    def compact(self) -> int:
        """Merge what is to be merged; returns how many segments became fewer. Raises StoreError."""
        merged = 0
        for group in self._groups():
            file = merge(self._home.files, group)
            with committing(self._home, file) as connection:
                self._lease.check(connection)
                replace_segments(connection, group, file, self._clock())
            merged += len(group) - 1
        return merged

    def _groups(self) -> Iterator[Group]:
        sizes = Sizes(self._home.settings.lake.segment_bytes)
        arrived = self._home.catalog.arrived()
        # What is not told about stays apart from what is.
        for _, each in groupby(arrived, key=_quiet):
            yield from plan([one.segment for one in each], self._clock().date(), sizes)

    def retire(self) -> int:
        """Drop segments whose days are over; returns how many. One that a rule still needs stays, with a warning."""
        now = self._clock()
        with self._home.database.read() as connection:
            # The state's word: a service that has just begun has not looked at its rules yet.
            states = rule_states(connection).values()
        slowest = min((one.cursor for one in states if one.running), default=None)
        segments = self._home.catalog.segments()
        found = expired(segments, now.date(), self._home.settings.lake.retention_days, slowest)
        needed = tuple(one.id for one in found.needed)
        if needed and needed != self._warned:
            _LOG.warning(
                "events are kept beyond their time, for a rule that has not examined them",
                extra={"fields": {"segments": len(needed), "position": slowest}},
            )
        self._warned = needed
        if found.done:
            with self._home.database.write() as connection:
                self._lease.check(connection)
                drop_segments(connection, found.done, now)
            _LOG.info("events whose days are over were dropped", extra={"fields": {"segments": len(found.done)}})
        return len(found.done)

    def clear(self) -> int:
        """Remove files that were replaced or dropped long enough ago, and old lines of the log."""
        now = self._clock()
        grace = timedelta(seconds=self._home.settings.lake.grace_seconds)
        days = timedelta(days=self._home.settings.watch.log_days)
        with self._home.database.read() as connection:
            paths = dropped_before(connection, now - grace)
        try:
            remove(self._home.files, paths)
        except StoreError as error:
            _LOG.warning("a file could not be removed", extra={"fields": {"error": error.what}})
            return 0
        with self._home.database.write() as connection:
            self._lease.check(connection)
            if paths:
                forget_dropped(connection, paths)
            for forget in (forget_executions, forget_letters, forget_counted, forget_revisions):
                forget(connection, now - days)
        return len(paths)


def _quiet(one: Arrived) -> bool:
    return one.quiet
