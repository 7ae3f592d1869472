"""Dates as Elasticsearch reads them: ISO forms of any precision, epoch milliseconds, date math.

Times are whole milliseconds since 1970 in UTC, as a `date` field holds them. A date that leaves out parts of a time
stands for a span: `2024-01` begins on the first of January and ends with its last millisecond.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# The mapping's default format: an ISO date (four digits alone are a year), else epoch milliseconds.
_ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
    r"(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_MILLIS = re.compile(r"-?\d{1,15}", re.ASCII)
_STEP = re.compile(r"/([yMwdhHms])|([+-])(\d{0,9})([yMwdhHms])", re.ASCII)
_MATH = re.compile(rf"(?:{_STEP.pattern})*", re.ASCII)
_LENGTHS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "H": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}


def resolve(text: str, now: datetime, *, up: bool) -> int:
    """Return the millisecond that a date of a query means; `up` asks for the last one of its span.

    Raises ValueError when it is no date or lies outside the years 1 to 9999.

    >>> now = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    >>> shown = lambda text, up: str(_EPOCH + resolve(text, now, up=up) * _MILLISECOND)
    >>> shown("2024-02", False), shown("2024-02", True)
    ('2024-02-01 00:00:00+00:00', '2024-02-29 23:59:59.999000+00:00')
    >>> shown("now-1w/w", False), shown("2024-01-31||+1M/d", True)
    ('2026-02-23 00:00:00+00:00', '2024-02-29 23:59:59.999000+00:00')
    """
    try:
        if text.startswith("now"):
            return _millis(_shifted(now.astimezone(UTC), text[3:], up))
        anchor, math, steps = text.partition("||")
        if math:
            return _millis(_shifted(_EPOCH + _parse(anchor)[0] * _MILLISECOND, steps, up))
        return _parse(text)[1 if up else 0]
    except OverflowError as error:
        raise ValueError("it lies outside the years 1 to 9999") from error


@lru_cache(maxsize=8192)
def milliseconds(text: str) -> int | None:
    """Return the time of a document's date, None when it is none."""
    try:
        return _parse(text)[0]
    except (ValueError, OverflowError):
        return None


def _parse(text: str) -> tuple[int, int]:
    """Return the first and the last millisecond of a date without math."""
    found = _ISO.fullmatch(text)
    if found is None:
        if not _MILLIS.fullmatch(text):
            raise ValueError("it has none of the forms of one")
        return int(text), int(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        start = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError as error:
        raise ValueError("there is no such day or time") from error
    start = start.replace(tzinfo=UTC)
    first = _millis(start) + int(((fraction or "") + "000")[:3]) - _offset(zone)
    if second:
        # Without a fraction the last millisecond of the second is meant; a fraction is exact.
        return first, first if fraction else first + 999
    unit = "m" if minute else "h" if hour else "d" if day else "M" if month else "y"
    return first, _millis(_next(start, unit)) - 1 - _offset(zone)


def _offset(zone: str | None) -> int:
    """Return a time zone's distance from UTC in milliseconds."""
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    if hours > 18 or minutes > 59:
        raise ValueError("there is no such time zone")
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60_000


def _shifted(time: datetime, steps: str, up: bool) -> datetime:
    """Apply date math, its steps from left to right."""
    if not _MATH.fullmatch(steps):
        raise ValueError("its math is not made of steps like +1d, -2w and /d")
    for unit, sign, count, step in _STEP.findall(steps):
        if unit:
            time = _floor(time, unit)
            if up:
                time = _next(time, unit) - _MILLISECOND
        else:
            time = _add(time, int(f"{sign}{count or 1}"), step)
    return time


def _floor(time: datetime, unit: str) -> datetime:
    """Return the start of the unit that `time` lies in; weeks begin on Monday."""
    if unit == "s":
        return time.replace(microsecond=0)
    if unit == "m":
        return time.replace(second=0, microsecond=0)
    if unit in "hH":
        return time.replace(minute=0, second=0, microsecond=0)
    day = time.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "w":
        return day - timedelta(days=day.weekday())
    return day if unit == "d" else day.replace(day=1) if unit == "M" else day.replace(month=1, day=1)


def _next(start: datetime, unit: str) -> datetime:
    return _add(start, 1, unit)


def _add(time: datetime, count: int, unit: str) -> datetime:
    """Move by calendar units; a day that the month does not have becomes its last."""
    if unit not in "yM":
        return time + count * _LENGTHS[unit]
    months = time.year * 12 + time.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return time.replace(year=year, month=month + 1, day=min(time.day, monthrange(year, month + 1)[1]))


def _millis(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND
