"""The difference of statements, the picture's layout, and Markdown in short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.report import markdown_report
from keytrail.report.blocks import Point, Timeline
from keytrail.report.diff import statements_diff
from keytrail.report.picture import picture
from keytrail.report.words import LANES
from tests.report.sample import OUTSIDE, investigated, plain

Statement = dict[str, object]


def statement(sid: str, principal: str, *, action: str = "kms:Decrypt") -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}


def changed(before: list[Statement], after: list[Statement], most: int = 300) -> list[str] | None:
    found = statements_diff({"Statement": before}, {"Statement": after}, most=most)
    return None if found is None else [f"{line.sign}{line.text}" for line in found.lines]


A, B, C = statement("A", "1"), statement("B", "2"), statement("C", "3")


def test_statements_in_another_order_are_no_difference() -> None:
    assert changed([A, B], [B, A]) is None
    assert changed([A], [dict(reversed(A.items()))]) is None


def test_a_changed_statement_is_found_by_its_sid_wherever_it_stands() -> None:
    lines = changed([A, B], [C, statement("A", "9"), B])
    assert lines is not None
    assert lines[0] == '@statement 1 "C", added'
    assert '@statement 2 "A", changed, before statement 1 "A"' in lines
    assert [line for line in lines if '"AWS"' in line and "3" not in line] == ['-    "AWS": "1"', '+    "AWS": "9"']
    assert lines[-1] == '@statement 3 "B", unchanged, before statement 2 "B"'


def test_a_renamed_statement_is_matched_by_what_it_says() -> None:
    lines = changed([statement("old", "1")], [statement("new", "1")])
    assert lines is not None
    assert [line for line in lines if line[0] in "+-"] == ['-  "Sid": "old",', '+  "Sid": "new",']


def test_a_huge_policy_is_cut() -> None:
    many = [statement(str(number), str(number)) for number in range(2_000)]
    found = statements_diff(None, {"Statement": many}, most=50)
    assert found is not None
    assert found.cut
    assert len(found.lines) == 50


def test_a_policy_of_one_statement_that_is_no_list_and_one_that_is_no_policy() -> None:
    assert statements_diff({"Statement": A}, {"Statement": [A]}) is None
    assert statements_diff({"Statement": "nonsense"}, None) is None


# The picture --------------------------------------------------------------------------------------------------------

START = datetime(2026, 3, 6, tzinfo=UTC)

points = st.builds(
    lambda minutes, lane, label, failed, count, change: Point(
        START + timedelta(minutes=minutes), lane, label, f"{label} {minutes}", failed, count, change
    ),
    st.integers(0, 60 * 24 * 30) | st.integers(1_000, 1_060),
    st.sampled_from(list(LANES)),
    st.sampled_from(["Decrypt", "PutKeyPolicy", "GenerateDataKeyWithoutPlaintext", "\u6f22\u5b57" * 9]),
    st.booleans(),
    st.sampled_from([1, 1, 1, 12, 12_345]),
    st.booleans(),
)


@given(st.lists(points, min_size=1, max_size=120), st.none() | st.integers(0, 60 * 24 * 30))
def test_nothing_in_the_picture_covers_anything_else(drawn: list[Point], end: int | None) -> None:
    found = picture(Timeline(tuple(drawn), None if end is None else START + timedelta(minutes=end)))
    assert sum(marker.count for lane in found.lanes for marker in lane.markers) == sum(one.count for one in drawn)
    for lane in found.lanes:
        for left, right in pairwise(lane.markers):
            assert left.right + 1 < right.left
        for one, other in pairwise(sorted(lane.labels, key=lambda label: (label.y, label.x))):
            if one.y == other.y:
                width = sum(6 if character.isascii() else 12 for character in one.text)
                assert one.x + width < other.x
    for row in {label.y for label in found.ticks}:
        places = sorted((label.x, len(label.text)) for label in found.ticks if label.y == row)
        for (x, length), (after, next_length) in pairwise(places):
            assert after - x >= (length + next_length) / 2 * 5.2
    assert found.left <= min(label.x for label in found.ticks)
    assert max(label.x for label in found.ticks) <= found.right


def test_a_quiet_week_does_not_press_the_minutes_of_the_change_together() -> None:
    busy = [Point(START + timedelta(days=7, minutes=m), "actor", "ListKeys", "t", False, 1, m == 5) for m in range(10)]
    quiet = Point(START, "key", "CreateKey", "t", False, 1, False)
    found = picture(Timeline((quiet, *busy), None))
    [lane] = [lane for lane in found.lanes if lane.name == "Who did it"]
    assert len(lane.markers) == 10
    assert len(found.breaks) == 1
    assert "7 d" in [label.text for label in found.ticks]
    assert found.change is not None
    assert [marker.middle for marker in lane.markers if marker.is_change] == [pytest.approx(found.change)]


# Markdown -----------------------------------------------------------------------------------------------------------


def test_a_ticket_tells_the_same_in_short() -> None:
    source = markdown_report([investigated(), plain()], title="A report", generated="Made today")
    for line in (
        "# A report",
        "## Malicious (96 of 100): AWS KMS Key Policy Updated via PutKeyPolicy",
        "### Who gained access",
        "### What is not known",
        "- Nothing before 2026-03-02 00:00 was read.",
        "| 999988887777 | outside, not approved |   | `CreateGrant, Decrypt, GenerateDataKey` |",
        '+  "Sid": "Partner access",',
    ):
        assert line in source.split("\n"), line
    assert f"`arn:aws:iam::{OUTSIDE}:root`" in source
    assert "Put the previous policy back" in source
    assert "`2cf46172-b01c-4e47-a562-143da6dc4082` |" in source  # the change is in the time line, however long that is
    assert "5 more events not shown." in source
    assert len(source) < 30_000


def test_many_investigations_are_cut_to_what_a_ticket_takes() -> None:
    source = markdown_report(
        [investigated(event_id=str(number)) for number in range(30)], title="A report", generated=None
    )
    shown = source.count("### Who gained access")
    assert shown >= 2
    assert f"{30 - shown} more investigations left out" in source
    assert len(source) < 65_536
