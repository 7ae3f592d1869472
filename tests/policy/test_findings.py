"""Findings: those of the truth cases, a change with and a near miss without each, and what a finding promises."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from keytrail.policy import Caller, ChangeFacts, Comparison, KeyPolicy, assess, evaluate
from keytrail.policy.findings import FINDINGS, SEVERITIES, TECHNIQUES

HERE = Path(__file__).parent
TRUTH = HERE.parents[1] / "../shared/data/policy-cases.json"
DOCUMENT = tomllib.loads((HERE / "cases/findings.toml").read_text("utf-8"))
CASES: list[dict[str, Any]] = DOCUMENT["case"]
OWNER = "111122223333"
APP = {"AWS": f"arn:aws:iam::{OWNER}:role/App"}


def policy(given: object, version: str = "2012-10-17") -> KeyPolicy | None:
    if given == "none":
        return None
    assert isinstance(given, list)
    statements = []
    for item in given:
        table = DOCUMENT["statements"][item] if isinstance(item, str) else item
        statement = {"Effect": "Allow", "Principal": APP, "Action": "kms:Decrypt", "Resource": "*", **table}
        statements.append({name: value for name, value in statement.items() if value != ""})
    return KeyPolicy.parse({"Version": version, "Statement": statements})


def facts(given: dict[str, Any]) -> ChangeFacts:
    changes = dict(given)
    if "caller" in changes:
        changes["caller"] = Caller.parse(changes["caller"])
    if "replicas" in changes:
        changes["replicas"] = tuple((arn, policy(statements)) for arn, statements in changes["replicas"])
    if "primary" in changes:
        changes["primary"] = policy(changes["primary"])
    return ChangeFacts(**changes)


def assessed(case: dict[str, Any]) -> Comparison:
    after = policy(case["after"], case.get("version", "2012-10-17"))
    assert after is not None
    return assess(
        policy(case["before"]),
        after,
        OWNER,
        org=case.get("org"),
        trusted_accounts=case.get("trusted", ()),
        facts=facts(case.get("facts", {})),
    )


def label(case: dict[str, Any]) -> str:
    return f"{case['finding']}-{case.get('says', '')}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_a_change_has_the_finding(case: dict[str, Any]) -> None:
    found = [finding for finding in assessed(case).findings if finding.id == case["finding"]]
    assert found
    assert found[0].severity == case.get("severity", found[0].severity)
    assert case.get("says", "") in found[0].sentence
    assert case.get("who") is None or case["who"] in found[0].principals


@pytest.mark.parametrize("case", CASES, ids=label)
def test_a_near_miss_has_it_not(case: dict[str, Any]) -> None:
    near = {**case, **case["near"]}
    assert case["finding"] not in {finding.id for finding in assessed(near).findings}


def test_every_finding_has_a_case() -> None:
    assert {case["finding"] for case in CASES} == set(FINDINGS)


@pytest.mark.skipif(not TRUTH.exists(), reason=f"{TRUTH} is not here")
def test_truth_cases() -> None:
    missing = {}
    for case in json.loads(TRUTH.read_text("utf-8")):
        before = None if case["before"] is None else KeyPolicy.parse(case["before"])
        found = assess(before, KeyPolicy.parse(case["after"]), case["account"])
        expected = set(case["expect"].get("findings_include", ()))
        ids = {finding.id for finding in found.findings}
        if not expected <= ids:
            missing[case["name"]] = expected - ids
        if "KMS-P00" in expected:  # no change: only what stood before, or what does nothing
            assert all(f.standing or f.id in ("KMS-P00", "KMS-P22") or f.severity == "low" for f in found.findings), (
                case["name"]
            )
    assert not missing


@pytest.mark.parametrize("case", CASES, ids=label)
def test_every_finding_is_whole(case: dict[str, Any]) -> None:
    comparison = assessed(case)
    order = [SEVERITIES.index(finding.severity) for finding in comparison.findings]
    assert order == sorted(order), "gravest first"
    assert comparison == assessed(case), "the same every time"
    as_json = json.loads(json.dumps(comparison.to_dict()))
    assert [finding["id"] for finding in as_json["findings"]] == [finding.id for finding in comparison.findings]
    before, after = policy(case["before"]), policy(case["after"], case.get("version", "2012-10-17"))
    for finding in comparison.findings:
        assert finding.sentence.endswith(".")
        assert finding.sentence[0] == finding.sentence[0].upper()
        assert finding.remedy.endswith(".")
        assert set(finding.techniques) <= set(TECHNIQUES)
        assert (finding.witness is not None) == (finding.proof == "witnessed")
        for ref in finding.statements:
            side = before if ref.side == "before" else after
            assert side is not None
            assert side.statements[ref.index].sid == ref.sid


def test_many_principals_are_one_sentence() -> None:
    names = [f"arn:aws:iam::{OWNER}:user/u{number}" for number in range(300)]
    before = policy(["root"])
    after = policy(["root", {"Principal": {"AWS": names}}])
    assert after is not None
    found = [f for f in assess(before, after, OWNER).findings if f.id == "KMS-P05"]
    assert len(found) == 1
    assert "user u0 of this account" in found[0].sentence.lower()
    assert "and 297 others can now decrypt" in found[0].sentence
    assert found[0].principals == tuple(names)


def test_names_from_policies_stay_as_they_are() -> None:
    sid = "<img src=x>\t|`*"
    before, after = policy(["root", {"Effect": "Deny", "Sid": sid}]), policy(["root"])
    assert after is not None
    found = next(f for f in assess(before, after, OWNER).findings if f.id == "KMS-P12")
    assert sid in found.sentence
    assert found.statements[-1].sid == sid


def test_a_witness_is_of_the_action_the_finding_is_about() -> None:
    before, after = policy(["root"]), policy(["root", {"Principal": {"AWS": "444455556666"}, "Action": "kms:*"}])
    assert before is not None
    assert after is not None
    for finding in assess(before, after, OWNER).findings:
        if finding.id in ("KMS-P05", "KMS-P08", "KMS-P10"):
            witness = finding.witness
            assert witness is not None
            assert witness.action in finding.actions
            assert evaluate(after, witness, OWNER).allowed
            assert not evaluate(before, witness, OWNER).allowed
