"""The data at stake: what earlier events say that the key protects, how sure that is, and in which order."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from keytrail.investigate.activity import activity_of
from keytrail.investigate.change import KeyName
from keytrail.investigate.data import (
    BUCKET_KEY,
    FROM_GRANT,
    FROM_GRANTEE,
    FROM_OUTSIDE,
    FROM_REENCRYPT,
    OWN_CONTEXT,
    UNCONFIRMED,
    data_at_stake,
)
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import DataAtStake, StakedData, plain
from keytrail.investigate.services import CONTEXT_KEYS, named_by_context
from keytrail.simulation import simulate
from keytrail.store import MemoryStore, Selector
from tests.investigate import records
from tests.investigate.records import KEY, OUTSIDE, OWNER, REGION, Json

APP = records.session("App")
CARDS = {"aws:s3:arn": "arn:aws:s3:::ledger/cards.parquet"}
REFUNDS = {"aws:s3:arn": "arn:aws:s3:::ledger/refunds.parquet"}
VOLUME = {"aws:ebs:id": "vol-0a91f3c5d7e52b114"}
ALIAS = "alias/payments"


def stake(*built: Json, key: str = KEY, limits: Limits | None = None, most_calls: int = 1000) -> StakedData:
    """The data at stake when the policy of the key is changed at 12:00."""
    changed = records.change(records.put_policy("12:00", records.user(), records.DEFAULT, key=key))
    events = [records.event(one) for one in built]
    activity = activity_of(changed.key, events, most_calls=most_calls)
    return data_at_stake(changed, activity, aliases=[ALIAS], limits=limits or Limits())


def only(found: StakedData) -> DataAtStake:
    (row,) = found.items
    return row


# The simulated archive ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Json]]:
    """The ledger and the records of a simulated archive."""
    summary = simulate(tmp_path_factory.mktemp("data"), events=1500, seed=7)
    found = [
        record
        for path in sorted(summary.logs.rglob("*_CloudTrail_*.json.gz"))
        for record in json.loads(gzip.decompress(Path(path).read_bytes()))["Records"]
    ]
    return json.loads(summary.ledger.read_bytes()), found


def test_the_data_at_stake_of_every_change_is_what_the_ledger_planted(told: tuple[dict[str, Any], list[Json]]) -> None:
    ledger, delivered = told
    store = MemoryStore(delivered)
    by_id = {str(one["eventID"]): one for one in delivered}
    compared = 0
    for planted in ledger["changes"]:
        changed = records.change(by_id[planted["event_id"]])
        names = [changed.key.arn, changed.key.id]
        activity = activity_of(changed.key, events_of(store.find(Selector.any_of(names))), most_calls=50_000)
        found = data_at_stake(changed, activity, limits=Limits())
        rows = [
            {
                "service": row.service,
                "context": dict(row.context),
                "count": row.count,
                "first": plain(row.first),
                "last": plain(row.last),
                "principals": list(row.principals.items),
            }
            for row in found.items
            if row.context
        ]
        assert rows == planted["data_at_stake"], planted["step"]
        compared += len(rows)
    assert compared > 30


# Encryption contexts ------------------------------------------------------------------------------------------------


def test_a_context_is_counted_with_who_used_it_when_and_how() -> None:
    batch = records.session("Batch")
    row = only(
        stake(
            records.use("09:00", APP, CARDS, via="s3.amazonaws.com"),
            records.use("10:00", batch, CARDS, via="s3.amazonaws.com", call="GenerateDataKey"),
            last := records.use("11:00", APP, CARDS, via="s3.amazonaws.com"),
        )
    )
    assert (row.service, row.kind, row.resource) == ("s3", "object", CARDS["aws:s3:arn"])
    assert (row.basis, row.note) == ("encryption_context", "")
    assert (row.count, row.first, row.last) == (3, records.moment("09:00"), records.moment("11:00"))
    assert row.principals.items == (records.role_arn("App"), records.role_arn("Batch"))
    assert row.operations == ("Decrypt", "GenerateDataKey")
    assert row.example == last["eventID"]


def test_only_successful_events_strictly_before_the_change_count() -> None:
    found = stake(
        records.use("11:59:59", APP, CARDS),
        records.use("12:00", APP, CARDS),
        records.use("13:00", APP, REFUNDS),
        records.refused(records.use("09:00", APP, REFUNDS)),
        records.refused(records.use("09:00", APP, REFUNDS), "DryRunOperationException"),
        records.refused(records.grant("09:00", APP, "rds.amazonaws.com", grant_id="g")),
        records.key_call("DescribeKey", "09:00", APP),
    )
    assert only(found).count == 1


def test_a_key_that_the_change_created_protects_nothing() -> None:
    created = records.change(records.create_key("12:00", records.user()))
    activity = activity_of(created.key, [records.event(records.use("09:00", APP, CARDS))], most_calls=10)
    assert data_at_stake(created, activity, limits=Limits()) == StakedData()


def test_most_used_first_then_by_the_context() -> None:
    found = stake(
        records.use("09:00", APP, REFUNDS),
        records.use("09:01", APP, CARDS),
        records.use("09:02", APP, VOLUME),
        records.use("09:03", APP, VOLUME),
    )
    assert [row.context for row in found.items] == [VOLUME, CARDS, REFUNDS]


@pytest.mark.parametrize(
    ("context", "service", "kind", "resource"),
    [
        ({"aws:s3:arn": "arn:aws:s3:::ledger"}, "s3", "bucket", "arn:aws:s3:::ledger"),
        (VOLUME, "ebs", "volume", f"arn:aws:ec2:{REGION}:{OWNER}:volume/vol-0a91f3c5d7e52b114"),
        ({"aws:ebs:id": "snap-0a9"}, "ebs", "snapshot", f"arn:aws:ec2:{REGION}::snapshot/snap-0a9"),
        ({"aws:ebs:id": "vol-1", "aws:rds:db-id": "db-XYZ"}, "rds", "database instance", "db-XYZ"),
        ({"aws:ebs:id": "vol-1", "aws:workspaces:sid-directoryid": "S-1-d-1"}, "workspaces", "workspace", "S-1-d-1"),
        (
            {"aws:s3:arn": "arn:aws:s3:::logs/x", "aws:cloudtrail:arn": "arn:aws:cloudtrail:eu-west-1:1:trail/all"},
            "cloudtrail", "trail", "arn:aws:cloudtrail:eu-west-1:1:trail/all",
        ),
        (
            {"aws:dynamodb:tableName": "cards", "aws:dynamodb:subscriberId": OUTSIDE},
            "dynamodb", "table", f"arn:aws:dynamodb:{REGION}:{OUTSIDE}:table/cards",
        ),
        (
            {"aws:elasticfilesystem:filesystem:id": "fs-1"},
            "efs", "file system", f"arn:aws:elasticfilesystem:{REGION}:{OWNER}:file-system/fs-1",
        ),
        ({"SecretARN": "arn:s", "SecretVersionId": "v"}, "secretsmanager", "secret", "arn:s"),
        ({"tenant": "7", "purpose": "tokens"}, "unknown", "encryption context", "purpose=tokens, tenant=7"),
    ],
)  # fmt: skip
def test_a_context_names_the_resource_of_the_most_specific_service(
    context: dict[str, str], service: str, kind: str, resource: str
) -> None:
    row = only(stake(records.use("09:00", APP, context)))
    assert (row.service, row.kind, row.resource, row.context) == (service, kind, resource, context)


def test_every_context_key_of_the_registry_names_something_of_its_service() -> None:
    key = KeyName.parse(KEY)
    assert key is not None
    for context_key, naming in CONTEXT_KEYS.items():
        found = named_by_context({context_key: "{value}", "other": "pair"}, key)
        assert (found.service, found.kind) == (naming.service, naming.kind)
        assert "{value}" in found.resource
        assert "{region}" not in found.resource


def test_what_is_made_of_a_volume_or_a_bucket_stands_before_it() -> None:
    places = {name: number for number, name in enumerate(CONTEXT_KEYS)}
    assert max(places.values()) == places["aws:s3:arn"] == places["aws:ebs:id"] + 1


# How sure it is -----------------------------------------------------------------------------------------------------


def test_a_context_that_no_service_passed_on_is_the_callers_word() -> None:
    assert only(stake(records.use("09:00", APP, CARDS))).note == UNCONFIRMED
    both = stake(records.use("09:00", APP, CARDS), records.use("10:00", APP, CARDS, via="s3.amazonaws.com"))
    assert only(both).note == ""


def test_a_context_that_only_other_accounts_named_is_said_to_be() -> None:
    outside = records.outsider()
    assert only(stake(records.use("09:00", outside, CARDS))).note == FROM_OUTSIDE
    assert only(stake(records.use("09:00", outside, CARDS, via="s3.amazonaws.com"))).note == FROM_OUTSIDE
    assert only(stake(records.use("09:00", outside, CARDS), records.use("10:00", APP, CARDS))).note == UNCONFIRMED


def test_ec2_that_decrypts_for_an_instance_is_a_service_and_a_role_that_looks_like_it_is_not() -> None:
    def decrypt(arn: str, role: str) -> Json:
        who = records.session() | {"arn": arn}
        issuer = {"sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{OWNER}:role/{role}", "accountId": OWNER}}
        return records.use("09:00", who | {"sessionContext": issuer}, VOLUME)

    own = decrypt(f"arn:aws:sts::{OWNER}:assumed-role/aws:ec2-infrastructure/i-0abc", "aws:ec2-infrastructure")
    assert only(stake(own)).note == ""
    disguised = decrypt(f"arn:aws:sts::{OWNER}:assumed-role/evil/i-0abc", "aws:ec2-infrastructure/evil")
    assert only(stake(disguised)).note == UNCONFIRMED


def test_an_applications_own_context_and_a_bucket_key_are_explained() -> None:
    assert only(stake(records.use("09:00", APP, {"tenant": "7"}))).note == OWN_CONTEXT
    bucket = {"aws:s3:arn": "arn:aws:s3:::ledger"}
    assert only(stake(records.use("09:00", APP, bucket, via="s3.amazonaws.com"))).note == BUCKET_KEY


def test_a_context_that_only_a_grant_is_limited_to_is_inferred_until_it_is_used() -> None:
    granted = records.grant(
        "09:00", APP | {"invokedBy": "ec2.amazonaws.com"}, f"{OWNER}:aws:ec2-infrastructure:i-0abc", grant_id="g",
        constraints={"encryptionContextSubset": VOLUME},
    )  # fmt: skip
    row = only(stake(granted))
    assert (row.kind, row.basis, row.note, row.count) == ("volume", "inferred", FROM_GRANT, 1)
    used = only(stake(granted, records.use("10:00", APP, VOLUME)))
    assert (used.basis, used.note, used.count) == ("encryption_context", "", 2)
    assert used.operations == ("CreateGrant", "Decrypt")


@pytest.mark.parametrize(
    ("grantee", "service", "resource"),
    [
        (f"{OWNER}:aws:ec2-infrastructure:i-0abc", "ebs", f"arn:aws:ec2:{REGION}:{OWNER}:instance/i-0abc"),
        (
            f"arn:aws:sts::{OWNER}:assumed-role/aws:ec2-infrastructure/i-0abc",
            "ebs", f"arn:aws:ec2:{REGION}:{OWNER}:instance/i-0abc",
        ),
        ("dynamodb.eu-west-1.amazonaws.com", "dynamodb", "dynamodb.eu-west-1.amazonaws.com"),
        (
            f"arn:aws:iam::{OWNER}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            "autoscaling",
            f"arn:aws:iam::{OWNER}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        ),
    ],
)  # fmt: skip
def test_the_grantee_of_a_grant_without_constraints_is_a_hint(grantee: str, service: str, resource: str) -> None:
    row = only(stake(records.grant("09:00", APP, grantee, grant_id="g")))
    assert (row.service, row.resource, row.basis, row.note) == (service, resource, "inferred", FROM_GRANTEE)
    assert row.context == {}


def test_a_grant_to_a_role_hints_at_no_data_and_one_on_another_key_is_not_ours() -> None:
    other = KEY.replace("1234abcd", "99999999")
    found = stake(
        records.grant("09:00", APP, records.role_arn("App"), grant_id="g"),
        records.grant("09:01", APP, "rds.amazonaws.com", grant_id="h", key=other, requestID=KEY),
    )
    assert found.items == ()


def test_a_reencrypt_does_not_tell_which_of_its_two_contexts_is_of_this_key() -> None:
    request = {"sourceEncryptionContext": CARDS, "destinationEncryptionContext": REFUNDS}
    both = records.key_call("ReEncrypt", "09:00", APP, request, readOnly=True)
    found = stake(both, records.use("10:00", APP, REFUNDS, via="s3.amazonaws.com"))
    refunds, cards = found.items
    assert (refunds.count, refunds.basis) == (2, "encryption_context")
    assert (cards.count, cards.basis) == (1, "inferred")
    assert cards.note.startswith(FROM_REENCRYPT)


# Requests to other services -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "request_", "answer", "kind", "resource"),
    [
        ("ec2:CreateVolume", {"kmsKeyId": KEY}, {"volumeId": "vol-1"}, "volume",
         f"arn:aws:ec2:{REGION}:{OWNER}:volume/vol-1"),
        ("ec2:CopySnapshot", {"kmsKeyId": KEY, "sourceSnapshotId": "snap-0"}, {"snapshotId": "snap-1"}, "snapshot",
         f"arn:aws:ec2:{REGION}::snapshot/snap-1"),
        ("ec2:ModifyEbsDefaultKmsKeyId", {"ModifyEbsDefaultKmsKeyIdRequest": {"KmsKeyId": KEY}}, None,
         "default key of new volumes", f"{REGION} of {OWNER}"),
        ("rds:CreateDBInstance", {"dBInstanceIdentifier": "cards", "kmsKeyId": KEY}, None, "database instance",
         f"arn:aws:rds:{REGION}:{OWNER}:db:cards"),
        ("s3:PutBucketEncryption",
         {"bucketName": "ledger", "ServerSideEncryptionConfiguration": {"Rule": {"ApplyServerSideEncryptionByDefault":
          {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}}},
         None, "bucket", "arn:aws:s3:::ledger"),
        ("secretsmanager:CreateSecret", {"name": "db", "kmsKeyId": KEY},
         {"aRN": "arn:aws:secretsmanager:x:1:secret:db-a"}, "secret", "arn:aws:secretsmanager:x:1:secret:db-a"),
        ("ssm:PutParameter", {"name": "/pay/api", "type": "SecureString", "keyId": KEY}, {"version": 1}, "parameter",
         f"arn:aws:ssm:{REGION}:{OWNER}:parameter/pay/api"),
        ("sqs:SetQueueAttributes",
         {"queueUrl": f"https://sqs.{REGION}.amazonaws.com/{OWNER}/q", "attributes": {"KmsMasterKeyId": KEY}},
         None, "queue", f"arn:aws:sqs:{REGION}:{OWNER}:q"),
        ("dynamodb:CreateTable", {"tableName": "t", "sSESpecification": {"kMSMasterKeyId": KEY}}, None, "table",
         f"arn:aws:dynamodb:{REGION}:{OWNER}:table/t"),
        ("lambda:UpdateFunctionConfiguration20150331v2", {"functionName": "f", "kMSKeyArn": KEY}, None, "function",
         f"arn:aws:lambda:{REGION}:{OWNER}:function:f"),
        ("logs:AssociateKmsKey", {"logGroupName": "/aws/lambda/f", "kmsKeyId": KEY}, None, "log group",
         f"arn:aws:logs:{REGION}:{OWNER}:log-group:/aws/lambda/f"),
        ("cloudtrail:CreateTrail", {"name": "all", "kmsKeyId": KEY}, {"trailARN": "arn:aws:cloudtrail:x:1:trail/all"},
         "trail", "arn:aws:cloudtrail:x:1:trail/all"),
        ("kinesis:StartStreamEncryption", {"streamName": "s", "keyId": KEY}, None, "stream",
         f"arn:aws:kinesis:{REGION}:{OWNER}:stream/s"),
    ],
)  # fmt: skip
def test_a_request_that_names_the_key_names_a_resource(
    call: str, request_: Json, answer: Json | None, kind: str, resource: str
) -> None:
    row = only(stake(records.record(call, "09:00", APP, request_, responseElements=answer)))
    assert (row.kind, row.resource, row.basis, row.context) == (kind, resource, "request", {})
    name = call.partition(":")[2]
    assert row.note == f"{name} named the key for it; no use of the key for it was seen"


def volume(when: str, key: str, **more: object) -> Json:
    answer = {"volumeId": "vol-1"}
    return records.record("ec2:CreateVolume", when, APP, {"kmsKeyId": key}, responseElements=answer, **more)


def test_a_key_is_named_by_its_id_and_alias_where_it_is_at_home_only() -> None:
    key_id = KEY.rpartition("/")[2]
    assert only(stake(volume("09:00", key_id))).basis == "request"
    assert "by its alias alias/payments;" in only(stake(volume("09:00", ALIAS))).note
    assert "by its alias" not in only(stake(volume("09:00", ALIAS), volume("09:01", KEY))).note
    assert only(stake(volume("09:00", KEY.replace(f"key/{key_id}", ALIAS), awsRegion="us-east-1"))).count == 1
    for elsewhere in ({"awsRegion": "us-east-1"}, {"recipientAccountId": OUTSIDE}):
        assert stake(volume("09:00", key_id, **elsewhere), volume("09:01", ALIAS, **elsewhere)).total == 0


def test_a_request_says_nothing_new_about_a_resource_that_is_used_and_none_about_another_key() -> None:
    used = records.use("10:00", APP, {"aws:ebs:id": "vol-1"}, via="ec2.amazonaws.com")
    assert only(stake(volume("09:00", KEY), used)).basis == "encryption_context"
    assert stake(volume("09:00", "alias/other"), records.refused(volume("09:00", KEY))).total == 0


def test_a_request_whose_record_does_not_name_the_resource_is_kept() -> None:
    row = only(stake(records.record("ec2:CreateVolume", "09:00", APP, {"kmsKeyId": KEY})))
    assert (row.kind, row.resource) == ("volume", "")
    assert row.note.endswith("the record does not say what it is called")


# What a reader sees first, and bounds -------------------------------------------------------------------------------


def test_the_summary_takes_objects_by_bucket_and_secrets_by_their_versions() -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-a1B2c3"
    found = stake(
        records.use("09:00", APP, CARDS),
        records.use("09:30", APP, REFUNDS),
        records.use("10:00", APP, REFUNDS),
        records.use("10:30", APP, {"SecretARN": secret, "SecretVersionId": "1"}),
        records.use("10:40", APP, {"SecretARN": secret, "SecretVersionId": "2"}),
        records.record("s3:PutBucketEncryption", "08:00", APP, {"bucketName": "ledger", "rule": KEY}),
    )
    bucket, versions = found.summary.items
    assert (bucket.kind, bucket.resource, bucket.contexts, bucket.count) == ("bucket", "arn:aws:s3:::ledger", 2, 4)
    assert (bucket.first, bucket.last) == (records.moment("08:00"), records.moment("10:00"))
    assert (versions.resource, versions.contexts, versions.count) == (secret, 2, 2)
    assert found.by_service == {"s3": 3, "secretsmanager": 1}


def test_lists_are_cut_with_exact_totals() -> None:
    built = [
        records.use(f"09:{number:02d}", records.session(f"R{number}"), {"tenant": str(number % 5)})
        for number in range(30)
    ]
    found = stake(*built, limits=Limits(max_data=2, max_event_ids=3))
    assert (len(found.items), found.total, found.truncated) == (2, 5, True)
    assert (len(found.summary.items), found.summary.total) == (2, 5)
    assert (len(found.items[0].principals.items), found.items[0].principals.total) == (3, 6)
    assert found.by_service == {"unknown": 5}
    assert found.complete


def test_it_is_said_when_a_key_has_more_calls_than_were_kept() -> None:
    built = [records.use(f"09:{number:02d}", APP, CARDS) for number in range(5)]
    found = stake(*built, most_calls=3)
    assert (only(found).count, found.complete) == (3, False)


def test_a_busy_key_takes_time_in_proportion() -> None:
    changed = records.change(records.put_policy("12:00", records.user(), records.DEFAULT))
    start = records.moment("00:00")
    sample = records.use("09:00", APP, CARDS)

    def seconds(calls: int) -> float:
        def event(number: int) -> Event:
            context = {"aws:s3:arn": f"arn:aws:s3:::b{number}/o"}  # the worst case: a context for every call
            data = sample | {"requestParameters": {"encryptionContext": context}}
            time = start + timedelta(milliseconds=number)
            return Event(str(number), time, "Decrypt", "kms.amazonaws.com", OWNER, REGION, data)

        activity = activity_of(changed.key, map(event, range(calls)), most_calls=calls)
        began = process_time()
        assert data_at_stake(changed, activity, limits=Limits()).total == calls
        return process_time() - began

    few, many = seconds(2_000), seconds(20_000)
    assert many < 40 * few


def test_an_event_id_breaks_ties_so_that_the_order_of_arrival_does_not_matter() -> None:
    one, two = (records.use("09:00", APP, CARDS, eventID=name) for name in ("a", "b"))
    assert only(stake(one, two)).example == only(stake(two, one)).example == "b"
