"""Cutting gives the records that parsing gives, at their own places, or nothing at all."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.search.cut import cut, escapes, needs_slow_reader

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)
blanks = st.sampled_from(["", " ", "\n", "\t \r\n"])


@given(some=st.lists(objects, max_size=5), gap=blanks, around=blanks, ascii_only=st.booleans())
def test_elements_of_an_envelope(some: list[dict[str, object]], gap: str, around: str, ascii_only: bool) -> None:
    texts = [json.dumps(one, ensure_ascii=ascii_only) for one in some]
    for opening, closing in ((f'{{{gap}"Records"{gap}:{gap}[', f"]{gap}}}"), ("[", "]")):
        text = around + opening + f"{gap},{gap}".join(texts) + closing + around
        buffer = text.encode("utf-8", "surrogatepass")
        records = cut(buffer)
        if records is None:  # What the parser refuses is left to the slow reader.
            assert any(word in text for word in ("NaN", "Infinity", "\\ud", '"Records"')) or not buffer.isascii()
            continue
        assert [bytes(raw).decode() for raw in records.raws] == texts
        for start, raw in zip(records.starts, records.raws, strict=True):
            assert buffer[start : start + len(raw)] == bytes(raw)
        every_offset = range(len(buffer))
        assert records.holding(every_offset) == list(range(len(texts)))


@given(some=st.lists(objects, max_size=5), gap=blanks)
def test_one_record_a_line(some: list[dict[str, object]], gap: str) -> None:
    texts = [json.dumps(one, allow_nan=True) for one in some]
    buffer = "".join(text + gap.replace("\n", "") + "\n" + gap for text in texts).encode()
    records = cut(buffer)
    if records is None:
        assert not texts or any(word in text for text in texts for word in ("NaN", "Infinity", "\\ud", '"Records"'))
        return
    assert [bytes(raw).decode() for raw in records.raws] == texts
    assert records.lines is not None
    lines = buffer.decode().split("\n")
    assert [lines[number - 1].strip() for number in records.lines] == [text.strip() for text in texts]


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        b"  ",
        b"hello",
        b'{"Records":[{"a":1}',
        b'{"Records":[{"a":1},]}',
        b'{"Records":[{"a":1}]} {"Records":[]}',
        b'{"Records":[{"a":1}],"Records":[{"a":2}]}',
        b'{"Records":[{"a":1}],"other":[]}',
        b'{"a":1}{"b":2}',
        b'{"a":1}\n[{"b":2}]\n',
        b'{"a":\n1}',
        b"[" * 5000,
    ],
)
def test_what_is_not_certain_is_left_to_the_slow_reader(buffer: bytes) -> None:
    assert cut(buffer) is None


def test_a_position_between_records_belongs_to_none() -> None:
    records = cut(b'[{"a":1} , {"b":2}]')
    assert records is not None
    assert records.holding([0, 8, 9, 10, 18]) == []
    assert records.holding([1, 7, 11]) == [0, 1]


def test_escaped_letters_and_embedded_records_are_seen() -> None:
    assert escapes(rb'{"a":"\u0050ut\u006by"}') == [6, 14]
    assert escapes(rb'{"a":"\u20ac"}') == []
    assert needs_slow_reader(b'{"Events":[{"CloudTrailEvent":"{}"}]}')
    assert not needs_slow_reader(b'{"Records":[{"requestParameters":"a CloudTrailEvent"}]}')


json_texts = st.one_of(
    values.map(lambda value: json.dumps(value, ensure_ascii=False)),
    values.map(json.dumps),
    st.text(alphabet='{}[]",:0123456789.eE+-\\uabcdefDd tnrl\n', max_size=20),
    st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r'"(\\u[dD][89abcdefABCDEF][0-9a-f]{2}|[a-z]|\\n|\\/){0,6}"', fullmatch=True),
)


@given(json_texts)
def test_what_the_fast_parser_accepts_means_what_the_standard_library_says(text: str) -> None:
    try:
        fast = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    slow = json.loads(text)
    assert repr(fast) == repr(slow)  # Also the order of keys, -0.0 and the type of each number.
