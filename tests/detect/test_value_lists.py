"""Value lists: what is read from a file, what is told, and that fast look-up finds what a slow one finds."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.detect import VALUE_TYPES, ValueList, read_value_list
from keytrail.detect.value_lists import MAX_PROBLEMS_PER_LIST, compile_values
from keytrail.errors import RuleError


def test_a_list_is_read_line_by_line_and_every_misfit_is_told() -> None:
    made, errors = read_value_list(
        "192.0.2.1\r\n\n  10.0.0.0/8 \n10.0.0.9-10.0.0.1\nhome\n192.0.2.1\n10.0.0.0/99\n",
        id="a", type="ip_range", name="A", file="a.txt",
    )  # fmt: skip
    assert made == ValueList("a", "ip_range", "A", ("192.0.2.1", "10.0.0.0/8"))
    assert [str(error) for error in errors] == [
        "a.txt:4: '10.0.0.9-10.0.0.1' ends before it begins",
        "a.txt:5: 'home' is neither an IP address nor a CIDR block",
        "a.txt:7: '10.0.0.0/99' is neither an IP address nor a CIDR block",
    ]


def test_the_errors_of_a_list_are_bounded_and_short() -> None:
    _, errors = read_value_list("x" * 5000 + "\n" + "y\n" * 1000, id="a", type="long", file="a.txt")
    assert len(errors) == MAX_PROBLEMS_PER_LIST
    assert all(len(str(error)) < 200 for error in errors)


def test_an_unknown_type_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(RuleError, match="lists of type 'geo_shape' are not known\nThe types are keyword, text"):
        compile_values(ValueList("a", "geo_shape", "", ()))
    with pytest.raises(RuleError, match="lists of type 'shape' are not known"):
        read_value_list("", id="a", type="shape", file="a.txt")


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        ("text", "..."),
        ("boolean", "True"),
        ("ip", "1.2.3"),
        ("ip", "fe80::1%eth0"),
        ("long", "1.5"),
        ("long", "١"),
        ("double", "1e400"),
        ("double", "nan"),
        ("integer_range", "5-1"),
        ("integer_range", "1-"),
        ("date", "yesterday"),
        ("date", "now-1d"),
        ("date_range", "2026-02-01,2026-01-01"),
    ],
)
def test_values_that_do_not_fit_are_told_and_are_in_the_list_for_nothing(type: str, wrong: str) -> None:
    made, errors = read_value_list(wrong, id="a", type=type, file="a.txt")
    assert made.values == ()
    assert len(errors) == 1
    assert not compile_values(ValueList("a", type, "", (wrong,)))(wrong)


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("9" * 400), st.just(10**400)
)


@pytest.mark.parametrize("type", VALUE_TYPES)
def test_no_value_of_an_event_breaks_a_list(type: str) -> None:
    fitting = {"ip": "192.0.2.1", "ip_range": "192.0.2.1", "boolean": "true", "text": "a", "keyword": "a"}
    known = compile_values(ValueList("a", type, "", (fitting.get(type, "2026"),)))

    @given(ODD)
    def holds_for(value: object) -> None:
        assert known(value) in (True, False)

    holds_for()


SPANS = st.lists(st.tuples(st.integers(-60, 60), st.integers(0, 9)), max_size=8)


@given(SPANS, st.lists(st.integers(-70, 70), min_size=1))
def test_ranges_of_numbers_hold_what_they_say(spans: list[tuple[int, int]], numbers: list[int]) -> None:
    texts = tuple(f"{first}-{first + length}" if length else str(first) for first, length in spans)
    known = compile_values(ValueList("a", "long_range", "", texts))
    for number in numbers:
        expected = any(first <= number <= first + length for first, length in spans)
        assert known(number) is known(str(number)) is expected


V4 = st.integers(0x0A00_0000, 0x0A00_00FF)


@given(st.lists(st.tuples(V4, V4) | V4, max_size=6), st.lists(V4, min_size=1))
def test_ranges_of_addresses_hold_what_they_say(spans: list[tuple[int, int] | int], wanted: list[int]) -> None:
    pairs = [tuple(sorted(span)) if isinstance(span, tuple) else (span, span) for span in spans]
    known = compile_values(
        ValueList("a", "ip_range", "", tuple(f"{ip_address(first)} - {ip_address(last)}" for first, last in pairs))
    )
    for number in wanted:
        expected = any(first <= number <= last for first, last in pairs)
        assert known(str(ip_address(number))) is known(f"::ffff:{ip_address(number)}") is expected
