"""A guardrail that would hold nobody back, or everybody, is refused before it is one."""

from __future__ import annotations

from typing import Any

import pytest

from keytrail.errors import UsageError
from keytrail.respond.guardrail.model import BreakGlass, guardrail
from keytrail.respond.guardrail.statements import WAYS, groups_but

ALL = groups_but(())


@pytest.mark.parametrize("arns", [(), ("",), ("  ",)])
def test_without_a_break_glass_role_there_is_no_guardrail(arns: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="nobody could change a key policy"):
        guardrail(arns, groups=ALL)


@pytest.mark.parametrize(
    "arn",
    [
        "BreakGlass",
        "arn:aws:iam::111122223333:user/ada",
        "arn:aws:iam::111122223333:root",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::1111:role/BreakGlass",
        "arn:aws:iam::1111*:role/BreakGlass",
        "arn:aws:iam:eu-west-1:111122223333:role/BreakGlass",
        "arn:*:iam::111122223333:role/BreakGlass",
        "arn:aws:iam::111122223333:role/Break Glass",
        "arn:aws:iam::111122223333:role/${aws:username}",
        "arn:aws:iam::111122223333:role/Break?lass",
        'arn:aws:iam::111122223333:role/x"',
        "arn:aws:iam::111122223333:role/x\x1b[2J",
        "*",
    ],
)
def test_what_is_no_role_is_refused(arn: str) -> None:
    with pytest.raises(UsageError, match="not the ARN of a role"):
        guardrail((arn,), groups=ALL)


def test_the_arn_of_a_session_is_answered_with_that_of_its_role() -> None:
    with pytest.raises(UsageError) as caught:
        guardrail(("arn:aws:sts::111122223333:assumed-role/BreakGlass/ada",), groups=ALL)
    assert "arn:aws:iam::111122223333:role/BreakGlass" in caught.value.advice


@pytest.mark.parametrize(
    ("resource", "account"),
    [
        ("*", "*"),
        ("*", "111122223333"),
        ("*/*", "*"),
        ("aws-reserved/*", "*"),
        ("aws-reserved/sso.amazonaws.com/*", "*"),
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_*", "111122223333"),
        ("*AWSReservedSSO_*", "*"),
        ("service-role/*", "111122223333"),
    ],
)
def test_a_pattern_that_everybody_matches_is_refused(resource: str, account: str) -> None:
    with pytest.raises(UsageError, match="hold nobody back"):
        guardrail((f"arn:aws:iam::{account}:role/{resource}",), groups=ALL)


@pytest.mark.parametrize("resource", ["a" * 65, "/x", "x/", "a//b", "b**", "aws-service-role/kms.amazonaws.com/X"])
def test_a_pattern_that_no_person_matches_is_refused(resource: str) -> None:
    with pytest.raises(UsageError, match=r"no role has|service-linked"):
        guardrail((f"arn:aws:iam::111122223333:role/{resource}",), groups=ALL)


@pytest.mark.parametrize(
    ("pattern", "covered", "other"),
    [
        (
            "arn:aws:iam::*:role/BreakGlass",
            "arn:aws:iam::444455556666:role/BreakGlass",
            "arn:aws:iam::4:role/x/BreakGlass",
        ),
        ("arn:aws:iam::111122223333:role/ops/*", "arn:aws:iam::111122223333:role/ops/X", "X"),
        (
            "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_BreakGlass_*",
            "arn:aws:iam::444455556666:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_BreakGlass_0123",
            "arn:aws:iam::444455556666:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123",
        ),
    ],
)
def test_wildcards_cover_what_arnlike_covers(pattern: str, covered: str, other: str) -> None:
    role = BreakGlass.parse(pattern)
    assert role.covers(covered)
    assert not role.covers(other)
    assert role.covers(role.example("444455556666" if role.account == "*" else role.account))


def test_roles_of_two_partitions_and_keys_that_are_none_are_refused(rails: Any) -> None:
    with pytest.raises(UsageError, match="partitions"):
        guardrail((rails.break_glass, "arn:aws-cn:iam::111122223333:role/BreakGlass"), groups=ALL)
    for key in ("1234abcd", "arn:aws:kms:eu-west-1:111122223333:alias/app", f'{rails.key}"'):
        with pytest.raises(UsageError, match="not the ARN of a key"):
            rails.make(keys=(key,))


def test_groups_can_be_left_out_but_for_the_key_policy_itself() -> None:
    assert groups_but(["grants", "takeover"]) == ("policy", "replicas", "sharing", "boundary")
    assert groups_but(()) == tuple(WAYS)
    for name in ("policy", "everything"):
        with pytest.raises(UsageError, match="--without"):
            groups_but([name])


def test_it_is_for_the_keys_that_are_named(rails: Any) -> None:
    some = rails.make(keys=("arn:aws:kms:*:111122223333:key/mrk-*",))
    assert some.guards("arn:aws:kms:us-east-1:111122223333:key/mrk-1")
    assert not some.guards(rails.key)
    assert rails.make().guards(rails.key)
