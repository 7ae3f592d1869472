"""The clauses of literals that a query cannot match without: an AND of ORs of (field, exact string) pairs.

A clause is a set of pairs of which every match has at least one. No clause means that nothing is known; the empty
clause, which no document can satisfy, that nothing matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, product
from math import prod
from typing import TypeAlias

Clause: TypeAlias = frozenset[tuple[str, str]]
Clauses: TypeAlias = tuple[Clause, ...]

# Larger clauses narrow little and cost a search engine memory.
MAX_PAIRS = 4096
# More clauses than a person writes; what a generator writes is cut off here.
MAX_CLAUSES = 64

NOTHING_KNOWN: Clauses = ()
NO_MATCH: Clauses = (frozenset(),)


def every(operands: Iterable[Clauses]) -> Clauses:
    """Return the clauses of an AND: those of all operands, without any that says less than another.

    >>> a, b = frozenset({("f", "a")}), frozenset({("f", "a"), ("f", "b")})
    >>> every([(b,), (a,)]) == (a,)
    True
    """
    kept: list[Clause] = []
    for clause in sorted((clause for clauses in operands for clause in clauses), key=len):
        if len(kept) == MAX_CLAUSES:
            break
        if not any(other <= clause for other in kept):
            kept.append(clause)
    return tuple(kept)


def some(operands: Sequence[Clauses]) -> Clauses:
    """Return the clauses of an OR.

    One per set of fields that a clause of every branch is about. Besides, one for each choice of a clause from every
    branch if the choices are few, so that whoever uses the clauses finds one of the fields it can use; otherwise
    that of the smallest ones. A branch that cannot match adds nothing, one of which nothing is known spoils it.

    >>> branch = lambda action: (frozenset({("provider", "kms")}), frozenset({("action", action)}))
    >>> sorted(map(sorted, some([branch("A"), branch("B")])))
    [[('action', 'A'), ('action', 'B')], [('provider', 'kms')]]
    """
    branches = [clauses for clauses in operands if clauses != NO_MATCH]
    if not branches:
        return NO_MATCH
    if not all(branches):
        return NOTHING_KNOWN
    by_fields = [{frozenset(field for field, _ in clause): clause for clause in clauses} for clauses in branches]
    shared = [fields for fields in by_fields[0] if all(fields in branch for branch in by_fields)]
    choices: list[Sequence[Clause]] = [[branch[fields] for branch in by_fields] for fields in shared]
    if prod(map(len, branches)) <= MAX_CLAUSES:
        choices += product(*branches)
    else:
        choices.append([min(clauses, key=len) for clauses in branches])
    joined = (frozenset(chain.from_iterable(choice)) for choice in choices)
    return every([tuple(clause for clause in joined if len(clause) <= MAX_PAIRS)])
