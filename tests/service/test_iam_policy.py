"""The least IAM policy: what each source and sink adds to it, for which identity, and what it cannot say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from keytrail.errors import UsageError
from keytrail.service.iam_policy import IdentityPolicy, iam_policies, policy_for
from keytrail.settings import Settings
from keytrail.sources.feeds import FeedSettings

QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"
ROLE = "arn:aws:iam::111122223333:role/keytrail"
LOOKUP = "arn:aws:iam::444455556666:role/lookup"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alerts"
BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/security"


def policies(
    *sources: str, sinks: tuple[dict[str, object], ...] = (), feeds: FeedSettings | None = None, **aws: str
) -> tuple[IdentityPolicy, ...]:
    """The policies for sources and sinks; each sink gets a name."""
    named = [{"name": f"sink-{number}"} | sink for number, sink in enumerate(sinks)]
    settings = Settings.model_validate({"watch": {"sources": sources}, "notify": {"sinks": named}, "aws": aws})
    return iam_policies(settings, feeds or FeedSettings())


def statements(policy: IdentityPolicy) -> dict[str, tuple[list[str], list[str]]]:
    """Actions and resources by Sid, after looking whether IAM would take the document."""
    assert policy.document is not None
    document: Any = json.loads(json.dumps(policy.document))
    assert document["Version"] == "2012-10-17"
    for one in document["Statement"]:
        assert set(one) == {"Sid", "Effect", "Action", "Resource"}
        assert one["Effect"] == "Allow"
        assert re.fullmatch("[A-Za-z0-9]+", one["Sid"])
        assert all(re.fullmatch("[a-z0-9]+:[A-Za-z]+", action) for action in one["Action"])
        assert all(
            resource == "*" or re.fullmatch("arn:aws[a-z-]*(:[^:]*){4,}", resource) for resource in one["Resource"]
        )
    found = {one["Sid"]: (one["Action"], one["Resource"]) for one in document["Statement"]}
    assert len(found) == len(document["Statement"])
    return found


def test_buckets_are_listed_and_read_and_nothing_else() -> None:
    [policy] = policies("s3://trail/security", "s3://other", "s3://trail/security")
    assert statements(policy) == {
        "ListTheTrail": (["s3:ListBucket"], ["arn:aws:s3:::other", "arn:aws:s3:::trail"]),
        "ReadTheTrail": (["s3:GetObject"], ["arn:aws:s3:::other/*", "arn:aws:s3:::trail/security*"]),
    }
    [note] = policy.notes
    assert "kms:Decrypt" in note
    assert "kms:ViaService s3.REGION.amazonaws.com;" in note


def test_a_queue_needs_its_own_actions_and_the_buckets_it_speaks_of() -> None:
    [policy] = policies(QUEUE, feeds=FeedSettings(sqs_buckets=("trail",)))
    assert statements(policy) == {
        "ReadTheTrail": (["s3:GetObject"], ["arn:aws:s3:::trail/*"]),
        "ReceiveFromQueues": (
            ["sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"],
            ["arn:aws:sqs:eu-west-1:111122223333:trail"],
        ),
    }
    assert [note for note in policy.notes if "sqs.REGION" in note]
    assert not [note for note in policy.notes if "in the place of" in note]


def test_what_a_queue_does_not_tell_is_said() -> None:
    [policy] = policies("sqs://trail", QUEUE)
    found = statements(policy)
    assert found["ReadTheTrail"][1] == ["arn:aws:s3:::*/AWSLogs/*"]
    # Queues that need different actions are not thrown together.
    assert found["ReceiveFromQueues"][0][0] == "sqs:GetQueueUrl"
    assert found["ReceiveFromQueues"][1] == ["arn:aws:sqs:*:*:trail"]
    assert found["ReceiveFromQueues2"][1] == ["arn:aws:sqs:eu-west-1:111122223333:trail"]
    text = "\n".join(policy.notes)
    assert "sqs_buckets" in text
    assert "name the queue by its URL" in text


def test_lookup_events_knows_no_resources() -> None:
    [policy] = policies("aws://all")
    assert statements(policy) == {
        "LookUpEvents": (["cloudtrail:LookupEvents"], ["*"]),
        "FindTheRegions": (["ec2:DescribeRegions"], ["*"]),
    }
    assert "aws:RequestedRegion" in policy.notes[0]


@pytest.mark.parametrize(
    ("text", "feeds"),
    [(f"aws://eu-west-1?role={LOOKUP}", FeedSettings()), ("aws://eu-west-1", FeedSettings(lookup_role_arns=(LOOKUP,)))],
)
def test_a_role_of_lookup_events_has_a_policy_of_its_own(text: str, feeds: FeedSettings) -> None:
    own, of_role = policies(text, feeds=feeds)
    assert statements(own) == {"UseOtherRoles": (["sts:AssumeRole"], [LOOKUP])}
    assert f"--role {LOOKUP}" in own.notes[0]
    assert of_role.identity == LOOKUP
    assert statements(of_role) == {"LookUpEvents": (["cloudtrail:LookupEvents"], ["*"])}


def test_with_a_role_it_is_the_role_that_does_the_work() -> None:
    sinks = ({"kind": "sns", "topic_arn": TOPIC},)
    all_of_them = policies("s3://trail", f"aws://eu-west-1?role={LOOKUP}", sinks=sinks, role_arn=ROLE)
    assert [one.identity for one in all_of_them] == ["", ROLE, LOOKUP]
    assert statements(policy_for(all_of_them, "")) == {"UseOtherRoles": (["sts:AssumeRole"], [ROLE, LOOKUP])}
    assert set(statements(policy_for(all_of_them, ROLE))) == {"ListTheTrail", "ReadTheTrail", "TellBySns"}
    assert set(statements(policy_for(all_of_them, LOOKUP))) == {"LookUpEvents"}
    with pytest.raises(UsageError, match="do not name the role") as caught:
        policy_for(all_of_them, "arn:aws:iam::111122223333:role/other")
    assert ROLE in caught.value.advice


def test_sinks_of_aws_add_what_they_call() -> None:
    [policy] = policies(
        sinks=(
            {"kind": "sns", "topic_arn": TOPIC},
            {"kind": "eventbridge", "bus_arn": BUS},
            {"kind": "securityhub", "region": "eu-central-1"},
            {"kind": "ocsf", "path": "s3://findings/key*trail/"},
            {"kind": "ocsf", "path": "s3://lake"},
            {"kind": "ocsf", "path": "/var/log/findings.ndjson"},
            {"kind": "slack", "url": "https://hooks.slack.com/services/SECRET"},
        )
    )
    assert statements(policy) == {
        "TellBySns": (["sns:Publish"], [TOPIC]),
        "TellByEventBridge": (["events:PutEvents"], [BUS]),
        "TellBySecurityHub": (
            ["securityhub:BatchImportFindings"], ["arn:aws:securityhub:eu-central-1:*:product/*/default"]
        ),
        # A star in a prefix must not stand for anything.
        "WriteFindings": (["s3:PutObject"], ["arn:aws:s3:::findings/key?trail/*", "arn:aws:s3:::lake/*"]),
    }  # fmt: skip
    text = "\n".join(policy.notes)
    assert "kms:GenerateDataKey" in text
    assert "s3.REGION.amazonaws.com or sns.REGION.amazonaws.com" in text
    assert "Security Hub" in text
    assert "SECRET" not in text + json.dumps(policy.document)


def test_other_partitions_have_their_own_arns() -> None:
    [policy] = policies("s3://trail", sinks=({"kind": "securityhub"},), region="us-gov-west-1")
    found = statements(policy)
    assert found["ReadTheTrail"][1] == ["arn:aws-us-gov:s3:::trail/*"]
    assert found["TellBySecurityHub"][1] == ["arn:aws-us-gov:securityhub:us-gov-west-1:*:product/*/default"]


def test_a_folder_needs_nothing_of_aws() -> None:
    assert policies("./AWSLogs", "-") == (IdentityPolicy("", None, ()),)


def test_what_is_no_feed_is_an_error() -> None:
    with pytest.raises(UsageError, match="no feed is known"):
        policies("ftp://trail")


# -- the keys of [policies] -------------------------------------------------------------------------------------------

READ_KEYS = [
    "kms:DescribeKey", "kms:ListKeyPolicies", "kms:GetKeyPolicy", "kms:ListGrants", "kms:ListResourceTags",
    "kms:GetKeyRotationStatus",
]  # fmt: skip


CONFIG = (["config:GetResourceConfigHistory"], ["*"])


def key_policies(aws: dict[str, str] | None = None, **told: object) -> dict[str, IdentityPolicy]:
    """The policies for what [policies] says, by identity."""
    settings = Settings.model_validate({"policies": told, "aws": aws or {}})
    return {one.identity: one for one in iam_policies(settings, FeedSettings())}


def test_keys_are_read_only_where_somebody_asks_for_it() -> None:
    assert key_policies()[""].document is None
    own = key_policies(every_hours=6)[""]
    assert statements(own) == {
        "FindTheRegions": (["ec2:DescribeRegions"], ["*"]),
        "ListKeys": (["kms:ListKeys", "kms:ListAliases"], ["*"]),
        "ReadKeys": (READ_KEYS, ["arn:aws:kms:*:*:key/*"]),
        "ReadConfigHistory": CONFIG,
    }
    assert "ReadConfigHistory" not in statements(key_policies(every_hours=6, config_history=False)[""])
    assert any("does not leave the account's access to IAM" in note for note in own.notes)


def test_the_role_of_each_account_has_a_policy_of_its_own() -> None:
    accounts = ("111122223333", "444455556666")
    roles = [f"arn:aws:iam::{account}:role/ops/reader" for account in accounts]
    found = key_policies(accounts=accounts, role_name="ops/reader", regions=("eu-west-1", "us-east-1"))
    assert statements(found[""]) == {"UseOtherRoles": (["sts:AssumeRole"], roles)}
    assert any("no role is assumed to read its keys" in note for note in found[""].notes)
    assert statements(found[roles[1]]) == {
        "ListKeys": (["kms:ListKeys", "kms:ListAliases"], ["*"]),
        "ReadKeys": (
            READ_KEYS,
            ["arn:aws:kms:eu-west-1:444455556666:key/*", "arn:aws:kms:us-east-1:444455556666:key/*"],
        ),
        "ReadConfigHistory": CONFIG,
    }


def test_an_organisation_is_listed_and_its_own_account_read_without_a_role() -> None:
    found = key_policies(organisation=True, role_name="reader", regions=("eu-west-1",))
    assert statements(found[""]) == {
        "FindTheAccounts": (["organizations:ListAccounts"], ["*"]),
        "ListKeys": (["kms:ListKeys", "kms:ListAliases"], ["*"]),
        "ReadKeys": (READ_KEYS, ["arn:aws:kms:eu-west-1:*:key/*"]),
        "ReadConfigHistory": CONFIG,
        "UseOtherRoles": (["sts:AssumeRole"], ["arn:aws:iam::*:role/reader"]),
    }
    assert set(statements(found["arn:aws:iam::*:role/reader"])) == {"ListKeys", "ReadKeys", "ReadConfigHistory"}


def test_the_role_of_any_account_of_an_organisation_may_be_named() -> None:
    role = "arn:aws:iam::*:role/reader"
    found = key_policies(organisation=True, role_name="reader")
    assert policy_for(found.values(), "arn:aws:iam::111122223333:role/reader") == found[role]
    assert policy_for(found.values(), "") == found[""]
    assert any(f"iam-policy --role '{role}')" in note for note in found[""].notes)
    with pytest.raises(UsageError, match="do not name the role"):
        policy_for(found.values(), "arn:aws:iam::111122223333:role/other")


def test_the_working_role_reads_the_keys_of_its_account_in_its_partition() -> None:
    role = "arn:aws-cn:iam::111122223333:role/keytrail"
    found = key_policies({"role_arn": role, "region": "cn-north-1"}, accounts=("111122223333",))
    assert statements(found[""]) == {"UseOtherRoles": (["sts:AssumeRole"], [role])}
    assert statements(found[role])["ReadKeys"] == (READ_KEYS, ["arn:aws-cn:kms:*:*:key/*"])
