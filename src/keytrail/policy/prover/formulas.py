"""Formulas in negation normal form, each kept once: integers that stand for literals, conjunctions, disjunctions."""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import Enum

TRUE = 0
FALSE = 1


class Kind(Enum):
    """What a formula is made of."""

    CONSTANT = 0
    LITERAL = 1
    ALL = 2
    ANY = 3


class Formulas:
    """A table of formulas. Equal formulas get equal numbers, so comparing two is comparing integers.

    >>> formulas = Formulas()
    >>> a, b = formulas.literal(1), formulas.literal(2)
    >>> formulas.all([a, b]) == formulas.all([b, a, TRUE])
    True
    >>> formulas.negate(formulas.all([a, b])) == formulas.any([formulas.literal(-1), formulas.literal(-2)])
    True
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[Kind, tuple[int, ...]]] = [(Kind.CONSTANT, ()), (Kind.CONSTANT, ())]
        self._known: dict[tuple[Kind, tuple[int, ...]], int] = {}
        self._negated: dict[int, int] = {TRUE: FALSE, FALSE: TRUE}

    def literal(self, number: int) -> int:
        """The formula of an atom (a positive number) or its negation (a negative one)."""
        return self._intern(Kind.LITERAL, (number,))

    def all(self, parts: Iterable[int]) -> int:
        """True when all parts are."""
        return self._join(Kind.ALL, parts, neutral=TRUE, absorbing=FALSE)

    def any(self, parts: Iterable[int]) -> int:
        """True when at least one part is."""
        return self._join(Kind.ANY, parts, neutral=FALSE, absorbing=TRUE)

    def negate(self, formula: int) -> int:
        """The negation, in negation normal form."""
        known = self._negated.get(formula)
        if known is not None:
            return known
        kind, parts = self.nodes[formula]
        if kind is Kind.LITERAL:
            result = self.literal(-parts[0])
        elif kind is Kind.ALL:
            result = self.any(self.negate(part) for part in parts)
        else:
            result = self.all(self.negate(part) for part in parts)
        self._negated[formula] = result
        self._negated[result] = formula
        return result

    def holds(self, formula: int, literals: Set[int]) -> bool:
        """Whether a formula is true as soon as these literals are, whatever the others are."""
        kind, parts = self.nodes[formula]
        if kind is Kind.LITERAL:
            return parts[0] in literals
        if kind is Kind.ALL:
            return all(self.holds(part, literals) for part in parts)
        if kind is Kind.ANY:
            return any(self.holds(part, literals) for part in parts)
        return formula == TRUE

    def _join(self, kind: Kind, parts: Iterable[int], *, neutral: int, absorbing: int) -> int:
        flat: set[int] = set()
        for part in parts:
            if part == absorbing:
                return absorbing
            if part == neutral:
                continue
            node = self.nodes[part]
            if node[0] is kind:
                flat.update(node[1])
            else:
                flat.add(part)
        if not flat:
            return neutral
        if len(flat) == 1:
            return flat.pop()
        for part in flat:
            node = self.nodes[part]
            if node[0] is Kind.LITERAL and self._known.get((Kind.LITERAL, (-node[1][0],))) in flat:
                return absorbing
        return self._intern(kind, tuple(sorted(flat)))

    def _intern(self, kind: Kind, parts: tuple[int, ...]) -> int:
        key = (kind, parts)
        known = self._known.get(key)
        if known is None:
            known = len(self.nodes)
            self.nodes.append(key)
            self._known[key] = known
        return known
