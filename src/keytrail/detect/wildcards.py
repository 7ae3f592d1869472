"""Patterns with `*` and `?` as exception items have them: whole-value tests in time linear in the value."""

from __future__ import annotations

import re
from collections.abc import Callable

from keytrail.query.globs import glob

# A backslash at the very end stands for itself.
_PIECE = re.compile(r"\\(.)|(.)", re.DOTALL)


def wildcard(pattern: str) -> Callable[[str], bool]:
    r"""Return the test of a pattern on a whole value, by case: `*` is any text, `?` any character.

    A backslash takes the meaning from what follows it.

    >>> test = wildcard("arn:aws:iam::????????????:role/ci-*")
    >>> test("arn:aws:iam::111122223333:role/ci-deploy"), test("arn:aws:iam::1:role/ci-deploy")
    (True, False)
    >>> wildcard(r"a\*?")("a*b"), wildcard(r"a\*?")("aab")
    (True, False)
    """
    # What lies between the stars, None for a character that may be any.
    parts: list[list[str | None]] = [[]]
    for found in _PIECE.finditer(pattern):
        escaped, plain = found.groups()
        if plain == "*":
            parts.append([])
        else:
            parts[-1].append(None if plain == "?" else escaped or plain)
    if all(None not in part for part in parts):
        literals = tuple("".join(character or "" for character in part) for part in parts)
        return glob(literals) if len(literals) > 1 else literals[0].__eq__
    # Each part has a fixed length: finding one after the other, each as early as possible, decides without going back.
    tests = [re.compile("".join("." if c is None else re.escape(c) for c in part), re.DOTALL) for part in parts]
    if len(tests) == 1:
        only = tests[0]
        return lambda text: only.fullmatch(text) is not None
    first, *middle, last = tests
    least, tail = len(parts[0]) + len(parts[-1]), len(parts[-1])

    def matches(text: str) -> bool:
        end = len(text) - tail
        if len(text) < least or not first.match(text) or not last.match(text, end):
            return False
        at = len(parts[0])
        for part in middle:
            here = part.search(text, at, end)
            if here is None:
                return False
            at = here.end()
        return True

    return matches
