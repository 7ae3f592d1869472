"""The closures that a compiled query is made of.

Plain loops: on the few operands and values of real queries they are the fastest that Python has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from keytrail.query.schema import Fields, ObjectFields
from keytrail.query.values import Test, text_of

Predicate: TypeAlias = Callable[[Fields], bool]


def always(document: Fields) -> bool:
    return True


def never(document: Fields) -> bool:
    return False


def none_of(operand: Predicate) -> Predicate:
    return lambda document: not operand(document)


def all_of(operands: tuple[Predicate, ...]) -> Predicate:
    def test(document: Fields) -> bool:
        for operand in operands:  # noqa: SIM110
            if not operand(document):
                return False
        return True

    return test


def any_of(operands: tuple[Predicate, ...]) -> Predicate:
    def test(document: Fields) -> bool:
        for operand in operands:  # noqa: SIM110
            if operand(document):
                return True
        return False

    return test


def value_is(name: str, text: str) -> Predicate:
    """Return whether a value of the field is the string `text`, which nothing but a string can be."""
    return lambda document: text in document.values(name)


def value_in(name: str, wanted: frozenset[str]) -> Predicate:
    """Return whether the text of a value of the field is one of `wanted`."""

    def test(document: Fields) -> bool:
        for value in document.values(name):  # noqa: SIM110
            if (value if value.__class__ is str else text_of(value)) in wanted:
                return True
        return False

    return test


def value_holds(name: str, holds: Test) -> Predicate:
    """Return whether `holds` is true of a value of the field."""

    def test(document: Fields) -> bool:
        for value in document.values(name):  # noqa: SIM110
            if holds(value):
                return True
        return False

    return test


def object_matches(path: str, inner: Predicate) -> Predicate:
    """Return whether one object at a nested path answers all of `inner`."""

    def test(document: Fields) -> bool:
        return any(inner(ObjectFields(path, item)) for item in document.objects(path))

    return test
