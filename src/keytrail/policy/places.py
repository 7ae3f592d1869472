"""Where in a JSON text a value stands: paths such as `Statement[0].Effect`, as line and column or as a span."""

from __future__ import annotations

import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's own, strict

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DEPTH = 8  # steps of a path; a policy has no values below


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands: `text[start:end]`. `whole` is where its name starts; for what has none, where it does."""

    whole: int
    start: int
    end: int


def path_text(path: Path) -> str:
    """Write a path the way people do; names that are not plain words are quoted.

    >>> path_text(("Statement", 0, "Condition", "StringEquals", "kms:ViaService"))
    'Statement[0].Condition.StringEquals["kms:ViaService"]'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


class Places:
    """The places of all values of one valid JSON text, found in one pass when the first is asked for.

    Of a name that stands twice in an object the last is meant, as JSON parsers do.

    >>> Places('{\\n  "Statement": {"Sid": 1}}').of(("Statement", 0, "Sid"))
    (2, 24)
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans: dict[Path, Span] | None = None

    def of(self, path: Path) -> tuple[int, int]:
        """Line and column, both from 1, of the value at `path`, or of the closest value around it that exists."""
        if self._spans is None:
            self._spans = spans(self._text)
        while path and path not in self._spans:
            # A single value may stand for a list of one.
            single = tuple(step for step in path if step != 0)
            path = single if single in self._spans else path[:-1]
        return line_and_column(self._text, self._spans[path].start)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of an offset in characters.

    >>> line_and_column("{\\n  1", 4)
    (2, 3)
    """
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def spans(text: str) -> dict[Path, Span]:
    """The spans of all values of one valid JSON text, objects and lists before what is in them.

    >>> spans('{"Id": "x"}')[("Id",)]
    Span(whole=1, start=7, end=10)
    """
    found: dict[Path, Span] = {}
    path: list[str | int] = []
    inside: list[tuple[str, int, int]] = []  # what is open: bracket, where its name and itself start
    whole = at = _skip(text, 0)
    while True:  # once per value, which starts at `at`
        start, bracket = at, text[at]
        if len(path) <= _DEPTH:
            found[tuple(path)] = Span(whole, start, start)  # the end of an object is known after what is in it
        if bracket in "{[":
            at = _skip(text, at + 1)
            if text[at] not in "}]":
                inside.append((bracket, whole, start))
                whole, at = at, _enter(text, at, path, bracket, 0)
                continue
            at += 1
        else:
            at = scanstring(text, at + 1, True)[1] if bracket == '"' else _scalar_end(text, at)
        _close(found, path, whole, start, at)
        at = _skip(text, at)
        while inside and text[at] in "}]":
            _, whole, start = inside.pop()
            path.pop()
            _close(found, path, whole, start, at + 1)
            at = _skip(text, at + 1)
        if not inside:
            return found
        last = path.pop()  # `at` is on a comma
        whole = _skip(text, at + 1)
        at = _enter(text, whole, path, inside[-1][0], last + 1 if isinstance(last, int) else 0)


def _close(found: dict[Path, Span], path: list[str | int], whole: int, start: int, end: int) -> None:
    if len(path) <= _DEPTH:
        found[tuple(path)] = Span(whole, start, end)


def _enter(text: str, at: int, path: list[str | int], bracket: str, index: int) -> int:
    """Add the step to the next member or item to the path, and return where its value starts."""
    if bracket == "[":
        path.append(index)
        return at
    name, at = scanstring(text, at + 1, True)
    path.append(name)
    return _skip(text, _skip(text, at) + 1)


def _scalar_end(text: str, at: int) -> int:
    scalar = _SCALAR.match(text, at)
    return scalar.end() if scalar else at + 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
