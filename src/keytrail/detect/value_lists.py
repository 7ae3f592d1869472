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
from functools import lru_cache
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import TypeAlias

from keytrail.errors import Place, RuleError
from keytrail.query.dates import milliseconds, resolve
from keytrail.query.values import Test, text_of

# The first mistakes are enough to see what is wrong with a list of a hundred thousand values.
MAX_PROBLEMS_PER_LIST = 20
# How much of a value that does not fit an error repeats, in characters.
_SHOWN = 60

Number: TypeAlias = int | float
Span: TypeAlias = tuple[Number, Number]  # the first and the last number, both inclusive

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NUMBERS = re.compile(rf"({_NUMBER.pattern})\s*-\s*({_NUMBER.pattern})", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_PREFIX_LENGTH = re.compile(r"\d{1,3}", re.ASCII)
_V4_IN_V6 = 0xFFFF_0000_0000
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


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case, as a `text` field has them.

    >>> words("Access-Denied for BOB")
    ('access', 'denied', 'for', 'bob')
    """
    return tuple(word.lower() for word in _WORD.findall(text))


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


def _words_of(value: object) -> tuple[str, ...] | None:
    return words(text) if (text := text_of(value)) is not None else None


def _wanted_words(text: str) -> tuple[str, ...]:
    if not (found := words(text)):
        raise ValueError("has no word in it")
    return found


def _truth(text: str) -> str:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text


# Addresses, as numbers of 128 bits: IPv4 is its mapped IPv6 address, so both forms are equal --------------------------


@lru_cache(maxsize=8192)
def _address(text: str) -> int | None:
    if "%" in text or len(text) > 50:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return int(address) + (_V4_IN_V6 if address.version == 4 else 0)


def _address_of(value: object) -> int | None:
    return _address(value) if isinstance(value, str) else None


def _block(text: str) -> Span:
    address, slash, length = text.partition("/")
    first = _address(address)
    if first is None or (slash and not _PREFIX_LENGTH.fullmatch(length)):
        raise ValueError("is neither an IP address nor a CIDR block")
    if not slash:
        return first, first
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("is neither an IP address nor a CIDR block") from error
    base = _V4_IN_V6 if network.version == 4 else 0
    return int(network.network_address) + base, int(network.broadcast_address) + base


def _addresses(text: str) -> Span:
    first, hyphen, last = text.partition("-")
    return _ascending(_block(first.strip())[0], _block(last.strip())[1]) if hyphen else _block(text)


# Numbers and dates ---------------------------------------------------------------------------------------------------


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


def _time(value: object) -> Number | None:
    if isinstance(value, str):
        return milliseconds(value)
    return int(value) if isinstance(value, int | float) and _real(value) is not None else None


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
_WHOLE, _REAL, _DATE = _Type(_whole, _whole_number), _Type(_real, _real_number), _Type(_time, _date)
_WHOLES, _REALS = _Type(_whole, _numbers(_whole_number)), _Type(_real, _numbers(_real_number))

# The types of Elastic's value lists, but for shapes and binary values, which no CloudTrail field holds. A `text` value
# is in the list if its words are those of an item, whatever stands between them and whatever their case.
VALUE_TYPES: Mapping[str, _Type] = MappingProxyType(
    {
        "keyword": _KEYWORD,
        "text": _Type(_words_of, _wanted_words, spans=False),
        "ip": _Type(_address_of, _block),
        "ip_range": _Type(_address_of, _addresses),
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
        "date_range": _Type(_time, _dates),
    }
)
