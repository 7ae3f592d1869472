"""Times on the command line: what is understood, what is refused up front, and how the refusal reads."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.errors import UsageError
from keytrail.service.times import parse_time, parse_window

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", "2026-03-01T12:30:00+00:00"),
        ("24h", "2026-03-07T12:30:00+00:00"),
        ("90m", "2026-03-08T11:00:00+00:00"),
        ("30s", "2026-03-08T12:29:30+00:00"),
        ("2w", "2026-02-22T12:30:00+00:00"),
        ("0d", "2026-03-08T12:30:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T08:15", "2026-03-01T08:15:00+00:00"),
        ("2026-03-01T08:15:30", "2026-03-01T08:15:30+00:00"),
        ("2026-03-01 08:15:30", "2026-03-01T08:15:30+00:00"),
        ("2026-03-01t08:15:30z", "2026-03-01T08:15:30+00:00"),
        ("2026-03-01T08:15:30.5Z", "2026-03-01T08:15:30.500000+00:00"),
        ("2026-03-01T08:15:30.123456789Z", "2026-03-01T08:15:30.123456+00:00"),
        ("2026-03-01T00:30:00+02:00", "2026-02-28T22:30:00+00:00"),
        ("2026-03-01T00:30:00-05:30", "2026-03-01T06:00:00+00:00"),
        (" 7d ", "2026-03-01T12:30:00+00:00"),
    ],
)
def test_understands(text: str, expected: str) -> None:
    assert parse_time(text, NOW).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "7", "d", "7 d", "-7d", "7y", "1.5h", "9999999d", "٧d", "2026", "2026-03",
        "2026-3-1", "01/03/2026",
        "2026-03-01T8:15", "2026-03-01T08", "2026-03-01T08:15:30+0200", "2026-03-01Z", "2026-03-01T08:15:30.Z",
        "1772323200",
        "2026-03-01T08:15:30Z\n2026-03-02", "20260301", "٢٠٢٦-03-01",
    ],
)  # fmt: skip
def test_refuses_what_is_no_time_and_says_what_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW, name="--since")
    assert "--since" in caught.value.what
    assert "is not a time" in caught.value.what
    assert "2026-03-01T08:00:00Z" in caught.value.advice


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "2026-13-01",
        "0000-01-01",
        "2026-03-01T24:01",
        "2026-03-01T08:61",
        "999999w",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_refuses_times_that_do_not_exist(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time that exists"):
        parse_time(text, NOW)


@settings(max_examples=100)
@given(st.datetimes(timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))))
def test_reads_every_time_that_python_writes(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    result = parse_time(moment.isoformat(), NOW)
    assert result == expected
    assert result.tzinfo is UTC


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_other_text_is_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        assert parse_time(text, NOW).tzinfo is UTC


def test_now_may_be_in_any_zone() -> None:
    assert parse_time("1h", NOW.astimezone(timezone(timedelta(hours=9)))) == datetime(2026, 3, 8, 11, 30, tzinfo=UTC)


def test_a_window_may_be_open_at_either_side() -> None:
    assert parse_window(None, None, NOW) == (None, None)
    assert parse_window("1d", None, NOW) == (NOW - timedelta(days=1), None)
    assert parse_window(None, "2026-03-01", NOW) == (None, datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("2026-03-02", "2026-03-01"), ("2026-03-01", "2026-03-01")])
def test_a_window_holds_some_time(since: str, until: str) -> None:
    with pytest.raises(UsageError, match="is not before --until"):
        parse_window(since, until, NOW)


def test_a_window_names_the_option_that_is_wrong() -> None:
    with pytest.raises(UsageError, match="--until: 'soon' is not a time"):
        parse_window("1d", "soon", NOW)


def test_an_empty_option_is_not_no_option() -> None:
    with pytest.raises(UsageError, match="--since"):
        parse_window("", None, NOW)
