"""What a comparison says about single changes: who, by which statement, how far proved, what is outside the model."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keytrail.policy import KeyPolicy, evaluate
from keytrail.policy.prover import Comparison, compare

OWNER = "111122223333"
APP = {"AWS": f"arn:aws:iam::{OWNER}:role/App"}
ACCOUNT = {"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*"}


def policy(*statements: dict[str, object], version: str = "2012-10-17") -> KeyPolicy:
    return KeyPolicy.parse({"Version": version, "Statement": [{"Resource": "*", **each} for each in statements]})


def allow(principal: object = "*", action: object = "kms:Decrypt", **condition: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}


def deny(principal: object = "*", action: object = "kms:Decrypt", **condition: object) -> dict[str, object]:
    return {**allow(principal, action, **condition), "Effect": "Deny"}


def gained(*after: dict[str, object], before: tuple[dict[str, object], ...] = (), **options: object) -> Comparison:
    return compare(policy(*before), policy(*after), OWNER, **options)


def test_a_gain_names_callers_actions_statement_and_conditions() -> None:
    new = {**allow(APP, ["kms:Decrypt", "kms:Encrypt"], StringEquals={"kms:ViaService": "s3.x"}), "Sid": "use"}
    (gain,) = gained(ACCOUNT, new, before=(ACCOUNT,)).gains
    assert gain.principals == (f"arn:aws:iam::{OWNER}:role/App",)
    assert gain.actions == ("kms:Decrypt", "kms:Encrypt")
    assert gain.groups == ("decrypt", "encrypt")
    assert [statement.sid for statement in gain.statements] == ["use"]
    assert gain.conditions == ("StringEquals kms:ViaService ['s3.x']",)
    assert (gain.bound, gain.needs_iam, gain.proof) == ("strict", False, "witnessed")


def test_a_lifted_deny_is_named_with_the_statement_that_now_gives() -> None:
    refused = deny(APP, "kms:Decrypt")
    (gain,) = gained(ACCOUNT, before=(ACCOUNT, refused)).gains
    assert [statement.index for statement in gain.statements] == [0]
    assert [statement.index for statement in gain.denials] == [1]
    assert (gain.bound, gain.needs_iam) == ("upper bound", True)


def test_statements_that_give_nothing_by_themselves_are_not_named() -> None:
    result = gained(
        allow(APP, StringEquals={"aws:PrincipalTag/a": "1"}),
        allow(APP, StringEquals={"aws:PrincipalTag/b": "1"}),
        allow(APP, StringEquals={"aws:PrincipalTag/a": "2"}),
        before=(allow(APP, StringLike={"aws:PrincipalTag/a": "?"}),),
    )
    assert [[s.index for s in gain.statements] for gain in result.gains] == [[1]]


def test_kinds_of_identities_that_behave_alike_are_one_gain() -> None:
    (gain,) = gained(allow({"AWS": "444455556666"})).gains
    assert gain.principals == ("arn:aws:iam::444455556666:root", "any other identity of account 444455556666")


def test_without_a_policy_before_everything_is_gained_and_nothing_lost() -> None:
    result = compare(None, policy(ACCOUNT), OWNER)
    assert result.new_access
    assert not result.lost_access


def test_an_expired_statement_counts_unless_the_time_is_known() -> None:
    expired = allow(APP, DateLessThan={"aws:CurrentTime": "2020-01-01T00:00:00Z"})
    assert gained(expired).new_access
    assert not gained(expired, at=datetime(2026, 1, 1, tzinfo=UTC)).new_access


def test_a_known_organisation_holds_for_the_owner_and_its_key() -> None:
    inside = allow({"AWS": OWNER}, StringEquals={"aws:PrincipalOrgID": "o-mine1"})
    assert not gained(inside, before=(allow({"AWS": OWNER}),), org="o-mine1").lost_access
    assert gained(inside, before=(allow({"AWS": OWNER}),), org="o-mine1").unchanged
    assert gained(inside, before=(allow({"AWS": OWNER}),)).lost_access
    same = allow("*", StringEquals={"aws:PrincipalOrgID": "${aws:ResourceOrgID}"})
    named = allow("*", StringEquals={"aws:PrincipalOrgID": "o-mine1"})
    assert gained(same, before=(named,), org="o-mine1").unchanged


def test_undocumented_constructs_make_an_answer_possible_and_are_named() -> None:
    unclear = allow(APP, StringEquals={"aws:TagKeys": "a"}, action="kms:TagResource")
    result = gained(unclear)
    assert result.new_access
    assert result.proof.new_access == "possible"
    assert result.witness is None
    assert any("aws:TagKeys" in reason for reason in result.incomplete)
    # The same construct means the same on both sides, whatever it means.
    assert gained(unclear, before=(unclear,)).unchanged
    assert gained(unclear, before=(allow(APP, "kms:TagResource"),)).new_access is False


def test_an_exceeded_budget_is_said_and_stays_on_the_safe_side() -> None:
    result = gained(allow(APP, StringLike={"aws:PrincipalTag/a": "*x*"}), before=(ACCOUNT,), budget=1)
    assert result.new_access
    assert result.lost_access
    assert result.proof.new_access == "possible"
    assert any("budget" in reason for reason in result.incomplete)


@pytest.mark.parametrize(
    ("statements", "public", "accounts"),
    [
        ([allow()], True, ("*",)),
        ([allow("*", IpAddress={"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]})], True, ("*",)),
        ([allow("*", IpAddress={"aws:SourceIp": "203.0.113.0/24"})], False, ("*",)),
        ([allow(), deny("*", NotIpAddress={"aws:SourceIp": "203.0.113.0/24"})], False, ("*",)),
        ([allow("*", NotIpAddress={"aws:SourceIp": "203.0.113.0/24"})], True, ("*",)),
        ([allow("*", StringEquals={"aws:SourceVpce": "vpce-1a"})], False, ("*",)),
        ([allow("*", StringLike={"aws:SourceVpce": "vpce-*"})], True, ("*",)),
        ([allow("*", StringEquals={"aws:PrincipalOrgID": "o-abc"})], False, ("org:o-abc",)),
        ([allow("*", StringLike={"aws:PrincipalOrgID": "o-*"})], True, ("*",)),
        ([allow("*", **{"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-abc/*"}})], False, ("org:o-abc",)),
        ([allow("*", StringLike={"aws:userid": "AROAEXAMPLE:*"})], False, ()),
        ([allow("*", StringEquals={"kms:CallerAccount": OWNER, "kms:ViaService": "s3.x"})], False, ()),
        ([allow("*", StringEquals={"kms:ViaService": "s3.x"})], True, ("*",)),
        ([allow("*", StringLike={"kms:CallerAccount": "4*"})], True, ("*",)),
        ([allow({"AWS": "444455556666"})], False, ("444455556666",)),
        ([allow({"AWS": "444455556666"}, "kms:PutKeyPolicy")], False, ()),
        ([allow({"AWS": "444455556666"}), deny("*", StringNotEquals={"kms:CallerAccount": OWNER})], False, ()),
        ([{"Effect": "Allow", "NotPrincipal": APP, "Action": "kms:Decrypt"}], True, ("*",)),
        ([allow({"Service": "sns.amazonaws.com"})], False, ()),
        ([allow("*", ArnLike={"aws:PrincipalArn": "arn:aws:iam::4444*:role/x"})], True, ("*",)),
        ([allow("*", ArnLike={"aws:PrincipalArn": "arn:aws:iam::444455556666:role/x"})], False, ("444455556666",)),
    ],
)
def test_who_outside_is_let_in(statements: list[dict[str, object]], public: bool, accounts: tuple[str, ...]) -> None:
    result = gained(*statements)
    assert (result.public, result.external_accounts) == (public, accounts)
    assert result.proof.public == ("witnessed" if public else "proved")
    if public:
        assert result.public_witness is not None
        assert evaluate(policy(*statements), result.public_witness, OWNER).allowed


EQUAL = {
    "a variable that is always itself": (
        [allow("*", StringEquals={"aws:PrincipalAccount": "${kms:CallerAccount}"})],
        [allow("*"), deny({"Service": "x.amazonaws.com"}), deny("*", Bool={"aws:PrincipalIsAWSService": "true"})],
    ),
    "networks split in halves": (
        [allow(APP, IpAddress={"aws:SourceIp": "10.0.0.0/8"})],
        [
            allow(APP, IpAddress={"aws:SourceIp": "10.0.0.0/9"}),
            allow(APP, IpAddress={"aws:SourceIp": "10.128.0.0/9"}),
        ],
    ),
    "a glob inside another": (
        [allow(APP, StringLike={"aws:PrincipalTag/t": ["a*", "ab*c"]})],
        [allow(APP, StringLike={"aws:PrincipalTag/t": "a*"})],
    ),
    "an ARN without wildcards": (
        [allow(APP, ArnLike={"aws:SourceArn": "arn:aws:s3:::data"})],
        [allow(APP, StringEquals={"aws:SourceArn": "arn:aws:s3:::data"})],
    ),
    "instants in other zones": (
        [allow(APP, DateLessThan={"aws:CurrentTime": "2030-01-01T00:00:00Z"})],
        [allow(APP, DateLessThan={"aws:EpochTime": "2030-01-01T01:00:00+01:00"})],
    ),
    "whole numbers below 8": (
        [allow(APP, "kms:ScheduleKeyDeletion", NumericLessThan={"kms:ScheduleKeyDeletionPendingWindowInDays": "8"})],
        [
            allow(
                APP,
                "kms:ScheduleKeyDeletion",
                NumericLessThanEquals={"kms:ScheduleKeyDeletionPendingWindowInDays": "7"},
            )
        ],
    ),
    "keys that an action never carries": (
        [allow(APP, "kms:DescribeKey", StringEqualsIfExists={"kms:EncryptionContext:a": "1"})],
        [allow(APP, "kms:DescribeKey")],
    ),
    "either missing or there": (
        [allow(APP, Null={"kms:ViaService": "true"}), allow(APP, Null={"kms:ViaService": "false"})],
        [allow(APP)],
    ),
    "names of the encryption context": (
        [allow(APP, **{"ForAnyValue:StringEqualsIgnoreCase": {"kms:EncryptionContextKeys": "tenant"}})],
        [allow(APP, Null={"kms:EncryptionContext:Tenant": "false"})],
    ),
    "a user's own name": (
        [allow({"AWS": OWNER}, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/${{aws:username}}"})],
        [
            allow(
                {"AWS": OWNER},
                ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/*"},
                ArnNotLike={"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:user/*/*"},
            )
        ],
    ),
    "a chain of variables": (
        [
            allow(
                APP,
                StringEquals={
                    "aws:PrincipalTag/a": "${aws:PrincipalTag/b}",
                    "aws:PrincipalTag/b": "x",
                },
            )
        ],
        [allow(APP, StringEquals={"aws:PrincipalTag/a": "x", "aws:PrincipalTag/b": "x"})],
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_policies_that_say_the_same_differently_are_proved_equal(name: str) -> None:
    before, after = EQUAL[name]
    result = compare(policy(*before), policy(*after), OWNER)
    assert result.unchanged, (result.witness, result.lost_witness)
    assert (result.gains, result.losses, result.incomplete) == ((), (), ())


def test_variables_are_text_in_the_older_version() -> None:
    statement = {"Resource": "*", **allow(APP, StringEquals={"aws:PrincipalTag/a": "${aws:PrincipalTag/b}"})}
    old = KeyPolicy.parse({"Statement": [statement]})
    new = KeyPolicy.parse({"Version": "2012-10-17", "Statement": [statement]})
    result = compare(old, new, OWNER)
    assert result.new_access
    assert result.lost_access
    assert result.lost_witness is not None
    assert result.lost_witness.context["aws:PrincipalTag/a"] == ("${aws:PrincipalTag/b}",)
