"""Value lists: long lists of values that exception items refer to, made into tests of one value of an event.

A list of any length and type answers in microseconds: single values are a set, ranges are merged and found by
bisection. So every item works with every list; the reference engine leaves out those it cannot turn into a query.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeAlias

from keytrail.errors import Place, RuleError
from keytrail.query.dates import resolve
from keytrail.query.values import Test, address_of, network, text_of, time_of, words_of

# The first mistakes are enough to see what is wrong with a list of a hundred thousand values.
MAX_PROBLEMS_PER_LIST = 20
# How much of a value that does not fit an error repeats, in characters.
_SHOWN = 60

Number: TypeAlias = int | float
Span: TypeAlias = tuple[Number, Number]  # the first and the last number, both inclusive

_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NUMBERS = re.compile(rf"({_NUMBER.pattern})\s*-\s*({_NUMBER.pattern})", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
# Values of a list are fixed dates; this is what date math on `now` would be counted from, if it were allowed.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ValueList:
    """Values by which exception items tell events apart: `type` is of VALUE_TYPES, `values` as a person wrote them."""

    id: str
    type: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Type:
    """A type of list. `read` gives what a value of an event is compared by, None if it is none of this type.

    `parse` does so for a value of the list, as one thing or as the span it stands for; ValueError says what it is not.
    """

    read: Callable[[object], Hashable | None]
    parse: Callable[[str], Hashable | Span]
    spans: bool = True


def compile_values(values: ValueList) -> Test:
    """Return the test whether one value of an event is in the list. Raises RuleError for an unknown type.

    A value of the list that does not fit its type is in it for nothing: nothing is excepted by mistake.

    >>> known = compile_values(ValueList("offices", "ip_range", "", ("192.0.2.0/25", "198.51.100.7-198.51.100.9")))
    >>> known("192.0.2.9"), known("198.51.100.10"), known("cloudformation.amazonaws.com")
    (True, False, False)
    """
    kind = _type_of(values)
    items = []
    for value in values.values:
        try:
            items.append(kind.parse(value))
        except ValueError:
            continue
    if kind.spans:
        return _among_spans(kind.read, items)  # type: ignore[arg-type]  # a type with spans parses to nothing else
    wanted = frozenset(items)
    read = kind.read
    return lambda value: (found := read(value)) is not None and found in wanted


def read_value_list(
    text: str, *, id: str, type: str, name: str = "", file: str
) -> tuple[ValueList, tuple[RuleError, ...]]:
    """Return the list whose values stand on the lines of `text`, and each line that does not fit `type`.

    Blank lines and blanks around values are passed over, values that repeat are kept once. At most
    MAX_PROBLEMS_PER_LIST errors are told. Raises RuleError for an unknown type.

    >>> made, errors = read_value_list("192.0.2.1\\nhome\\n", id="a", type="ip", file="a.txt")
    >>> made.values, str(errors[0])
    (('192.0.2.1',), "a.txt:2: 'home' is neither an IP address nor a CIDR block")
    """
    kind = _type_of(ValueList(id, type, name, ()))
    kept: dict[str, None] = {}
    errors: list[RuleError] = []
    for number, line in enumerate(text.split("\n"), 1):
        value = line.strip()
        if not value:
            continue
        try:
            kind.parse(value)
        except ValueError as error:
            if len(errors) < MAX_PROBLEMS_PER_LIST:
                shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
                errors.append(RuleError(f"{shown!r} {error}", place=Place(file, line=number)))
        else:
            kept[value] = None
    return ValueList(id, type, name or id, tuple(kept)), tuple(errors)


def _type_of(values: ValueList) -> _Type:
    try:
        return VALUE_TYPES[values.type]
    except KeyError:
        raise RuleError(
            f"value list {values.id!r}: lists of type {values.type!r} are not known",
            advice=f"The types are {', '.join(VALUE_TYPES)}.",
        ) from None


def _among_spans(read: Callable[[object], Number | None], spans: Iterable[Span]) -> Test:
    """Return the test whether a number lies in one of `spans`."""
    single, wide = set(), []
    for span in spans:
        if span[0] == span[1]:
            single.add(span[0])
        else:
            wide.append(span)
    merged: list[list[Number]] = []
    for first, last in sorted(wide):
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    starts, ends = [span[0] for span in merged], [span[1] for span in merged]

    def test(value: object) -> bool:
        number = read(value)
        if number is None:
            return False
        if number in single:
            return True
        at = bisect_right(starts, number) - 1
        return at >= 0 and number <= ends[at]

    return test


# Words and truth -----------------------------------------------------------------------------------------------------


def _words_in(value: object) -> tuple[str, ...] | None:
    return words_of(text) if (text := text_of(value)) is not None else None


def _wanted_words(text: str) -> tuple[str, ...]:
    if not (found := words_of(text)):
        raise ValueError("has no word in it")
    return found


def _truth(text: str) -> str:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text


# Addresses, numbers and dates ----------------------------------------------------------------------------------------


def _addresses(text: str) -> Span:
    first, hyphen, last = text.partition("-")
    return _ascending(network(first.strip())[0], network(last.strip())[1]) if hyphen else network(text)


def _whole(value: object) -> int | None:
    """Return the whole number that a value is, cut off as a `long` field does."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    number = _real(value)
    return None if number is None else int(number)


