"""Small checks for values of a rule: each yields what is wrong and at which path inside the rule."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# Keys and list positions from the rule down to a value: ("threat", 0, "tactic", "id").
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the value at `path`."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.what}" if self.path else self.what


Check = Callable[[object, Path], Iterator[Problem]]

# Deeper nesting has no meaning in any field of a rule; a bound keeps later recursion safe.
MAX_DEPTH = 32
# What a long holds, in Elasticsearch as well.
MAX_INTEGER = 2**63 - 1

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


def path_text(path: Path) -> str:
    """Return a path as people write it.

    >>> path_text(("threat", 0, "tactic", "id"))
    'threat[0].tactic.id'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def shown(value: object) -> str:
    """Return `value` for a message: on one line, at most about sixty characters.

    >>> shown("hig"), shown([1, 2])
    ("'hig'", 'a list')
    """
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "so large a number"  # Python refuses to write integers of thousands of digits
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def text(*, empty: bool = True, lines: bool = True) -> Check:
    """A string; `empty` says whether blank ones pass, `lines` whether line ends and other control characters do."""

    def check(value: object, path: Path) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem(path, f"must be text, not {shown(value)}")
        elif not empty and not value.strip():
            yield Problem(path, "must not be empty")
        elif not lines and _CONTROL.search(value):
            yield Problem(path, f"must be one line without control characters, not {shown(value)}")

    return check


def pattern(regex: str, expected: str) -> Check:
    """A string that matches `regex` as a whole; `expected` completes "must be ..."."""
    compiled = re.compile(regex, re.ASCII)

    def check(value: object, path: Path) -> Iterator[Problem]:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            yield Problem(path, f"must be {expected}, not {shown(value)}")

    return check


def choice(*values: str) -> Check:
    """One of `values`."""

    def check(value: object, path: Path) -> Iterator[Problem]:
        if value not in values:
            yield Problem(path, f"must be {' or '.join(values)}, not {shown(value)}")

    return check


def whole(least: int, most: int | None = None) -> Check:
    """A whole number in a range, both ends included."""
    expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def check(value: object, path: Path) -> Iterator[Problem]:
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or value < least
            or (most is not None and value > most)
        ):
            yield Problem(path, f"must be {expected}, not {shown(value)}")

    return check


def flag(value: object, path: Path) -> Iterator[Problem]:
    """Check for true or false."""
    if not isinstance(value, bool):
        yield Problem(path, f"must be true or false, not {shown(value)}")


def many(item: Check, *, least: int = 0, most: int | None = None) -> Check:
    """A list of `least` to `most` values, each of which passes `item`."""

    def check(value: object, path: Path) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem(path, f"must be a list, not {shown(value)}")
            return
        if len(value) < least:
            yield Problem(path, f"must hold at least {least}, not {len(value)}")
        if most is not None and len(value) > most:
            yield Problem(path, f"must hold at most {most}, not {len(value)}")
        for number, one in enumerate(value):
            yield from item(one, (*path, number))

    return check


def table(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """A mapping with the `required` keys and perhaps the `optional` ones; any other key passes unread."""
    known = dict(required) | dict(optional or {})

    def check(value: object, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(path, f"must be a table, not {shown(value)}")
            return
        for name, one in known.items():
            if value.get(name) is not None:
                yield from one(value[name], (*path, name))
            elif name in required:
                yield Problem((*path, name), "is missing")

    return check


def either(*checks: Check) -> Check:
    """The value passes one of `checks`; the problems told are those of the last."""

    def check(value: object, path: Path) -> Iterator[Problem]:
        for one in checks:
            problems = list(one(value, path))
            if not problems:
                return
        yield from problems

    return check


def json_values(value: object, path: Path = ()) -> Iterator[Problem]:
    """Check that `value` is made of JSON values of sound size, at most `MAX_DEPTH` deep.

    TOML also knows dates and infinity; both know integers of any length, and text that no UTF-8 can carry.
    """
    pending: list[tuple[object, Path]] = [(value, path)]
    while pending:
        current, where = pending.pop()
        if len(where) > MAX_DEPTH:
            yield Problem(where[:2], f"is nested deeper than {MAX_DEPTH} levels")
            return
        if isinstance(current, dict):
            pending.extend((one, (*where, name)) for name, one in reversed(current.items()))
            if any(_NOT_TEXT.search(name) for name in current):
                yield Problem(where, "has a key with a NUL character or half a surrogate pair")
        elif isinstance(current, list):
            pending.extend((current[number], (*where, number)) for number in range(len(current) - 1, -1, -1))
        elif isinstance(current, str):
            if _NOT_TEXT.search(current):
                yield Problem(where, "must not hold a NUL character or half a surrogate pair")
        elif isinstance(current, float):
            if not math.isfinite(current):
                yield Problem(where, f"must be a finite number, not {current}")
        elif isinstance(current, int):
            if abs(current) > MAX_INTEGER:
                yield Problem(where, f"must be a number of at most {MAX_INTEGER}")
        elif current is not None:
            yield Problem(where, f"must be text, a number, true or false, not a {type(current).__name__}; quote it")
