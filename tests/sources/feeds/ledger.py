"""A ledger in memory, and the little of the service that commits: what feeds are tested against."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from keytrail.errors import KeytrailError
from keytrail.sources.feeds import Delivery, Feed, FeedClock

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class MemoryLedger:
    """What was committed, and how it was asked."""

    def __init__(self) -> None:
        self.identities: set[str] = set()
        self.marks: dict[str, str] = {}
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def known(self, identities: Sequence[str]) -> frozenset[str]:
        with self._lock:
            self.asked.append(len(identities))
            return frozenset(self.identities.intersection(identities))

    def mark(self, name: str) -> str | None:
        return self.marks.get(name)

    def commit(self, feed: Feed, deliveries: Sequence[Delivery]) -> list[bytes]:
        """Read and keep, then settle; what was read. Raises what reading raises."""
        contents = [b"".join(delivery.read()) for delivery in deliveries]
        self.keep(feed, deliveries)
        return contents

    def keep(self, feed: Feed, deliveries: Sequence[Delivery]) -> None:
        """Commit without reading."""
        with self._lock:
            self.identities.update(delivery.identity for delivery in deliveries if delivery.identity)
            for delivery in deliveries:
                self.marks.update(delivery.marks)
        feed.settle(deliveries)

    def try_to_commit(self, feed: Feed, deliveries: Sequence[Delivery]) -> list[bytes]:
        """As the service does: what cannot be read is given back."""
        contents = []
        for delivery in deliveries:
            try:
                contents += self.commit(feed, [delivery])
            except KeytrailError as error:
                feed.give_back(delivery, error)
        return contents


class HandClock:
    """Time that passes only by waiting, or by `pass_by`."""

    def __init__(self, now: datetime = NOW) -> None:
        self.start, self.seconds = now, 1000.0
        self.waits: list[float] = []

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds

    def feed_clock(self) -> FeedClock:
        def wait(event: threading.Event, seconds: float) -> None:
            self.waits.append(seconds)
            self.seconds += seconds

        return FeedClock(
            now=lambda: self.start + timedelta(seconds=self.seconds - 1000.0),
            monotonic=lambda: self.seconds,
            wait=wait,
        )
