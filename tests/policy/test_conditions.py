"""Conditions: every operator with every qualifier on present, missing and odd values, from the tables in cases/."""

from __future__ import annotations

import base64
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.policy.conditions import all_of, any_of, holds
from keytrail.policy.model import Condition
from keytrail.policy.operators import OPERATORS, parse_operator
from keytrail.policy.patterns import arn_match, glob, glob_match
from keytrail.policy.values import iso_time, time

CASES = Path(__file__).parent / "cases"
ANSWERS = {"true": True, "false": False, "unknown": None}


def rows(name: str, table: str) -> list[list[object]]:
    return tomllib.loads((CASES / name).read_text("utf-8"))[table]


def answer(operator: str, values: list[str], key: str, context: dict[str, tuple[str, ...]], *, variables: bool = True):
    return holds(Condition(parse_operator(operator), key, tuple(values)), context, variables=variables)


@pytest.mark.parametrize("row", rows("conditions.toml", "single"), ids=str)
def test_single_valued(row):
    operator, values, given_values, expected = row
    context = {"test:key": tuple(given_values)} if given_values else {}
    assert answer(operator, values, "Test:Key", context) is ANSWERS[expected]


@pytest.mark.parametrize("row", rows("conditions.toml", "multi"), ids=str)
def test_multivalued(row):
    operator, values, given_values, expected = row
    context = {"aws:calledvia": tuple(given_values)} if given_values else {}
    assert answer(operator, values, "aws:CalledVia", context) is ANSWERS[expected]


def test_every_operator_is_in_the_table_present_and_missing():
    seen = {
        (parse_operator(operator).name, bool(given_values))
        for operator, _, given_values, _ in rows("conditions.toml", "single")
    }
    assert {(name, present) for name in OPERATORS for present in (True, False)} <= seen


@pytest.mark.parametrize("row", rows("variables.toml", "rows"), ids=str)
def test_variables(row):
    operator, value, given_value, modern, old = row
    context = {
        "test:key": (given_value,),
        "aws:username": ("bob",),
        "aws:principaltag/team": ("Blue",),
        "aws:principaltag/days": ("7",),
        "aws:calledvia": ("x",),
    }
    assert answer(operator, [value], "test:key", context) is ANSWERS[modern]
    assert answer(operator, [value], "test:key", context, variables=False) is ANSWERS[old]


THREE = st.sampled_from([True, False, None])


@given(st.lists(THREE, max_size=5))
def test_three_valued_logic_holds_for_every_reading_of_unknown(answers):
    readings = [[a if a is not None else guess for a in answers] for guess in (True, False)]
    for combine, exact in ((all_of, all), (any_of, any)):
        outcomes = {exact(reading) for reading in readings}
        assert combine(answers) is (outcomes.pop() if len(outcomes) == 1 else None)


PLAIN = st.text(alphabet="ab:*?", max_size=8)


def slow_match(pattern: str, text: str) -> bool:
    """The definition of a glob, one character at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slow_match(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and slow_match(pattern[1:], text[1:])


@settings(max_examples=300)
@given(PLAIN, PLAIN)
def test_globs_by_their_definition(pattern, text):
    assert glob_match(pattern, text) is slow_match(pattern, text)


@settings(max_examples=300)
@given(st.lists(PLAIN.map(lambda t: t.replace(":", "")), min_size=6, max_size=6), PLAIN)
def test_arns_are_compared_segment_by_segment(parts, rest):
    pattern, text = ":".join(parts), ":".join([*parts[:5], parts[5] + rest])
    expected = all(slow_match(p, t) for p, t in zip(pattern.split(":", 5), text.split(":", 5), strict=True))
    assert arn_match(glob(pattern), text) is expected


def test_a_glob_of_many_stars_is_fast():
    assert glob_match("*a" * 200 + "b", "a" * 2000) is False


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))
def test_times_read_what_they_write(at):
    seconds = (at.replace(tzinfo=UTC, microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    text = iso_time(seconds)
    assert text is not None
    assert time(text) == seconds


@given(st.binary(max_size=20))
def test_binary_compares_bytes(data):
    text = base64.b64encode(data).decode()
    assert answer("BinaryEquals", [text], "test:key", {"test:key": (text,)}) is True
