"""Rows that are cut already are judged as the same records of an object are, by the fast way and by the slow one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document, ReadLimits, Record, event_time, inflate, read_items
from keytrail.detect import alert_id
from keytrail.search import Literal, Match, Options, Pattern, Result, Sighting, dispatch
from keytrail.search.cut import Rows
from keytrail.search.examine import Examiner
from tests.search.test_differential import (
    BOUNDS,
    LAYOUTS,
    LITERALS,
    NOW,
    QUERIES,
    SIGHTINGS,
    answers,
    held_by,
    in_time,
    records,
    writers,
)


def rows_of(raws: list[bytes], before: int = 0) -> Rows:
    """As a slice of an Arrow column is: `before` bytes of other rows lie in front."""
    return Rows(memoryview(b"".join(raws)), list(accumulate(map(len, raws), initial=before)))


def examined(raws: list[bytes], patterns: list[Pattern], *, narrow: bool = True) -> list[tuple[int, Match]]:
    return Examiner(dispatch(patterns, now=NOW, narrow=narrow), Options()).examine_rows(rows_of(raws), Result())


@given(
    some=st.lists(records(), min_size=0, max_size=6),
    write=writers(),
    slashes=st.booleans(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    wanted=st.lists(LITERALS, max_size=2),
    queries=QUERIES | st.just([]),
    sightings=SIGHTINGS,
    since=BOUNDS,
    before=st.sampled_from([0, 5]),
    narrow=st.booleans(),
)
def test_rows_match_as_the_records_that_they_were_and_as_the_object_does(
    some: list[dict[str, object]],
    write: Callable[[dict[str, object]], str],
    slashes: bool,
    layout: str,
    wanted: list[frozenset[Literal]],
    queries: list[str],
    sightings: list[Sighting],
    since: datetime | None,
    before: int,
    narrow: bool,
) -> None:
    spelled = [write(record) for record in some]
    text = LAYOUTS[layout]([one.replace("/", "\\/") for one in spelled] if slashes else spelled)
    stored = text.encode("utf-8", "surrogatepass")
    limits = ReadLimits()
    kept = [one for one in read_items(inflate([stored], "f", limits), "f", limits) if isinstance(one, Record)]
    patterns = [Pattern(f"q{n}", query) for n, query in enumerate(queries)]
    patterns += [Pattern(f"l{n}", literals=one) for n, one in enumerate(wanted)]
    compiled = [kql.compile(query, CATALOGUE, now=NOW) for query in queries]
    truth: list[tuple[int, int, str, tuple[str, ...]]] = []
    seen = set()
    for row, record in enumerate(kept):
        data, document = record.data, Document(record.data)
        if in_time(event_time(data), Literal("", since)):
            truth += [(row, n, alert_id(f"q{n}", data), ()) for n, one in enumerate(compiled) if one.matches(document)]
            held = [
                (row, len(queries) + n, alert_id(f"l{n}", data), held_by(data, one)) for n, one in enumerate(wanted)
            ]
            truth += [one for one in held if one[3]]
            seen |= {n for n, one in enumerate(sightings) if answers(data, one)}
    joined = dispatch(patterns, now=NOW, narrow=narrow, sightings=sightings)
    result = Result()
    found = Examiner(joined, Options(since=since)).examine_rows(rows_of([one.raw for one in kept], before), result)
    assert [(row, match.pattern, match.id, match.literals) for row, match in found] == truth
    assert [match for _, match in found] == result.matches
    assert (result.seen, result.errors) == (seen, [])
    whole = Result()
    Examiner(joined, Options(since=since)).examine([stored], "f", whole)
    assert (whole.matches, whole.seen) == (result.matches, result.seen)


ROWS = [json.dumps({"eventName": name, "eventSource": "kms.amazonaws.com"}).encode() for name in ("Put", "Key", "Put")]


def test_only_rows_that_may_match_are_read() -> None:
    result = Result()
    examiner = Examiner(dispatch([Pattern("a", 'event.action: "Put"')], now=NOW), Options())
    assert [row for row, _ in examiner.examine_rows(rows_of(ROWS), result)] == [0, 2]
    assert result.counts.records == 2


def test_a_literal_that_spans_two_rows_is_in_neither() -> None:
    raws = [b'{"eventName":"a","x":["', b'Put","b"]}', *ROWS]
    result = Result()
    examiner = Examiner(dispatch([Pattern("a", 'event.action: "Put"')], now=NOW), Options())
    assert [row for row, _ in examiner.examine_rows(rows_of(raws), result, "segment")] == [2, 4]
    # The bytes in which it was found are no record, and that is said.
    assert [error.place.record for error in result.errors if error.place] == [0]


@pytest.mark.parametrize("raw", [b"", b"3", b"null", b'{"eventName":"Put"', b"\xff", b"[" * 100_000])
def test_a_row_that_is_no_record_is_an_error_and_the_others_are_judged(raw: bytes) -> None:
    result = Result()
    examiner = Examiner(dispatch([Pattern("a", "event.action: *")], now=NOW), Options())
    assert [row for row, _ in examiner.examine_rows(rows_of([ROWS[0], raw, ROWS[1]]), result, "segment")] == [0, 2]
    (error,) = result.errors
    assert error.place is not None
    assert (error.place.file, error.place.record) == ("segment", 1)


def test_without_rows_nothing_is_found() -> None:
    assert examined([], [Pattern("a", "")]) == []


def test_a_pattern_that_fails_is_known_by_running_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = [Pattern("good", "event.action: Put"), Pattern("bad", "event.action: P*"), Pattern("fine", "")]

    def fail(self: Document, field: str) -> tuple[object, ...]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Document, "values", fail)
    with pytest.raises(RuntimeError):
        examined(ROWS, patterns)
    failed = []
    for pattern in patterns:
        try:
            examined(ROWS, [pattern])
        except RuntimeError:
            failed.append(pattern.key)
    assert failed == ["good", "bad"]
