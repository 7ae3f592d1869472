"""What is looked for by value costs little where it cannot count: the records that are read are the ones that may."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from keytrail.search import Literal, Options, Pattern, Result, Sighting, dispatch
from keytrail.search.examine import Examiner
from keytrail.search.needles import needle_finder
from keytrail.search.values import needle_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFFICE = "192.0.2.1"


def stored(count: int, account: str = "111122223333") -> bytes:
    """An object with an event of the office each hour."""
    events = [
        {
            "eventTime": f"{NOW + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}",
            "eventName": "Decrypt",
            "sourceIPAddress": OFFICE,
            "eventID": str(number),
            "recipientAccountId": account,
        }
        for number in range(count)
    ]
    return json.dumps({"Records": events}, separators=(",", ":")).encode()


def examiner(*literals: Literal, sightings: tuple[Sighting, ...] = ()) -> Examiner:
    patterns = [Pattern("p", literals=frozenset(literals))] if literals else []
    return Examiner(dispatch(patterns, now=NOW, sightings=sightings), Options())


def examine(one: Examiner, data: bytes) -> Result:
    result = Result()
    one.examine([data], "f", result)
    return result


def test_a_busy_value_is_read_only_at_the_times_it_is_wanted() -> None:
    wanted = [Literal(OFFICE, NOW + timedelta(hours=3), NOW + timedelta(hours=5)), Literal(OFFICE, until=NOW)]
    result = examine(examiner(*wanted), stored(100))
    assert [match.event_id for match in result.matches] == ["3", "4"]
    assert result.counts.records == 2


def test_times_with_fractions_of_a_second_bound_exactly() -> None:
    half = timedelta(milliseconds=500)
    result = examine(examiner(Literal(OFFICE, NOW + half, NOW + timedelta(hours=2) + half)), stored(9))
    assert [match.event_id for match in result.matches] == ["1", "2"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (b'{"a":{"eventTime":"2020-01-01T00:00:00Z"},"eventTime"', [1, 0, 0]),
        # Of repeated members the last counts.
        (b'{"eventTime":"2020-01-01T00:00:00Z","eventTime"', [1, 0, 0]),
        (b'{"x":"eventTime","eventTime"', [1, 0, 0]),
    ],
)
def test_another_time_inside_a_record_is_not_taken_for_its_own(written: bytes, found: list[int]) -> None:
    data = stored(1).replace(b'{"eventTime"', written)
    for hour, expected in enumerate(found):
        since = NOW + timedelta(hours=hour)
        wanted = Literal(OFFICE, since, since + timedelta(hours=1))
        assert len(examine(examiner(wanted), data).matches) == expected


def test_a_match_says_which_of_the_values_it_holds() -> None:
    wanted = [Literal(OFFICE), Literal("3", until=NOW), Literal("4"), Literal("eventID")]
    result = examine(examiner(*wanted), stored(6))
    assert [match.literals for match in result.matches] == [(OFFICE,)] * 4 + [(OFFICE, "4")] + [(OFFICE,)]
    assert json.loads(result.matches[4].raw)["eventID"] == "4"
    assert result.matches[4].document == b""


def test_a_sighting_that_is_answered_needs_no_more_records() -> None:
    sighting = Sighting(("sourceIPAddress",), OFFICE, "111122223333", NOW + timedelta(hours=9))
    one = examiner(sightings=(sighting,))
    first, second = examine(one, stored(100)), examine(one, stored(100))
    assert (first.seen, first.counts.records) == ({0}, 1)
    # It is told again, so that each result of a process is enough.
    assert (second.seen, second.counts.records) == ({0}, 0)


def test_a_sighting_reads_no_record_of_another_account_or_of_a_later_time() -> None:
    early = Sighting(("sourceIPAddress",), OFFICE, "111122223333", NOW)
    other = Sighting(("sourceIPAddress",), OFFICE, "444455556666", NOW + timedelta(days=9))
    result = examine(examiner(sightings=(early, other)), stored(100))
    assert (result.seen, result.counts.records) == (set(), 0)


def test_a_sighting_without_an_account_is_one_of_events_without_it() -> None:
    sighting = Sighting(("sourceIPAddress",), OFFICE, "", NOW + timedelta(hours=9))
    assert examine(examiner(sightings=(sighting,)), stored(1)).seen == set()
    nobody = stored(1).replace(b',"recipientAccountId":"111122223333"', b"")
    assert examine(examiner(sightings=(sighting,)), nobody).seen == {0}


def test_a_query_has_times_of_its_own_and_needs_no_document() -> None:
    since, until = NOW + timedelta(hours=1), NOW + timedelta(hours=3)
    pattern = Pattern("p", "event.action: Decrypt", since=since, until=until, raw_only=True)
    result = examine(Examiner(dispatch([pattern], now=NOW), Options()), stored(9))
    assert [(match.event_id, match.document) for match in result.matches] == [("1", b""), ("2", b"")]
    assert json.loads(result.matches[0].raw)["eventID"] == "1"


@pytest.mark.parametrize("more", [0, 30])
def test_needles_within_and_across_each_other_are_all_found(more: int) -> None:
    needles = [b'"a"', b'"a","b"', b"b", b'b"', *(b'"x%d"' % number for number in range(more))]
    found = needle_finder(needles)(b'["a","b"]')
    assert sorted(found) == [(1, 0), (1, 1), (6, 2), (6, 3)]


@pytest.mark.parametrize(
    ("value", "needle"),
    [
        ("arn:aws:iam::1:role/a*", b'"arn:aws:iam::1:role/a*"'),
        ("", b'""'),
        ('say "key/12"', b"key/12"),
        ("a\\b\tlonger", b"longer"),
        ("\U0001f511", None),
    ],
)
def test_what_is_looked_for_is_spelled_in_one_way(value: str, needle: bytes | None) -> None:
    assert needle_of(value) == needle
