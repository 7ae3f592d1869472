"""Calls spaced out to a quota."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """Lets `per_second` calls through in a second, evenly; `clock` and `sleep` in seconds.

    >>> now = [0.0]
    >>> def sleep(seconds): now[0] += seconds
    >>> pacer = Pacer(2.0, clock=lambda: now[0], sleep=sleep)
    >>> for _ in range(4): pacer.wait()
    >>> now
    [1.5]
    """

    per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = float("-inf")

    def wait(self) -> None:
        """Return when the next call may be made."""
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1.0 / self.per_second

    def left_seconds(self) -> float:
        """Seconds until a call may be made."""
        return max(self._next - self.clock(), 0.0)

    def hold(self, seconds: float) -> None:
        """Let no call through for `seconds`: the service asked for fewer."""
        self._next = max(self._next, self.clock() + seconds)
