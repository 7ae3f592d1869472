"""Times as people give them on a command line: RFC 3339, a date, or an age such as 7d."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from keytrail.errors import UsageError

_AGE = re.compile(r"(\d{1,6})(s|m|h|d|w)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)([Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII
)
_EXAMPLES = "write an RFC 3339 time (2026-03-01T08:00:00Z), a date (2026-03-01) or an age (30m, 24h, 7d, 2w)"


def parse_time(text: str, now: datetime, *, name: str = "time") -> datetime:
    """Return the instant that `text` names, in UTC; an age counts back from `now`, no offset means UTC.

    Raises UsageError naming `name` (an option, say `--since`).

    >>> parse_time("7d", datetime(2026, 3, 8, tzinfo=UTC)).isoformat()
    '2026-03-01T00:00:00+00:00'
    >>> parse_time("2026-03-01T10:00:00+02:00", datetime.now(UTC)).isoformat()
    '2026-03-01T08:00:00+00:00'
    """
    stripped = text.strip()
    try:
        if age := _AGE.fullmatch(stripped):
            return now.astimezone(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        if instant := _INSTANT.fullmatch(stripped):
            date, clock, offset = instant[1], instant[2] or "00:00", (instant[3] or "Z").upper()
            return datetime.fromisoformat(f"{date}T{clock}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {text!r} is not a time that exists ({error})", advice=_EXAMPLES) from error
    raise UsageError(f"{name}: {text!r} is not a time", advice=_EXAMPLES)


def parse_window(since: str | None, until: str | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the instants of `--since` and `--until`; raises UsageError when nothing lies between them."""
    start = parse_time(since, now, name="--since") if since is not None else None
    end = parse_time(until, now, name="--until") if until is not None else None
    if start and end and start >= end:
        raise UsageError(
            f"--since ({start.isoformat()}) is not before --until ({end.isoformat()})",
            advice="exchange them, or leave one out",
        )
    return start, end
