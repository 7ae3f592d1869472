"""Findings about what came before a change and after it, and how the surroundings weigh on those about the policies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keytrail.investigate.accounts import account_facts
from keytrail.investigate.change import PolicyChange
from keytrail.investigate.findings import FINDINGS, GAINS, findings_of
from keytrail.investigate.model import Capped, ComparedChange, DataAtStake, Fact, KeyFacts, RelatedActivity
from keytrail.policy import SEVERITIES, Finding
from keytrail.policy.findings import FINDINGS as OF_POLICIES
from keytrail.policy.findings import TECHNIQUES
from tests.investigate import records
from tests.investigate.facts import (
    APP,
    FORMER,
    NOW,
    PARTNER,
    ROOT,
    TRUST,
    changed,
    compared,
    data,
    grant,
    key,
    lets_in,
    related,
    usage,
    version,
)

OUTSIDE = records.root_arn(records.OUTSIDE)


def found(
    change: PolicyChange,
    known: ComparedChange,
    *,
    around: RelatedActivity | None = None,
    about: KeyFacts | None = None,
    stake: Capped[DataAtStake] | None = None,
    attempts: tuple[records.Json, ...] = (),
) -> tuple[Finding, ...]:
    accounts = account_facts(change, known, TRUST)
    events = [records.event(one) for one in attempts]
    return findings_of(change, known, around or related(), about or key(), stake or data(), accounts, events)


def one(findings: tuple[Finding, ...], id_: str) -> Finding:
    (only,) = [finding for finding in findings if finding.id == id_]
    return only


def opened(account: str = records.OUTSIDE, **more: object) -> tuple[PolicyChange, ComparedChange]:
    change = changed(ROOT, lets_in(account))
    return change, compared(change, version([ROOT]), **more)


def test_the_catalogue_is_whole() -> None:
    assert not set(FINDINGS) & set(OF_POLICIES)
    assert set(OF_POLICIES) >= GAINS
    assert {name for kind in FINDINGS.values() for name in kind.techniques} <= set(TECHNIQUES)


def test_nothing_around_leaves_the_findings_of_the_policies() -> None:
    change, known = opened()
    assert known.comparison is not None
    assert found(change, known) == known.comparison.findings


def test_refused_attempts_are_told_with_who_and_when() -> None:
    tried = [
        records.refused(records.put_policy(when, records.user("mallory"), records.policy(ROOT)))
        for when in ("11:10", "11:20")
    ]
    change, known = opened(refused_before=("a", "b"))
    finding = one(found(change, known, attempts=tuple(tried)), "KMS-P29")
    assert finding.severity == "medium"
    assert "2 times before, by user mallory, the last time at 2026-03-02 11:20:00 UTC" in finding.sentence
    assert finding.principals == (f"arn:aws:iam::{records.OWNER}:user/mallory",)


def test_one_malformed_attempt_is_of_little_weight() -> None:
    tried = records.refused(
        records.put_policy("11:10", records.session("Admin"), "{}"), "MalformedPolicyDocumentException"
    )
    change, known = opened(refused_before=("a",))
    assert one(found(change, known, attempts=(tried,)), "KMS-P29").severity == "low"


def test_grants_that_outlive_a_change_are_named() -> None:
    change = changed(ROOT)
    known = compared(change, version([ROOT, lets_in(records.OUTSIDE)]))
    grantee = records.role_arn("exfil", records.OUTSIDE)
    around = related(surviving=[grant(grantee, "g-1"), grant(grantee, "g-2")])
    finding = one(found(change, known, around=around), "KMS-P30")
    assert f"Role exfil of account {records.OUTSIDE} can still decrypt data with this key" in finding.sentence
    assert "2 grants that were not revoked" in finding.sentence
    assert "g-1 and g-2 with RevokeGrant" in finding.remedy
    assert finding.proof == "possible", "a revocation may be out of sight"


@pytest.mark.parametrize(
    ("account", "severity"),
    [(records.OUTSIDE, "critical"), (FORMER, "critical"), (PARTNER, "medium"), (records.OWNER, "low")],
)
def test_use_weighs_by_whose_it_is(account: str, severity: str) -> None:
    user = APP if account == records.OWNER else records.root_arn(account)
    change = changed(ROOT, records.allow(user, ["kms:Decrypt"]))
    known = compared(change, version([ROOT]))
    finding = one(found(change, known, around=related(uses=[usage(user, 3)])), "KMS-P31")
    assert finding.severity == severity
    assert "used what this change gave 3 times" in finding.sentence
    assert "arn:aws:s3:::ledger/2026.parquet" in finding.sentence


def test_outsiders_are_not_hidden_among_those_who_are_meant_to_use_it() -> None:
    change = changed(ROOT, lets_in(records.OUTSIDE), lets_in(PARTNER))
    known = compared(change, version([ROOT]))
    uses = [usage(records.root_arn(PARTNER), 90), usage(OUTSIDE, 1)]
    both = [f for f in found(change, known, around=related(uses=uses)) if f.id == "KMS-P31"]
    assert [(f.severity, f.principals) for f in both] == [
        ("critical", (OUTSIDE,)), ("medium", (records.root_arn(PARTNER),))
    ]  # fmt: skip


def test_use_against_a_policy_before_that_is_not_known_is_only_possible() -> None:
    change = changed(ROOT, lets_in(records.OUTSIDE))
    known = compared(change, version(None))
    assert one(found(change, known, around=related(uses=[usage(OUTSIDE)])), "KMS-P31").proof == "possible"


def test_a_quick_end_tells_its_length_and_what_was_used_meanwhile() -> None:
    change, known = opened(reverted_by="undo", reverted_at=NOW + timedelta(minutes=6, seconds=10))
    finding = one(found(change, known, around=related(uses=[usage(OUTSIDE, 6, after_revert=2)])), "KMS-P32")
    assert finding.severity == "high"
    assert finding.techniques == ("T1070",)
    assert "undone 6 minutes later" in finding.sentence
    assert "used 4 times in that time" in finding.sentence


@pytest.mark.parametrize(
    ("stake", "state", "severity"),
    [
        ((), "Enabled", "high"),
        (("s3",), "Enabled", "critical"),
        ((), "Disabled", "medium"),
        ((), "PendingDeletion", "medium"),
        (("s3",), "Disabled", "high"),
    ],
)
def test_a_gain_weighs_by_the_data_and_the_state_of_the_key(stake: tuple[str, ...], state: str, severity: str) -> None:
    change, known = opened()
    about = key(state=Fact(state, NOW - timedelta(hours=1), "e"))
    assert one(found(change, known, stake=data(*stake), about=about), "KMS-P02").severity == severity


def test_a_key_that_is_disabled_later_was_in_use() -> None:
    change, known = opened()
    about = key(state=Fact("Disabled", NOW + timedelta(hours=1), "e"))
    assert one(found(change, known, about=about), "KMS-P02").severity == "high"


def test_only_gains_are_weighed_and_the_comparison_stays_as_it_is() -> None:
    change = changed(ROOT)
    known = compared(change, version([ROOT, lets_in(records.OUTSIDE)]))
    assert known.comparison is not None
    assert found(change, known, stake=data("s3")) == known.comparison.findings
    opening, gains = opened()
    assert gains.comparison is not None
    found(opening, gains, stake=data("s3"))
    assert {f.severity for f in gains.comparison.findings if f.id == "KMS-P02"} == {"high"}


def test_the_state_of_an_approval_is_said_where_it_counts() -> None:
    expired = one(found(*opened(FORMER)), "KMS-P02")
    assert expired.sentence.endswith("Its approval (Contract ended) expired on 2026-01-30.")
    approved = one(found(*opened(PARTNER)), "KMS-P02")
    assert "It is approved until 2027-04-06 (Partner of the exchange)." in approved.sentence
    assert SEVERITIES.index(expired.severity) < SEVERITIES.index(approved.severity)


def test_the_gravest_come_first() -> None:
    change, known = opened(refused_before=("a", "b"), reverted_by="undo", reverted_at=NOW + timedelta(minutes=1))
    around = related(uses=[usage(OUTSIDE)], surviving=[grant(OUTSIDE)])
    findings = found(change, known, around=around, stake=data("s3"))
    order = [SEVERITIES.index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert {"KMS-P29", "KMS-P30", "KMS-P31", "KMS-P32"} <= {finding.id for finding in findings}
    assert all(f.sentence[0].isupper() and f.sentence.endswith(".") and f.remedy.endswith(".") for f in findings)
