"""The loop of `watch`: what is done in which thread, and how it ends.

One thread takes in and runs rules, so that what arrives is examined as soon as it is committed; one investigates, one
tells people, one looks at keys, one renews the lease, one keeps house; each feed has one of its own. They meet in the
state only, whose transactions check the lease. A thread that fails tries again after a pause that grows; a lost lease
ends them all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from keytrail.errors import KeytrailError, ObjectError, Place, StoreError
from keytrail.notify import Sink
from keytrail.service.installation import Installation
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.inbox import Inbox
from keytrail.service.watch.metrics import Metrics, Tally
from keytrail.service.watch.pauses import Pauses
from keytrail.service.watch.service import Service
from keytrail.service.watch.status import Status, put_status
from keytrail.service.watch.threads import Part, Stop, Troubles, beside
from keytrail.sources.feeds import Delivery, Feed
from keytrail.store.state.lease import LeaseLost

_LOG = logging.getLogger("keytrail.watch")
_LEASE_SECONDS = 10.0
_UPKEEP_SECONDS = 10.0
_INVESTIGATE_SECONDS = 0.5
_TELL_SECONDS = 1.0
# How often it is asked whether keys are to be looked at, or compared again.
_KEYS_SECONDS = 30.0
# How long nothing may come until rules whose interval is over are looked for.
_WAIT_SECONDS = 1.0


def watch(
    home: Installation,
    feeds: Callable[[], Sequence[Feed]],
    sinks: Sequence[Sink],
    clock: Clock,
    stop: Stop,
    *,
    once: bool = False,
    serve: Callable[[Metrics], object] | None = None,
    started: Callable[[Installation], None] = lambda _: None,
) -> Tally:
    """Run the service until `stop` is set, or, with `once`, until all that the feeds have now is dealt with.

    Raises StoreError when the lease is lost or cannot be had, and what opening the feeds raises.
    """
    settings = home.settings.watch
    with Service(home, sinks, clock) as service, Inbox(feeds(), once=once) as inbox:
        if serve is not None:
            serve(service.metrics)
        started(home)
        pauses = Pauses(settings.retry_seconds, settings.longest_retry_seconds)
        troubles = Troubles(clock, service.metrics, pauses)
        keeping = _Keeping(service, inbox, troubles, stop)
        parts = [
            Part("investigate", lambda: service.investigate() > 0, _INVESTIGATE_SECONDS),
            Part("tell", lambda: service.tell() > 0, _TELL_SECONDS),
            Part("lease", keeping.renew, _LEASE_SECONDS),
            Part("upkeep", keeping.tidy, _UPKEEP_SECONDS),
        ]
        if not once:  # else it is done at the end, when all records are in
            parts.append(Part("keys", keeping.look_at_keys, _KEYS_SECONDS))
        with beside(tuple(parts), stop, troubles):
            _work(service, inbox, stop, troubles, once=once)
        if once and stop.error is None:
            keeping.look_at_keys_once()
            _settle_up(service)
        keeping.say_goodbye()
    if stop.error is not None:
        raise stop.error
    return service.metrics.tally()


def _work(service: Service, inbox: Inbox, stop: Stop, troubles: Troubles, *, once: bool) -> None:
    """Take in and run rules, in this thread, until it is time to stop."""
    watch = service.home.settings.watch
    waiting: tuple[Delivery, ...] = ()
    more = True
    while not stop.event.is_set():
        part = "take in"
        try:
            if not waiting:
                waiting = inbox.take(0.0 if more else _WAIT_SECONDS, watch.batch_seconds, watch.batch_bytes)
            if waiting:
                _take(service, waiting, inbox)
                waiting = ()
            troubles.works(part)
            part = "rules"
            more = service.run_rules().more
            troubles.works(part)
            if once and not more and inbox.over():
                return
        except LeaseLost as error:
            stop.set(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was not committed is tried again
            stop.event.wait(troubles.failed(part, error))
            waiting = inbox.unsettled(waiting)
    inbox.stop()


def _take(service: Service, deliveries: Sequence[Delivery], inbox: Inbox) -> None:
    """Take in deliveries together; where one of them meets a defect, each by itself, so that only that one waits."""
    try:
        service.take(deliveries, inbox)
    except KeytrailError:
        raise
    except Exception:
        if len(deliveries) == 1:
            raise
        _LOG.exception("taking in met a defect; it is done one by one")
        for one in inbox.unsettled(deliveries):
            try:
                service.take((one,), inbox)
            except KeytrailError:
                raise
            except Exception as error:  # noqa: BLE001 - told, and given back
                what = f"a defect of keytrail: {type(error).__name__}: {error}"
                inbox.give_back(one, ObjectError(what, place=Place(one.name), advice="Please report it."))


def _settle_up(service: Service) -> None:
    """Investigate what is due, or was touched, and tell what is due, to the end."""
    service.investigating.hasten()
    while service.investigate():
        pass
    while service.tell():
        pass


class _Keeping:
    """The rounds of housekeeping: the lease, segments, keys, and what `keytrail health` is to read."""

    def __init__(self, service: Service, inbox: Inbox, troubles: Troubles, stop: Stop) -> None:
        self._service = service
        self._inbox = inbox
        self._troubles = troubles
        self._stop = stop
        self._started = service.clock()

    def renew(self) -> bool:
        """Say that the service lives, and how it is. By itself: merging segments may take longer than a lease lasts."""
        service = self._service
        service.lease.renew(service.home.database, service.clock())
        self._say(running=True)
        return False

    def tidy(self) -> bool:
        """Merge and drop what is due."""
        self._service.upkeep.round()
        return False

    def look_at_keys(self) -> bool:
        """Look at keys, and compare them with what the records say, if it is time."""
        self._service.look_at_keys("failing" if self._failing() else "working", self._stop.event.is_set)
        return False

    def look_at_keys_once(self) -> None:
        """The same when all is taken in. That it fails is told, and is no reason not to end as one should."""
        try:
            self._service.look_at_keys("failing" if self._failing() else "drained", self._stop.event.is_set)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - told
            self._troubles.failed("keys", error)

    def _failing(self) -> bool:
        return any(feed.status().problem is not None for feed in self._inbox.feeds)

    def say_goodbye(self) -> None:
        """Note that the service ended as it should."""
        try:
            self._say(running=False)
        except StoreError as error:
            _LOG.warning("the last status was not written", extra={"fields": {"error": error.what}})

    def _say(self, *, running: bool) -> None:
        service = self._service
        status = Status.of(service, self._inbox.feeds, self._troubles.all, self._started, running=running)
        service.metrics.status(status)
        with service.home.database.write() as connection:
            service.lease.check(connection)
            put_status(connection, status)


__all__ = ["Service", "Stop", "watch"]
