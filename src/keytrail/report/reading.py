"""Reads alert documents and investigations as plain JSON: what is missing or of another type reads as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from keytrail.fields import value_at

Json = Mapping[str, object]
NOTHING: Json = {}


def text(data: Json, name: str) -> str:
    """A member as text, "" when it is missing, null, or no single value.

    >>> text({"score": 87, "mfa": False, "error": None}, "score"), text({"mfa": False}, "mfa"), text({}, "error")
    ('87', 'no', '')
    """
    value = data.get(name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, (str, int, float)) else ""


def flag(data: Json, name: str) -> bool | None:
    """A truth value, None when it is not known."""
    value = data.get(name)
    return value if isinstance(value, bool) else None


def number(data: Json, name: str) -> int:
    """A member that is a whole number, 0 for anything else."""
    value = data.get(name)
    return value if isinstance(value, int) else 0


def inner(data: Json, name: str) -> Json:
    """A member that is an object, empty for anything else."""
    value = data.get(name)
    return value if isinstance(value, Mapping) else NOTHING


def objects(data: Json, name: str) -> tuple[Json, ...]:
    """The objects of a list; of a capped list ({"items": [...], "total": n}) those it has."""
    value = data.get(name)
    if isinstance(value, Mapping):
        value = value.get("items")
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, (list, tuple)) else ()


def texts(data: Json, name: str) -> tuple[str, ...]:
    """The texts of a list or a capped list; a text alone is a list of one."""
    value = data.get(name)
    if isinstance(value, Mapping):
        value = value.get("items")
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, (list, tuple)) else ()


def total(data: Json, name: str) -> int:
    """How long a list is as a whole, those that its document leaves out included."""
    value = data.get(name)
    shown = value.get("items") if isinstance(value, Mapping) else value
    length = len(shown) if isinstance(shown, (list, tuple)) else 0
    return max(number(value, "total"), length) if isinstance(value, Mapping) else length


def text_at(data: Json, name: str) -> str:
    """The value of a field as text, the first where there are several."""
    value = value_at(data, name)
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return text({"value": first}, "value")


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
