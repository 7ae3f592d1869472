"""Texts as Java writes them."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail.javatext import hash_order, java_double, java_text
from keytrail.cloudtrail.scrub import scrub

words = st.text(max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "-", "none", "x"]) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=14),
    max_leaves=20,
)


class HashMap:
    """java.util.HashMap as documented: buckets of pairs in insertion order, twice as many when 3/4 full."""

    def __init__(self) -> None:
        self.buckets: list[list[str]] = [[] for _ in range(16)]
        self.size = 0

    def put(self, key: str) -> None:
        bucket = self.buckets[self.spread(key) % len(self.buckets)]
        if key in bucket:
            return
        bucket.append(key)
        self.size += 1
        if self.size > 0.75 * len(self.buckets):
            old, self.buckets = self.buckets, [[] for _ in range(2 * len(self.buckets))]
            for moved in (key for bucket in old for key in bucket):
                self.buckets[self.spread(moved) % len(self.buckets)].append(moved)

    @staticmethod
    def spread(key: str) -> int:
        data = key.encode("utf-16-le", "surrogatepass")
        code = 0
        for unit in struct.unpack(f"<{len(data) // 2}H", data):
            code = (code * 31 + unit) % 2**32
        return code ^ (code >> 16)

    def keys(self) -> list[str]:
        return [key for bucket in self.buckets for key in bucket]


@given(st.lists(words, max_size=120, unique=True))
def test_keys_are_in_the_order_of_a_java_hash_map(keys: list[str]) -> None:
    table = HashMap()
    for key in keys:
        table.put(key)
    assert list(hash_order(dict.fromkeys(keys))) == table.keys()


@settings(deadline=None)
@given(json_values)
def test_the_text_is_that_of_what_the_scrub_leaves(value: object) -> None:
    text = java_text(value)
    assert (text is None) == (scrub(value) is None)
    if isinstance(value, dict) and text is not None:
        kept = scrub(value)
        assert isinstance(kept, dict)
        parts = [f"{key}={java_text(value[key])}" for key in hash_order(value) if key in kept]
        assert text == "{" + ", ".join(parts) + "}"


def test_a_table_keeps_the_size_it_had_before_the_scrub() -> None:
    # 13 keys need 32 buckets; in 16 buckets the two that remain would change places.
    keys = {f"gone{n}": "-" for n in range(11)}
    pair = next(
        (a, b)
        for a in map(chr, range(97, 123))
        for b in (f"{x}{y}" for x in "abc" for y in "abcdefghijklmnop")
        if list(hash_order(dict.fromkeys([a, b])))
        != [key for key in hash_order(dict.fromkeys([*keys, a, b])) if key in (a, b)]
    )
    small = java_text(dict.fromkeys(pair, "x"))
    large = java_text({**keys, **dict.fromkeys(pair, "x")})
    assert small is not None
    assert large is not None
    assert small != large
    assert sorted(small) == sorted(large)


@given(st.floats())
def test_a_double_reads_back_as_itself(number: float) -> None:
    text = java_double(number)
    if number == number and abs(number) != float("inf"):
        assert float(text) == number
        assert ("E" in text) == (number != 0 and not 1e-3 <= abs(number) < 1e7)
        assert json.loads(text) == number
        assert "." in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        # Values in the documentation of java.lang.Double and java.lang.Math, and well-known ones.
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (2.2250738585072014e-308, "2.2250738585072014E-308"),
        (4.9e-324, "4.9E-324"),
        (3.141592653589793, "3.141592653589793"),
        (100.0, "100.0"),
        (12345678.0, "1.2345678E7"),
        (1e21, "1.0E21"),
        (2e23, "2.0E23"),
        (0.0001, "1.0E-4"),
        (-0.00123, "-0.00123"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
    ],
)
def test_doubles(number: float, text: str) -> None:
    assert java_double(number) == text
