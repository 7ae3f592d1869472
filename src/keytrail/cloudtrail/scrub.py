"""What of a record survives the mapping: empty and placeholder values vanish before anything else happens."""

from __future__ import annotations

from keytrail.cloudtrail.records import Json

MAX_DEPTH = 300
"""Levels of nesting that are mapped; deeper content is cut. The reader refuses such records (ReadLimits.max_depth)."""

PLACEHOLDERS = frozenset({"", "-", "none"})


def scrub(value: object, depth: int = MAX_DEPTH) -> object:
    """Return a copy of `value` without null, "", "-", "none" and containers left empty; None when nothing is left.

    False and 0 stay. Source: spec, section 0, step 7.

    >>> scrub({"a": {"b": ""}, "c": [None, "-", 0], "d": False})
    {'c': [0], 'd': False}
    >>> scrub({"a": [{}]}) is None
    True
    """
    if isinstance(value, str):
        return None if value in PLACEHOLDERS else value
    if isinstance(value, dict):
        if not depth:
            return None
        kept = {}
        for key, item in value.items():
            item = scrub(item, depth - 1)
            if item is not None:
                kept[key] = item
        return kept or None
    if isinstance(value, list):
        if not depth:
            return None
        items = []
        for item in value:
            item = scrub(item, depth - 1)
            if item is not None:
                items.append(item)
        return items or None
    return value


def at(record: Json, *path: str) -> object:
    """Return what the scrub leaves of the value at `path`, None when there is nothing.

    Only that value is scrubbed, so a look at one field does not cost a walk over the record.

    >>> at({"userIdentity": {"type": "Root", "userName": "-"}}, "userIdentity", "type")
    'Root'
    """
    value: object = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
        if value is None:
            return None
    if isinstance(value, str):
        return None if value in PLACEHOLDERS else value
    return scrub(value)


def text_at(record: Json, *path: str) -> str:
    """Return the string at `path`, "" when there is none or the scrub removes it."""
    value: object = record
    for key in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(key)
    return value if isinstance(value, str) and value not in PLACEHOLDERS else ""


def items_at(record: Json, *path: str) -> list[object]:
    """Return the scrubbed list at `path`, an empty one when there is none."""
    value = at(record, *path)
    return value if isinstance(value, list) else []
