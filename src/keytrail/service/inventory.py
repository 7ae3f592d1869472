"""Reads the inventory file: a table (CSV) or JSON that says who owns a key, an alias or a resource."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from keytrail.cloudtrail import ReadLimits, parse_json
from keytrail.errors import Place, RecordError, UsageError
from keytrail.investigate import Inventory, InventoryEntry

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "resource": ("resource", "resource_arn", "resource_id", "resource_name", "arn"),
    "key": ("key", "key_arn", "key_id", "kms_key", "kms_key_arn", "kms_key_id"),
    "alias": ("alias", "alias_name", "alias_arn", "key_alias"),
    "owner": ("owner", "team", "owner_team", "owned_by", "contact", "responsible"),
    "application": ("application", "application_name", "app", "system", "workload", "product"),
    "data_class": ("data_class", "data_classification", "classification", "sensitivity", "confidentiality"),
}
"""What a column is for -> the names it may have, in any case, with blanks or hyphens for underscores."""

NAMES = ("resource", "key", "alias")
"""The columns that say what a line is about; a line is an entry for each of them that it fills."""

MOST_BYTES = 64 * 1024**2

_ADVICE = "a line names a key, alias or resource, and has an owner, application and data_class"
_DELIMITERS = (",", ";", "\t")
_LIMITS = ReadLimits(max_depth=32)


def read_inventory(path: str) -> Inventory:
    """Read an inventory: CSV with a header, a JSON list, {"resources": [...]}, or an object on each line.

    What a file is shows its content, not its name. Columns that mean nothing here, and lines that are about nothing,
    are passed over. Raises UsageError with the place.
    """
    content = _read(path)
    start = content.lstrip()[:1]
    if not start:
        raise UsageError("the inventory is empty", place=Place(path), advice=_ADVICE)
    entries = tuple(_json_entries(content, path) if start in "[{" else _csv_entries(content, path))
    if not entries:
        raise UsageError(
            "no line of the inventory names a key, an alias or a resource", place=Place(path), advice=_ADVICE
        )
    return Inventory(entries)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise UsageError(f"{path!r} is a folder", advice="name the file of the inventory, CSV or JSON") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"cannot read the inventory {path!r}: {reason}", advice="name a CSV or JSON file") from error
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"the inventory is larger than {MOST_BYTES // 1024**2} MB",
            place=Place(path),
            advice="leave out the lines that are not about keys or data",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError("not UTF-8 text", place=Place(path, line=line), advice="save it as UTF-8") from error


# CSV ----------------------------------------------------------------------------------------------------------------


def _csv_entries(content: str, path: str) -> Iterator[InventoryEntry]:
    header, delimiter = _header(content, path)
    # One big cell is what an unclosed quote makes of the rest of a file; `strict` says so where it happens.
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for number, cells in enumerate(rows):
            if number:
                yield from _entries(dict(_filled(header, cells)), f"{path}:{line}")
            line = rows.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"not CSV: {error}", place=Place(path, line=line), advice='a quote inside quotes is written twice: ""'
        ) from error


def _header(content: str, path: str) -> tuple[list[str], str]:
    """What each column is for ("" for one that means nothing here), and the delimiter with which that can be read."""
    first = content.splitlines()[0]
    for delimiter in _DELIMITERS:
        try:
            header = [_meaning(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])]
        except csv.Error:
            continue
        if any(meaning in NAMES for meaning in header):
            return header, delimiter
    raise UsageError(
        "the first line has no column that says what a line is about",
        place=Place(path, line=1),
        advice="call one column resource, key, alias or arn; further ones owner, application and data_class",
    )


def _filled(header: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The cells that are filled, by what they are for; the first of several columns for the same counts."""
    found = [(meaning, cell.strip()) for meaning, cell in zip(header, cells, strict=False)]
    yield from ((meaning, cell) for meaning, cell in reversed(found) if meaning and cell)


# JSON ---------------------------------------------------------------------------------------------------------------


def _json_entries(content: str, path: str) -> Iterator[InventoryEntry]:
    lines = content.split("\n")
    if content.lstrip()[0] == "{" and _is_ndjson(lines):
        for number, line in enumerate(lines, start=1):
            if line.strip():
                value = _parsed(line, Place(path, line=number, column=1))
                yield from _object_entries(value, f"{path}:{number}", Place(path, line=number))
        return
    value = _parsed(content, Place(path, line=1, column=1))
    if isinstance(value, dict) and "resources" in value:
        value = value["resources"]
    items = value if isinstance(value, list) else [value]
    for index, item in enumerate(items):
        yield from _object_entries(item, f"{path} [{index}]", Place(f"{path} [{index}]"))


def _is_ndjson(lines: Sequence[str]) -> bool:
    """Whether the first line that is not blank is a whole object, and another one follows."""
    first, *more = [line for line in lines if line.strip()][:2]
    try:
        return bool(more) and isinstance(parse_json(first, Place(""), _LIMITS), dict)
    except RecordError:
        return False


def _parsed(text: str, place: Place) -> object:
    try:
        return parse_json(text, place, _LIMITS)
    except RecordError as error:
        raise UsageError(error.what, place=error.place, advice="repair the JSON of the inventory") from error


def _object_entries(value: object, cited: str, place: Place) -> Iterator[InventoryEntry]:
    if not isinstance(value, dict):
        raise UsageError("a line of the inventory must be an object", place=place, advice=_ADVICE)
    texts: dict[str, str] = {}
    for name, item in value.items():
        meaning = _meaning(name)
        if not meaning or item is None or item == "":
            continue
        if isinstance(item, bool) or not isinstance(item, (str, int)):
            raise UsageError(f"{name} must be a text", place=place, advice=f'write it like "{name}": "text"')
        texts.setdefault(meaning, str(item).strip())
    yield from _entries(texts, cited)


# Both ---------------------------------------------------------------------------------------------------------------

_MEANINGS = {name: meaning for meaning, names in COLUMNS.items() for name in names}


def _meaning(column: str) -> str:
    """What a column is for, "" when nothing here.

    >>> _meaning(" Data Classification "), _meaning("cost center")
    ('data_class', '')
    """
    return _MEANINGS.get(re.sub(r"[\s-]+", "_", column.strip().casefold()), "")


def _entries(texts: Mapping[str, str], cited: str) -> Iterator[InventoryEntry]:
    """An entry for each name that a line gives."""
    for column in NAMES:
        name = texts.get(column, "")
        if column == "alias" and name and "alias/" not in name:
            name = f"alias/{name}"
        if name:
            yield InventoryEntry(
                matched=name,
                owner=texts.get("owner", ""),
                application=texts.get("application", ""),
                data_class=texts.get("data_class", ""),
                place=cited,
            )