def _real(value: object) -> Number | None:
    if isinstance(value, str):
        number: Number = float(value) if _NUMBER.fullmatch(value) else float("inf")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    else:
        return None
    return number if abs(number) < 1e300 else None


def _whole_number(text: str) -> Span:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is not a whole number")
    return int(text), int(text)


def _real_number(text: str) -> Span:
    if (number := _real(text)) is None:
        raise ValueError("is not a number")
    return number, number


def _numbers(one: Callable[[str], Span]) -> Callable[[str], Span]:
    """Return the reading of `1-5`, or of a single number."""

    def parse(text: str) -> Span:
        if found := _NUMBERS.fullmatch(text):
            return _ascending(one(found[1])[0], one(found[2])[1])
        return one(text)

    return parse


def _date(text: str) -> Span:
    """Return the milliseconds that a date means: all of its day if it names no more than the day."""
    if text.startswith("now"):
        raise ValueError("is not a fixed date")
    try:
        return resolve(text, _EPOCH, up=False), resolve(text, _EPOCH, up=True)
    except ValueError as error:
        raise ValueError(f"is not a date, {error}") from error


def _dates(text: str) -> Span:
    first, comma, last = text.partition(",")
    return _ascending(_date(first.strip())[0], _date(last.strip())[1]) if comma else _date(text)


def _ascending(first: Number, last: Number) -> Span:
    if first > last:
        raise ValueError("ends before it begins")
    return first, last


_KEYWORD = _Type(text_of, str, spans=False)
_WHOLE, _REAL, _DATE = _Type(_whole, _whole_number), _Type(_real, _real_number), _Type(time_of, _date)
_WHOLES, _REALS = _Type(_whole, _numbers(_whole_number)), _Type(_real, _numbers(_real_number))

# The types of Elastic's value lists, but for shapes and binary values, which no CloudTrail field holds. A `text` value
# is in the list if its words are those of an item, whatever stands between them and whatever their case.
VALUE_TYPES: Mapping[str, _Type] = MappingProxyType(
    {
        "keyword": _KEYWORD,
        "text": _Type(_words_in, _wanted_words, spans=False),
        "ip": _Type(address_of, network),
        "ip_range": _Type(address_of, _addresses),
        "boolean": _Type(text_of, _truth, spans=False),
        "byte": _WHOLE,
        "short": _WHOLE,
        "integer": _WHOLE,
        "long": _WHOLE,
        "half_float": _REAL,
        "float": _REAL,
        "double": _REAL,
        "date": _DATE,
        "date_nanos": _DATE,
        "integer_range": _WHOLES,
        "long_range": _WHOLES,
        "float_range": _REALS,
        "double_range": _REALS,
        "date_range": _Type(time_of, _dates),
    }
)
