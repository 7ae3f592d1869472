"""A small schema with every field type, and documents made of dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest

TYPES = {
    "@timestamp": "date",
    "cloud.zone": "constant_keyword",
    "event.action": "keyword",
    "event.dataset": "constant_keyword",
    "event.outcome": "keyword",
    "event.success": "boolean",
    "geo.location": "geo_point",
    "host.path": "wildcard",
    "message": "text",
    "params": "flattened",
    "parts": "nested",
    "parts.name": "keyword",
    "parts.size": "long",
    "parts.sub": "nested",
    "parts.sub.kind": "keyword",
    "short": "keyword",
    "source.ip": "ip",
    "source.port": "long",
    "user.name": "keyword",
    "user.roles": "keyword",
}


class TypedSchema:
    def type_of(self, field: str) -> str | None:
        return "flattened" if field.startswith("params.") else TYPES.get(field)

    def constant_of(self, field: str) -> str | None:
        return "aws.cloudtrail" if field == "event.dataset" else None

    def names(self) -> Iterable[str]:
        return TYPES.keys()

    def ignore_above(self, field: str) -> int | None:
        return 10 if field == "short" else None


class DictFields:
    """A nested dictionary as a document. The values of a flattened field are those of everything in it."""

    def __init__(self, source: Mapping[str, object]) -> None:
        self.leaves: dict[str, list[object]] = {}
        self.mappings: dict[str, list[Mapping[str, object]]] = {}
        self._add("", source)
        self.leaves.setdefault("event.dataset", ["aws.cloudtrail"])

    def _add(self, name: str, value: object) -> None:
        if isinstance(value, Mapping):
            self.mappings.setdefault(name, []).append(value)
            for key, child in value.items():
                self._add(f"{name}.{key}" if name else key, child)
        elif isinstance(value, list):
            for item in value:
                self._add(name, item)
        elif value is not None:
            self.leaves.setdefault(name, []).append(value)

    def values(self, field: str) -> tuple[object, ...]:
        if field == "params":
            return tuple(v for name, found in self.leaves.items() if name.startswith("params.") for v in found)
        return tuple(self.leaves.get(field, ()))

    def fields(self) -> Iterator[str]:
        return iter(self.leaves)

    def objects(self, path: str) -> tuple[Mapping[str, object], ...]:
        return tuple(self.mappings.get(path, ()))


@pytest.fixture(scope="session")
def schema() -> TypedSchema:
    return TypedSchema()


@pytest.fixture(scope="session")
def fields() -> type[DictFields]:
    return DictFields
