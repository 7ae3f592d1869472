"""What a query needs from outside: the types of the fields and the values of a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol


class Schema(Protocol):
    """The field types; `keytrail.cloudtrail.CATALOGUE` is one.

    A schema may also offer `ignore_above(field) -> int | None`, the length in UTF-16 units from which Elasticsearch
    leaves a value out of the index; strict mode asks for it.
    """

    def type_of(self, field: str) -> str | None:
        """Return the mapped type of `field`, None when it is not mapped; children of a flattened field are too."""

    def constant_of(self, field: str) -> str | None:
        """Return the value that a constant_keyword has in every document, None when it has no fixed one."""

    def names(self) -> Iterable[str]:
        """Return the name of every mapped field."""


class Fields(Protocol):
    """One document; `keytrail.cloudtrail.Document` is one."""

    def values(self, field: str) -> tuple[object, ...]:
        """Return the leaf values of `field`, arrays flattened, () when it is missing.

        A flattened field has the values of all its children.
        """

    def fields(self) -> Iterator[str]:
        """Return the dotted name of every field that has a value."""

    # Any mapping will do for an object: the query only reads it.
    def objects(self, path: str) -> tuple[Mapping[str, object], ...]:
        """Return the objects at a `nested` path."""


class ObjectFields:
    """One object of a nested field, seen as a document whose names still start with the path of that field."""

    __slots__ = ("_object", "_prefix")

    def __init__(self, path: str, item: Mapping[str, object]) -> None:
        self._prefix = path + "."
        self._object = item

    def values(self, field: str) -> tuple[object, ...]:
        return tuple(leaf for found in self._found(field) for leaf in _leaves(found))

    def objects(self, path: str) -> tuple[Mapping[str, object], ...]:
        return tuple(item for found in self._found(path) for item in _items(found) if isinstance(item, Mapping))

    def fields(self) -> Iterator[str]:
        # Not recursive: how deep a record goes is its author's choice.
        names: set[str] = set()
        todo: list[tuple[str, object]] = [(self._prefix + str(key), value) for key, value in self._object.items()]
        while todo:
            name, value = todo.pop()
            if isinstance(value, Mapping):
                todo.extend((f"{name}.{key}", child) for key, child in value.items())
            elif isinstance(value, (list, tuple)):
                todo.extend((name, child) for child in value)
            elif value is not None:
                names.add(name)
        return iter(sorted(names))

    def _found(self, field: str) -> list[object]:
        if not field.startswith(self._prefix):
            return []
        level: list[object] = [self._object]
        for step in field[len(self._prefix) :].split("."):
            level = [
                item[step] for value in level for item in _items(value) if isinstance(item, Mapping) and step in item
            ]
        return level


def _items(value: object) -> Iterator[object]:
    """Give `value`, or what it holds when it is an array, in any depth."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, (list, tuple)):
            todo.extend(reversed(item))
        else:
            yield item


def _leaves(value: object) -> Iterator[object]:
    return (item for item in _items(value) if item is not None and not isinstance(item, Mapping))
