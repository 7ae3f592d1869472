"""Standard input as a feed: NDJSON, handed on as it comes, in blocks bounded by bytes and time."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial

from keytrail.errors import KeytrailError, ObjectError, Place
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, FeedStatus
from keytrail.sources.feeds.returns import Later, Returned
from keytrail.sources.feeds.timing import FeedClock, Trouble, problem_of

_NAME = "standard input"
_READ_BYTES = 256 << 10
_SLICE_SECONDS = 0.1
# Blocks that are held until they are settled; further lines wait in the pipe, whose writer waits too.
_BLOCKS = 64
_NOTE = "what was read from standard input and not committed is lost when the service stops: it cannot be read again"


class LineFeed:
    """Whole lines of a pipe; `finished` once it has ended and everything is settled.

    A line of more than `stdin_max_line_bytes` is set aside. What is given back comes again, or is set aside too.
    """

    def __init__(self, settings: FeedSettings, clock: FeedClock, file: int | None = None) -> None:
        self.label = "-"
        self._settings, self._clock = settings, clock
        self._file = os.dup(sys.stdin.fileno() if file is None else file)
        self._returned = Returned(settings, clock)
        self._broken = Trouble(clock, settings.first_pause_seconds, settings.longest_pause_seconds)
        self._later = Later(clock)
        self._under_way: set[str] = set()
        self._rest = bytearray()
        self._skipping = False
        self._ended = False
        self._lines = self._long_lines = 0
        self._closed = threading.Event()

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        if due := self._later.due():
            self._under_way.update(str(delivery.receipt) for delivery in due)
            return due
        if self.finished():
            return ()
        if self._ended or len(self._under_way) + len(self._later) >= _BLOCKS:
            self._clock.wait(self._closed, wait_seconds)
            return ()
        end = self._clock.monotonic() + wait_seconds
        found = list[bytes]()
        size = 0
        while not self._ended and size < self._settings.stdin_block_bytes:
            left = end - self._clock.monotonic()
            if not self._arrives(max(left, 0.0)):
                if left <= 0 or self._closed.is_set():
                    break
                continue
            whole = self._read()
            if whole and not found:
                # The first line sets how long the others may take to go with it.
                end = min(end, self._clock.monotonic() + self._settings.stdin_block_seconds)
            if whole:
                found.append(whole)
                size += len(whole)
        return (self._delivery(b"".join(found)),) if found else ()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._under_way.discard(str(delivery.receipt))
            self._returned.settled(str(delivery.receipt))

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        token = str(delivery.receipt)
        self._under_way.discard(token)
        if (seconds := self._returned.give_back(token, delivery.name, error)) is not None:
            self._later.add(delivery, seconds)

    def finished(self) -> bool:
        return self._ended and not self._under_way and not len(self._later)

    def status(self) -> FeedStatus:
        problem, since = problem_of(self._broken, self._returned.trouble)
        return FeedStatus(
            problem,
            since,
            waiting=len(self._later),
            set_aside=self._returned.set_aside,
            notes=(_NOTE, *self._returned.notes),
        )

    def close(self) -> None:
        self._closed.set()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._ended = True

    def _arrives(self, seconds: float) -> bool:
        """Whether there is something to read; waits a moment for it, so that `close` is seen."""
        try:
            return bool(select.select([self._file], [], [], min(seconds, _SLICE_SECONDS))[0])
        except (OSError, ValueError):
            if self._closed.is_set():
                return False
            raise

    def _read(self) -> bytes:
        """The whole lines that are there now."""
        try:
            data = os.read(self._file, _READ_BYTES)
        except OSError as error:
            self._broken.note(ObjectError(f"cannot be read: {error.strerror}", place=Place(_NAME)))
            data = b""
        if not data:
            self._ended = True
            whole, self._rest = bytes(self._rest), bytearray()
            return whole + b"\n" if whole.strip() else b""
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return b""
            self._skipping = False
        cut = data.rfind(b"\n") + 1
        whole = b""
        if cut:
            whole = bytes(self._rest) + data[:cut]
            self._rest = bytearray()
        self._rest += data[cut:]
        if len(self._rest) > self._settings.stdin_max_line_bytes:
            limit = self._settings.stdin_max_line_bytes
            self._long_lines += 1
            self._returned.put_aside(f"line {self._long_lines}", _NAME, f"a line of more than {limit} bytes")
            self._rest, self._skipping = bytearray(), True
        return whole

    def _delivery(self, data: bytes) -> Delivery:
        first = self._lines + 1
        self._lines += data.count(b"\n")
        token = f"from {first}"
        self._under_way.add(token)
        return Delivery(f"{_NAME}, lines {first} to {self._lines}", "", partial(_one, data), len(data), receipt=token)


def _one(data: bytes) -> Iterator[bytes]:
    yield data
