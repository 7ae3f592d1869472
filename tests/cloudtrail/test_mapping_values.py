"""Dates, addresses and user agents, as the processors of the published pipeline read them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keytrail.cloudtrail import normalize
from keytrail.cloudtrail.dates import iso_date
from keytrail.cloudtrail.network import is_ip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T10:11:12Z", "2026-03-01T10:11:12.000Z"),
        ("2026-03-01T10:11:12", "2026-03-01T10:11:12.000Z"),
        ("2026-03-01T10:11:12.123456789Z", "2026-03-01T10:11:12.123Z"),
        ("2026-03-01T10:11:12-0130", "2026-03-01T11:41:12.000Z"),
        ("2026-03-01", "2026-03-01T00:00:00.000Z"),
        ("2026-02-30T10:11:12Z", None),
        ("2026-03-01 10:11:12", None),
        ("20260301T101112Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("", None),
        (17, None),
    ],
)
def test_dates(text: object, expected: str | None) -> None:
    assert iso_date(text) == expected


def test_a_session_may_use_the_basic_format() -> None:
    assert iso_date("20191002T215054Z", basic=True) == "2019-10-02T21:50:54.000Z"
    assert iso_date("20191002T215054.125+0100", basic=True) == "2019-10-02T20:50:54.125Z"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("203.0.113.7", True),
        ("::ffff:203.0.113.7", True),
        ("256.1.1.1", False),
        ("01.2.3.4", False),
        ("1.2.3", False),
        ("203.0.113.7\n", False),
        ("٣.0.113.7", False),
        ("fe80::1%1", False),
        ("cloudformation.amazonaws.com", False),
        ("", False),
    ],
)
def test_addresses(text: str, answer: bool) -> None:
    assert is_ip(text) is answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AWS Internal", {"name": "Other", "device": {"name": "Other"}}),
        ("[S3Console/0.4]", {"name": "Other", "device": {"name": "Other"}}),
        (
            "aws-cli/1.3.2 Python/2.7.5 Windows/7",
            {"name": "aws-cli", "version": "1.3.2", "os": {"name": "Windows"}, "device": {"name": "Other"}},
        ),
        (
            "aws-cli/1.16.248 Python/3.4.7 Linux/4.9.184-0.1 botocore/1.12.239",
            {
                "name": "aws-cli",
                "version": "1.16.248",
                "os": {"name": "Linux", "version": "4.9.184", "full": "Linux 4.9.184"},
                "device": {"name": "Spider"},
            },
        ),
    ],
)
def test_user_agents(text: str, expected: dict[str, object]) -> None:
    assert normalize({"userAgent": text})["user_agent"] == {"original": text, **expected}


def test_a_long_user_agent_is_parsed_too() -> None:
    text = "aws-cli/2.1.0 " + "x" * 100_000
    assert normalize({"userAgent": text})["user_agent"]["name"] == "aws-cli"  # type: ignore[index]


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = "import sys, keytrail.cloudtrail; print(sorted({'ua_parser', 'maxminddb'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
