"""Whether who applies a plan may, by the key policy of now and by that of afterwards; who could, if not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keytrail.policy import KeyPolicy
from keytrail.respond.authority import authority
from keytrail.respond.model import Authority
from keytrail.settings import Accounts
from tests.investigate import records
from tests.respond.attacks import ADMIN, CALLER, GOOD, OUTSIDE, OWNERS, Json, attack

NIGHT = records.role_arn("BreakGlass")
MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


def asked(
    now: Json, later: Json = GOOD, caller: str | None = CALLER, accounts: Accounts | None = None, action: str = ""
) -> Authority:
    case = attack(now, accounts=accounts)
    situation = case.situation(case.subject(live=now), caller)
    if action:
        return authority(situation, action)
    return authority(situation, result=KeyPolicy.parse(json.dumps(later)))


def test_a_caller_that_the_policy_names_may_by_it_alone() -> None:
    found = asked(records.policy(records.allow(NIGHT)), records.policy(records.allow(NIGHT)))
    assert (found.now, found.afterwards) == ("allowed", "allowed")
    assert found.others == ()


def test_a_caller_of_the_account_may_if_iam_allows_it() -> None:
    found = asked(records.policy(OWNERS), records.policy(records.allow(NIGHT)))
    assert (found.now, found.afterwards) == ("with-iam", "allowed")
    assert "if IAM of account 111122223333 allows it, which was not looked at" in found.sentence


def test_who_could_is_said_where_the_caller_may_not() -> None:
    found = asked(records.policy(records.allow(ADMIN)))
    assert found.now == "denied"
    assert found.others == (ADMIN,)
    assert "By the key policy these could: role Admin." in found.sentence
    assert "its trust policy says" in found.sentence


def test_only_aws_support_can_help_where_nobody_may() -> None:
    found = asked(records.policy(records.allow(OUTSIDE)))
    assert found.now == "denied"
    assert found.others == ()
    assert "only AWS Support can help" in found.sentence


def test_a_caller_that_shuts_itself_out_is_told_that_kms_refuses_that() -> None:
    found = asked(records.policy(records.allow(NIGHT)), records.policy(records.allow(ADMIN)))
    assert (found.now, found.afterwards) == ("allowed", "denied")
    assert "KMS refuses a policy that its caller cannot replace again" in found.sentence


def test_a_deny_outweighs_what_iam_allows() -> None:
    shut = records.policy(OWNERS, records.allow("*", "kms:PutKeyPolicy", Effect="Deny"))
    assert asked(shut).now == "denied"


def test_a_condition_that_nobody_can_know_of_is_said() -> None:
    found = asked(records.policy(records.allow(NIGHT, "kms:*", MFA)))
    assert found.now == "unknown"
    assert "aws:MultiFactorAuthPresent" in found.sentence


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"kms:PolicyName": "default"}},
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "false"}},
        {"Bool": {"aws:SecureTransport": "true"}},
        {"StringEquals": {"kms:CallerAccount": records.OWNER}},
        {"Null": {"kms:ViaService": "true"}},
        {"StringEquals": {"aws:PrincipalOrgID": "o-own"}},
        {"ArnEquals": {"aws:PrincipalArn": NIGHT}},
    ],
)
def test_a_condition_on_what_is_known_of_the_call_is_decided(condition: Json) -> None:
    named = records.allow(NIGHT, "kms:*", condition)
    assert asked(records.policy(named), accounts=Accounts(organisation="o-own")).now == "allowed"


def test_the_session_of_a_role_with_a_path_is_found_by_its_name() -> None:
    path = "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef"
    caller = f"arn:aws:sts::{records.OWNER}:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/dana"
    assert asked(records.policy(records.allow(records.role_arn(path))), caller=caller).now == "allowed"


def test_of_two_roles_of_one_name_nobody_knows_which_the_caller_is() -> None:
    now = records.policy(records.allow(records.role_arn("a/BreakGlass")), records.allow(NIGHT, "kms:Decrypt"))
    found = asked(now)
    assert found.now == "unknown"
    assert "which of" in found.sentence


def test_a_pattern_on_the_path_of_a_role_whose_path_is_not_told_is_open() -> None:
    pattern = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{records.OWNER}:role/night/*"}}
    assert asked(records.policy(records.allow("*", "kms:*", pattern))).now == "unknown"


def test_another_account_may_never_set_the_policy() -> None:
    everyone = records.policy(records.allow("*"))
    assert asked(everyone, caller=f"arn:aws:sts::{records.OUTSIDE}:assumed-role/X/y").now == "denied"


def test_without_a_caller_those_who_could_are_said() -> None:
    found = asked(records.policy(records.allow(ADMIN)), caller=None)
    assert (found.caller, found.now, found.afterwards) == ("", "unknown", "unknown")
    assert found.others == (ADMIN,)


def test_a_policy_that_nobody_knows_is_not_taken_for_one_that_lets_nobody_in() -> None:
    case = attack(records.policy(records.allow(ADMIN)))
    situation = case.situation(replace(case.subject(), current=None), None)
    found = authority(situation, "kms:RevokeGrant")
    assert found.now == "unknown"
    assert "AWS Support" not in found.sentence


def test_a_caller_that_is_no_identity_is_unknown_and_never_fails() -> None:
    found = asked(records.policy(OWNERS), caller="\x1b[2Jwho")
    assert found.now == "unknown"


def test_another_permission_is_asked_for_by_its_name() -> None:
    revokes = records.policy(records.allow(NIGHT, "kms:RevokeGrant"))
    assert asked(revokes, action="kms:RevokeGrant").now == "allowed"
    assert asked(revokes, action="kms:DisableKey").now == "denied"
