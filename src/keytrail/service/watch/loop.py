"""The loop of `watch`: what is done in which thread, and how it ends.

One thread takes in and runs rules, so that what arrives is examined as soon as it is committed; one investigates, one
tells people, one keeps house; each feed has one of its own. They meet in the state only, whose transactions check the
lease. A thread that fails tries again after a pause that grows; a lost lease ends them all.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keytrail.cloudtrail import open_geo
from keytrail.errors import InputError, KeytrailError, SourceError, StoreError
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
from keytrail.service.watch.metrics import Metrics
from keytrail.service.watch.pauses import Pauses
from keytrail.service.watch.reading import Readers
from keytrail.service.watch.rules import WatchedRules
from keytrail.service.watch.runner import Ran, Runner
from keytrail.service.watch.status import Status, put_status
from keytrail.service.watch.telling import Posting, Telling
from keytrail.service.watch.upkeep import Upkeep
from keytrail.sources.feeds import Delivery, Feed
from keytrail.store.lake.segment import sweep
from keytrail.store.state.cases import due_cases, hasten
from keytrail.store.state.catalog import dropped_before
from keytrail.store.state.lease import Lease, LeaseLost, acquire

if TYPE_CHECKING:
    from keytrail.service.watch.investigating import Investigating

_LOG = logging.getLogger("keytrail.watch")
_UPKEEP_SECONDS = 10.0
_INVESTIGATE_SECONDS = 0.5
_TELL_SECONDS = 1.0
# Rounds of the runner without anything new that `once` grants rules which stand behind.
_MOST_WAIT_SECONDS = 1.0


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
            self.run_rules()
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


# -- threads ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stop:
    """Set when the service is to end; `error` is why, if it is for an error."""

    event: threading.Event = field(default_factory=threading.Event)
    error: KeytrailError | None = None

    def set(self, error: KeytrailError | None = None) -> None:
        if error is not None and self.error is None:
            self.error = error
        self.event.set()


def watch(
    home: Installation,
    feeds: Callable[[], Sequence[Feed]],
    sinks: Sequence[Sink],
    clock: Clock,
    stop: Stop,
    *,
    once: bool = False,
    serve: Callable[[Metrics], object] | None = None,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Run the service until `stop` is set, or, with `once`, until all that the feeds have now is dealt with.

    Raises StoreError when the lease is lost or cannot be had, and what opening the feeds raises.
    """
    with Service(home, sinks, clock) as service, Inbox(feeds(), once=once) as inbox:
        if serve is not None:
            serve(service.metrics)
        started()
        keeping = Keeping(service, inbox, stop)
        with _threads(
            stop,
            ("investigate", lambda: service.investigate() > 0, _INVESTIGATE_SECONDS),
            ("tell", lambda: service.tell() > 0, _TELL_SECONDS),
            ("upkeep", keeping.round, _UPKEEP_SECONDS),
            pauses=Pauses(home.settings.watch.retry_seconds, home.settings.watch.longest_retry_seconds),
        ):
            _work(service, inbox, stop, once=once)
        if once and stop.error is None:
            _settle_up(service)
        keeping.say_goodbye()
    if stop.error is not None:
        raise stop.error


def _work(service: Service, inbox: Inbox, stop: Stop, *, once: bool) -> None:
    """Take in and run rules, in this thread, until it is time to stop."""
    watch = service.home.settings.watch
    pauses = Pauses(watch.retry_seconds, watch.longest_retry_seconds)
    failures = 0
    waiting: tuple[Delivery, ...] = ()
    more = True
    while not stop.event.is_set():
        try:
            if not waiting:
                wait = 0.0 if more else _MOST_WAIT_SECONDS
                waiting = inbox.take(wait, watch.batch_seconds, watch.batch_bytes)
            if waiting:
                service.take(waiting, inbox)
                waiting = ()
            more = service.run_rules().more
            failures = 0
            if once and not more and inbox.over():
                return
        except LeaseLost as error:
            stop.set(error)
        except KeytrailError as error:
            failures += 1
            pause = pauses.after(failures)
            service.metrics.failed("ingest")
            _LOG.error(
                "taking in failed; it is tried again",
                extra={"fields": {"error": str(error), "seconds": pause.total_seconds()}},
            )
            stop.event.wait(pause.total_seconds())
            waiting = inbox.unsettled(waiting)
    inbox.stop()


@contextmanager
def _threads(stop: Stop, *parts: tuple[str, Callable[[], bool], float], pauses: Pauses) -> Iterator[None]:
    """Run rounds of some parts, each in a thread, until the block is left or `stop` set."""
    leaving = threading.Event()

    def turn(name: str, round: Callable[[], bool], seconds: float) -> None:
        failures = 0
        while not leaving.is_set():
            wait = seconds
            try:
                wait = 0.0 if round() else seconds
                failures = 0
            except LeaseLost as error:
                stop.set(error)
                return
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the others blind to it
                failures += 1
                wait = pauses.after(failures).total_seconds()
                known = isinstance(error, KeytrailError)
                _LOG.error(
                    f"{name} failed; it is tried again",
                    extra={"fields": {"error": str(error), "seconds": wait}},
                    exc_info=not known,
                )
            leaving.wait(wait)

    threads = [threading.Thread(target=turn, args=part, name=f"keytrail-{part[0]}", daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        leaving.set()
        for thread in threads:
            thread.join()


def _settle_up(service: Service) -> None:
    """Investigate what is due, or was touched, and tell what is due, to the end."""
    service.investigating.hasten()
    while service.investigate():
        pass
    while service.tell():
        pass


class Keeping:
    """The rounds of housekeeping: the lease, segments, and what `keytrail health` is to read."""

    def __init__(self, service: Service, inbox: Inbox, stop: Stop) -> None:
        self._service = service
        self._inbox = inbox
        self._stop = stop
        self._started = service.clock()

    def round(self) -> bool:
        service = self._service
        service.lease.renew(service.home.database, service.clock())
        self._say(running=True)
        service.upkeep.round()
        return False

    def say_goodbye(self) -> None:
        """Note that the service ended as it should."""
        try:
            self._say(running=False)
        except StoreError as error:
            _LOG.warning("the last status was not written", extra={"fields": {"error": error.what}})

    def _say(self, *, running: bool) -> None:
        service = self._service
        status = Status.of(service, self._inbox.feeds, self._started, running=running)
        service.metrics.status(status)
        with service.home.database.write() as connection:
            service.lease.check(connection)
            put_status(connection, status)


__all__ = ["Service", "Stop", "holder_name", "watch"]
