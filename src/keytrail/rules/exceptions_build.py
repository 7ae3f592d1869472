"""From the fields a file gives to an exception list or item: every field checked, all that is wrong told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from keytrail.errors import Place, RuleError
from keytrail.rules.build import MAX_PROBLEMS_PER_RULE
from keytrail.rules.checks import Check, Path, Problem, choice, json_values, many, shown, table, text, whole
from keytrail.rules.contents import Found
from keytrail.rules.exceptions import (
    Entry,
    ExceptionItem,
    ExceptionList,
    ExistsEntry,
    ListEntry,
    MatchAnyEntry,
    MatchEntry,
    NestedEntry,
    WildcardEntry,
)
from keytrail.rules.model import TextPlace

OS_TYPES = ("linux", "macos", "windows")

_Made = TypeVar("_Made", ExceptionList, ExceptionItem)

_TEXT = text()
_LINE = text(lines=False)
_NAME = text(empty=False, lines=False)
_VALUE = text(empty=False)
_OPERATOR = {"operator": choice("included", "excluded")}
_NAMESPACE = choice("single", "agnostic")
_ENTRIES_WITHIN = ("match", "match_any", "exists")


def _moment(value: object, path: Path) -> Iterator[Problem]:
    try:
        _time(str(value))
    except (ValueError, OverflowError):
        yield Problem(path, f"must be a time such as 2026-01-31T00:00:00Z, not {shown(value)}")


def _entry(types: tuple[str, ...]) -> Check:
    kind = table({"type": choice(*types)})

    def check(value: object, path: Path) -> Iterator[Problem]:
        wrong = list(kind(value, path))
        yield from wrong
        if not wrong and isinstance(value, Mapping):
            yield from _ENTRIES[value["type"]](value, path)

    return check


_ENTRIES: Mapping[str, Check] = {
    "match": table({"field": _NAME, **_OPERATOR, "value": _VALUE}),
    "match_any": table({"field": _NAME, **_OPERATOR, "value": many(_VALUE, least=1)}),
    "exists": table({"field": _NAME, **_OPERATOR}),
    "wildcard": table({"field": _NAME, **_OPERATOR, "value": _VALUE}),
    "list": table({"field": _NAME, **_OPERATOR, "list": table({"id": _NAME, "type": _NAME})}),
    "nested": table({"field": _NAME, "entries": many(_entry(_ENTRIES_WITHIN), least=1)}),
}

_SHARED: Mapping[str, Check] = {
    "name": _NAME,
    "description": _TEXT,
    "namespace_type": _NAMESPACE,
    "os_types": many(choice(*OS_TYPES)),
    "tags": many(_LINE),
}
_LIST = table({"list_id": _NAME}, {**_SHARED, "type": _NAME, "version": whole(1)})
_ITEM = table(
    {"item_id": _NAME, "list_id": _NAME, "entries": many(_entry(tuple(_ENTRIES)), least=1)},
    {**_SHARED, "type": choice("simple"), "expire_time": _moment, "comments": many(table({"comment": _TEXT}))},
)
_LIST_FIELDS = frozenset({"list_id", "type", "version", *_SHARED})
_ITEM_FIELDS = frozenset({"item_id", "list_id", "type", "entries", "expire_time", "comments", *_SHARED})


def build_list(found: Found) -> tuple[ExceptionList | None, list[RuleError]]:
    """Return the exception list that a file describes, or None and everything that is wrong with it."""
    data = _given(found)
    if problems := _problems(_LIST, data):
        return None, _errors(problems, f"exception list {_called(data, 'list_id')}", found)
    return ExceptionList(
        list_id=data["list_id"],
        name=data.get("name", data["list_id"]),
        origin=_origin(found),
        type=data.get("type", "detection"),
        version=data.get("version", 1),
        extra=_extra(data, _LIST_FIELDS),
        **_shared(data),
    ), []


def build_item(found: Found) -> tuple[ExceptionItem | None, list[RuleError]]:
    """Return the exception item that a file describes, or None and everything that is wrong with it."""
    data = _given(found)
    if problems := _problems(_ITEM, data):
        return None, _errors(problems, f"exception item {_called(data, 'item_id')}", found)
    return ExceptionItem(
        item_id=data["item_id"],
        list_id=data["list_id"],
        name=data.get("name", data["item_id"]),
        entries=tuple(map(_kept, data["entries"])),
        origin=_origin(found),
        expire_time=_time(data["expire_time"]) if "expire_time" in data else None,
        comments=tuple(data.get("comments", ())),
        extra=_extra(data, _ITEM_FIELDS),
        **_shared(data),
    ), []


def list_from_dict(data: Mapping[str, object], origin: Place) -> ExceptionList:
    """Return the exception list of an API's form that stands at `origin`. Raises RuleError with all that is wrong."""
    made, errors = build_list(Found(data, _OnePlace(origin)))
    return _only(made, errors, origin)


