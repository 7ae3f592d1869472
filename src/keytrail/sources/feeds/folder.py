"""A folder as a feed: new files by looking, and at once where the kernel tells of them."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from keytrail.errors import KeytrailError, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, FeedStatus, Ledger
from keytrail.sources.feeds.notices import Notices
from keytrail.sources.feeds.returns import Returned
from keytrail.sources.feeds.timing import FeedClock, Trouble, problem_of
from keytrail.sources.feeds.tree import FileAt, entries, file_at, is_hidden
from keytrail.sources.files import FileSource
from keytrail.sources.layout import date_of, kind_of_delivery
from keytrail.sources.model import Days, TimeWindow
from keytrail.text import for_terminal

_log = logging.getLogger(__name__)

_PAGE_FILES = 500
_WARM_FOLDERS = 10_000
_LATER_FILES = 10_000
# Looking may take one part in so many of the time.
_DUTY = 20
# File systems date changes by a clock that ticks: what happens within one tick of a look can be missed by it.
_TICK_SECONDS = 2.0
# A file that is written on in its place changes nothing in its folder, so a lively folder is listed once more.
_LIVELY_SECONDS = 600.0
_RELIST_SECONDS = 10.0
_STEP_SECONDS = 0.2
_ANY_NAME = "x.json"


@dataclass(slots=True)
class _Warm:
    """A folder where files are to be expected. Files whose inode changed before `clean_ns` are all committed."""

    mtime_ns: int = -1
    clean_ns: int = 0
    changed: float = float("-inf")
    listed: float = float("-inf")
    took_seconds: float = 0.0
    settled: bool = False


@dataclass(slots=True)
class _Seen:
    """A file that waits until nobody writes on it any more, or until it may come again."""

    file: FileAt
    since: float
    not_before: float = float("-inf")


class FolderFeed:
    """The files below a folder that are not committed yet, each once it has settled.

    All is listed at a slow beat. In between, folders of today, of yesterday and without a date are looked at: a look
    asks the disk for one time-stamp, and lists the folder only when that has changed. Memory holds no file that is
    committed.
    """

    def __init__(self, text: str, path: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> None:
        self.label = text
        self._root = os.path.abspath(path)
        self._settings, self._ledger, self._clock = settings, ledger, clock
        self._source = FileSource(text, settings.source, self._root)
        self._trouble = Trouble(clock, settings.first_pause_seconds, settings.longest_pause_seconds)
        self._returned = Returned(settings, clock)
        self._warm: dict[str, _Warm] = {}
        self._due: deque[str] = deque()
        self._steps: deque[Iterator[None]] = deque()
        self._full: Iterator[None] | None = None
        self._next_full = float("-inf")
        self._next_look = float("-inf")
        self._waiting: dict[str, _Seen] = {}
        self._later: dict[str, _Seen] = {}
        self._under_way: dict[str, FileAt] = {}
        self._woken = threading.Event()
        self._closed = False
        self._notices: Notices | None = None
        self._polls = ""
        self._unseen: dict[str, str] = {}
        self._crowded = False
        self._looked = False

    # -- the feed ------------------------------------------------------------------------------------------------------

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        end = self._clock.monotonic() + wait_seconds
        while not self._closed:
            self._woken.clear()
            if self._trouble.left_seconds() <= 0:
                self._look()
            if found := self._ready():
                return found
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            # What is left of the tree is gone on with at once, as long as there is room for what it gives.
            busy = bool(self._steps or self._full) and self._has_room() and self._trouble.left_seconds() <= 0
            if not busy:
                self._clock.wait(self._woken, min(left, self._settings.folder_poll_seconds))
        return ()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._under_way.pop(delivery.identity, None)
            self._returned.settled(delivery.identity)

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        file = self._under_way.pop(delivery.identity, None)
        seconds = self._returned.give_back(delivery.identity, delivery.name, error)
        if seconds is None:
            _log.warning("%s set aside: %s", for_terminal(delivery.name), for_terminal(error.what))
        elif file is not None:
            now = self._clock.monotonic()
            self._later[file.path] = _Seen(file, now, now + seconds)
            if len(self._later) > _LATER_FILES:
                # The slow walk finds it again.
                self._later.pop(next(iter(self._later)))

    def finished(self) -> bool:
        return False

    def status(self) -> FeedStatus:
        notes = list(self._returned.notes)
        if self._polls:
            notes.append(f"new files are found by looking only: {self._polls}")
        if unseen := tuple(self._unseen.items()):
            path, reason = unseen[0]
            notes.append(f"{len(unseen)} folders cannot be looked into (the first: {path}: {reason})")
        if self._crowded:
            notes.append(
                f"more than {_WARM_FOLDERS} folders without a date: new files in the others are found every "
                f"{self._settings.folder_full_seconds:.0f} s"
            )
        problem, since = problem_of(self._trouble, self._returned.trouble)
        oldest = min((seen.since for seen in tuple(self._waiting.values())), default=None)
        lag = 0.0 if oldest is None else self._clock.monotonic() - oldest
        return FeedStatus(
            problem,
            since,
            lag,
            len(self._waiting) + int(self._full is not None or not self._looked),
            self._returned.set_aside,
            tuple(notes),
        )

    def close(self) -> None:
        self._closed = True
        self._woken.set()
        if self._notices is not None:
            self._notices.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Do what is due, up to a bounded time."""
        try:
            # Readable at all? An error further down is a note, here it is the problem.
            os.close(os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            self._failed(error)
            return
        self._trouble.worked()
        now = self._clock.monotonic()
        self._take_notices()
        if now >= self._next_look:
            self._look_at_warm(now)
            self._next_look = self._clock.monotonic() + max(
                self._settings.folder_poll_seconds, _DUTY * (self._clock.monotonic() - now)
            )
        if self._full is None and now >= self._next_full:
            self._full = self._walk(self._root, count=True)
        while self._has_room() and self._clock.monotonic() - now < _STEP_SECONDS and self._step():
            pass

    def _step(self) -> bool:
        """Go on with the most urgent listing; whether there was one."""
        while self._due and not self._steps:
            self._steps.append(self._relist(self._due.popleft()))
        if self._steps:
            if next(self._steps[0], self) is self:
                self._steps.popleft()
            return True
        if self._full is None:
            return False
        if next(self._full, self) is self:
            self._full, self._looked = None, True
            self._next_full = self._clock.monotonic() + self._settings.folder_full_seconds
        return True

    def _walk(self, top: str, *, count: bool = False) -> Iterator[None]:
        """List a tree, whatever was found clean before."""
        stack, folders = [top], 0
        if count:
            self._unseen.clear()
        while stack:
            path = stack.pop()
            folders += 1
            warm = self._warmed(path)
            if warm is not None:
                warm.clean_ns = 0
            below = yield from self._list(path, warm)
            stack += sorted(below, reverse=True)
        if count and self._notices is None and not self._polls:
            self._start_notices(folders)

    def _relist(self, path: str) -> Iterator[None]:
        """List a warm folder, and those in it that are new, for what is not clean."""
        warm = self._warm.get(path)
        if warm is None:
            return
        for below in (yield from self._list(path, warm)):
            if below not in self._warm and self._warmed(below) is not None:
                self._due.append(below)

    def _list(self, path: str, warm: _Warm | None) -> Generator[None, None, list[str]]:
        started = self._clock.monotonic()
        folders: list[str] = []
        page: list[FileAt] = []
        newest_ns, open_ns = 0, None
        clean_ns = warm.clean_ns if warm is not None else 0
        try:
            mtime_ns = os.stat(path).st_mtime_ns
            for entry in entries(self._root, path):
                if isinstance(entry, str):
                    folders.append(entry)
                    continue
                newest_ns = max(newest_ns, entry.ctime_ns)
                if entry.ctime_ns < clean_ns:
                    continue
                page.append(entry)
                if len(page) >= _PAGE_FILES:
                    open_ns = _least(open_ns, self._take(page))
                    page = []
                    yield
        except OSError as error:
            if path in self._warm:
                del self._warm[path]
            if not isinstance(error, FileNotFoundError | NotADirectoryError) and len(self._unseen) < _WARM_FOLDERS:
                self._unseen[path] = error.strerror or type(error).__name__
            mtime_ns, warm = -1, None
        open_ns = _least(open_ns, self._take(page))
        if warm is not None:
            warm.listed = self._clock.monotonic()
            warm.took_seconds = warm.listed - started
            warm.settled = warm.mtime_ns == mtime_ns
            if not warm.settled:
                warm.changed = started
            warm.mtime_ns = mtime_ns
            warm.clean_ns = (newest_ns if open_ns is None else min(open_ns, newest_ns)) - int(_TICK_SECONDS * 1e9)
        yield
        return folders

    def _take(self, files: Sequence[FileAt]) -> int | None:
        """Let those wait that are not committed; the oldest change of an inode among them."""
        if not files:
            return None
        known = self._ledger.known([file.identity for file in files])
        left = [file for file in files if file.size and file.identity not in known]
        now = self._clock.monotonic()
        for file in left:
            if file.identity not in self._under_way and not self._returned.held(file.identity):
                seen = self._waiting.get(file.path)
                if seen is None or seen.file.identity != file.identity:
                    self._waiting[file.path] = _Seen(file, now)
        return min((file.ctime_ns for file in left if not self._returned.is_aside(file.identity)), default=None)

    def _look_at_warm(self, now: float) -> None:
        wanted = self._days()
        for path, warm in list(self._warm.items()):
            if (date := date_of(f"{path}/")) is not None and not wanted.touches(date):
                del self._warm[path]
                continue
            if now < warm.listed + _DUTY * warm.took_seconds:
                continue
            try:
                mtime_ns = os.stat(path).st_mtime_ns
            except OSError:
                del self._warm[path]
                continue
            waited = now - warm.listed
            again = not warm.settled and waited >= _TICK_SECONDS
            lively = now - warm.changed < _LIVELY_SECONDS and waited >= _RELIST_SECONDS
            if mtime_ns != warm.mtime_ns or again or lively:
                warm.listed = now
                self._due.append(path)

    def _warmed(self, path: str) -> _Warm | None:
        """The state of a folder that is to be looked at often; None for another one."""
        if (warm := self._warm.get(path)) is not None:
            return warm
        if (date := date_of(f"{path}/")) is not None and not self._days().touches(date):
            return None
        if len(self._warm) >= _WARM_FOLDERS:
            self._crowded = True
            return None
        self._warm[path] = warm = _Warm()
        return warm

    def _days(self) -> Days:
        """From yesterday on; also tomorrow, where a clock is ahead."""
        return TimeWindow(self._clock.now() - timedelta(days=1)).days() or Days()

    # -- notices -------------------------------------------------------------------------------------------------------

    def _start_notices(self, folders: int) -> None:
        if not self._settings.folder_notices:
            self._polls = "folder_notices is off"
        elif folders > self._settings.folder_max_watched:
            self._polls = f"{folders} folders are more than folder_max_watched ({self._settings.folder_max_watched})"
        else:
            self._notices = Notices(self._root, self._woken)

    def _take_notices(self) -> None:
        if self._notices is None:
            return
        if self._notices.failed and not self._polls:
            self._polls = f"the kernel gives no notices ({self._notices.failed})"
        touched, overflowed = self._notices.take()
        if overflowed:
            self._next_full = float("-inf")
        files: list[FileAt] = []
        for path in touched:
            if not path.startswith(self._root) or is_hidden(self._root, path):
                continue
            if os.path.isdir(path):
                if path not in self._warm and kind_of_delivery(f"{path}/{_ANY_NAME}") == "events":
                    self._steps.append(self._walk(path))
            elif kind_of_delivery(path) == "events" and (file := file_at(path)) is not None:
                files.append(file)
        self._take(files)

    # -- handing out ---------------------------------------------------------------------------------------------------

    def _ready(self) -> list[Delivery]:
        """Those that have settled, as many as may be under way."""
        now, today = self._clock.monotonic(), self._clock.now().timestamp()
        settle_seconds = self._settings.folder_settle_seconds
        ready: list[FileAt] = []
        for path in [path for path, seen in self._later.items() if now >= seen.not_before]:
            self._waiting.setdefault(path, self._later.pop(path))
        for path, seen in list(self._waiting.items()):
            if len(self._under_way) + len(ready) >= self._settings.max_under_way:
                break
            file = file_at(path)
            if file is None or not file.size:
                del self._waiting[path]
            elif file.identity != seen.file.identity:
                self._waiting[path] = _Seen(file, now)
            elif now - seen.since >= settle_seconds or today - file.mtime_ns / 1e9 >= settle_seconds:
                ready.append(file)
                del self._waiting[path]
        if not ready:
            return []
        known = self._ledger.known([file.identity for file in ready])
        ready = [file for file in ready if file.identity not in known and file.identity not in self._under_way]
        self._under_way.update((file.identity, file) for file in ready)
        return [Delivery(file.path, file.identity, partial(self._source.read, file.path), file.size) for file in ready]

    def _has_room(self) -> bool:
        return len(self._waiting) < self._settings.max_under_way

    def _failed(self, error: OSError) -> None:
        if self._trouble.problem is None:
            _log.warning("%s: %s", for_terminal(self.label), error.strerror)
        self._full, self._next_full = None, float("-inf")
        self._trouble.failed(
            SourceError(
                f"{self.label}: {error.strerror}",
                advice="check the path, and that the service may list and read the folder; it is looked at again",
            )
        )


def _least(one: int | None, other: int | None) -> int | None:
    return min((n for n in (one, other) if n is not None), default=None)
