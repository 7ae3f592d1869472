"""What a feed is: where what is new arrives, piece by piece, and is settled once it is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keytrail.errors import KeytrailError


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """Something that arrived: an object of a trail, or the records of a message. Two are equal if they are the same.

    `identity` is what the ledger knows it by once it was committed (bucket, key and ETag; path, size and time of a
    file); "" where only the records tell what is a repetition. `read` gives the bytes as stored, in any layout that
    `cloudtrail.read_items` knows; it may be called again, from another thread, and raises ObjectError or SourceError.
    `marks` are to be stored in the transaction that commits the records, for `Ledger.mark`. `receipt` is the feed's.
    """

    name: str
    identity: str
    read: Callable[[], Iterator[bytes]]
    size: int | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    receipt: object = None


class Ledger(Protocol):
    """What was committed before, as far as a feed has to know. May be called from any thread."""

    def known(self, identities: Sequence[str]) -> frozenset[str]:
        """Those of the identities that were committed."""
        ...

    def mark(self, name: str) -> str | None:
        """The latest mark of that name that was committed."""
        ...


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed is: `problem` what last failed, None when it works; `lag_seconds` how far behind it knows itself.

    `notes` say what it cannot show; `set_aside` counts what it could not take and will not try again by itself.
    """

    problem: KeytrailError | None = None
    since: datetime | None = None
    lag_seconds: float | None = None
    waiting: int | None = None
    set_aside: int = 0
    notes: tuple[str, ...] = ()


class Feed(Protocol):
    """Where new objects and records arrive. Used by one thread, but for `status` and `close`.

    Delivery is at-least-once: what was received and not settled comes again, in this process or the next. A failure of
    the network or of AWS is not raised but told by `status`, and tried again with growing pauses.
    """

    label: str

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        """What has arrived and is not under way: at once if there is something, else after at most so long."""
        ...

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """These are committed: the queue may forget them."""
        ...

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        """This could not be taken; it is to come again after a pause, or to be set aside."""
        ...

    def finished(self) -> bool:
        """Whether nothing can arrive any more: the end of standard input."""
        ...

    def status(self) -> FeedStatus: ...

    def close(self) -> None:
        """Let go of everything; what was not settled comes again."""
        ...
