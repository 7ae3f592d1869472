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
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def text(*, empty: bool = True) -> Check:
    """A string; `empty` says whether blank ones pass."""

    def check(value: object, path: Path) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem(path, f"must be text, not {shown(value)}")
        elif not empty and not value.strip():
            yield Problem(path, "must not be empty")

    return check


def pattern(regex: str, expected: str) -> Check:
    """A string that matches `regex` as a whole; `expected` completes "must be ..."."""
    compiled = re.compile(regex)

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


def anything(value: object, path: Path) -> Iterator[Problem]:
    """Check nothing: the field is kept as it is and has no effect."""
    return iter(())


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
    """Check that `value` is made of JSON values, at most `MAX_DEPTH` deep (TOML also knows dates and infinity)."""
    pending: list[tuple[object, Path]] = [(value, path)]
    while pending:
        current, where = pending.pop()
        if len(where) > MAX_DEPTH:
            yield Problem(where[:2], f"is nested deeper than {MAX_DEPTH} levels")
            return
        if isinstance(current, dict):
            pending.extend((one, (*where, name)) for name, one in current.items())
        elif isinstance(current, list):
            pending.extend((one, (*where, number)) for number, one in enumerate(current))
        elif isinstance(current, float) and not math.isfinite(current):
            yield Problem(where, f"must be a finite number, not {current}")
        elif not (current is None or isinstance(current, (str, int, float))):
            yield Problem(where, f"must be text, a number, true or false, not {type(current).__name__}; quote it")
