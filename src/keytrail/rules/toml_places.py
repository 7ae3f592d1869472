"""Where the keys and values of a TOML text stand; `tomllib` reads the values but does not say.

The text is known to be valid (tomllib has read it), so that little of the grammar matters: where strings, comments
and brackets begin and end.
"""

from __future__ import annotations

import re
import tomllib

from keytrail.errors import Place
from keytrail.rules.checks import Path
from keytrail.rules.model import TextPlace
from keytrail.rules.places import Lines, Spelling, string_place

# Loops are possessive (*+), so that no text makes them try twice.
_BASIC = r'"(?:[^"\\\n]|\\.)*+"'
_LITERAL = r"'[^'\n]*+'"
# One or two quotes may stand right before the three that close.
_BASIC_LINES = r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
_LITERAL_LINES = r"'''(?:[^']|'(?!''))*+'{3,5}"

_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_STRING = re.compile(rf"{_BASIC_LINES}|{_LITERAL_LINES}|{_BASIC}|{_LITERAL}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]++")
_KEY = re.compile(rf"[ \t]*+([A-Za-z0-9_-]++|{_BASIC}|{_LITERAL})[ \t]*+(\.?)")

_ESCAPE = r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[^\s])"
_CONTINUED = re.compile(r"\\[ \t]*\n\s*")
# In a string of many lines each line feed stands for itself and starts a new line; in tomllib's terms a backslash at
# the end of a line stands, with the white space that follows, for nothing.
_IN_BASIC = Spelling(re.compile(_ESCAPE))
_IN_BASIC_LINES = Spelling(
    re.compile(rf"{_CONTINUED.pattern}|{_ESCAPE}|\n"), lambda escape: 0 if _CONTINUED.match(escape) else 1
)
_IN_LITERAL = Spelling(re.compile("\n"))


class TomlPlaces:
    """The places of one rule, the table at `base`; `moved` names the fields that the file has elsewhere."""

    def __init__(self, index: TomlIndex, base: Path, moved: dict[Path, Path]) -> None:
        self._index = index
        self._base = base
        self._moved = moved

    def of(self, path: Path) -> Place:
        where = self._in_file(path)
        keys = self._index.keys
        while where and where not in keys:
            where = where[:-1]
        return self._index.lines.place(keys.get(where, 0))

    def text(self, path: Path) -> TextPlace | None:
        where = self._in_file(path)
        start = self._index.values.get(where)
        return None if start is None else self._index.string(start)

    def _in_file(self, path: Path) -> Path:
        for length in range(len(path), 0, -1):
            if (moved := self._moved.get(path[:length])) is not None:
                return (*moved, *path[length:])
        return (*self._base, *path)


class TomlIndex:
    """Offsets in a valid TOML text: of each key (of list elements too), and of each value that a key is given."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}
        self._text = lines.text
        self._tables: dict[Path, int] = {}  # how many tables each array of tables ([[name]]) has so far
        self._read()

    def string(self, start: int) -> TextPlace | None:
        """Return the places of the string whose spelling begins at `start`; None if no string does."""
        match = _STRING.match(self._text, start)
        if not match:
            return None
        quote = match[0][0]
        if match[0].startswith(quote * 3):
            first = start + 3
            if self._text.startswith("\n", first):  # a line feed right after the quotes is not part of the string
                first += 1
            spelling = _IN_BASIC_LINES if quote == '"' else _IN_LITERAL
            return string_place(self.lines, first, match.end() - 3, spelling)
        return string_place(self.lines, start + 1, match.end() - 1, _IN_BASIC if quote == '"' else _IN_LITERAL)

    def _read(self) -> None:
        text = self._text
        table: Path = ()
        at = self._blank(0)
        while at < len(text):
            start = at
            if text.startswith("[[", at):
                names, at = self._key(at + 2)
                array = (*self._header(names[:-1], start), names[-1])
                number = self._tables.get(array, 0)
                self._tables[array] = number + 1
                table = (*array, number)
                self.keys.setdefault(array, start)
                self.keys[table] = start
                at += 2
            elif text.startswith("[", at):
                names, at = self._key(at + 1)
                table = self._header(names, start)
                at += 1
            else:
                at = self._pair(at, table)
            at = self._blank(at)

    def _header(self, names: Path, start: int) -> Path:
        """Return the path that a table's header names: the last one of each array of tables on the way."""
        path: Path = ()
        for name in names:
            path = (*path, name)
            self.keys.setdefault(path, start)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path

    def _pair(self, at: int, table: Path) -> int:
        start = at
        names, at = self._key(at)
        path = table
        for name in names:
            path = (*path, name)
            self.keys.setdefault(path, start)
        return self._value(self._blank(at + 1), path)  # after the equals sign

    def _value(self, at: int, path: Path) -> int:
        self.values[path] = at
        character = self._text[at]
        if character == "[":
            number = 0
            at = self._blank(at + 1)
            while self._text[at] != "]":
                self.keys[(*path, number)] = at
                at = self._separated(self._value(at, (*path, number)))
                number += 1
            return at + 1
        if character == "{":
            at = self._blank(at + 1)
            while self._text[at] != "}":
                at = self._separated(self._pair(at, path))
            return at + 1
        match = _STRING.match(self._text, at) or _SCALAR.match(self._text, at)
        return match.end() if match else at + 1

    def _separated(self, at: int) -> int:
        at = self._blank(at)
        return self._blank(at + 1) if self._text[at] == "," else at

    def _key(self, at: int) -> tuple[tuple[str, ...], int]:
        names: list[str] = []
        while match := _KEY.match(self._text, at):
            names.append(_plain(match[1]))
            at = match.end()
            if not match[2]:
                break
        return tuple(names), at

    def _blank(self, at: int) -> int:
        match = _BLANK.match(self._text, at)
        return match.end() if match else at


def _plain(key: str) -> str:
    if key[0] not in "\"'":
        return key
    if "\\" not in key:
        return key[1:-1]
    return next(iter(tomllib.loads(f"{key} = 0")))
