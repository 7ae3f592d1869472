"""What all of an investigation is made of: lists that are cut, and the JSON form of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Generic, TypeVar

T = TypeVar("T")
JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Capped(Generic[T]):
    """The first of a list that may be long, and how long it is."""

    items: tuple[T, ...] = ()
    total: int = 0

    @classmethod
    def of(cls, items: Sequence[T], most: int) -> Capped[T]:
        """At most `most` of the items, and the number of all.

        >>> Capped.of(["a", "b", "c"], 2)
        Capped(items=('a', 'b'), total=3)
        """
        return cls(tuple(items[:most]), len(items))

    @property
    def truncated(self) -> bool:
        return self.total > len(self.items)


def plain(value: object) -> object:
    """A value as JSON has it: dataclasses and mappings as objects by their field names, times as RFC 3339 in UTC."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}".zfill(20)  # of the first thousand years, too
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    assert is_dataclass(kind)
    return tuple(one.name for one in fields(kind))
