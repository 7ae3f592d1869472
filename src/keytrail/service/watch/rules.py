"""The rules that the service runs, looked at again and again: files, imports, choices and exceptions may change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from keytrail.detect.exceptions import compile_exceptions
from keytrail.detect.suppression import Suppression
from keytrail.errors import RuleError
from keytrail.rules import ExceptionItem
from keytrail.service.exceptions import exceptions_for
from keytrail.service.installation import Installation
from keytrail.service.rule_admin import all_rules
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.runner import RunnableRule
from keytrail.service.watch.schedule import reconcile
from keytrail.store.state.alerts import lines_about
from keytrail.store.state.lease import Lease
from keytrail.store.state.rule_states import choices

_LOG = logging.getLogger("keytrail.watch")
# Dates in exceptions may count from now.
_COMPILE_AGAIN = timedelta(hours=1)


class WatchedRules:
    """Notices that rules, choices or exceptions changed. Used by one thread."""

    def __init__(self, home: Installation, lease: Lease, clock: Clock) -> None:
        self._home = home
        self._lease = lease
        self._clock = clock
        self._seen: object = None
        self._looked_at: datetime | None = None
        self._compiled_at: datetime | None = None
        self._items: tuple[ExceptionItem, ...] = ()
        self._expired: tuple[bool, ...] = ()
        self.errors: tuple[RuleError, ...] = ()

    def changed(self) -> Sequence[RunnableRule] | None:
        """The rules to run from now on, None if they are those of before. Raises StoreError.

        A file that cannot be read takes its rules out and no others; its errors are in `errors`.
        """
        now = self._clock()
        pause = timedelta(seconds=self._home.settings.watch.rules_seconds)
        if self._looked_at is not None and timedelta() <= now - self._looked_at < pause:
            return None
        self._looked_at = now
        seen = self._signature()
        fresh = self._compiled_at is not None and timedelta() <= now - self._compiled_at < _COMPILE_AGAIN
        if seen == self._seen and fresh and self._expired == _expired(self._items, now):
            return None
        found = self._load(now)
        self._seen, self._compiled_at, self._expired = seen, now, _expired(self._items, now)
        return found

    def _signature(self) -> object:
        """What differs when something changed: times and sizes of files, and the latest lines of the audit log."""
        files = []
        for path in self._home.settings.watch.rules:
            for one in sorted(path.rglob("*")) if path.is_dir() else (path,):
                try:
                    about = one.stat()
                except OSError:
                    continue
                files.append((str(one), about.st_mtime_ns, about.st_size))
        with self._home.database.read() as connection:
            return tuple(files), lines_about(connection, ("rule", "exception", "value list"))

    def _load(self, now: datetime) -> list[RunnableRule]:
        home = self._home
        # Files are read before the transaction: others who write do not wait for that.
        with home.database.read() as connection:
            loaded = all_rules(home.settings, connection)
        known = {str(one) for one in self.errors}
        for error in loaded.errors:
            if str(error) not in known:
                _LOG.error("a rule cannot be used", extra={"fields": {"error": str(error)}})
        self.errors = loaded.errors
        self._items = loaded.exception_items
        arrived = home.catalog.arrived()
        head = home.catalog.head()
        with home.database.write() as connection:
            self._lease.check(connection)
            scheduled = reconcile(connection, loaded.rules, choices(connection), arrived, head, now)
            found = []
            for one in scheduled:
                items, lists = exceptions_for(connection, one.rule, loaded.exception_items)
                found.append(RunnableRule(one, compile_exceptions(items, lists, now=now), Suppression.of(one.rule)))
        return found


def _expired(items: Sequence[ExceptionItem], now: datetime) -> tuple[bool, ...]:
    return tuple(one.expired(now) for one in items)


__all__ = ["WatchedRules"]
