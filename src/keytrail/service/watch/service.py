"""The parts of the service at work on one installation, under its lease; each can be called by itself."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keytrail.cloudtrail import open_geo
from keytrail.errors import InputError, SourceError
from keytrail.notify import Sink
from keytrail.search import available_cores
from keytrail.service.accounts import trust
from keytrail.service.installation import Installation
from keytrail.service.lake_store import lake_store
from keytrail.service.running import read_limits
from keytrail.service.watch.arriving import Arriving
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.inbox import Inbox
from keytrail.service.watch.ingest import Commit, HowTaken, Ingest
from keytrail.service.watch.keys import Feeds, KeyLooks
from keytrail.service.watch.metrics import Metrics
from keytrail.service.watch.reading import Readers
from keytrail.service.watch.rules import WatchedRules
from keytrail.service.watch.runner import Ran, Runner
from keytrail.service.watch.telling import Posting, Telling
from keytrail.service.watch.upkeep import Upkeep
from keytrail.sources.feeds import Delivery
from keytrail.store.lake.segment import sweep
from keytrail.store.state.cases import due_cases, hasten
from keytrail.store.state.catalog import dropped_before
from keytrail.store.state.lease import Lease, acquire

if TYPE_CHECKING:
    from keytrail.service.watch.investigating import Investigating

_LOG = logging.getLogger("keytrail.watch")


def holder_name() -> str:
    """Who this process is, for others to read."""
    return f"keytrail on {socket.gethostname()}, process {os.getpid()}"


@dataclass(slots=True)
class Came:
    """What taking in deliveries came to: records, what was there already, and objects that were known."""

    new: int = 0
    repeated: int = 0
    known: int = 0
    unreadable: int = 0

    def add(self, commit: Commit) -> None:
        self.new += commit.new
        self.repeated += commit.repeated
        self.known += commit.known
        self.unreadable += len(commit.errors)


class Service:
    """Everything of the service at work on one installation, under its lease. A context manager.

    Each part can be called by itself, by one thread: so do tests, and `keytrail lake import`.
    """

    def __init__(self, home: Installation, sinks: Sequence[Sink], clock: Clock, *, how: HowTaken | None = None) -> None:
        self.home = home
        self.clock = clock
        self.metrics = Metrics()
        self.alerts_made = 0
        self._sinks = tuple(sinks)
        self._how = how
        self._stack = ExitStack()

    def __enter__(self) -> Service:
        home, clock, settings = self.home, self.clock, self.home.settings
        watch = settings.watch
        with ExitStack() as stack:
            self.lease: Lease = acquire(home.database, holder_name(), clock())
            stack.callback(self.lease.release, home.database)
            self._sweep()
            limits = read_limits(settings)
            readers = stack.enter_context(Readers(watch.jobs or available_cores(), limits))
            how = self._how or HowTaken(watch.batch_bytes)
            geo = open_geo([str(path) for path in settings.geoip.databases]) if settings.geoip.databases else None
            self.arriving = Arriving(home.files)
            self.ingest = Ingest(home, self.lease, readers, how, limits, clock)
            posting = Posting(settings.notify.sinks)
            self.runner = Runner(home, self.lease, self.arriving, limits, posting.alerts, clock, geo)
            self.rules = WatchedRules(home, self.lease, clock)
            self.investigating = self._investigating(posting)
            self.telling = Telling(home, self.lease, self._sinks, posting, clock)
            self.upkeep = Upkeep(home, self.lease, clock)
            self.keys = KeyLooks(home, self.lease, self.runner, posting.alerts, clock, self.metrics)
            stack.callback(self._close_sinks)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _investigating(self, posting: Posting) -> Investigations:
        return Investigations(self.home, self.lease, posting, self.clock)

    def _sweep(self) -> None:
        """Remove what a process that was stopped half-way left: nobody but the holder of the lease writes segments."""
        named = {one.file.path for one in self.home.catalog.segments()}
        with self.home.database.read() as connection:
            named.update(dropped_before(connection, self.clock() + timedelta(days=36_500)))
        gone = sweep(self.home.files, named, datetime.max.replace(tzinfo=UTC))  # whatever the clock did meanwhile
        if gone:
            _LOG.info("removed unfinished segments", extra={"fields": {"files": len(gone)}})

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            sink.close()

    # -- the parts, one round each ------------------------------------------------------------------------------------

    def take(
        self,
        deliveries: Sequence[Delivery],
        inbox: Inbox | None = None,
        report: Callable[[InputError | SourceError], None] = lambda _: None,
    ) -> Came:
        """Take in deliveries and run rules over each commit. `report` is told what could not be read or fetched.

        Raises StoreError: then what was not settled is to be given to it again.
        """
        came = Came()

        def give_back(delivery: Delivery, error: InputError | SourceError) -> None:
            _warn("an object could not be fetched", object=delivery.name, error=error.what)
            report(error)
            if inbox is not None:
                inbox.give_back(delivery, error)

        for commit in self.ingest.take(deliveries, give_back):
            if inbox is not None:
                inbox.settle(commit.deliveries)
            came.add(commit)
            self.metrics.committed(commit)
            for error in commit.errors:
                _warn("part of an object could not be read", object=str(error.place or ""), error=error.what)
                report(error)
            if commit.segment is not None and commit.raw is not None:
                self.arriving.keep(commit.segment, commit.raw)
            _LOG.info("taken in", extra={"fields": {"records": commit.new, "repeated": commit.repeated}})
            if not self.run_rules().more:
                self.arriving.let_go()
        return came

    def run_rules(self) -> Ran:
        """Look for changed rules, and run those that are due. Raises StoreError."""
        if (changed := self.rules.changed()) is not None:
            self.runner.use(changed)
        ran = self.runner.run()
        self.metrics.ran(ran)
        self.alerts_made += ran.created
        for rule_id, message in ran.failures:
            _LOG.error("a rule failed", extra={"fields": {"rule": rule_id, "error": message}})
        for line in ran.executions:
            if line.status == "warning":
                _warn("a rule warns", rule=line.rule_id, warning=line.message)
        return ran

    def run_rules_to_the_end(self) -> int:
        """Run rules until none has anything left to examine; returns how many alerts they made."""
        made = 0
        while (ran := self.run_rules()).more:
            made += ran.created
        return made + ran.created

    def investigate(self) -> int:
        """Make the investigations that are due; returns how many there were. Raises StoreError."""
        return self.investigating.round(self.metrics)

    def look_at_keys(self, feeds: Feeds, stopping: Callable[[], bool] = lambda: False) -> int:
        """Look at keys and compare them with what was reported, if that is due; returns how many alerts were made.

        A look takes long where there are many keys; once it is `stopping`, it is broken off.
        Raises SourceError or UsageError where the keys cannot be looked at, StoreError.
        """
        return self.keys.round(feeds, stopping)

    def tell(self) -> int:
        """Deliver what is due; returns how many messages went. Raises StoreError."""
        told = self.telling.tell()
        for one in told:
            self.metrics.told(one)
            if one.error:
                _warn("a sink took not all", sink=one.sink, error=one.error)
        return sum(one.sent + one.digested for one in told)


class Investigations:
    """Investigates what is due; the room for it is loaded with the first case."""

    def __init__(self, home: Installation, lease: Lease, posting: Posting, clock: Clock) -> None:
        self._home = home
        self._lease = lease
        self._posting = posting
        self._clock = clock
        self._made: Investigating | None = None

    def hasten(self) -> None:
        """Let what new records touched be due at once. Raises StoreError."""
        with self._home.database.write() as connection:
            self._lease.check(connection)
            hasten(connection, self._clock())

    def round(self, metrics: Metrics) -> int:
        """Make the investigations that are due; returns how many there were. Raises StoreError."""
        with self._home.database.read() as connection:
            if not due_cases(connection, self._clock(), 1):
                return 0
        looked = self._room().look()
        for one in looked:
            metrics.looked(one)
            if one.error:
                _LOG.error(
                    "an investigation failed", extra={"fields": {"event": one.case.event_id, "error": one.error}}
                )
        return len(looked)

    def _room(self) -> Investigating:
        if self._made is None:
            from keytrail.service.knowledge import knowledge
            from keytrail.service.watch.investigating import Investigating

            home, settings = self._home, self._home.settings
            self._made = Investigating(
                home,
                self._lease,
                lambda: lake_store(home, self._clock()),
                lambda: knowledge(settings, trust(settings)),
                self._posting.revision,
                self._clock,
            )
        return self._made


def _warn(message: str, **fields: object) -> None:
    _LOG.warning(message, extra={"fields": fields})


__all__ = ["Came", "Service", "holder_name"]
