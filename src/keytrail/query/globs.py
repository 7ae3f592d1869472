"""Wildcards: whole-value tests that take time linear in the value, whatever the pattern."""

from __future__ import annotations

from collections.abc import Callable


def glob(parts: tuple[str, ...]) -> Callable[[str], bool]:
    """Return the test of a pattern cut at its stars; anchored at both ends, case-sensitive.

    A regular expression would go back and forth over long hostile values; finding the parts from left to right,
    each as early as possible, decides the same.

    >>> test = glob(("a", "b", ""))
    >>> test("a--b--"), test("-ab")
    (True, False)
    """
    first, *middle, last = parts
    middle = [part for part in middle if part]
    if not middle:
        return _ends(first, last)
    if not first and not last and len(middle) == 1:
        part = middle[0]
        return lambda text: part in text
    least = len(first) + len(last)

    def matches(text: str) -> bool:
        if len(text) < least or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return matches


def _ends(first: str, last: str) -> Callable[[str], bool]:
    """Return the test of a pattern with nothing between its ends."""
    if not first and not last:
        return lambda text: True
    if not last:
        return lambda text: text.startswith(first)
    if not first:
        return lambda text: text.endswith(last)
    least = len(first) + len(last)
    return lambda text: len(text) >= least and text.startswith(first) and text.endswith(last)
