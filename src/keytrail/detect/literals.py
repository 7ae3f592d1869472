"""Where literals stand in a buffer: SIMD search for a few, one automaton for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import stringzilla

# A search with SIMD passes over a buffer at some 30 GB/s for each literal, the automaton at 1 GB/s for all of them
# together (measured on two cores); this is about where they meet, calls included.
_FEW = 24

Positions = Callable[[bytes], list[int]]


def finder(literals: Sequence[bytes]) -> Positions:
    """A function that returns the offset of every occurrence of any of `literals`, in no particular order.

    >>> sorted(finder([b"ab", b"c"])(b"abcab"))
    [0, 2, 3]
    """
    if not literals:
        return lambda buffer: []
    if len(literals) <= _FEW:
        return _few(tuple(literals))
    return _many(tuple(literals))


def _few(literals: tuple[bytes, ...]) -> Positions:
    find = stringzilla.find

    def positions(buffer: bytes) -> list[int]:
        found: list[int] = []
        for literal in literals:
            at = find(buffer, literal)
            while at >= 0:
                found.append(at)
                at = find(buffer, literal, at + 1)
        return found

    return positions


def _many(literals: tuple[bytes, ...]) -> Positions:
    import ahocorasick_rs

    automaton = ahocorasick_rs.BytesAhoCorasick(literals, implementation=ahocorasick_rs.Implementation.DFA)

    def positions(buffer: bytes) -> list[int]:
        # Literals begin and end with a quote, so two of them can share one; overlapping hits are asked for.
        return [start for _, start, _ in automaton.find_matches_as_indexes(buffer, overlapping=True)]

    return positions
