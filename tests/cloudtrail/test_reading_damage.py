"""Damaged, truncated and hostile objects: what is good is read, what is bad is reported with its place, in bounds."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail.envelope import Aside, read_items
from keytrail.cloudtrail.inflate import inflate
from keytrail.cloudtrail.records import ReadLimits, Record
from keytrail.errors import InputError, ObjectError, RecordError

LIMITS = ReadLimits()


def event(number: int) -> dict[str, object]:
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/é"},
        "eventName": f"e{number}",
        "requestParameters": {"policy": '{"Statement": [{"Sid": "}{"}]}', "list": [{"a": 1}, {"b": [2]}]},
        "eventID": str(number),
    }


EVENTS = [event(number) for number in range(5)]
COMPACT = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in EVENTS]


def read(data: bytes | str, size: int = 1 << 18, limits: ReadLimits = LIMITS) -> tuple[list[str], list[InputError]]:
    """Names of the events that were read, and the errors."""
    raw = data.encode() if isinstance(data, str) else data
    names: list[str] = []
    errors: list[InputError] = []
    for item in read_items((raw[at : at + size] for at in range(0, len(raw), size)), "a.json", limits):
        if isinstance(item, Record):
            names.append(str(item.data.get("eventName")))
        elif isinstance(item, InputError):
            errors.append(item)
    return names, errors


WHOLE = {
    "delivery": '{"Records":[' + ",".join(COMPACT) + "]}",
    "array": "[" + ",".join(COMPACT) + "]",
    "pretty": json.dumps({"Records": EVENTS}, indent=1),
    "EventBridge": json.dumps([{"version": "0", "detail-type": "x", "detail": record} for record in EVENTS]),
    "LookupEvents": json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": text} for text in COMPACT], "N": "x"}),
    "Lake": json.dumps({"Q": {}, "QueryResultRows": [[{"a": "b"}, {"eventJson": text}] for text in COMPACT]}),
    "lines": "\n".join(COMPACT),
}


@pytest.mark.parametrize("layout", sorted(WHOLE))
@pytest.mark.parametrize("size", [50, 1 << 18])
def test_truncated_anywhere_gives_the_records_before_and_one_error(layout: str, size: int) -> None:
    data = WHOLE[layout].encode()
    before = 0
    for end in range(1, len(data), 1 if size > 50 else 7):
        names, errors = read(data[:end], size)
        assert names == [f"e{number}" for number in range(len(names))]
        assert len(names) >= before, "what was complete stays complete"
        before = len(names)
        whole_lines = layout == "lines" and data[:end].rstrip() == "\n".join(COMPACT[: len(names)]).encode()
        assert len(errors) == (0 if whole_lines else 1), (end, errors)
    assert read(data, size) == ([f"e{number}" for number in range(5)], [])


def damage(bad: str) -> dict[str, str]:
    """Objects in which the third of five records is `bad`."""
    five = [*COMPACT[:2], bad, *COMPACT[3:]]
    return {
        "delivery": '{"Records":[' + ",".join(five) + "]}",
        "one a line": '{"Records":[\n' + ",\n".join(five) + "\n]}\n",
        "array": "[" + " , ".join(five) + "]",
        "lines": "\n".join(five) + "\n",
    }


BAD = {
    "bad literal": COMPACT[2].replace('"1.08"', "None"),
    "missing comma": COMPACT[2].replace('"1.08",', '"1.08"'),
    "trailing comma": COMPACT[2][:-1] + ",}",
    "missing brace inside": COMPACT[2].replace('user/é"}', 'user/é"'),
    "missing bracket inside": COMPACT[2].replace("[2]", "[2"),
    "missing last brace": COMPACT[2][:-1],
    "missing first quote": COMPACT[2].replace('"eventName"', 'eventName"'),
    "missing last quote": COMPACT[2].replace('"eventName"', '"eventName'),
    "cut in a string": COMPACT[2][:60],
    "cut in a key": COMPACT[2][:20],
    "cut behind a colon": COMPACT[2][: COMPACT[2].index(":") + 1],
    "bad escape": COMPACT[2].replace("user", "\\x"),
    "control character": COMPACT[2].replace("user", "\x01"),
    "single quotes": COMPACT[2].replace('\\"', "").replace('"', "'"),
    "a number": "17",
    "too deep": '{"eventName":' + "[" * 300 + "]" * 300 + "}",
    "far too deep": '{"eventName":' + "[" * 3000 + "]" * 3000 + "}",
    "zero bytes": "\0" * 50,
}


@pytest.mark.parametrize("size", [13, 1 << 18])
@pytest.mark.parametrize("layout", ["delivery", "one a line", "array", "lines"])
@pytest.mark.parametrize("bad", sorted(BAD))
def test_one_bad_record_costs_itself(bad: str, layout: str, size: int) -> None:
    names, errors = read(damage(BAD[bad])[layout], size)
    assert names == ["e0", "e1", "e3", "e4"]
    assert len(errors) == 1
    place = errors[0].place
    assert place is not None
    assert place.file == "a.json"
    assert place.line == {"lines": 3, "one a line": 4}.get(layout, 1)
    assert place.column is not None
    # A line that is no object is not counted as a record.
    assert place.record == (None if layout == "lines" and bad in ("a number", "zero bytes") else 2)


@pytest.mark.parametrize("layout", ["delivery", "one a line", "lines"])
def test_bytes_that_are_not_utf8_cost_their_record(layout: str) -> None:
    data = damage(COMPACT[2])[layout].encode().replace(b"e2", b"e\xff")
    names, errors = read(data)
    assert names == ["e0", "e1", "e3", "e4"]
    assert [error.what for error in errors] == ["not UTF-8 text"]


def test_the_place_of_an_error_is_exact() -> None:
    _, [error] = read('{"Records": [\n  {"eventName": "é"},\n  {"eventName": "é", "a": nul}\n]}')
    assert str(error) == "a.json:3:27 record 1: not JSON: Expecting value"


def test_a_record_over_the_limit_is_skipped_and_names_the_setting() -> None:
    limits = ReadLimits(max_record_bytes=2_000, chunk_bytes=500)
    big = COMPACT[2].replace("e2", "x" * 5_000)
    for text in damage(big).values():
        names, errors = read(text, 300, limits)
        assert names == ["e0", "e1", "e3", "e4"]
        assert [error.what for error in errors] == ["a record is larger than 2000 bytes"]
        assert "reading.max_record_bytes" in errors[0].advice
    _, [error] = read('{"eventName":' + "[" * 300 + "]" * 300 + "}")
    assert "reading.max_depth" in error.advice


def test_a_missing_comma_between_records_loses_nothing() -> None:
    names, errors = read("[" + COMPACT[0] + COMPACT[1] + "," + COMPACT[2] + ",]")
    assert names == ["e0", "e1", "e2"]
    assert [error.what for error in errors] == ["not JSON: expected , or ]", "not JSON: expected another record"]


def test_bad_lines_are_reported_one_by_one() -> None:
    names, errors = read("\n".join([COMPACT[0], "oops", "# note", COMPACT[1], "null", COMPACT[2]]))
    assert names == ["e0", "e1", "e2"]
    assert [error.place.line for error in errors if error.place] == [2, 3, 5]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"Just some text.\nTwo lines.\n", "neither an object nor an array of records"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "neither an object nor an array of records"),
        ('{"Records": []}'.encode("utf-16"), "UTF-16 text"),
    ],
)
def test_what_is_no_cloudtrail_object_is_one_error(data: bytes, what: str) -> None:
    names, [error] = read(data)
    assert not names
    assert isinstance(error, ObjectError)
    assert error.what == what
    assert error.advice


def test_an_object_of_other_json_says_so() -> None:
    names, [error] = read('{"hello": "world"}')
    assert not names
    assert isinstance(error, RecordError)
    assert error.what.startswith("not a CloudTrail record")


def test_a_truncated_gzip_gives_its_records_and_one_error() -> None:
    stored = gzip.compress(WHOLE["delivery"].encode(), 0)
    for end in range(20, len(stored) - 1, 11):
        items = list(read_items(inflate([stored[:end]], "a.gz", LIMITS), "a.gz", LIMITS))
        assert all(isinstance(item, Record) for item in items[:-1])
        assert isinstance(items[-1], ObjectError)
        assert items[-1].what == "gzip member 1 is cut off"


junk = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [
                b'{"Records":[',
                b"[",
                b"]",
                b"{",
                b"}",
                b",",
                b":",
                b'"',
                b"\\",
                b"\n",
                b" ",
                b"1",
                b"nul",
                b"NaN",
                b"\xff",
            ]
            + [
                b'{"eventVersion":"1"',
                b'"detail-type":"x"',
                b'"detail":',
                b'"CloudTrailEvent":',
                b'"{}"',
                b"\xef\xbb\xbf",
            ]
            + [text.encode() for text in COMPACT[:1]]
        ),
        max_size=40,
    ).map(b"".join),
)


@settings(max_examples=400, deadline=None)
@given(data=junk, size=st.integers(1, 60), tight=st.booleans())
def test_arbitrary_bytes_never_raise_and_chunks_do_not_matter(data: bytes, size: int, tight: bool) -> None:
    limits = ReadLimits(max_record_bytes=100, max_depth=8) if tight else LIMITS
    items = list(read_items([data], "a.json", limits))
    assert all(isinstance(item, Record | Aside | InputError) for item in items)
    again = list(read_items((data[at : at + size] for at in range(0, len(data), size)), "a.json", limits))
    assert list(map(described, again)) == list(map(described, items)) or tight
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        pass
    else:  # What the standard library reads may hold no event, but the structure of it is not called wrong.
        assert not any(isinstance(item, InputError) and item.what.startswith("not JSON") for item in items)


def described(item: object) -> str:
    return str(item) if isinstance(item, InputError) else repr(item)


def chunks(piece: bytes, times: int) -> Iterator[bytes]:
    for _ in range(times):
        yield piece


HOSTILE = {
    "braces": b"{",
    "brackets": b"[",
    "quotes": b'"',
    "nested records": b'{"eventVersion":',
    "nested behind commas": b',{"eventVersion":',
    "nested lines": b'\n{"a":',
    "nested lines with good ones": b'\n{"a":' * 900 + b'\n{"eventName":1}\n',
    "empty objects": b"{}",
    "numbers": b"1,",
    "spaces": b", \t ",
    "escapes": b'\\"',
    "broken records": b'{"eventVersion":"1","a":{"b":"c" ,{"eventVersion":"1","a":"b"},',
    "members": b'"Records":[],',
    "small members": b'"a":1,',
}


@pytest.mark.parametrize("first", [b"", b"[", b"{", b'{"a":"', b'{"Records":[{"eventName":1}'])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_garbage_takes_linear_time_and_bounded_memory(name: str, first: bytes) -> None:
    piece = HOSTILE[name] * (65_536 // len(HOSTILE[name]) + 1)
    limits = ReadLimits(max_record_bytes=100_000)
    started = time.process_time()
    tracemalloc.start()
    try:
        for item in read_items((chunk for part in ([first], chunks(piece, 4)) for chunk in part), "a.json", limits):
            del item
        # Some copies of a record and a chunk, in a text of four bytes a character at worst.
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    # 256 KB; the square of it would be hours. Tracing memory makes everything several times slower.
    assert time.process_time() - started < 20


def test_a_huge_single_line_is_read_in_constant_memory() -> None:
    record = COMPACT[0].encode() + b","
    piece = record * 200
    tracemalloc.start()
    try:
        data = (
            chunk for part in ([b'{"Records":['], chunks(piece, 300), [COMPACT[1].encode(), b"]}"]) for chunk in part
        )
        count = sum(isinstance(item, Record) for item in read_items(data, "a.json", LIMITS))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert count == 60_001


def test_too_many_unreadable_values_in_a_row_give_the_object_up() -> None:
    names, errors = read(COMPACT[0] + "\n" + "oops\n" * 5_000 + COMPACT[1])
    assert names == ["e0"]
    assert len(errors) == 1_001
    assert isinstance(errors[-1], ObjectError)
    assert "given up" in errors[-1].what
