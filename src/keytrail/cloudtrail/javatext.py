"""Text as Java writes it: `Map.toString` in HashMap order, `Double.toString`. Rules search in these texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from keytrail.cloudtrail.scrub import MAX_DEPTH, PLACEHOLDERS

_LOAD_FACTOR = 0.75
_LONGEST_CACHED_KEY = 64


def java_text(value: object, depth: int = MAX_DEPTH) -> str | None:
    """Return Java's text of what the scrub leaves of the JSON `value`, None when nothing is left.

    It works on the value before the scrub, because the size of a hash table, and so the order of its keys, follows
    from the number of keys before the scrub took some away. Source: spec, sections 6 and 6a.

    >>> java_text({"copy-source": "b/k", "key": "k", "bucketName": "b", "n": None})
    '{bucketName=b, copy-source=b/k, key=k}'
    >>> java_text([True, 1.0, "x", {}])
    '[true, 1.0, x]'
    """
    if isinstance(value, str):
        return None if value in PLACEHOLDERS else value
    if value is None:
        return None
    if isinstance(value, dict):
        if not depth:
            return None
        pairs = []
        for key in hash_order(value):
            item = value[key]
            if isinstance(item, str):  # Most are; the call is spared.
                if item not in PLACEHOLDERS:
                    pairs.append(f"{key}={item}")
                continue
            text = java_text(item, depth - 1)
            if text is not None:
                pairs.append(f"{key}={text}")
        return "{" + ", ".join(pairs) + "}" if pairs else None
    if isinstance(value, list):
        if not depth:
            return None
        items = []
        for item in value:
            text = java_text(item, depth - 1)
            if text is not None:
                items.append(text)
        return "[" + ", ".join(items) + "]" if items else None
    return java_scalar(value)


def java_scalar(value: object) -> str:
    """Return the text of a JSON string, boolean or number: also what a `flattened` field indexes for a leaf.

    >>> [java_scalar(value) for value in ("x", True, 22, 1.5)]
    ['x', 'true', '22', '1.5']
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        return java_double(value)
    return str(value)


def java_double(number: float) -> str:
    """Return Java's `Double.toString`: shortest digits, plain from 1e-3 up to 1e7, else one digit before the point.

    >>> [java_double(x) for x in (1.0, 0.001, 9999999.0, 1e7, 1.25e-5, -0.0, 5e-324)]
    ['1.0', '0.001', '9999999.0', '1.0E7', '1.25E-5', '-0.0', '4.9E-324']
    """
    if number != number:
        return "NaN"
    size = abs(number)
    sign = "-" if str(number).startswith("-") else ""
    if size == float("inf"):
        return f"{sign}Infinity"
    if size == 0 or 1e-3 <= size < 1e7:
        return repr(number)
    mantissa, _, exponent = repr(size).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) == 1:
        # Java shows two digits at least, and takes the best two, which for subnormal numbers is not d.0.
        two = f"{size:.1e}"
        if float(two) == size:
            digits = two[0] + two[2]
            power = int(two[4:])
    return f"{sign}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{power}"


def hash_order(keys: dict[str, object]) -> Sequence[str]:
    """Return the keys in the order in which a java.util.HashMap that they were put into lists them.

    Buckets that Java turns into trees (eight collisions and more) keep insertion order too as far as can be seen.

    >>> hash_order({"principal": 1, "action": 1, "statementId": 1, "functionName": 1})
    ('principal', 'functionName', 'statementId', 'action')
    """
    if len(keys) < 2:
        return tuple(keys)
    # Requests of one kind have the same keys in the same order, so most orders have been worked out already.
    given = tuple(keys)
    known = _orders.get(given)
    if known is not None:
        return known
    size = 16
    while len(given) > size * _LOAD_FACTOR:
        size *= 2
    order = tuple(sorted(given, key=lambda key: _spread(key) & (size - 1)))
    if len(_orders) < _MOST_ORDERS and sum(map(len, given)) <= _LONGEST_REMEMBERED:
        _orders[given] = order
    return order


# Bounded in number and size, because the keys come from records.
_MOST_ORDERS = 4096
_LONGEST_REMEMBERED = 512
_orders: dict[tuple[str, ...], tuple[str, ...]] = {}


def _spread(key: str) -> int:
    # Keys come from the record: only ordinary ones are worth remembering, or a hostile one fills the memory.
    return _cached_spread(key) if len(key) <= _LONGEST_CACHED_KEY else _hash(key)


def _hash(key: str) -> int:
    """Return Java's String.hashCode of `key` with its upper half folded in, as HashMap does."""
    value = 0
    if key.isascii():
        for byte in key.encode():
            value = (31 * value + byte) & 0xFFFFFFFF
    else:
        units = key.encode("utf-16-be", "surrogatepass")
        for high, low in zip(units[::2], units[1::2], strict=True):
            value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value ^ (value >> 16)


_cached_spread = lru_cache(maxsize=8192)(_hash)
