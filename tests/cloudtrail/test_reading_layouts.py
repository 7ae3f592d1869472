"""Records read back equal, with their exact bytes and places, from every layout and however the chunks are cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail.envelope import read_items
from keytrail.cloudtrail.records import Aside, Json, Kind, ReadLimits, Record, identity, record_from_slice
from keytrail.errors import InputError, Place

LIMITS = ReadLimits()
ARCHIVES = Path(__file__).parents[2] / "../shared/data/cloudtrail"

# Text with everything that JSON escapes, lone surrogates, and what looks like structure.
texts = st.text(st.one_of(st.characters(), st.sampled_from('{}[]",:\\\n\x00é😀\ud800\udcff')), max_size=12)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
RESERVED = {"CloudTrailEvent", "eventJson", "detail", "detail-type", "Records", "Events", "QueryResultRows"}
records = st.builds(
    lambda more, name: {k: v for k, v in more.items() if k not in RESERVED} | {"eventName": name},
    st.dictionaries(texts, values, max_size=5),
    texts,
)


def ascii_(value: object) -> str:
    return json.dumps(value)


def unicode_(value: object) -> str:
    # A lone surrogate has no UTF-8 form: such a value can only be written with escapes.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.encode("utf-8", "replace").decode() == text else json.dumps(value, separators=(",", ":"))


def pretty(value: object) -> str:
    return json.dumps(value, indent=2)


WRITERS = {"ascii": ascii_, "unicode": unicode_, "pretty": pretty}


def events(found: list[Json]) -> dict[str, object]:
    rows = [{"EventId": "1", "CloudTrailEvent": json.dumps(record), "Resources": []} for record in found]
    return {"NextToken": "x", "Events": rows, "ResponseMetadata": {"HTTPStatusCode": 200}}


def bridge(record: Json) -> Json:
    return {"version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "detail": record, "resources": []}


def lake(found: list[Json]) -> dict[str, object]:
    rows = [[{"eventName": "x"}, {"eventJson": json.dumps(record)}] for record in found]
    return {"QueryStatus": "FINISHED", "QueryStatistics": {"ResultsCount": len(rows)}, "QueryResultRows": rows}


LAYOUTS: dict[str, Callable[[list[Json], Callable[[object], str]], str]] = {
    "delivery": lambda found, write: write({"Records": found}),
    "delivery with members around": lambda found, write: write({"a": [1, {}], "Records": found, "z": "]"}),
    "array": lambda found, write: write(found),
    "lines": lambda found, write: "".join(write(record) + "\n" for record in found),
    "concatenated": lambda found, write: "".join(map(write, found)),
    "array of objects": lambda found, write: write([{"Records": [record]} for record in found]),
    "objects in lines": lambda found, write: "\n".join(write({"Records": [record]}) for record in found),
    "EventBridge lines": lambda found, write: "\n".join(write(bridge(record)) for record in found),
    "EventBridge array": lambda found, write: write([bridge(record) for record in found]),
    "LookupEvents": lambda found, write: write(events(found)),
    "LookupEvents lines": lambda found, write: "\n".join(map(write, events(found)["Events"])),  # type: ignore[call-overload]
    "Lake": lambda found, write: write(lake(found)),
}


def read(data: bytes, size: int = 1 << 20, limits: ReadLimits = LIMITS) -> list[Record | Aside | InputError]:
    return list(read_items((data[at : at + size] for at in range(0, len(data), size)), "a.json", limits))


@settings(max_examples=250, deadline=None)
@given(
    found=st.lists(records, max_size=5),
    layout=st.sampled_from(sorted(LAYOUTS)),
    writer=st.sampled_from(sorted(WRITERS)),
    size=st.one_of(st.integers(1, 20), st.integers(1, 5000)),
    mark=st.booleans(),
)
def test_records_read_back_equal_from_every_layout(
    found: list[Json], layout: str, writer: str, size: int, mark: bool
) -> None:
    data = (("\ufeff" if mark else "") + LAYOUTS[layout](found, WRITERS[writer])).encode()
    items = read(data, size)
    assert [item.data if isinstance(item, Record) else item for item in items] == found
    for index, item in enumerate(items):
        assert isinstance(item, Record)
        assert json.loads(item.raw) == item.data
        assert item.place.record == index
        # In the layouts that hold records as they are, the raw bytes are those of the object, where the place says.
        if not layout.startswith(("Lookup", "Lake")):
            assert item.raw in data
            assert record_from_slice(item.raw, item.place, LIMITS) == item
        if not layout.startswith(("Lookup", "Lake", "EventBridge")):
            assert item.place.line is not None
            assert item.place.column is not None
            lines = data.decode().split("\n")
            rest = "\n".join(lines[item.place.line - 1 :])[item.place.column - 1 :]
            assert rest.encode().startswith(item.raw)


@settings(max_examples=150, deadline=None)
@given(value=values, wrap=st.sampled_from(["", "detail", "CloudTrailEvent", "row"]), size=st.integers(1, 200))
def test_a_slice_is_judged_as_inside_its_object(value: object, wrap: str, size: int) -> None:
    element: object = value
    if wrap == "detail":
        element = {"detail-type": "x", "detail": value}
    elif wrap == "CloudTrailEvent":
        element = {"CloudTrailEvent": json.dumps(value)}
    elif wrap == "row":
        element = [{"eventJson": json.dumps(value)}]
    raw = json.dumps(element).encode()
    [item] = read(b'{"Records": [' + raw + b"]}", size)
    alone = record_from_slice(raw, Place("a.json", 0, 1, 14), LIMITS)
    if isinstance(item, InputError):
        assert isinstance(alone, InputError)
        assert str(item) == str(alone)
    else:
        assert item == alone


@pytest.mark.parametrize(
    "raw",
    [
        b'{"eventName":"x","a":NULL}',
        b'{"eventName":"x",}',
        b'{"eventName":"\xff"}',
        b'{"eventName":"\xed\xa0\x80"}',
        b'{"eventName":"x","a":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"eventName":"x","a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"eventName":"x","a":' + b"1" * 5000 + b"}",
        b'{"eventName":"' + b"x" * 3000 + b'"}',
        b"{'eventName':1}",
        b'{"other":1}',
        b'[{"eventName":"x"}]',
        b'{"CloudTrailEvent":"{"}',
        b'{"CloudTrailEvent":"[]"}',
        b'{"eventName":NaN,"a":-Infinity,"b":1e999}',
        b'{"eventName":"x","eventName":"y","a":10000000000000000000000.0}',
        b'{"detail":{"eventName":1},"detail-type":"a","detail":{"eventName":2}}',
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_odd_and_bad_records_are_judged_alike_and_cost_only_themselves(raw: bytes, size: int) -> None:
    limits = ReadLimits(max_record_bytes=25_000 if b"[[" in raw else 3_000 if b"xxx" in raw else 10_000)
    good = b'{"eventName":"good"}'
    items = read(b'{"Records":[' + b",".join((good, raw, good)) + b"]}", size, limits)
    alone = record_from_slice(raw, Place("a.json", 1, 1, 34), limits)
    assert len(items) == 3
    assert isinstance(items[0], Record)
    assert isinstance(items[2], Record)
    assert items[0].data == items[2].data == {"eventName": "good"}
    assert str(items[1]) == str(alone) if isinstance(alone, InputError) else repr(items[1]) == repr(alone)


def test_digest_and_insight_objects_are_not_events() -> None:
    digest = b'{"awsAccountId":"1","digestStartTime":"2026-01-01T00:00:00Z","digestS3Object":"x","logFiles":[]}'
    insight = b'{"Records":[{"eventID":"1","eventType":"AwsCloudTrailInsight","insightDetails":{"state":"Start"}}]}'
    for data, kind in ((digest, Kind.DIGEST), (insight, Kind.INSIGHT)):
        [item] = read(data)
        assert isinstance(item, Aside)
        assert item.kind is kind


def test_raw_bytes_of_an_eventbridge_detail_are_as_stored() -> None:
    [item] = read(b'{"detail-type": "x", "d": [1], "detail" : {"eventName": "\\u0041",  "n": 1.0}, "z": {}}')
    assert isinstance(item, Record)
    assert item.raw == b'{"eventName": "\\u0041",  "n": 1.0}'


def test_an_embedded_lone_surrogate_survives() -> None:
    [item] = read(json.dumps({"CloudTrailEvent": '{"eventName": "\ud83d x"}'}).encode())
    assert isinstance(item, Record)
    assert item.data == {"eventName": "\ud83d x"}
    assert json.loads(item.raw) == item.data


def test_a_lake_row_without_the_record_says_what_to_select() -> None:
    [item] = read(json.dumps({"QueryResultRows": [[{"eventName": "x"}, {"eventID": "1"}]]}).encode())
    assert isinstance(item, InputError)
    assert "eventJson" in item.advice


def test_nothing_in_an_object_is_no_error() -> None:
    for data in (b"", b" \n", b"[]", b'{"Records":[]}', b'{"Records": [ ] }\n', b"\xef\xbb\xbf"):
        assert read(data) == []


def test_real_archives_read_as_the_standard_library_reads_them() -> None:
    files = sorted(ARCHIVES.glob("*/*.json"))
    if not files:
        pytest.skip(f"{ARCHIVES} is not there: real CloudTrail archives")
    for path in files:
        data = path.read_bytes()
        parsed = json.loads(data)
        expected = parsed["Records"] if isinstance(parsed, dict) else parsed
        items = read(data, 65_536)
        assert [item.data if isinstance(item, Record) else item for item in items] == expected, path
        assert len({identity(item.data) for item in items if isinstance(item, Record)}) > 0
