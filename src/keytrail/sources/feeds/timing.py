"""Time as feeds see it: the clocks they are given, and the growing pauses after failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from keytrail.errors import KeytrailError


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _wait(event: threading.Event, seconds: float) -> None:
    event.wait(seconds)


@dataclass(frozen=True, slots=True)
class FeedClock:
    """`now` is the time of day (aware, UTC), `monotonic` counts seconds, `wait` returns when the event is set or after
    so many seconds."""

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], None] = _wait


class Trouble:
    """What last failed, since when, and when it may be tried again: each pause is twice the one before.

    Written by the thread that uses the feed; the others read `problem` and `since`.
    """

    def __init__(self, clock: FeedClock, first_seconds: float, longest_seconds: float) -> None:
        self._clock, self._first, self._longest = clock, first_seconds, longest_seconds
        self._failures = 0
        self._until = float("-inf")
        self.problem: KeytrailError | None = None
        self.since: datetime | None = None

    def failed(self, problem: KeytrailError) -> None:
        """Note a failure, and let nothing through for a while."""
        self.note(problem)
        self._until = self._clock.monotonic() + pause(self._failures, self._first, self._longest)
        self._failures += 1

    def note(self, problem: KeytrailError) -> None:
        """Note a failure that concerns no other try."""
        if self.problem is None:
            self.since = self._clock.now()
        self.problem = problem

    def worked(self) -> None:
        """Forget it: the way is free."""
        self.problem, self.since, self._failures, self._until = None, None, 0, float("-inf")

    def left_seconds(self) -> float:
        """Seconds until the next try; 0 when there is nothing to wait for."""
        return max(self._until - self._clock.monotonic(), 0.0)


def problem_of(*troubles: Trouble) -> tuple[KeytrailError | None, datetime | None]:
    """The first problem of several, and since when."""
    return next(((one.problem, one.since) for one in troubles if one.problem is not None), (None, None))


def pause(failures: int, first_seconds: float, longest_seconds: float) -> float:
    """Seconds to wait after a failure that so many others came before.

    >>> [pause(n, 1.0, 10.0) for n in (0, 1, 3, 4, 5000)]
    [1.0, 2.0, 8.0, 10.0, 10.0]
    """
    return float(min(first_seconds * 2 ** min(failures, 40), longest_seconds))
