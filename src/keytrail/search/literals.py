"""Where in a buffer something stands that a record must hold to match: a few literals, or the values of a few keys.

A search for one literal with SIMD passes over a buffer at some 30 GB/s. For many literals there is a better way than an
automaton over every byte (1 GB/s): they are values of very few keys, mostly `eventName`. So the key is searched, and
the value behind it looked up in a set. Both only narrow: what they name is read, and may turn out not to match.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

import stringzilla

# From about this many literals on, one search for their keys and a look-up at each is faster (measured on two cores).
_FEW = 24

Positions = Callable[[bytes], list[int]]

# What follows a key: a string without escapes, or another kind of value, which equals no literal.
_STRING = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*"([^"\\]*)"')
_OTHER = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*[-0-9ntf{\[]")


def finder(pairs: Iterable[tuple[str, str]]) -> Positions:
    """A function that returns offsets in a buffer, at least one in each record in which a key has one of its values.

    `pairs` are (key, value), of plain characters that JSON writers do not escape. The offsets come in no
    particular order.

    >>> positions = finder([("a", "1"), ("b", "2")])
    >>> positions(b'[{"a":"1"},{"a":"3"},{"b": "2"}]')
    [6, 27]
    """
    values: defaultdict[str, set[str]] = defaultdict(set)
    for key, value in pairs:
        values[key].add(value)
    literals = sorted({_quoted(value) for found in values.values() for value in found})
    if len(literals) <= _FEW:
        return _any_of(literals)
    return _values_of({_quoted(key): {value.encode() for value in found} for key, found in sorted(values.items())})


def occurrences(buffer: bytes, literal: bytes) -> list[int]:
    """Every offset at which `literal` stands in `buffer`, ascending."""
    find = stringzilla.find
    found: list[int] = []
    at = find(buffer, literal)
    while at >= 0:
        found.append(at)
        at = find(buffer, literal, at + 1)
    return found


def _any_of(literals: list[bytes]) -> Positions:
    def positions(buffer: bytes) -> list[int]:
        found: list[int] = []
        for literal in literals:
            found += occurrences(buffer, literal)
        return found

    return positions


def _values_of(wanted: dict[bytes, set[bytes]]) -> Positions:
    def positions(buffer: bytes) -> list[int]:
        found: list[int] = []
        for key, values in wanted.items():
            _find_values(buffer, key, values, found)
        return found

    return positions


def _find_values(buffer: bytes, key: bytes, values: set[bytes], found: list[int]) -> None:
    find, string = stringzilla.find, _STRING.match
    length = len(key)
    at = find(buffer, key)
    while at >= 0:
        behind = at + length
        match = string(buffer, behind)
        if match is not None:
            if match[1] in values:
                found.append(at)
        elif _OTHER.match(buffer, behind) is None:
            found.append(at)  # A string with escapes, or not a key at all: whoever reads the record will know.
        at = find(buffer, key, behind)


def _quoted(text: str) -> bytes:
    return b'"' + text.encode("ascii") + b'"'
