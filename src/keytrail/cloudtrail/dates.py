"""Dates as Elasticsearch's date processor reads and writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_ZONE = r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)"
_ISO8601 = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:T(?P<hour>\d\d)"
    r"(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?" + _ZONE + r"?)?)?)?",
    re.ASCII,
)
_BASIC = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    r"(?:\.(?P<fraction>\d{3}))?" + _ZONE,
    re.ASCII,
)


def iso_date(value: object, *, basic: bool = False) -> str | None:
    """Return an ISO 8601 date as UTC text with milliseconds, None when `value` is not one; `basic` allows 20191002T…Z.

    A date without a zone is UTC; finer digits are cut.

    >>> iso_date("2019-10-02T23:12:29.1239+01:00"), iso_date("yesterday")
    ('2019-10-02T22:12:29.123Z', None)
    """
    if not isinstance(value, str):
        return None
    try:
        if _USUAL.fullmatch(value):
            datetime.fromisoformat(value)
            return f"{value[:-1]}.000Z"
        match = _ISO8601.fullmatch(value) or (_BASIC.fullmatch(value) if basic else None)
        return utc_text(_moment(match)) if match else None
    except (ValueError, OverflowError):
        return None


def utc_text(moment: datetime) -> str:
    """Return an aware `moment` as UTC text with milliseconds.

    >>> utc_text(datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T00:00:00.000Z'
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing: give an aware datetime")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _moment(match: re.Match[str]) -> datetime:
    year, month, day = (int(match[name] or 1) for name in ("year", "month", "day"))
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    micros = int((match["fraction"] or "0").ljust(6, "0")[:6])
    return datetime(year, month, day, hour, minute, second, micros, tzinfo=_zone(match["zone"]))


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if text[0] == "-" else offset)
