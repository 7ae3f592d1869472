"""The condition operators: what each compares, which are negations, what a policy may write (1.6).

A comparison answers True, False, or None where AWS does not document the answer: a value that is not of the
operator's type.
"""

from __future__ import annotations

import operator as op
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from keytrail.policy import values
from keytrail.policy.model import Operator, Qualifier
from keytrail.policy.patterns import Glob, Wildcard, arn_match, fold, matches

Family = Literal["String", "Arn", "Numeric", "Date", "Bool", "Binary", "IpAddress", "Null"]
T = TypeVar("T")

_OPERATOR = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an operator does: compare a policy value with a request value, and whether it negates the answer."""

    family: Family
    compare: Callable[[Glob, str], bool | None]
    negated: bool = False

    @property
    def has_variables(self) -> bool:
        """Whether `${…}` is replaced in its values: String and Arn operators only."""
        return self.family in ("String", "Arn")


def plain(parts: Glob) -> str:
    """The text of a value whose wildcards are plain characters."""
    return "".join(part.value if isinstance(part, Wildcard) else part for part in parts)


def _typed(read: Callable[[str], T | None], compare: Callable[[T, T], bool]) -> Callable[[Glob, str], bool | None]:
    """Compare request value (first) with policy value (second) once both are read; None when one is not of the type."""

    def run(parts: Glob, text: str) -> bool | None:
        wanted, given = read(plain(parts)), read(text)
        return None if wanted is None or given is None else compare(given, wanted)

    return run


def _equal(parts: Glob, text: str) -> bool:
    return plain(parts) == text


def _equal_ignoring_case(parts: Glob, text: str) -> bool:
    return fold(plain(parts)) == fold(text)


def _in_network(parts: Glob, text: str) -> bool | None:
    network, address = values.network(plain(parts)), values.address(text)
    return None if network is None or address is None else address in network


def _null(parts: Glob, text: str) -> bool | None:
    """`text` is "true" when the key is missing, "false" when it is present."""
    wanted = values.boolean(plain(parts))
    return None if wanted is None else wanted == (text == "true")


OPERATORS: dict[str, Comparison] = {
    "StringEquals": Comparison("String", _equal),
    "StringNotEquals": Comparison("String", _equal, negated=True),
    "StringEqualsIgnoreCase": Comparison("String", _equal_ignoring_case),
    "StringNotEqualsIgnoreCase": Comparison("String", _equal_ignoring_case, negated=True),
    "StringLike": Comparison("String", matches),
    "StringNotLike": Comparison("String", matches, negated=True),
    "ArnEquals": Comparison("Arn", arn_match),  # the same as ArnLike
    "ArnNotEquals": Comparison("Arn", arn_match, negated=True),
    "ArnLike": Comparison("Arn", arn_match),
    "ArnNotLike": Comparison("Arn", arn_match, negated=True),
    "NumericEquals": Comparison("Numeric", _typed(values.number, op.eq)),
    "NumericNotEquals": Comparison("Numeric", _typed(values.number, op.eq), negated=True),
    "NumericLessThan": Comparison("Numeric", _typed(values.number, op.lt)),
    "NumericLessThanEquals": Comparison("Numeric", _typed(values.number, op.le)),
    "NumericGreaterThan": Comparison("Numeric", _typed(values.number, op.gt)),
    "NumericGreaterThanEquals": Comparison("Numeric", _typed(values.number, op.ge)),
    "DateEquals": Comparison("Date", _typed(values.time, op.eq)),
    "DateNotEquals": Comparison("Date", _typed(values.time, op.eq), negated=True),
    "DateLessThan": Comparison("Date", _typed(values.time, op.lt)),
    "DateLessThanEquals": Comparison("Date", _typed(values.time, op.le)),
    "DateGreaterThan": Comparison("Date", _typed(values.time, op.gt)),
    "DateGreaterThanEquals": Comparison("Date", _typed(values.time, op.ge)),
    "Bool": Comparison("Bool", _typed(values.boolean, op.eq)),
    "BinaryEquals": Comparison("Binary", _typed(values.binary, op.eq)),
    "IpAddress": Comparison("IpAddress", _in_network),
    "NotIpAddress": Comparison("IpAddress", _in_network, negated=True),
    "Null": Comparison("Null", _null),
}
"""Every documented operator, without set qualifier and IfExists."""


def parse_operator(text: str) -> Operator:
    """Cut an operator of a policy into its parts. `known` is False when there is no such operator.

    Null takes no IfExists: it tests for existence itself.

    >>> parse_operator("ForAnyValue:StringLikeIfExists")
    Operator(name='StringLike', qualifier='ForAnyValue', if_exists=True, known=True)
    >>> parse_operator("NullIfExists").known
    False
    """
    found = _OPERATOR.fullmatch(text)
    if found is None or found[2] not in OPERATORS or (found[2] == "Null" and found[3]):
        return Operator(text, known=False)
    qualifiers: dict[str, Qualifier] = {"ForAllValues": "ForAllValues", "ForAnyValue": "ForAnyValue"}
    return Operator(found[2], qualifiers.get(found[1] or ""), found[3] is not None)
