"""Between the feeds and the one who commits: what arrived, in order, with a bound; and back, what became of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from keytrail.errors import KeytrailError
from keytrail.sources.feeds import Delivery, Feed

# Deliveries and stored bytes that wait to be taken in, at most; the feeds wait then.
_MOST_WAITING = 4_096
_MOST_BYTES = 64 * 1024**2
# A feed is asked for so long before what was settled meanwhile is told to it.
_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 5.0
# Times in a row that a feed which waits for something may bring nothing, before `once` goes on without it.
_MOST_EMPTY = 10

_LOG = logging.getLogger("keytrail.watch")


@dataclass(slots=True, eq=False)
class _Line:
    """A feed, what is to be told to it, how many of its deliveries are not settled, and whether no more will come."""

    feed: Feed
    settled: list[Delivery] = field(default_factory=list)
    returned: list[tuple[Delivery, KeytrailError]] = field(default_factory=list)
    open: int = 0
    empty: int = 0
    idle: bool = False
    over: bool = False


class Inbox:
    """Asks feeds in threads of their own, and keeps what they bring until it is taken. A context manager.

    With `once` a feed that has nothing more to give is not asked again.
    """

    def __init__(self, feeds: Sequence[Feed], *, once: bool = False) -> None:
        self._lines = [_Line(feed) for feed in feeds]
        self._once = once
        self._changed = threading.Condition()
        self._waiting: deque[tuple[_Line, Delivery]] = deque()
        self._bytes = 0
        self._taken: dict[int, _Line] = {}
        self._stopping = self._closing = False
        self._threads = [threading.Thread(target=self._serve, args=(line,), daemon=True) for line in self._lines]

    def __enter__(self) -> Inbox:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for line in self._lines:
            line.feed.close()

    def stop(self) -> None:
        """Ask the feeds for nothing more. What was taken may still be settled."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @property
    def feeds(self) -> tuple[Feed, ...]:
        return tuple(line.feed for line in self._lines)

    def over(self) -> bool:
        """Whether nothing can come any more, and all that came was taken and settled."""
        with self._changed:
            return not self._waiting and all(line.over and not line.open for line in self._lines)

    def take(self, wait_seconds: float, gather_seconds: float, most_bytes: int) -> tuple[Delivery, ...]:
        """What has arrived, as it came: waits for something, then gathers what else comes, up to about `most_bytes`."""
        with self._changed:
            if not self._waiting and not self._stopping:
                self._changed.wait(wait_seconds)
            until = time.monotonic() + gather_seconds
            while self._waiting and self._has_room(most_bytes) and self._may_come():
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            taken: list[Delivery] = []
            size = 0
            while self._waiting and not self._stopping and (not taken or size < most_bytes):
                line, delivery = self._waiting.popleft()
                self._taken[id(delivery)] = line
                size += delivery.size or 0
                taken.append(delivery)
            self._bytes -= size
            self._changed.notify_all()
            return tuple(taken)

    def _has_room(self, most_bytes: int) -> bool:
        return self._bytes < most_bytes and len(self._waiting) < _MOST_WAITING

    def _may_come(self) -> bool:
        """Whether it is worth waiting for more."""
        return not self._stopping and not all(line.over or (self._once and line.idle) for line in self._lines)

    def unsettled(self, deliveries: Sequence[Delivery]) -> tuple[Delivery, ...]:
        """Those that were taken and neither settled nor given back."""
        with self._changed:
            return tuple(one for one in deliveries if id(one) in self._taken)

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """These are committed."""
        with self._changed:
            for one in deliveries:
                self._taken.pop(id(one)).settled.append(one)
            self._changed.notify_all()

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        """This could not be read."""
        with self._changed:
            self._taken.pop(id(delivery)).returned.append((delivery, error))
            self._changed.notify_all()

    # -- in the thread of a feed ------------------------------------------------------------------------------------

    def _serve(self, line: _Line) -> None:
        while True:
            try:
                closing = self._tell(line)
                if closing:
                    return
                if self._stopping or line.over:
                    self._rest(line)
                else:
                    self._ask(line)
            except Exception:  # noqa: BLE001 - a feed with a defect must not end the others
                _LOG.exception("a feed failed", extra={"fields": {"feed": line.feed.label}})
                with self._changed:
                    self._changed.wait(_PAUSE_SECONDS)

    def _tell(self, line: _Line) -> bool:
        """Tell the feed what became of what it gave; whether that was the last of it."""
        with self._changed:
            settled, returned, closing = line.settled, line.returned, self._closing
            line.settled, line.returned = [], []
        if settled:
            line.feed.settle(settled)
        for delivery, error in returned:
            line.feed.give_back(delivery, error)
        with self._changed:
            line.open -= len(settled) + len(returned)
            if returned:  # They are to come again.
                line.over = False
            self._changed.notify_all()
        return closing

    def _rest(self, line: _Line) -> None:
        with self._changed:
            if not line.settled and not line.returned and not self._closing:
                self._changed.wait(_WAIT_SECONDS)

    def _ask(self, line: _Line) -> None:
        arrived = line.feed.receive(_WAIT_SECONDS)
        with self._changed:
            line.idle = not arrived
            line.empty = 0 if arrived else line.empty + 1
            line.over = not arrived and (line.feed.finished() or (self._once and self._has_given_all(line)))
            for delivery in arrived:
                while not self._has_room(_MOST_BYTES) and not self._stopping:
                    self._changed.wait(_WAIT_SECONDS)
                line.open += 1
                self._waiting.append((line, delivery))
                self._bytes += delivery.size or 0
            self._changed.notify_all()

    def _has_given_all(self, line: _Line) -> bool:
        """Whether a feed has nothing more for now: what it waits for, such as a file being written, does not come."""
        return not line.feed.status().waiting or line.empty >= _MOST_EMPTY
