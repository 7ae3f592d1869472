"""What a source is: the protocol, the objects it lists, the window of time, and what it passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from keytrail.aws import AwsSettings
from keytrail.errors import ObjectError

ObjectKind = Literal["events", "digest", "insight", "other"]

_EXAMPLES = 3
_FIRST_DAY, _LAST_DAY = "0000/00/00", "9999/99/99"


class SourceObject(NamedTuple):
    """One object to read: the key that `Source.read` takes, and its stored size in bytes (None: unknown)."""

    key: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Days:
    """An inclusive span of day folders, written `yyyy/mm/dd` so that text order is time order.

    >>> january = Days("2024/01/30", "2024/02/01")
    >>> january.touches("2024"), january.touches("2024/02"), january.touches("2024/02/02")
    (True, True, False)
    """

    first: str = _FIRST_DAY
    last: str = _LAST_DAY

    def touches(self, folder: str) -> bool:
        """Return whether the folder of a year, month or day (`2024`, `2024/01`, `2024/01/30`) holds one of the days."""
        length = len(folder)
        return self.first[:length] <= folder <= self.last[:length]

    def __str__(self) -> str:
        if self.last == _LAST_DAY:
            return f"from {self.first} on"
        return f"up to {self.last}" if self.first == _FIRST_DAY else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The event times asked for: aware times, `until` exclusive, None without bound."""

    since: datetime | None = None
    until: datetime | None = None

    def days(self) -> Days | None:
        """Return the days under whose folders such events are delivered, or None when the window is unbounded.

        A folder is dated by delivery (UTC), which trails the event by minutes and so may cross midnight: one day more.

        >>> TimeWindow(datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC)).days()
        Days(first='2024/01/30', last='2024/01/31')
        """
        if self.since is None and self.until is None:
            return None
        first, last = _FIRST_DAY, _LAST_DAY
        if self.since is not None:
            first = _day(self.since.astimezone(UTC))
        if self.until is not None:
            last_event = self.until.astimezone(UTC) - timedelta(microseconds=1)
            last = _day(last_event + timedelta(days=1)) if last_event.year < 9999 else _LAST_DAY
        return Days(first, last)


def _day(time: datetime) -> str:
    return f"{time.year:04}/{time.month:02}/{time.day:02}"


@dataclass(slots=True)
class Skipped:
    """What a listing passed over, counted by reason, each with its first few names.

    A folder that is passed over as a whole counts once. Folders of days outside the window are counted apart, in
    `days_outside`: leaving them out is what was asked for.
    """

    digest: int = 0
    insight: int = 0
    other: int = 0
    days_outside: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Objects and folders passed over, those outside the window not counted."""
        return self.digest + self.insight + self.other

    def add(self, kind: ObjectKind, name: str) -> None:
        """Count `name` as passed over because it is of `kind`."""
        if kind == "digest":
            self.digest += 1
        elif kind == "insight":
            self.insight += 1
        else:
            self.other += 1
        self._remember(kind, name)

    def add_day(self, name: str) -> None:
        """Count the folder `name` as outside the window."""
        self.days_outside += 1
        self._remember("day", name)

    def merge(self, others: Skipped) -> None:
        """Add what another listing passed over."""
        self.digest += others.digest
        self.insight += others.insight
        self.other += others.other
        self.days_outside += others.days_outside
        for kind, names in others.examples.items():
            for name in names:
                self._remember(kind, name)

    def _remember(self, kind: str, name: str) -> None:
        names = self.examples.setdefault(kind, [])
        if len(names) < _EXAMPLES:
            names.append(name)

    def __str__(self) -> str:
        """Return one line such as `2 other files (a.txt, b.csv), 1 digest file or folder (CloudTrail-Digest/)`."""
        parts = [
            _counted(self.other, "other", self.examples.get("other", ())),
            _counted(self.digest, "digest", self.examples.get("digest", ())),
            _counted(self.insight, "insight", self.examples.get("insight", ())),
        ]
        if self.days_outside:
            names, plural = ", ".join(self.examples.get("day", ())), "s" * (self.days_outside != 1)
            parts.append(f"{self.days_outside} date folder{plural} outside the window ({names})")
        return ", ".join(filter(None, parts))


def _counted(count: int, kind: str, examples: list[str] | tuple[str, ...]) -> str:
    if not count:
        return ""
    more = ", …" if count > len(examples) else ""
    return f"{count} {kind} {'files or folders' if count != 1 else 'file or folder'} ({', '.join(examples)}{more})"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Limits of sources. Sizes in bytes, as stored (before inflating).

    `chunk_bytes`: what is read at a time; a smaller object comes in one piece.
    `stdin_max_bytes`: more than this on standard input is refused.
    `lookup_days`: how far `aws://` looks back without `--since`; AWS keeps 90.
    `lookup_calls_per_second`: in each region; AWS allows 2, shared by all who look.
    `list_page_keys`: keys a page of an S3 listing, 1 to 1,000.
    `search_listings`: S3 listings spent on finding `AWSLogs/` below the prefix.
    `read_attempts`: tries without progress before an S3 object is given up.
    `read_ahead`: S3 objects that one process fetches at a time.
    """

    aws: AwsSettings = field(default_factory=AwsSettings)
    chunk_bytes: int = 4 << 20
    stdin_max_bytes: int = 64 << 30
    lookup_days: int = 7
    lookup_calls_per_second: float = 2.0
    list_page_keys: int = 1000
    search_listings: int = 100
    read_attempts: int = 4
    read_ahead: int = 8


class Source(Protocol):
    """A place that holds stored objects. Picklable: one process lists, any process reads (if `parallel`)."""

    @property
    def label(self) -> str:
        """What the user wrote."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether other processes can read; if not, the one that lists reads each object, once, soon after listing."""
        ...

    @property
    def skipped(self) -> Skipped:
        """What the last listing passed over; complete when `objects` is exhausted."""
        ...

    @property
    def problems(self) -> list[ObjectError]:
        """What the last listing could not look into (an unreadable folder); the rest was listed."""
        ...

    @property
    def notes(self) -> list[str]:
        """What the user should know about what this source cannot show; complete when `objects` is exhausted."""
        ...

    @property
    def read_ahead(self) -> int:
        """How many small objects a process should fetch at once: more than 1 where each costs a round trip."""
        ...

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        """Yield the objects that may hold events of the window, in a fixed order.

        Raises SourceError when the source cannot be reached, and, at the end, when it held nothing to read.
        """
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the stored bytes of an object, in chunks.

        Raises ObjectError when this object cannot be read, SourceError when the source is no longer reachable.
        """
        ...

    def name(self, key: str) -> str:
        """Return how to show the object: a path, s3://bucket/key, aws://region/…"""
        ...
