"""Reads alert documents as plain JSON: what is missing or of another type reads as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from keytrail.fields import INVESTIGATION, value_at

Json = Mapping[str, object]

NOTHING: Json = {}


def text(value: object) -> str:
    """A single value as text, the first of a list, "" for anything else.

    >>> text(["a", "b"]), text(True), text({}), text(None)
    ('a', 'true', '', '')
    """
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else ""


def inner(value: object) -> Json:
    """An object, empty for anything else."""
    return value if isinstance(value, Mapping) else NOTHING


def objects(value: object) -> tuple[Json, ...]:
    """The objects of a list; an object alone is a list of one."""
    items = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(one for one in items if isinstance(one, Mapping))


def text_at(data: Json, name: str) -> str:
    """The value of a field as text."""
    return text(value_at(data, name))


def investigation_of(alert: Json) -> Json:
    """The investigation that an alert document carries, empty when it has none."""
    return inner(value_at(alert, INVESTIGATION))


def moment(value: str) -> datetime | None:
    """A time in RFC 3339 as an aware one in UTC, None when it is none.

    >>> moment("2026-03-06T22:27:30.000Z")
    datetime.datetime(2026, 3, 6, 22, 27, 30, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
