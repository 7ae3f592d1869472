"""How what AWS shows stands to a call, whether policies are the same, and the least that IAM has to allow."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from keytrail.policy import KeyPolicy, compare
from keytrail.policy.digest import digest_of_text
from keytrail.respond.least import least_policies
from keytrail.respond.model import Call
from keytrail.respond.operations import Seen, standing
from keytrail.respond.sameness import same_policy
from tests.policy.generator import Generator
from tests.respond.kit import (
    ACCOUNT,
    DENY_ALL,
    FOREIGN,
    GOOD,
    REGION,
    ROGUE,
    deny,
    disable,
    make_plan,
    put_policy,
    restore,
    revoke,
)

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
USER = f"arn:aws:iam::{ACCOUNT}:user/eve"
SWITCH_OFF = Call(
    "iam",
    "UpdateAccessKey",
    {"UserName": "eve", "AccessKeyId": "AKIAABCDEFGHIJKLMNOP", "Status": "Inactive"},
    ACCOUNT,
    "",
    USER,
)


def ending(moment: str) -> str:
    document = json.loads(DENY_ALL)
    document["Statement"][0]["Condition"] = {"DateLessThan": {"aws:TokenIssueTime": moment}}
    return json.dumps(document)


NIGHT, MORNING = ending("2026-03-07T03:00:00Z"), ending("2026-03-07T08:00:00Z")


@pytest.mark.parametrize(
    ("call", "seen", "expected"),
    [
        (put_policy(KEY, GOOD), ROGUE, "before"),
        (put_policy(KEY, GOOD), GOOD, "after"),
        (put_policy(KEY, GOOD), FOREIGN, "other"),
        (put_policy(KEY, GOOD), "not JSON", "other"),
        (revoke(KEY, "abc"), "abc", "before"),
        (revoke(KEY, "abc"), None, "after"),
        (disable(KEY), "Enabled", "before"),
        (disable(KEY), "Disabled", "after"),
        (disable(KEY), "PendingDeletion", "other"),
        (deny("Role", "mallory", DENY_ALL), None, "before"),
        (deny("Role", "mallory", DENY_ALL), json.dumps(json.loads(DENY_ALL)), "after"),
        (deny("Role", "mallory", DENY_ALL), DENY_ALL.replace("Deny", "Allow"), "other"),
        (deny("Role", "mallory", DENY_ALL), NIGHT, "other"),
        (deny("Role", "mallory", MORNING), NIGHT, "before"),
        (deny("Role", "mallory", NIGHT), MORNING, "after"),
        (deny("Role", "mallory", NIGHT), MORNING.replace("Deny", "Allow"), "other"),
        (SWITCH_OFF, "Active", "before"),
        (SWITCH_OFF, "Inactive", "after"),
        (SWITCH_OFF, None, "after"),
    ],
)
def test_what_is_there_is_before_after_or_neither(call: Call, seen: str | None, expected: str) -> None:
    assert standing(call, Seen(seen), basis=digest_of_text(ROGUE), before=ROGUE) == expected


def test_policies_are_the_same_whatever_way_aws_writes_them() -> None:
    one = """{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": ["kms:*"],
         "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": ["kms:Decrypt", "kms:Encrypt"], "Resource": "*",
         "Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}}}]}"""
    other = """{"Statement": [
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-2", "o-1"]}}, "Effect": "Deny", "Principal": "*",
         "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": ["*"]},
        {"Effect": "Allow", "Principal": {"AWS": ["111122223333"]}, "Action": "kms:*", "Resource": "*"}],
        "Version": "2012-10-17"}"""
    assert same_policy(one, other)
    assert not same_policy(one, other.replace("Deny", "Allow"))
    assert not same_policy(one, other.replace("111122223333", "111122223334"))
    assert not same_policy(one, None)
    assert same_policy(None, None)


def rewritten(value: Any, random: Random) -> Any:
    """A policy as AWS may give it back: lists in another order, a list of one as its value and the other way round."""
    if isinstance(value, dict):
        each = [(name, rewritten(one, random)) for name, one in value.items()]
        return dict(random.sample(each, len(each)))
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], str) and random.random() < 0.5:
            return value[0]
        return random.sample([rewritten(one, random) for one in value], len(value))
    return value


@pytest.mark.parametrize("seed", range(40))
def test_what_counts_as_the_same_gives_the_same(seed: int) -> None:
    generator, random = Generator(seed), Random(seed)
    policy, other = generator.pair()
    again = rewritten(policy, random)
    assert same_policy(json.dumps(policy), json.dumps(again, indent=3))
    comparison = compare(KeyPolicy.parse(policy), KeyPolicy.parse(again), ACCOUNT)
    assert not comparison.gains
    assert not comparison.losses
    if same_policy(json.dumps(policy), json.dumps(other)):
        assert not compare(KeyPolicy.parse(policy), KeyPolicy.parse(other), ACCOUNT).gains


def test_the_least_policy_names_the_calls_and_what_reads_them() -> None:
    plan = make_plan(
        "quarantine", KEY, put_policy(KEY, GOOD), deny("Role", "mallory", DENY_ALL), SWITCH_OFF, before=ROGUE
    )
    [(account, document)] = least_policies([plan], KEY).items()
    assert account == ACCOUNT
    allowed = {
        (action, resource)
        for statement in document["Statement"]  # type: ignore[attr-defined]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    role = f"arn:aws:iam::{ACCOUNT}:role/mallory"
    assert allowed == {
        ("kms:PutKeyPolicy", KEY),
        ("kms:GetKeyPolicy", KEY),
        ("kms:ListGrants", KEY),
        ("kms:DescribeKey", KEY),
        ("iam:PutRolePolicy", role),
        ("iam:GetRolePolicy", role),
        ("iam:UpdateAccessKey", USER),
        ("iam:ListAccessKeys", USER),
    }
    sids = [statement["Sid"] for statement in document["Statement"]]  # type: ignore[attr-defined]
    assert len(set(sids)) == len(sids)
    [condition] = [one["Condition"] for one in document["Statement"] if "Condition" in one]  # type: ignore[attr-defined]
    assert condition == {"BoolIfExists": {"kms:BypassPolicyLockoutSafetyCheck": "false"}}


def test_each_account_has_a_policy_of_its_own() -> None:
    other = deny("User", "eve", DENY_ALL)
    elsewhere = Call("iam", other.operation, other.parameters, "555566667777", "", "arn:aws:iam::555566667777:user/eve")
    assert list(least_policies([restore(KEY), make_plan("quarantine", KEY, elsewhere)], KEY)) == [
        ACCOUNT,
        "555566667777",
    ]
