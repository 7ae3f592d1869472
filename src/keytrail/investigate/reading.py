"""Reads alert documents and investigations as plain JSON: what is missing or of another type reads as nothing.

A name is that of a member, or of a field whose name may be nested, dotted or both (see keytrail.fields).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from keytrail.fields import INVESTIGATION, value_at

Json = Mapping[str, object]
NOTHING: Json = {}


def text(data: Json, name: str) -> str:
    """A single value as text, the first of a list, "" for anything else.

    >>> text({"score": 87, "mfa": False, "error": None}, "score"), text({"mfa": False}, "mfa"), text({}, "error")
    ('87', 'no', '')
    >>> text({"event": {"type": ["change", "user"]}}, "event.type")
    'change'
    """
    value = value_at(data, name)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, (str, int, float)) else ""


def flag(data: Json, name: str) -> bool | None:
    """A truth value, None when it is not known."""
    value = value_at(data, name)
    return value if isinstance(value, bool) else None


def number(data: Json, name: str) -> int:
    """A whole number, 0 for anything else."""
    value = value_at(data, name)
    return value if isinstance(value, int) else 0


def inner(data: Json, name: str) -> Json:
    """An object, empty for anything else."""
    value = value_at(data, name)
    return value if isinstance(value, Mapping) else NOTHING


def objects(data: Json, name: str) -> tuple[Json, ...]:
    """The objects of a list; of a capped list ({"items": [...], "total": n}) those it has, one alone is a list of one.

    >>> objects({"gains": {"items": [{"id": 1}], "total": 9}}, "gains"), objects({"resources": {"id": 2}}, "resources")
    (({'id': 1},), ({'id': 2},))
    """
    return tuple(one for one in _listed(data, name) if isinstance(one, Mapping))


def texts(data: Json, name: str) -> tuple[str, ...]:
    """The texts of a list or a capped list; a text alone is a list of one."""
    return tuple(one for one in _listed(data, name) if isinstance(one, str))


def total(data: Json, name: str) -> int:
    """How long a list is as a whole, those that its document leaves out included."""
    return max(number(inner(data, name), "total"), len(_listed(data, name)))


def moment(data: Json, name: str) -> datetime | None:
    """A time in RFC 3339 as an aware one in UTC, None when it is none.

    >>> moment({"time": "2026-03-06T22:27:30.000Z"}, "time")
    datetime.datetime(2026, 3, 6, 22, 27, 30, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(text(data, name))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def investigation_of(alert: Json) -> Json:
    """The investigation that an alert document carries, empty when it has none."""
    return inner(alert, INVESTIGATION)


def _listed(data: Json, name: str) -> Sequence[object]:
    value = value_at(data, name)
    if isinstance(value, Mapping):
        value = value.get("items", (value,))
    if isinstance(value, (list, tuple)):
        return value
    return () if value is None else (value,)
