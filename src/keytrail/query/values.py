"""What a value of a query means for each field type: a test of one value of a document.

Functions raise ValueError when a value does not fit the type; its message completes "`value` of `field` …".
Facts: spec/elastic-engine.md, 1.2 and 1.3.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from keytrail.query.dates import milliseconds, resolve
from keytrail.query.globs import glob
from keytrail.query.nodes import Boolean, Null, Pattern, Text

Test: TypeAlias = Callable[[object], bool]
Literal: TypeAlias = Text | Boolean

# Types whose equality is equality of strings; None is a field without a mapping.
EXACT = frozenset({"keyword", "constant_keyword", "wildcard", "flattened", None})
# Types that free text searches, as the index templates of Beats and Fleet set it up.
DEFAULT_TYPES = frozenset({"keyword", "constant_keyword", "wildcard", "text"})

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBER = re.compile(r"[+-]?\d{1,400}(?:\.\d{0,400})?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_PREFIX_LENGTH = re.compile(r"\d{1,3}", re.ASCII)
_WORD = re.compile(r"[^\W_]+")
_LUCENE_BLANK = re.compile(r"[ \t\n\r\u3000]")
# The JSON text of numbers and booleans, as `text_of` writes it.
_NOT_ONLY_STRINGS = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|-?Infinity|NaN|true|false", re.ASCII)
_V4_IN_V6 = 0xFFFF_0000_0000


def text_of(value: object) -> str | None:
    """Return the text that a keyword field holds for a JSON value, None for what is no leaf value.

    >>> text_of(True), text_of(22), text_of(1.0), text_of("a"), text_of(None)
    ('true', '22', '1.0', 'a', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to write integers of thousands of digits; no query can ask for one.
        return str(value) if value.bit_length() < 10_000 else None
    if isinstance(value, float):
        return repr(value).replace("inf", "Infinity").replace("nan", "NaN")
    return None


def only_strings(text: str) -> bool:
    """Whether nothing but a string of a record can have this text; the number 22 has the text "22", too."""
    return _NOT_ONLY_STRINGS.fullmatch(text) is None


def equality(kind: str | None, value: Text | Boolean | Null, now: datetime) -> Test:
    """Return the test of `field: value`; `kind` is the field's type."""
    literal = _literal(value)
    text = literal.text
    match kind:
        case "text":
            return _text_equality(text, phrase=isinstance(literal, Text) and literal.quoted)
        case "ip":
            low, high = network(text)
            return lambda v: (n := address_of(v)) is not None and low <= n <= high
        case "long":
            number = _number(text)
            return lambda v: _long(v) == number
        case "boolean":
            wanted = _boolean(text)
            return lambda v: _truth(v) is wanted
        case "date":
            first, last = _date(text, now, up=False), _date(text, now, up=True)
            return lambda v: (n := time_of(v)) is not None and first <= n <= last
        case "geo_point":
            raise ValueError("cannot be compared: of a geo_point only `field: *` can be asked")
    return lambda v: text_of(v) == text


def comparison(kind: str | None, sign: str, value: Text | Boolean | Null | Pattern, now: datetime) -> Test:
    """Return the test of `field < value` and its like."""
    # A range knows no wildcards, a star in it is a star.
    text = value.text if isinstance(value, Pattern) else _literal(value).text
    compare = _COMPARE[sign]
    read: Callable[[object], Any]
    bound: object
    match kind:
        case "text":
            return lambda v: any(compare(word, text) for word in words_of(text_of(v) or ""))
        case "ip":
            if "/" in text:
                raise ValueError(f"is a block of addresses; `{sign}` needs one address")
            read, bound = address_of, network(text)[0]
        case "long":
            read, bound = _long, _number(text)
        case "boolean":
            read, bound = _truth, _boolean(text)
        case "date":
            # As Elasticsearch rounds: `>` and `<=` take the end of a span, `>=` and `<` its beginning.
            read, bound = time_of, _date(text, now, up=sign in (">", "<="))
        case "geo_point":
            raise ValueError("cannot be compared: of a geo_point only `field: *` can be asked")
        case _:
            # By code points, which is also the order of the UTF-8 bytes.
            read, bound = text_of, text
    return lambda v: (found := read(v)) is not None and compare(found, bound)


def pattern(kind: str | None, value: Pattern) -> Test:
    """Return the test of a value with wildcards: the whole value, blanks literal, whatever the type.

    On `text` a word of the value may match as well, and case does not count.
    """
    if kind == "geo_point":
        raise ValueError("cannot be compared: of a geo_point only `field: *` can be asked")
    if kind == "text":
        folded = glob(tuple(part.lower() for part in value.parts))

        def test(v: object) -> bool:
            text = text_of(v)
            return text is not None and (folded(text.lower()) or any(map(folded, words_of(text))))

        return test
    whole = glob(value.parts)
    return lambda v: (text := text_of(v)) is not None and whole(text)


def strict_pattern(kind: str | None, value: Pattern, *, keyed: bool) -> Test:
    """Return the test of a value with wildcards as Elasticsearch runs it.

    On any type but keyword it is a Lucene query string: blanks part it into terms, one of which must match.
    `keyed`: the field is a child of a flattened field, where only prefixes work (elastic/elasticsearch#157064).
    """
    if kind == "keyword":
        return pattern(kind, value)
    if kind not in EXACT and kind != "text":
        raise ValueError(f"has a wildcard, which Elasticsearch does not allow on a field of type {kind}")
    tests = [_strict_term(kind, term, keyed) for term in _terms(value)]
    return lambda v: any(test(v) for test in tests)


def _strict_term(kind: str | None, term: tuple[str, ...], keyed: bool) -> Test:
    if term == ("", ""):
        return lambda v: True
    if len(term) == 1:
        return _text_equality(term[0], phrase=False) if kind == "text" else lambda v: text_of(v) == term[0]
    if keyed and (len(term) > 2 or term[1]):
        raise ValueError("has a wildcard that is not at its end, which Elasticsearch cannot do below a flattened field")
    if kind == "text":
        folded = glob(tuple(part.lower() for part in term))
        return lambda v: any(map(folded, words_of(text_of(v) or "")))
    whole = glob(term)
    return lambda v: (text := text_of(v)) is not None and whole(text)


def _terms(value: Pattern) -> list[tuple[str, ...]]:
    """Cut a pattern at its blanks; terms without a wildcard that stand side by side stay together."""
    terms: list[list[str]] = [[""]]
    for index, part in enumerate(value.parts):
        if index:
            terms[-1].append("")
        head, *tail = _LUCENE_BLANK.split(part)
        terms[-1][-1] += head
        terms.extend([piece] for piece in tail)
    joined: list[tuple[str, ...]] = []
    for term in terms:
        if len(term) == 1 and joined and len(joined[-1]) == 1:
            joined[-1] = (f"{joined[-1][0]} {term[0]}",)
        elif term != [""]:
            joined.append(tuple(term))
    return [term if len(term) > 1 else (term[0].strip(),) for term in joined]


def _literal(value: Text | Boolean | Null) -> Literal:
    if isinstance(value, Null):
        raise ValueError(
            "cannot be searched, Elasticsearch refuses it: write `not field: *` for a missing value, "
            '"null" in quotes for the word'
        )
    return value


# Words ---------------------------------------------------------------------------------------------------------------


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case, as a `text` field has them.

    >>> words_of("Access-Denied for BOB")
    ('access', 'denied', 'for', 'bob')
    """
    return tuple(word.lower() for word in _WORD.findall(text))


def _text_equality(text: str, *, phrase: bool) -> Test:
    wanted = words_of(text)
    if not wanted:
        return lambda v: False
    if not phrase:
        words = frozenset(wanted)
        return lambda v: not words.isdisjoint(words_of(text_of(v) or ""))
    sequence = f" {' '.join(wanted)} "
    return lambda v: sequence in f" {' '.join(words_of(text_of(v) or ''))} "


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


def address_of(value: object) -> int | None:
    """Return the number of the IP address that a JSON value is, None for anything else.

    >>> address_of("::ffff:192.0.2.1") == address_of("192.0.2.1"), address_of("kms.amazonaws.com"), address_of(1)
    (True, None, None)
    """
    return _address(value) if isinstance(value, str) else None


def network(text: str) -> tuple[int, int]:
    """Return the numbers of the first and the last address of an address or CIDR block.

    >>> network("192.0.2.1/31") == (address_of("192.0.2.0"), address_of("192.0.2.1"))
    True
    """
    address, slash, length = text.partition("/")
    first = address_of(address)
    if first is None or (slash and not _PREFIX_LENGTH.fullmatch(length)):
        raise ValueError("is neither an IP address nor a CIDR block")
    if not slash:
        return first, first
    try:
        # Host bits may be set, Elasticsearch masks them.
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("is neither an IP address nor a CIDR block") from error
    base = _V4_IN_V6 if network.version == 4 else 0
    return int(network.network_address) + base, int(network.broadcast_address) + base


# Numbers, booleans, dates --------------------------------------------------------------------------------------------


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number")
    return Decimal(text)


def _long(value: object) -> int | Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        # A long cuts off the fraction; NaN and the infinities are no long.
        return int(value) if abs(value) < 1e19 else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value).to_integral_value("ROUND_DOWN")
    return None


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, "": False}.get(value) if isinstance(value, str) else None


def _date(text: str, now: datetime, *, up: bool) -> int:
    try:
        return resolve(text, now, up=up)
    except ValueError as error:
        raise ValueError(
            f"is not a date, {error}; write 2024-01-31, 2024-01-31T12:00:00Z, milliseconds since 1970 or now-7d/d"
        ) from error


def time_of(value: object) -> int | None:
    """Return the milliseconds since 1970 that a JSON value is, None for what is no time.

    >>> time_of("1970-01-01T00:00:01Z"), time_of(1000), time_of(True)
    (1000, 1000, None)
    """
    if isinstance(value, str):
        return milliseconds(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15:
        return int(value)
    return None
