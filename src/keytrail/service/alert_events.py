"""The events of stored alerts, as queries and exceptions see events; and which alerts an exception would have kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from keytrail.cloudtrail import CATALOGUE
from keytrail.detect import compile_exceptions
from keytrail.detect.alerts import leaves
from keytrail.rules import ExceptionItem
from keytrail.service.exceptions import value_lists_of
from keytrail.store.state.alerts import StoredAlert
from keytrail.store.state.database import Database
from keytrail.store.state.triage import AlertFilter, find_alerts

# Alerts that are read in one transaction.
_AT_ONCE = 200


class AlertEvent:
    """The event of a stored alert, as queries and exceptions see events (`keytrail.query.Fields`)."""

    def __init__(self, document: Mapping[str, object]) -> None:
        event = document.get("event")
        original = document.get("kibana.alert.original_event.kind", "event")
        self._fields = {name: value for name, value in document.items() if not name.startswith(_OURS)}
        self._fields["@timestamp"] = document.get("kibana.alert.original_time")
        if isinstance(event, Mapping):
            self._fields["event"] = {**event, "kind": original}

    def values(self, field: str) -> tuple[object, ...]:
        if field.endswith(_TWIN) and CATALOGUE.type_of(field) == "text":
            return self.values(field.removesuffix(_TWIN))
        if CATALOGUE.type_of(field) == "flattened":
            return tuple(value for name in self.fields() if _below(name, field) for value in leaves(self._fields, name))
        return tuple(leaves(self._fields, field))

    def fields(self) -> Iterator[str]:
        names: set[str] = set()
        todo: list[tuple[str, object]] = list(self._fields.items())
        while todo:
            name, value = todo.pop()
            if isinstance(value, Mapping):
                todo.extend((f"{name}.{key}", child) for key, child in value.items())
            elif isinstance(value, list):
                todo.extend((name, child) for child in value)
            elif value is not None:
                names.add(name)
        twins = {name + _TWIN for name in names if CATALOGUE.type_of(name + _TWIN) == "text"}
        return iter(sorted(names | twins))

    def objects(self, path: str) -> tuple[Mapping[str, object], ...]:
        return ()  # no field of CloudTrail is nested


_OURS = ("kibana.", "keytrail.")
_TWIN = ".text"  # what keywords are called where they are searched by words


def _below(name: str, field: str) -> bool:
    return name == field or name.startswith(f"{field}.")


def would_exclude(
    database: Database, item: ExceptionItem, rule_ids: Sequence[str], now: datetime
) -> Iterator[StoredAlert]:
    """The stored alerts of rules for which an item would have kept them from being made, the latest first.

    An item that has expired is taken as it was before. Raises RuleError if it takes no part as it is.
    """
    with database.read() as connection:
        lists = value_lists_of(connection, [item])
    compiled = compile_exceptions([replace(item, expire_time=None)], lists, now=now)
    if compiled.problems:
        raise compiled.problems[0]
    wanted = AlertFilter(rules=tuple(rule_ids), building_blocks=True)
    before: int | None = None
    while rule_ids:
        with database.read() as connection:
            page = find_alerts(connection, wanted, most=_AT_ONCE, before=before)
        yield from (one for one in page if compiled(AlertEvent(one.document)))
        if len(page) < _AT_ONCE:
            return
        before = page[-1].number
