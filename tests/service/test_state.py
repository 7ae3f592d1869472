"""Who stands in the audit log, and until when something rests."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime, timedelta

import pytest

from keytrail.errors import UsageError
from keytrail.service.state import ends_at, who_works

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_the_name_given_counts_then_the_variable_then_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    monkeypatch.delenv("KEYTRAIL_USER", raising=False)
    assert who_works(None) == "root"
    monkeypatch.setenv("KEYTRAIL_USER", " grace ")
    assert who_works(None) == "grace"
    assert who_works(" ada ") == "ada"
    monkeypatch.setenv("KEYTRAIL_USER", " ")
    assert who_works(None) == "root"


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_that_is_none_is_not_passed_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYTRAIL_USER", raising=False)
    with pytest.raises(UsageError):
        who_works(name)


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_a_number(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.delenv("KEYTRAIL_USER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert who_works(None) == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    ("length", "until", "end"),
    [
        ("30m", None, NOW + timedelta(minutes=30)),
        (" 2w ", None, NOW + timedelta(weeks=2)),
        (None, "2026-03-02", NOW + timedelta(hours=16)),
        (None, "2026-03-01T10:00:00+01:00", NOW + timedelta(hours=1)),
    ],
)
def test_a_length_or_a_time_say_when_it_ends(length: str | None, until: str | None, end: datetime) -> None:
    assert ends_at(length, until, NOW) == end


@pytest.mark.parametrize(
    ("length", "until"),
    [
        (None, None),
        ("4h", "2026-03-02"),
        ("0h", None),
        ("00000m", None),
        ("-4h", None),
        ("4", None),
        ("2026-03-02", None),
        ("999999w", None),
        (None, "4h"),
        (None, "2026-03-01T08:00:00Z"),
        (None, "soon"),
    ],
)
def test_what_is_no_end_to_come_is_refused_with_an_example(length: str | None, until: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        ends_at(length, until, NOW)
    assert caught.value.advice
