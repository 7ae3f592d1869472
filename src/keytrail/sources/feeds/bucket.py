"""A bucket as a feed, by listing: the folders of today and yesterday often, all others now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from keytrail.errors import KeytrailError, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, FeedStatus, Ledger
from keytrail.sources.feeds.queue import object_identity
from keytrail.sources.feeds.returns import Later, Returned
from keytrail.sources.feeds.timing import FeedClock, Trouble, problem_of
from keytrail.sources.layout import EXPECTED, date_of
from keytrail.sources.model import TimeWindow
from keytrail.sources.s3 import S3Source, StoredObject
from keytrail.text import for_terminal

_log = logging.getLogger(__name__)

# Listing may take one part in so many of the time: a prefix without date folders is listed whole each time.
_DUTY = 10
# A page is handed on after so long even if it is not full: accounts and Regions are a call each.
_PAGE_SECONDS = 1.0
_LATER = 10_000


class BucketFeed:
    """The objects below a prefix that are not committed yet.

    The quick listing covers the date folders from yesterday (UTC) on, of whatever accounts and Regions there are by
    then; the slow one all from the start date on, the first time, and `s3_full_days` back after that. How far the slow
    one was through is a mark, so that a restart after a long time goes on there. A listing that fails begins again:
    what is committed costs it a call for a thousand keys.
    """

    def __init__(self, source: S3Source, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> None:
        self.label = source.label
        self._quick_source = source
        self._slow_source = S3Source(source.label, source.settings, source.bucket, source.prefix)
        self._settings, self._ledger, self._clock = settings, ledger, clock
        self._trouble = Trouble(clock, settings.first_pause_seconds, settings.longest_pause_seconds)
        self._returned = Returned(settings, clock)
        self._later = Later(clock, _LATER)
        self._under_way: set[str] = set()
        self._closed = threading.Event()
        first = settings.s3_since
        self._mark = f"s3://{source.bucket}/{source.prefix} since {first or 'the first start'}"
        self._since: date | None = None
        self._quick: Iterator[StoredObject] | None = None
        self._slow: Iterator[StoredObject] | None = None
        self._next_quick = self._next_slow = float("-inf")
        self._started = float("-inf")
        self._complete: float | None = None
        self._slow_from: date | None = None
        self._slow_open = 0
        self._seen_any = False

    # -- the feed ------------------------------------------------------------------------------------------------------

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        end = self._clock.monotonic() + wait_seconds
        while not self._closed.is_set():
            if due := self._later.due():
                self._under_way.update(delivery.identity for delivery in due)
                return due
            room = len(self._under_way) < self._settings.max_under_way
            if room and self._pause_after_failure() <= 0 and (found := self._look()):
                return found
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            self._clock.wait(self._closed, min(left, self._pause_seconds(room)))
        return ()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._under_way.discard(delivery.identity)
            self._returned.settled(delivery.identity)

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        self._under_way.discard(delivery.identity)
        seconds = self._returned.give_back(delivery.identity, delivery.name, error)
        if seconds is None:
            _log.warning("%s set aside: %s", for_terminal(delivery.name), for_terminal(error.what))
        else:
            self._later.add(delivery, seconds)

    def finished(self) -> bool:
        return False

    def status(self) -> FeedStatus:
        notes = [*self._returned.notes, *dict.fromkeys((*self._quick_source.notes, *self._slow_source.notes))]
        if self._complete is not None and not self._seen_any:
            notes.append(f"no CloudTrail object lies there yet; expected {EXPECTED}")
        problem, since = problem_of(self._trouble, self._returned.trouble)
        lag = None if self._complete is None else self._clock.monotonic() - self._complete
        return FeedStatus(
            problem,
            since,
            lag,
            # A listing that is under way may find more; how much nobody knows.
            int(self._complete is None or self._quick is not None or self._slow is not None),
            self._returned.set_aside,
            tuple(notes),
        )

    def close(self) -> None:
        self._closed.set()

    # -- listing -------------------------------------------------------------------------------------------------------

    def _look(self) -> list[Delivery]:
        """One page of the listing that is due, the quick one first; nothing when none is."""
        now = self._clock.monotonic()
        if self._quick is None and now >= self._next_quick:
            self._quick = self._quick_source.listed(_from(self._today() - timedelta(days=1)))
            self._started = now
        if self._slow is None and now >= self._next_slow:
            self._slow_from, self._slow_open = self._start(), 0
            self._slow = self._slow_source.listed(_from(self._slow_from))
        try:
            if self._quick is not None:
                page, whole = self._page(self._quick)
                found = self._new(page, self._today() - timedelta(days=1))
                if whole:
                    self._quick, self._complete = None, self._started
                    took = self._clock.monotonic() - self._started
                    self._next_quick = self._started + max(self._settings.s3_poll_seconds, _DUTY * took)
            elif self._slow is not None and self._slow_from is not None:
                page, whole = self._page(self._slow)
                found = self._new(page, self._slow_from, slow=True)
                if whole:
                    self._slow = None
                    self._next_slow = self._clock.monotonic() + self._settings.s3_full_seconds
                    if not self._slow_open:
                        self._since = max(self._slow_from, self._today() - timedelta(days=self._settings.s3_full_days))
            else:
                return []
        except SourceError as error:
            self._failed(error)
            self._quick = self._slow = None
            return []
        self._trouble.worked()
        return found

    def _page(self, listing: Iterator[StoredObject]) -> tuple[list[StoredObject], bool]:
        """The next objects of a listing, and whether it is through."""
        started, page = self._clock.monotonic(), list[StoredObject]()
        for item in listing:
            page.append(item)
            if len(page) >= self._settings.source.list_page_keys or self._clock.monotonic() - started >= _PAGE_SECONDS:
                return page, False
        return page, True

    def _new(self, page: Sequence[StoredObject], first: date, *, slow: bool = False) -> list[Delivery]:
        """What of a page is to be taken in."""
        self._seen_any = self._seen_any or bool(page)
        start = datetime.combine(first, time(), UTC)
        # The listing left out date folders before the first day; elsewhere only the object's own time tells.
        page = [item for item in page if date_of(item.key) is not None or item.written >= start]
        identities = {object_identity(self._quick_source.bucket, item.key, item.etag): item for item in page}
        if not identities:
            return []
        known = self._ledger.known(list(identities))
        left = [one for one in identities if one not in known and not self._returned.is_aside(one)]
        if slow:
            self._slow_open += len(left)
        marks = {self._mark: str(self._start())}
        found = []
        for identity in left:
            if identity in self._under_way or self._returned.held(identity):
                continue
            item = identities[identity]
            self._under_way.add(identity)
            found.append(
                Delivery(
                    self._quick_source.name(item.key),
                    identity,
                    partial(self._quick_source.read, item.key, item.etag),
                    item.size,
                    marks,
                )
            )
        return found

    def _start(self) -> date:
        """The day from which on everything is to be had: as set, as committed, or yesterday."""
        if self._since is None:
            first = self._settings.s3_since or self._today() - timedelta(days=1)
            try:
                self._since = date.fromisoformat(self._ledger.mark(self._mark) or "")
            except ValueError:
                self._since = first
        return self._since

    def _pause_seconds(self, room: bool) -> float:
        """Seconds until there may be something to do."""
        if (left := self._pause_after_failure()) > 0:
            return left
        if self._quick is not None or self._slow is not None:
            return 0.0 if room else 1.0
        now = self._clock.monotonic()
        return min(max(min(self._next_quick, self._next_slow) - now, 0.0), 1.0)

    def _pause_after_failure(self) -> float:
        return max(self._trouble.left_seconds(), self._returned.trouble.left_seconds())

    def _failed(self, error: SourceError) -> None:
        if self._trouble.problem is None:
            _log.warning("%s: %s", for_terminal(self.label), for_terminal(error.what))
        self._trouble.failed(error)

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()


def _from(day: date) -> TimeWindow:
    return TimeWindow(datetime.combine(day, time(), UTC))
