"""How far one run of LookupEvents is: looks over stretches of time, page by page, and what may be forgotten when. Pure.

A full look covers a stretch from where everything is complete. Its last page carries the mark, and goes out when all
others are settled: a mark that is committed says that everything before it is. Since events appear up to 15 minutes
late, nothing younger than the overlap is ever complete; between two full looks over the overlap, quick ones stop at
the first page without anything new (answers are newest first).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# Ids that are remembered to leave out what comes again; the lake knows the others.
MOST_SEEN = 200_000
# Pages that may be under way at a time, of one stream.
_PAGES = 20
_PAGE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A page to hand out: NDJSON, its number in the stream, the marks that go with it."""

    number: int
    data: bytes
    marks: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Look:
    since: datetime
    until: datetime
    began: datetime
    full: bool
    token: str = ""
    held: bytes = b""
    under_way: set[int] = field(default_factory=set)
    through: bool = False
    failures: int = 0


@dataclass(slots=True)
class Stream:
    """The events of one account and Region, or (`kms`) those of KMS alone. `due` is monotonic, in seconds."""

    name: str
    mark: str
    kms: bool
    complete: datetime
    overlap: timedelta
    slice: timedelta
    reached: datetime | None = None
    due: float = float("-inf")
    _look: _Look | None = None
    _full_at: datetime | None = None
    _numbers: int = 0

    @property
    def idle(self) -> bool:
        """Whether no look is under way."""
        return self._look is None

    @property
    def live(self) -> bool:
        """Whether all up to the present was handed out, and no look is under way."""
        return self._look is None and self._full_at is not None

    def begin(self, now: datetime) -> None:
        """Start a look, if none is under way."""
        if self._look is not None:
            return
        behind = now - self.complete > self.overlap + self.slice
        # Half an overlap, so that nothing is older than the overlap before a full look has come by.
        full = behind or self._full_at is None or now - self._full_at >= self.overlap / 2
        self._look = _Look(self.complete, self.complete + self.slice if behind else now, now, full)

    def asks(self) -> tuple[datetime, datetime, str] | None:
        """What to ask for next (since, until, the token of the page); None while settling has to come first."""
        look = self._look
        if look is None or look.through or len(look.under_way) >= _PAGES:
            return None
        return look.since, look.until, look.token

    def answered(self, data: bytes, token: str) -> list[Piece]:
        """Take a page, of which `data` is what is new, and the token of the next one; what can be handed out now."""
        look = self._look
        assert look is not None  # only what was asked for is answered
        pieces = [self._piece(look, look.held)] if data and look.held else []
        look.held = data or look.held
        look.failures = 0
        look.token = token
        look.through = not token or (not look.full and not data)
        return pieces

    def failed(self) -> None:
        """Ask for the page again. If that does not help its token may be stale: then for the stretch, from its first
        page and whole; what came already is left out as seen."""
        look = self._look
        assert look is not None  # only what was asked for fails
        look.failures += 1
        if look.failures % _PAGE_TRIES == 0:
            look.token, look.full = "", True

    def last(self) -> Piece | None:
        """The last page of a look, once the others are settled."""
        look = self._look
        if look is None or not look.through or look.under_way or not look.held:
            return None
        data, look.held = look.held, b""
        marks = {self.mark: self._end(look).isoformat()} if look.full else {}
        return self._piece(look, data, marks)

    def settled(self, number: int) -> None:
        """A page is committed, or given up."""
        if self._look is not None:
            self._look.under_way.discard(number)

    def finish(self) -> bool | None:
        """End a look of which everything is settled: whether it came up to the present. None while there is more."""
        look = self._look
        if look is None or not look.through or look.under_way or look.held:
            return None
        live = look.until >= look.began
        if look.full:
            self.complete = max(self.complete, self._end(look))
            if live:
                self._full_at = look.began
        self.reached = look.until
        self._look = None
        return live

    def _piece(self, look: _Look, data: bytes, marks: dict[str, str] | None = None) -> Piece:
        self._numbers += 1
        look.under_way.add(self._numbers)
        return Piece(self._numbers, data, marks or {})

    def _end(self, look: _Look) -> datetime:
        return max(self.complete, min(look.until, look.began - self.overlap))


def read_mark(text: str | None) -> datetime | None:
    """The time that a mark says, None without a usable one.

    >>> read_mark("2026-03-10T12:00:00+00:00").hour, read_mark("yesterday")
    (12, None)
    """
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None
