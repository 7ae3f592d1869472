"""What an answer rests on, and what is said about what may be missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.coverage import coverage_of
from keytrail.investigate.model import ComparedChange, CoverageFacts, PolicyVersion, VersionSource
from keytrail.policy import KeyPolicy
from keytrail.store import Coverage, Damage, Interval
from tests.investigate import records
from tests.investigate.facts import NOW, ROOT, changed, compared, lets_in, version

HERE = Interval(records.OWNER, records.REGION, NOW - timedelta(days=7), NOW + timedelta(days=1))


def covered(change: PolicyChange, known: ComparedChange, store: Coverage, *gaps: str) -> CoverageFacts:
    return coverage_of(change, known, store, gaps)


def test_a_key_that_was_made_in_sight_has_no_gap() -> None:
    source = VersionSource("event", NOW - timedelta(days=2), "made", "CreateKey", "somebody")
    created = PolicyVersion("default", KeyPolicy.default(records.OWNER), records.DEFAULT, source)
    change = changed(ROOT)
    found = covered(change, replace(compared(change, created), since_creation=True), Coverage((HERE,)))
    assert (found.account, found.region, found.first, found.last) == (
        records.OWNER, records.REGION, HERE.first, HERE.last
    )  # fmt: skip
    assert (found.accounts_seen, found.unreadable, found.gaps) == ((records.OWNER,), 0, ())


def test_a_key_that_is_older_than_the_events_has_a_beginning_that_is_not_known() -> None:
    change = changed(ROOT)
    known = compared(change, version(None))
    begins, before = covered(change, known, Coverage((HERE,))).gaps
    assert "begin at 2026-02-23 12:00:00 UTC" in begins
    assert before == "The policy before the change is not certain: nothing earlier was seen."
    nowhere = covered(change, known, Coverage())
    assert (nowhere.first, nowhere.last) == (None, None)
    assert nowhere.gaps[0].startswith(f"No event of account {records.OWNER} in {records.REGION}")


def test_only_damage_that_may_concern_the_key_counts() -> None:
    change = changed(ROOT)
    damage = (
        Damage("a.json.gz", records.OWNER, records.REGION),
        Damage("nameless.gz"),
        Damage("elsewhere.gz", records.OWNER, "us-east-1"),
        Damage("others.gz", records.OUTSIDE, records.REGION),
    )
    found = covered(change, compared(change, version([ROOT])), Coverage((HERE,), damage))
    assert found.unreadable == 2
    assert any("a.json.gz and nameless.gz" in gap for gap in found.gaps)


def test_parameters_that_were_left_out_and_stopped_logging_are_gaps() -> None:
    change = records.change(records.put_omitted("12:00", records.session("Admin")))
    gaps = covered(change, compared(change, version([ROOT])), Coverage((HERE,)), "The trail was stopped.").gaps
    assert "The policy after the change is not certain: CloudTrail left it out." in gaps
    assert "The trail was stopped." in gaps


def test_the_other_side_is_not_seen_unless_its_account_is() -> None:
    change = changed(ROOT, lets_in(records.OUTSIDE))
    known = compared(change, version([ROOT]))
    said = f"No event of account {records.OUTSIDE} was seen"
    theirs = Interval(records.OUTSIDE, "us-east-1", NOW, NOW)
    assert any(said in gap for gap in covered(change, known, Coverage((HERE,))).gaps)
    assert not any(said in gap for gap in covered(change, known, Coverage((HERE, theirs))).gaps)
