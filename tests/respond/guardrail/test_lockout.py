"""Keys that nobody could change any more are named, and a guardrail that does so to all of them is refused."""

from __future__ import annotations

from typing import Any

import pytest

from keytrail.errors import UsageError
from keytrail.investigate import KeyName
from keytrail.policy import KeyPolicy
from keytrail.respond.guardrail.lockout import lock_out

ACCOUNT = "111122223333"


def statement(principal: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"} | more


def key(number: int, *statements: dict[str, Any], account: str = ACCOUNT) -> tuple[KeyName, KeyPolicy]:
    name = KeyName("aws", "eu-west-1", account, f"1234abcd-12ab-34cd-56ef-{number:012d}")
    return name, KeyPolicy.parse({"Version": "2012-10-17", "Statement": list(statements)})


ROOT = statement({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
ADMIN_ONLY = statement({"AWS": f"arn:aws:iam::{ACCOUNT}:role/Admin"})


def only(name: str, operator: str = "ArnEquals") -> dict[str, Any]:
    return {operator: {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}}


@pytest.mark.parametrize(
    "statements",
    [
        (ROOT,),
        (statement({"AWS": f"arn:aws:iam::{ACCOUNT}:role/BreakGlass"}),),
        (statement("*", Condition=only("BreakGlass")),),
        (statement("*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}),),
        (ROOT, statement("*", Effect="Deny", Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})),
        (ROOT, statement("*", Effect="Deny", Condition=only("BreakGlass", "ArnNotEquals"))),
    ],
)
def test_a_key_that_a_break_glass_role_can_change_is_not_named(rails: Any, statements: Any) -> None:
    found = lock_out(rails.make(), [key(1, *statements), key(2, ROOT)])
    assert (found.known, found.locked) == (2, ())


@pytest.mark.parametrize(
    "statements",
    [
        (ADMIN_ONLY,),
        (statement({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Action="kms:Decrypt"),),
        (ROOT, statement("*", Effect="Deny", Action="kms:PutKeyPolicy", Condition=only("Admin", "ArnNotEquals"))),
        (statement("*", Condition=only("Admin")),),
        (statement({"AWS": "arn:aws:iam::444455556666:role/BreakGlass"}),),
    ],
)
def test_a_key_that_none_could_change_is_named_with_the_reason(rails: Any, statements: Any) -> None:
    locked, fine = key(1, *statements), key(2, ROOT)
    found = lock_out(rails.make(), [locked, fine])
    assert [one.arn for one in found.locked] == [locked[0].arn]
    assert "no break-glass role" in found.locked[0].why
    with pytest.raises(UsageError, match="lock everybody out") as caught:
        lock_out(rails.make(), [locked])
    assert locked[0].arn in caught.value.what


def test_a_key_of_an_account_without_the_role_is_named(rails: Any) -> None:
    theirs = key(1, statement({"AWS": "arn:aws:iam::444455556666:root"}), account="444455556666")
    found = lock_out(rails.make(), [theirs, key(2, ROOT)])
    assert "444455556666" in found.locked[0].why
    assert lock_out(rails.make("arn:aws:iam::*:role/BreakGlass"), [theirs]).locked == ()


def test_one_of_several_roles_or_names_is_enough(rails: Any) -> None:
    policy = key(1, statement({"AWS": f"arn:aws:iam::{ACCOUNT}:role/BreakGlassTwo"}))
    assert lock_out(rails.make("arn:aws:iam::*:role/BreakGlass*"), [policy]).locked == ()
    pair = rails.make(rails.break_glass, f"arn:aws:iam::{ACCOUNT}:role/BreakGlassTwo")
    assert lock_out(pair, [policy]).locked == ()


def test_keys_that_it_is_not_for_do_not_count(rails: Any) -> None:
    locked, fine = key(1, ADMIN_ONLY), key(2, ROOT)
    assert lock_out(rails.make(keys=(fine[0].arn,)), [locked, fine]).known == 1
    assert lock_out(rails.make(), []).known == 0
    with pytest.raises(UsageError, match="lock everybody out"):
        lock_out(rails.make(keys=(locked[0].arn,)), [locked, fine])
