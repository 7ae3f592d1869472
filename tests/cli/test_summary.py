"""The summary of a scan and its progress: what they count, and that nothing in them acts on a terminal."""

from __future__ import annotations

import pytest

from keytrail.cli.progress import describe, fraction, watching
from keytrail.cli.summary import summary
from keytrail.service.requests import Progress, Stats

NASTY = "\x1b[2J\u202e\x07"


def test_a_scan_with_everything() -> None:
    stats = Stats(
        objects=1200,
        stored_bytes=34_100_000,
        inflated_bytes=240_000_000,
        records_read=1234,
        matches=9,
        duplicates=2,
        problems=3,
        elapsed_seconds=0.8,
        skipped={"digest": 5, "insight": 1, "other": 2, "insight or digest records": 4},
        by_rule={"Key disabled": 1, "Key policy updated": 6},
        by_severity={"high": 1, "medium": 6},
    )
    assert summary(stats).splitlines() == [
        "7 alerts: 1 high, 6 medium",
        "  6  Key policy updated",
        "  1  Key disabled",
        "Scanned 1,200 files (34.1 MB stored, 240.0 MB inflated) in 0.80 s: 300.0 MB/s; 1,234 events looked at closely",
        "Left out: 5 digest files, 1 insight file, 2 other files, 4 insight or digest records, 2 duplicate alerts",
        "Could not read 3 inputs; see the warnings above",
    ]


def test_a_scan_with_nothing() -> None:
    assert summary(Stats()).splitlines() == [
        "No alerts",
        "Scanned 0 files (0 B stored, 0 B inflated) in 0.00 s; 0 events looked at closely",
    ]


def test_many_rules_are_not_many_lines() -> None:
    rules = {f"Rule {number:02}": number for number in range(1, 31)}
    lines = summary(Stats(by_rule=rules, by_severity={"low": sum(rules.values())})).splitlines()
    assert lines[0] == "465 alerts: 465 low"
    assert lines[1] == "  30  Rule 30"
    assert lines[11] == "  and 20 more rules"
    assert len(lines) == 13


def test_colour_marks_severities_only() -> None:
    stats = Stats(by_rule={"high": 1}, by_severity={"high": 1})
    assert summary(stats, colour=True).splitlines()[:2] == ["1 alert: \x1b[31m1 high\x1b[0m", "  1  high"]


def test_names_of_rules_are_made_safe() -> None:
    text = summary(Stats(by_rule={NASTY: 1}, by_severity={NASTY: 1}, skipped={NASTY: 1}))
    assert text.replace("\n", "").isprintable()
    assert text.count("\\x1b[2J\\u202e\\x07") == 3


def test_progress_tells_files_bytes_rate_and_alerts() -> None:
    progress = Progress(
        objects_done=1200,
        objects_total=5000,
        bytes_done=34_000_000,
        bytes_total=100_000_000,
        alerts=3,
        elapsed_seconds=2.0,
        current="s3://bucket/AWSLogs/a.json.gz",
    )
    assert describe(progress) == "1,200/5,000 files  34.0 MB  17.0 MB/s  3 alerts  a.json.gz"
    assert fraction(progress) == (34_000_000, 100_000_000)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(), (0, None)),
        (Progress(objects_done=3, objects_total=9), (3, 9)),
        (Progress(bytes_done=12, bytes_total=10), (10, 10)),
        (Progress(objects_done=3, bytes_done=12), (3, None)),
    ],
)
def test_the_fraction_is_never_more_than_the_whole(progress: Progress, expected: tuple[int, int | None]) -> None:
    assert fraction(progress) == expected
    assert describe(progress)


def test_the_name_of_the_current_file_is_made_safe_and_short() -> None:
    text = describe(Progress(current=f"/a/{NASTY}[bold]" + "x" * 200))
    assert text.isprintable()
    assert len(text) < 120


def test_nobody_watches_where_there_is_no_terminal() -> None:
    with watching() as observe:
        assert observe is None
