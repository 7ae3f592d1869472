"""What the threads of the service share: when to stop, what goes wrong at the moment, and rounds that go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from keytrail.errors import KeytrailError
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.metrics import Metrics
from keytrail.service.watch.pauses import Pauses
from keytrail.store.state.lease import LeaseLost

_LOG = logging.getLogger("keytrail.watch")


@dataclass(slots=True)
class Stop:
    """Set when the service is to end; `error` is why, if it is for an error."""

    event: threading.Event = field(default_factory=threading.Event)
    error: KeytrailError | None = None

    def set(self, error: KeytrailError | None = None) -> None:
        if error is not None and self.error is None:
            self.error = error
        self.event.set()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part of the service that fails and is tried again, since when, and what stands in its way."""

    part: str
    what: str
    advice: str
    since: datetime


class Troubles:
    """What fails at the moment, part by part. Used by several threads."""

    def __init__(self, clock: Clock, metrics: Metrics, pauses: Pauses) -> None:
        self._clock = clock
        self._metrics = metrics
        self._pauses = pauses
        self._lock = threading.Lock()
        self._now: dict[str, tuple[Trouble, int]] = {}

    @property
    def all(self) -> tuple[Trouble, ...]:
        """What fails now, by part."""
        with self._lock:
            return tuple(trouble for _, (trouble, _) in sorted(self._now.items()))

    def failed(self, part: str, error: Exception) -> float:
        """Note a failure; returns the seconds after which to try again."""
        known = isinstance(error, KeytrailError)
        what = error.what if isinstance(error, KeytrailError) else f"a defect: {type(error).__name__}: {error}"
        advice = error.advice if isinstance(error, KeytrailError) else "Please report it."
        with self._lock:
            before = self._now.get(part)
            since, failures = (self._clock(), 0) if before is None else (before[0].since, before[1])
            self._now[part] = (Trouble(part, what, advice, since), failures + 1)
        self._metrics.failed(part)
        seconds = self._pauses.after(failures + 1).total_seconds()
        fields = {"part": part, "error": what, "advice": advice, "seconds": seconds}
        _LOG.error("a part failed; it is tried again", extra={"fields": fields}, exc_info=not known)
        return seconds

    def works(self, part: str) -> None:
        """Note that a part did what it should."""
        with self._lock:
            self._now.pop(part, None)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is done in rounds: `round` says whether to go on at once, else it is called after `seconds`."""

    name: str
    round: Callable[[], bool]
    seconds: float


@contextmanager
def beside(parts: tuple[Part, ...], stop: Stop, troubles: Troubles) -> Iterator[None]:
    """Do the parts' rounds, each in a thread of its own, until the block is left. A lost lease sets `stop`."""
    leaving = threading.Event()

    def turn(part: Part) -> None:
        while not leaving.is_set():
            try:
                wait = 0.0 if part.round() else part.seconds
                troubles.works(part.name)
            except LeaseLost as error:
                stop.set(error)
                return
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the others blind to it
                wait = troubles.failed(part.name, error)
            leaving.wait(wait)

    threads = [threading.Thread(target=turn, args=(one,), name=f"keytrail-{one.name}", daemon=True) for one in parts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        leaving.set()
        for thread in threads:
            thread.join()
