"""Exceptions: lists of items, each of which says which events a rule is not to raise alerts for.

An item is the AND of its entries; items and lists are alternatives. What an entry means on an event is decided in
`keytrail.detect.exceptions`. Names are those of Elastic's API (elastic-engine.md, sections 3.6 and 5.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from keytrail.errors import Place
from keytrail.rules.model import JsonObject, Rule

# Lists that Elastic's agent on a host applies, and no detection rule.
_OF_HOSTS = "endpoint"


@dataclass(frozen=True, slots=True)
class MatchEntry:
    """The field has the value. `excluded`, here and below, turns the answer of the one entry round."""

    field: str
    value: str
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class MatchAnyEntry:
    """The field has one of the values."""

    field: str
    values: tuple[str, ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class ExistsEntry:
    """The field has a value."""

    field: str
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class WildcardEntry:
    """The field has a value that fits the pattern: `*` is any text, `?` one character, a backslash escapes both."""

    field: str
    pattern: str
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class ListEntry:
    """The field has a value that is in the value list `list_id`, whose values are of `list_type`."""

    field: str
    list_id: str
    list_type: str
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class NestedEntry:
    """One object of the nested field answers every entry; their fields are named relative to it."""

    field: str
    entries: tuple[MatchEntry | MatchAnyEntry | ExistsEntry, ...]


LeafEntry: TypeAlias = MatchEntry | MatchAnyEntry | ExistsEntry | WildcardEntry | ListEntry
Entry: TypeAlias = LeafEntry | NestedEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionList:
    """A list of exception items, which rules name by its `list_id`. `extra` holds the fields nobody here reads."""

    list_id: str
    name: str
    origin: Place = field(compare=False)
    type: str = "detection"
    namespace_type: str = "single"
    description: str = ""
    os_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    version: int = 1
    extra: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes the list the one it is: its id and its namespace."""
        return self.list_id, self.namespace_type

    def to_dict(self) -> dict[str, object]:
        """Return the list in the API's form."""
        return {
            **self.extra,
            "list_id": self.list_id,
            "type": self.type,
            "name": self.name,
            "description": self.description,
            "namespace_type": self.namespace_type,
            "os_types": list(self.os_types),
            "tags": list(self.tags),
            "version": self.version,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionItem:
    """An exception: events that answer every entry raise no alert. From `expire_time` on (aware) it counts no more.

    `os_types` narrows it to events of hosts with such a system, of which CloudTrail has none.
    """

    item_id: str
    list_id: str
    name: str
    entries: tuple[Entry, ...]
    origin: Place = field(compare=False)
    namespace_type: str = "single"
    description: str = ""
    os_types: tuple[str, ...] = ()
    expire_time: datetime | None = None
    comments: tuple[JsonObject, ...] = ()
    tags: tuple[str, ...] = ()
    extra: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes the item the one it is: its id and its namespace."""
        return self.item_id, self.namespace_type

    @property
    def list_key(self) -> tuple[str, str]:
        """The `key` of the list that the item belongs to."""
        return self.list_id, self.namespace_type

    def expired(self, now: datetime) -> bool:
        """Whether the item counts no more in an execution that starts at `now` (aware)."""
        return self.expire_time is not None and self.expire_time <= now

    def to_dict(self) -> dict[str, object]:
        """Return the item in the API's form."""
        told: dict[str, object] = {
            **self.extra,
            "item_id": self.item_id,
            "list_id": self.list_id,
            "type": "simple",
            "name": self.name,
            "description": self.description,
            "namespace_type": self.namespace_type,
            "os_types": list(self.os_types),
            "tags": list(self.tags),
            "comments": list(self.comments),
            "entries": [entry_dict(entry) for entry in self.entries],
        }
        if self.expire_time is not None:
            told["expire_time"] = _instant(self.expire_time)
        return told


def entry_dict(entry: Entry) -> dict[str, object]:
    """Return an entry in the API's form.

    >>> entry_dict(ExistsEntry("user.name", excluded=True))
    {'field': 'user.name', 'type': 'exists', 'operator': 'excluded'}
    """
    if isinstance(entry, NestedEntry):
        return {"field": entry.field, "type": "nested", "entries": [entry_dict(inner) for inner in entry.entries]}
    told: dict[str, object]
    match entry:
        case MatchEntry():
            told = {"type": "match", "value": entry.value}
        case MatchAnyEntry():
            told = {"type": "match_any", "value": list(entry.values)}
        case ExistsEntry():
            told = {"type": "exists"}
        case WildcardEntry():
            told = {"type": "wildcard", "value": entry.pattern}
        case ListEntry():
            told = {"type": "list", "list": {"id": entry.list_id, "type": entry.list_type}}
    return {"field": entry.field, **told, "operator": "excluded" if entry.excluded else "included"}


def references(rule: Rule) -> tuple[tuple[str, str], ...]:
    """Return the keys of the exception lists that count for `rule`: those it names, but for lists of hosts."""
    named = (one for one in rule.exceptions_list if not str(one.get("type", "")).startswith(_OF_HOSTS))
    return tuple(dict.fromkeys(reference_key(one) for one in named))


def reference_key(reference: Mapping[str, object]) -> tuple[str, str]:
    """Return the key of the list that one member of a rule's `exceptions_list` names."""
    return str(reference["list_id"]), str(reference.get("namespace_type") or "single")


def items_for(rule: Rule, items: Iterable[ExceptionItem]) -> tuple[ExceptionItem, ...]:
    """Return those of `items` that count for `rule`."""
    named = set(references(rule))
    return tuple(item for item in items if item.list_key in named)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
