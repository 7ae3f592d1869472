"""The form in which the parts of the mapping hand over their fields: dotted names and values."""

from __future__ import annotations

from collections.abc import Callable

from keytrail.cloudtrail.records import Json

Flat = dict[str, object]
"""Dotted field name -> value. A value None, "" or empty means that the field is absent."""

SCALARS = (str, int, float)  # a boolean is an int
"""What one keyword holds."""

Part = Callable[[Json, list[str]], Flat]
"""A part of the mapping: from the record to some fields; what went wrong is appended to the list, one line each."""


def scalar(value: object, field: str, problems: list[str]) -> object:
    """Return `value` if it is a string, number or boolean; else None, and a problem unless it is missing.

    Elasticsearch would refuse the whole document for an object in a keyword field. A detector that loses the event
    for it can be blinded by one odd value, so only the field is left out, and the document says so.
    """
    if value is None or isinstance(value, SCALARS):
        return value
    problems.append(
        f"{field}: the record has {'a list' if isinstance(value, list) else 'an object'} where text belongs"
    )
    return None


def scalars(value: object, field: str, problems: list[str]) -> object:
    """Return `value` if it is a scalar or a list of scalars, which one field may hold; else as `scalar`."""
    if isinstance(value, list) and all(isinstance(item, SCALARS) for item in value):
        return value
    return scalar(value, field, problems)


def present(fields: Flat) -> Flat:
    """Return the fields without those that are absent: None, "", [] and {}."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {})}
