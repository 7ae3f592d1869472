"""TOML files as people write them: read within bounds, with the place of every error and of every key."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

from keytrail.errors import Place, SettingsError

MAX_BYTES = 1024 * 1024
"""Bytes that are read of a file; a larger one is refused."""

Tree = dict[str, object]


def read_text(path: Path) -> str:
    """The text of a file. Raises SettingsError when it cannot be read, is too large or is not UTF-8."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SettingsError(f"cannot be read: {reason}", place=Place(name), advice="Check its permissions.") from error
    if len(data) > MAX_BYTES:
        raise SettingsError(f"larger than {MAX_BYTES} bytes", place=Place(name), advice="Is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError("not UTF-8 text", place=Place(name, line=line), advice="Save it as UTF-8.") from error


def parse(text: str, name: str, *, advice: str) -> Tree:
    """The values of TOML `text`. Raises SettingsError with the place in `name`; `advice` says how to write it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, line, column = _explained(str(error), text)
        raise SettingsError(f"not TOML: {what}", place=Place(name, line=line, column=column), advice=advice) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        what = "not TOML that can be read: nested too deeply, or a number too long"
        raise SettingsError(what, place=Place(name), advice=advice) from error


_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_HEADER = re.compile(rf"[ \t]*(\[?)\[[ \t]*({_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)[ \t]*=")


def places_in(text: str, name: str) -> dict[str, Place]:
    """Where each dotted name stands; the TOML parser of the standard library does not tell.

    The tables of an array have their number from 0 in their names (`approved.0.reason`). Lines inside a multi-line
    string may be taken for keys; that can only make a place less exact.
    """
    places: dict[str, Place] = {}
    seen: Counter[str] = Counter()
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = _dotted(header[2])
            place = Place(name, line=number, column=header.start(2) + 1)
            places.setdefault(section, place)
            if header[1]:
                seen[section] += 1
                section += f".{seen[section] - 1}"
                places[section] = place
        elif assignment := _ASSIGNMENT.match(line):
            key = _dotted(assignment[1])
            full = f"{section}.{key}" if section else key
            place = Place(name, line=number, column=assignment.start(1) + 1)
            places.setdefault(full, place)
            places.setdefault(full.partition(".")[0], place)
    return places


def _dotted(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _explained(message: str, text: str) -> tuple[str, int, int]:
    """Split tomllib's message into what, line and column."""
    if found := re.search(r"\(at line (\d+), column (\d+)\)", message):
        return message[: found.start()].strip(), int(found[1]), int(found[2])
    lines = text.splitlines() or [""]
    return message.removesuffix(" (at end of document)"), len(lines), len(lines[-1]) + 1