def item_from_dict(data: Mapping[str, object], origin: Place) -> ExceptionItem:
    """Return the exception item of an API's form that stands at `origin`. Raises RuleError with all that is wrong."""
    made, errors = build_item(Found(data, _OnePlace(origin)))
    return _only(made, errors, origin)


@dataclass(frozen=True, slots=True)
class _OnePlace:
    """The places of an object that did not come from a text: one for all of it."""

    place: Place

    def of(self, path: Path) -> Place:
        return self.place

    def text(self, path: Path) -> TextPlace | None:
        return None


def _only(made: _Made | None, errors: list[RuleError], origin: Place) -> _Made:
    if made is None:
        raise RuleError("\n".join(error.what for error in errors), place=origin)
    return made


def _given(found: Found) -> dict[str, Any]:
    return {name: value for name, value in found.data.items() if value is not None}


def _problems(check: Check, data: Mapping[str, Any]) -> list[Problem]:
    unsound = list(islice(json_values(dict(data)), MAX_PROBLEMS_PER_RULE))
    return unsound or list(islice(check(data, ()), MAX_PROBLEMS_PER_RULE))


def _errors(problems: list[Problem], label: str, found: Found) -> list[RuleError]:
    return [RuleError(f"{label}: {problem}", place=found.places.of(problem.path)) for problem in problems]


def _called(data: Mapping[str, Any], id_name: str) -> str:
    """Return what a message calls a list or an item whose fields are not checked yet."""
    name = data.get("name") or data.get(id_name)
    return shown(name) if isinstance(name, str) else "without a name"


def _shared(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "namespace_type": data.get("namespace_type", "single"),
        "description": data.get("description", ""),
        "os_types": tuple(data.get("os_types", ())),
        "tags": tuple(data.get("tags", ())),
    }


def _extra(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, object]:
    return {name: value for name, value in data.items() if name not in known}


def _origin(found: Found) -> Place:
    place = found.places.of(())
    return Place(place.file, record=place.record, line=place.line)


def _kept(data: Mapping[str, Any]) -> Entry:
    field, excluded = data["field"], data.get("operator") == "excluded"
    match data["type"]:
        case "match":
            return MatchEntry(field, data["value"], excluded)
        case "match_any":
            return MatchAnyEntry(field, tuple(data["value"]), excluded)
        case "exists":
            return ExistsEntry(field, excluded)
        case "wildcard":
            return WildcardEntry(field, data["value"], excluded)
        case "list":
            return ListEntry(field, data["list"]["id"], data["list"]["type"], excluded)
    within = tuple(map(_kept, data["entries"]))
    return NestedEntry(field, tuple(one for one in within if isinstance(one, MatchEntry | MatchAnyEntry | ExistsEntry)))


def _time(value: str) -> datetime:
    """Return a time as an aware datetime; one without a zone is in UTC."""
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
