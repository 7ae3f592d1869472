"""The story: every part is there, and each fact of the ledger follows from the records alone."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail import query
from keytrail.cloudtrail import CATALOGUE, Document
from keytrail.rules import builtin
from keytrail.simulation import FLAGSHIP_RULE, simulate

Record = dict[str, Any]

OUTSIDE = "999988887777"
PARTNER = "777788889999"
STEPS = {
    "set-up", "everyday-use", "new-role", "reordering", "service-change", "approved-onboarding", "org-boundary-lost",
    "expired-approval", "history-missing", "parameters-omitted", "after-omission", "typing-error",
    "ordinary-deletion", "first-sign", "discovery", "refused-attempt", "role-assumed", "key-opened", "lasting-grant",
    "lasting-user", "data-read", "snapshot-shared", "alias-moved", "cross-account", "takeover", "reverted",
    "replica-diverges", "key-destroyed", "logging-attacked", "locked-out", "deletion-scheduled", "restored",
    "owner-refused", "grant-used",
}  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Record]]:
    """The ledger, and every record of the archive by event id, in order of time."""
    out = tmp_path_factory.mktemp("story")
    summary = simulate(out, events=3000, seed=11)
    records = {}
    for path in summary.logs.rglob("*_CloudTrail_*.json.gz"):
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]:
            records[record["eventID"]] = record
    ledger: dict[str, Any] = json.loads(summary.ledger.read_bytes())
    return ledger, dict(sorted(records.items(), key=lambda item: (item[1]["eventTime"], item[0])))


@pytest.fixture(scope="module")
def ledger(told: tuple[dict[str, Any], dict[str, Record]]) -> dict[str, Any]:
    return told[0]


@pytest.fixture(scope="module")
def records(told: tuple[dict[str, Any], dict[str, Record]]) -> dict[str, Record]:
    return told[1]


def change(ledger: dict[str, Any], step: str, name: str = "PutKeyPolicy") -> dict[str, Any]:
    (found,) = [one for one in ledger["changes"] if one["step"] == step and one["event_name"] == name]
    result: dict[str, Any] = found
    return result


def events(ledger: dict[str, Any], step: str) -> list[dict[str, Any]]:
    return [event for event in ledger["events"] if event["step"] == step]


def policy_of(record: Record) -> Any:
    text = (record["requestParameters"] or {}).get("policy")
    return json.loads(text) if text is not None else None


def test_every_step_of_the_story_is_told(ledger: dict[str, Any]) -> None:
    assert {event["step"] for event in ledger["events"]} == STEPS


def test_the_flagship_must_report_every_successful_change_not_made_by_a_service(
    ledger: dict[str, Any], records: dict[str, Record]
) -> None:
    found = [
        event_id
        for event_id, record in records.items()
        if record["eventName"] == "PutKeyPolicy"
        and "errorCode" not in record
        and record["userIdentity"]["type"] != "AWSService"
    ]
    assert ledger["alerts"][FLAGSHIP_RULE] == found
    assert len(found) >= 10
    assert events(ledger, "service-change")[0]["alerts"] == []


def test_the_ledger_expects_something_of_every_built_in_rule(ledger: dict[str, Any]) -> None:
    assert set(ledger["alerts"]) == {rule.rule_id for rule in builtin().rules}
    assert all(ledger["alerts"].values())
    for event in ledger["events"]:
        assert event["alerts"] == [rule for rule, ids in ledger["alerts"].items() if event["event_id"] in ids]


def test_the_built_in_rules_report_exactly_what_the_ledger_expects(
    ledger: dict[str, Any], records: dict[str, Record]
) -> None:
    now = datetime(2026, 4, 1, tzinfo=UTC)
    documents = [(event_id, Document(record)) for event_id, record in records.items()]
    for rule in builtin().rules:
        matches = query.compile(rule.query, CATALOGUE, now=now).matches
        assert [event_id for event_id, document in documents if matches(document)] == ledger["alerts"][rule.rule_id]


def test_policies_before_and_after_are_those_of_the_records(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    known: dict[str, Any] = {}
    for one in ledger["changes"]:
        record = records[one["event_id"]]
        before, after = one["before"], one["after"]
        assert (before["status"], before["policy"], before["event_id"]) == known.get(
            one["key"], ("unknown" if one["event_name"] == "PutKeyPolicy" else "none", None, None)
        )
        if after["status"] == "known":
            assert after["policy"] == policy_of(record)
        else:
            assert policy_of(record) is None
        if after["status"] == "default":
            assert after["policy"]["Statement"][0]["Action"] == "kms:*"
        known[one["key"]] = (after["status"], after["policy"], one["event_id"])
    statuses = {(one["before"]["status"], one["after"]["status"]) for one in ledger["changes"]}
    assert {("none", "known"), ("none", "default"), ("known", "known"), ("default", "known")} <= statuses
    assert {("unknown", "known"), ("known", "unknown")} <= statuses


def test_gained_principals_stand_in_the_policy_after_and_not_in_the_one_before(ledger: dict[str, Any]) -> None:
    for one in ledger["changes"]:
        before, after = (json.dumps((one[side]["policy"] or {}).get("Statement")) for side in ("before", "after"))
        for gain in one["gained"]:
            assert f'"{gain["principal"]}"' in after
            assert f'"{gain["principal"]}"' not in before or gain["limit"]
        for principal in one["lost"]:
            assert f'"{principal}"' in before
            assert f'"{principal}"' not in after


def test_data_at_stake_is_what_earlier_records_show(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    for one in ledger["changes"]:
        counted: dict[str, int] = {}
        for record in records.values():
            parameters = record["requestParameters"] or {}
            context = parameters.get("encryptionContext") or parameters.get("constraints", {}).get(
                "encryptionContextSubset"
            )
            arns = [resource["ARN"] for resource in record.get("resources", ())]
            if context and one["key"] in arns and record["eventTime"] < one["time"] and "errorCode" not in record:
                text = json.dumps(context, sort_keys=True)
                counted[text] = counted.get(text, 0) + 1
        assert {json.dumps(row["context"], sort_keys=True): row["count"] for row in one["data_at_stake"]} == counted
    services = {row["service"] for row in change(ledger, "key-opened")["data_at_stake"]}
    assert {"s3", "secretsmanager", "ssm", "ebs", "rds", "dynamodb", "sqs"} == services


def test_use_by_outside_accounts_is_what_later_records_show(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    for one in ledger["changes"]:
        found = [
            event_id
            for event_id, record in records.items()
            if record["eventName"] in ("Decrypt", "GenerateDataKey")
            and record["userIdentity"].get("accountId") in one["outside_accounts"]
            and one["key"] in [resource["ARN"] for resource in record.get("resources", ())]
            and record["eventTime"] > one["time"]
        ]
        assert one["used_since"] == found
    assert len(change(ledger, "key-opened")["used_since"]) >= 15
    assert len(change(ledger, "approved-onboarding")["used_since"]) == 5


def test_the_key_is_opened_after_a_refusal_and_a_grant_survives_the_repair(ledger: dict[str, Any]) -> None:
    opened, restored = change(ledger, "key-opened"), change(ledger, "restored")
    assert opened["outside_accounts"] == [OUTSIDE]
    assert len(opened["refused_before"]) == 2
    assert opened["reverted_by"] is None
    assert restored["after"]["policy"] == opened["before"]["policy"]
    grants = [event["event_id"] for event in events(ledger, "lasting-grant")]
    assert restored["surviving_grants"] == grants
    assert all(event["time"] > restored["time"] for event in events(ledger, "grant-used"))


def test_the_takeover_is_reverted_within_minutes(ledger: dict[str, Any]) -> None:
    taken, reverted = change(ledger, "takeover"), change(ledger, "reverted")
    assert taken["reverted_by"] == reverted["event_id"]
    assert reverted["after"]["policy"] == taken["before"]["policy"]
    used = [event for event in ledger["events"] if event["event_id"] in taken["used_since"]]
    assert used
    assert all(taken["time"] < event["time"] < reverted["time"] for event in used)


def test_the_owner_is_locked_out_with_the_check_bypassed(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    locked = change(ledger, "locked-out")
    assert locked["bypassed_lockout_check"]
    assert records[locked["event_id"]]["requestParameters"]["bypassPolicyLockoutSafetyCheck"] is True
    assert locked["account"] not in json.dumps(locked["after"]["policy"])
    assert events(ledger, "owner-refused")[0]["error"] == "AccessDenied"


def test_honest_changes_are_what_they_are_called(ledger: dict[str, Any]) -> None:
    reordered = change(ledger, "reordering")
    assert reordered["gained"] == reordered["lost"] == []
    before, after = (reordered[side]["policy"]["Statement"] for side in ("before", "after"))
    assert before != after
    assert sorted(map(json.dumps, before)) == sorted(map(json.dumps, after))

    approved = {one["account"]: one["expires"] for one in ledger["organisation"]["approved_accounts"]}
    assert change(ledger, "approved-onboarding")["outside_accounts"] == [PARTNER]
    assert approved[PARTNER] > change(ledger, "approved-onboarding")["time"]
    (former,) = change(ledger, "expired-approval")["outside_accounts"]
    assert approved[former] < change(ledger, "expired-approval")["time"]
    assert OUTSIDE not in approved

    before, after = (
        change(ledger, "org-boundary-lost")[side]["policy"]["Statement"][1] for side in ("before", "after")
    )
    assert "StringEquals" in before["Condition"]
    assert "StringEqualsIfExists" in after["Condition"]


def test_the_new_role_is_made_before_the_key_is_opened_to_it_and_used_after(
    ledger: dict[str, Any], records: dict[str, Record]
) -> None:
    (gain,) = change(ledger, "new-role")["gained"]
    role = gain["principal"]
    assert [event["event_name"] for event in events(ledger, "new-role")] == [
        "CreateRole", "AttachRolePolicy", "PutKeyPolicy", "AssumeRole",
    ]  # fmt: skip
    made, attached, _, assumed = (records[event["event_id"]] for event in events(ledger, "new-role"))
    assert made["responseElements"]["role"]["arn"] == assumed["requestParameters"]["roleArn"] == role
    assert attached["requestParameters"]["roleName"] == role.rpartition("/")[2]
    uses = [event for event in ledger["events"] if event["principal"] == role and event["context"]]
    assert uses
    assert all(event["time"] > assumed["eventTime"] for event in uses)


def test_gaps_of_history_are_gaps(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    assert change(ledger, "history-missing")["before"] == {"status": "unknown", "policy": None, "event_id": None}
    omitted = change(ledger, "parameters-omitted")
    assert omitted["after"]["status"] == "unknown"
    assert "policy" not in records[omitted["event_id"]]["requestParameters"]
    assert change(ledger, "after-omission")["before"]["event_id"] == omitted["event_id"]


def test_a_replica_has_a_policy_of_its_own(ledger: dict[str, Any], records: dict[str, Record]) -> None:
    keys = ledger["keys"]
    ids = {keys[part]["arn"].rpartition("/")[2] for part in ("ledger", "ledger_eu", "ledger_us")}
    assert len(ids) == 1
    assert ids.pop().startswith("mrk-")
    same, other = change(ledger, "set-up", "ReplicateKey"), change(ledger, "replica-diverges", "ReplicateKey")
    primary = next(one for one in ledger["changes"] if one["key"] == keys["ledger"]["arn"])
    assert same["after"]["policy"] == primary["after"]["policy"] != other["after"]["policy"]
    assert other["outside_accounts"] == [OUTSIDE]
    response = records[other["event_id"]]["responseElements"]
    assert json.loads(response["replicaPolicy"]) == other["after"]["policy"]
    assert response["replicaKeyMetadata"]["arn"] == other["key"] == keys["ledger_us"]["arn"]


def test_one_call_across_accounts_is_two_events_with_one_shared_id(
    ledger: dict[str, Any], records: dict[str, Record]
) -> None:
    pair = [records[event["event_id"]] for event in events(ledger, "cross-account")]
    assert len({record["sharedEventID"] for record in pair}) == 1
    assert len({record["recipientAccountId"] for record in pair}) == len({record["eventID"] for record in pair}) == 2


def test_the_stolen_key_is_used_from_a_place_and_agent_never_seen_before(
    ledger: dict[str, Any], records: dict[str, Record]
) -> None:
    first = records[events(ledger, "first-sign")[0]["event_id"]]
    key = first["userIdentity"]["accessKeyId"]
    usual = [
        record
        for record in records.values()
        if record["userIdentity"].get("accessKeyId") == key and record["eventTime"] < first["eventTime"]
    ]
    assert usual
    assert first["sourceIPAddress"] not in {record["sourceIPAddress"] for record in records.values()
                                            if record["eventTime"] < first["eventTime"]}  # fmt: skip
    assert first["userAgent"] not in {record["userAgent"] for record in usual}


def test_hostile_text_is_in_agents_names_statements_and_contexts(records: dict[str, Record]) -> None:
    agents = " ".join(record["userAgent"] for record in records.values())
    assert "<script>" in agents
    assert "\x1b[2J" in agents
    assert "=HYPERLINK(" in agents
    assert any("<img" in record["userIdentity"].get("principalId", "") for record in records.values())
    assert any("</td><script>" in json.dumps(policy_of(record)) for record in records.values())
    text = json.dumps([record["requestParameters"] for record in records.values()])
    assert "=cmd|" in text
    assert "\\u202e" in text


def test_the_story_is_there_in_both_layouts(tmp_path: Path, ledger: dict[str, Any]) -> None:
    other = json.loads(simulate(tmp_path, events=600, seed=11, layout="large").ledger.read_bytes())
    assert other["changes"] == ledger["changes"]
    assert other["alerts"] == ledger["alerts"]
