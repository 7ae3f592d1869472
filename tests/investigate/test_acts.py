"""Acts: what each event says in a sentence, of which kind it is, and that hostile names stay names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keytrail.investigate.acts import ACTS, act_of
from keytrail.investigate.events import USES
from keytrail.investigate.wording import LONGEST, SLOTS, told
from tests.investigate import records
from tests.investigate.records import KEY, OUTSIDE, OWNER, Json

ALICE = records.user()
KEY_ID = KEY.rpartition("/")[2]
S3 = "s3.amazonaws.com"
WORKER = records.role_arn("worker", OUTSIDE)


def of(call: str, request: Json | None = None, **more: object) -> Json:
    return records.record(call, "12:00", ALICE, request, **more)


def denied(call: str, request: Json | None = None) -> Json:
    return records.refused(of(call, request))


def shares(item: Json, *, change: str = "add") -> Json:
    return {"snapshotId": "snap-1", "createVolumePermission": {change: {"items": [item]}}}


SENTENCES: list[tuple[Json, str, str]] = [
    # The key
    (records.put_policy("12:00", ALICE, records.DEFAULT), "policy", f"changed the policy of the key {KEY_ID}"),
    (
        of("kms:PutKeyPolicy", {"keyId": KEY, "bypassPolicyLockoutSafetyCheck": True}), "policy",
        f"changed the policy of the key {KEY_ID}, without the check against locking itself out",
    ),
    (
        records.refused(records.put_policy("12:00", ALICE, records.DEFAULT)), "policy",
        f"tried to change the policy of the key {KEY_ID}: AccessDenied",
    ),
    (records.create_key("12:00", ALICE), "key", f"created the key {KEY_ID}"),
    (
        records.grant("12:00", ALICE, WORKER, grant_id="g", operations=["Decrypt", "Sign"]),
        "grant", f"gave {WORKER} a grant on the key {KEY_ID} for Decrypt, Sign",
    ),
    (records.retire_grant("12:00", ALICE, "g-1"), "grant", f"retired the grant g-1 on the key {KEY_ID}"),
    (records.revoke_grant("12:00", ALICE, "g-1"), "grant", f"revoked the grant g-1 on the key {KEY_ID}"),
    (records.alias("UpdateAlias", "12:00", ALICE, "alias/pay"), "key", f"moved the alias pay to the key {KEY_ID}"),
    (records.alias("DeleteAlias", "12:00", ALICE, "alias/pay"), "key", "deleted the alias pay"),
    (
        records.key_call("ScheduleKeyDeletion", "12:00", ALICE, {"pendingWindowInDays": 7}), "key",
        f"scheduled the deletion of the key {KEY_ID} in 7 days",
    ),
    (records.key_call("CancelKeyDeletion", "12:00", ALICE), "key", f"cancelled the deletion of the key {KEY_ID}"),
    (of("kms:DisableKey", {"keyId": "mrk-1"}), "key", "disabled the key mrk-1"),
    (of("kms:DisableKey"), "key", "disabled a key"),
    (
        of("kms:DescribeKey", {"keyId": f"arn:aws:kms:eu-west-1:{OUTSIDE}:key/k"}, resources=records.key_resources(
            f"arn:aws:kms:eu-west-1:{OUTSIDE}:key/k")), "look", f"looked at the key k of the account {OUTSIDE}",
    ),
    (
        records.use("12:00", ALICE, {"aws:s3:arn": "arn:aws:s3:::b/cards.csv"}, via=S3), "use",
        f"decrypted arn:aws:s3:::b/cards.csv with the key {KEY_ID} (through s3.amazonaws.com)",
    ),
    (
        records.use("12:00", ALICE, {"aws:dynamodb:subscriberId": OWNER, "aws:dynamodb:tableName": "cards"},
                    call="GenerateDataKey"),
        "use", f"made a data key for aws:dynamodb:tableName cards with the key {KEY_ID}",
    ),
    (records.use("12:00", ALICE, call="Encrypt"), "use", f"encrypted data with the key {KEY_ID}"),
    # Sessions
    (
        records.assume_role("12:00", ALICE, records.role_arn("path/Admin"), name="a"), "role",
        "assumed the role Admin (session a)",
    ),
    (
        records.assume_role("12:00", ALICE, records.role_arn("Admin", OUTSIDE), name="a"), "role",
        f"assumed the role Admin of the account {OUTSIDE} (session a)",
    ),
    (of("sts:GetCallerIdentity"), "look", "asked whose credentials it uses"),
    (
        of("signin:ConsoleLogin", additionalEventData={"MFAUsed": "No"}), "sign-in",
        "signed in to the console without MFA",
    ),
    (
        of("signin:ConsoleLogin", errorMessage="Failed authentication"), "sign-in",
        "tried to sign in to the console: Failed authentication",
    ),
    (
        of("signin:SwitchRole", additionalEventData={"SwitchFrom": "arn:aws:iam::1:user/eve"}), "role",
        "switched roles in the console, coming from arn:aws:iam::1:user/eve",
    ),
    # Identities
    (
        of("iam:AttachUserPolicy", {"userName": "eve", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        "identity", "attached AdministratorAccess to the user eve",
    ),
    (denied("iam:AttachUserPolicy"), "identity", "tried to attach a policy to a user: AccessDenied"),
    (
        of("iam:PutRolePolicy", {"roleName": "App", "policyName": "all"}), "identity",
        "wrote the policy all into the role App",
    ),
    (of("iam:AddUserToGroup", {"userName": "eve", "groupName": "root"}), "identity",
     "added the user eve to the group root"),
    (of("iam:CreateAccessKey"), "identity", "created an access key for its own user"),
    (
        of("iam:UpdateAccessKey", {"userName": "eve", "accessKeyId": "AKIA1", "status": "Inactive"}), "identity",
        "set the access key AKIA1 of the user eve to Inactive",
    ),
    # Logging and other defences
    (of("cloudtrail:StopLogging", {"name": f"arn:aws:cloudtrail:eu-west-1:{OWNER}:trail/main"}), "logging",
     "stopped the logging of the trail main"),
    (of("cloudtrail:PutEventSelectors", {"trailName": "main"}), "logging", "changed which events the trail main logs"),
    (of("guardduty:DeleteDetector"), "logging", "deleted a detector of GuardDuty"),
    # Data and who may reach it
    (of("s3:GetObject", {"bucketName": "b", "key": "a/c.csv"}), "data", "read s3://b/a/c.csv"),
    (
        of("secretsmanager:GetSecretValue",
           {"secretId": f"arn:aws:secretsmanager:eu-west-1:{OWNER}:secret:prod/db-a1B2c3"}), "data",
        "read the secret prod/db-a1B2c3",
    ),
    (of("ssm:GetParameters", {"names": ["/a", "/b", "/c"]}), "data", "read the parameter /a and 2 more"),
    (of("ec2:ModifySnapshotAttribute", shares({"userId": OUTSIDE})), "share",
     f"shared the snapshot snap-1 with the account {OUTSIDE}"),
    (of("ec2:ModifySnapshotAttribute", shares({"group": "all"})), "share", "shared the snapshot snap-1 with everyone"),
    (of("ec2:ModifySnapshotAttribute", shares({"userId": OUTSIDE}, change="remove")), "share",
     f"stopped sharing the snapshot snap-1 with the account {OUTSIDE}"),
    (
        of("rds:ModifyDBSnapshotAttribute", {"dBSnapshotIdentifier": "d", "valuesToAdd": [OUTSIDE]}), "share",
        f"shared the snapshot d with the account {OUTSIDE}",
    ),
    (of("s3:ListBuckets"), "look", "listed buckets"),
    (of("lambda:AddPermission20150331v2", {"functionName": "f", "principal": "*"}), "share",
     "let * call the function f"),
    # What no line of the table is about
    (of("ec2:DescribeInstances"), "look", "looked at instances (ec2)"),
    (of("ec2:RunInstances"), "other", "ran instances (ec2)"),
    (of("lambda:DeleteFunction20150331"), "other", "deleted function (lambda)"),
    (denied("securityhub:BatchImportFindings"), "other", "tried to import findings (securityhub): AccessDenied"),
    (of("signin:PasswordRecoveryRequested"), "other", "caused the event PasswordRecoveryRequested (signin)"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "kind", "sentence"), SENTENCES, ids=[sentence for *_, sentence in SENTENCES])
def test_an_event_is_a_sentence(record: Json, kind: str, sentence: str) -> None:
    act = act_of(records.event(record))
    assert (act.kind, act.sentence) == (kind, sentence)


def test_an_act_names_its_event_and_caller() -> None:
    record = denied("iam:ListUsers")
    act = act_of(records.event(record), about="arn:aws:iam::1:user/eve")
    assert (act.event_id, act.event_name, act.provider) == (record["eventID"], "ListUsers", "iam.amazonaws.com")
    assert (act.who, act.address, act.account) == (ALICE["arn"], "192.0.2.10", OWNER)
    assert (act.outcome, act.error, act.about) == ("failure", "AccessDenied", "arn:aws:iam::1:user/eve")


def test_what_failed_without_a_code_failed_with_its_message() -> None:
    event = records.event(of("signin:ConsoleLogin", errorMessage="Failed authentication" + "!" * 5000))
    assert not event.succeeded
    act = act_of(event)
    assert act.outcome == "failure"
    assert act.error == f"Failed authentication{'!' * (LONGEST - 22)}…"
    assert act.sentence == f"tried to sign in to the console: {act.error}"


def test_every_slot_of_the_table_is_known_and_every_slot_used() -> None:
    named = {
        slot for table in ACTS.values() for _, template in table.values() for slot in re.findall("{(.*?)}", template)
    }
    assert named == set(SLOTS)


def test_every_use_of_a_key_is_a_use() -> None:
    assert {name for name, (kind, _) in ACTS["kms"].items() if kind == "use"} == set(USES)


def test_a_record_that_tells_nothing_still_gives_a_sentence_of_every_event() -> None:
    for service, table in ACTS.items():
        for name in table:
            sentence = act_of(records.event(of(f"{service}:{name}"))).sentence
            assert re.fullmatch(r"[a-z]+ [^{}]*[^ {}]", sentence), sentence


def test_a_name_with_the_form_of_a_slot_stays_a_name() -> None:
    act = act_of(records.event(of("iam:CreateUser", {"userName": "{key} {policy} \x1b[2J<script>"})))
    assert act.sentence == "created the user {key} {policy} \x1b[2J<script>"


@pytest.mark.parametrize("name", ["Delete\x1bUsers", "<script>", "=cmd()", "", "Delete Users"])
def test_an_event_that_aws_never_named_so_is_not_read_as_words(name: str) -> None:
    assert act_of(records.event(of(f"iam:{name}"))).sentence == f"caused the event {name} (iam)"


def test_monsters_are_cut() -> None:
    act = act_of(records.event(of("iam:AddUserToGroup", {"userName": "u" * 5000, "groupName": "g"})))
    assert act.sentence == f"added the user {'u' * (LONGEST - 1)}… to the group g"


@pytest.mark.parametrize("value", [7, None, {"a": "b"}, [], [1], ""])
def test_a_parameter_of_another_type_is_no_name(value: object) -> None:
    act = act_of(records.event(of("iam:CreateUser", {"userName": value})))
    assert act.sentence == "created a user"


def test_what_failed_without_a_reason_failed() -> None:
    assert told("delete a trail", "") == "tried to delete a trail: it failed"


def test_real_records_give_one_sentence_each(shared: Path) -> None:
    """The archives of two published attack exercises: nothing raises, and no sentence is empty."""
    seen = 0
    for path in sorted((shared / "cloudtrail").rglob("*.json")):
        content = json.loads(path.read_bytes())
        for record in content.get("Records", []) if isinstance(content, dict) else content:
            if isinstance(record, dict) and record.get("eventTime"):
                act = act_of(records.event(record))
                assert act.sentence.startswith("tried to ") == (act.outcome == "failure"), act
                seen += 1
    assert seen > 1000
