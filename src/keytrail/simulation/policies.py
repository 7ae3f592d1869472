"""Key policies of the story: small statements and the documents made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping

Json = dict[str, object]

USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
READ = ("kms:Decrypt", "kms:DescribeKey")
ADMINISTER = (
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey", "kms:Get*",
    "kms:List*", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UpdateAlias",
)  # fmt: skip


def document(*statements: Json, policy_id: str = "key-policy") -> Json:
    """Return a policy document of the current language version."""
    return {"Version": "2012-10-17", "Id": policy_id, "Statement": list(statements)}


def allow(
    sid: str, principal: object, actions: tuple[str, ...] | str, condition: Mapping[str, object] | None = None
) -> Json:
    """Return an Allow statement; `principal` is one ARN, several, or `"*"`."""
    statement: Json = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": list(principal) if isinstance(principal, tuple) else principal},
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": "*",
    }
    if condition is not None:
        statement["Condition"] = dict(condition)
    return statement


def root(account: str) -> str:
    """Return the ARN that stands for a whole account."""
    return f"arn:aws:iam::{account}:root"


def delegation(account: str) -> Json:
    """Return the statement by which an account's IAM policies may allow use of the key."""
    return allow("Enable IAM User Permissions", root(account), "kms:*")


def default_policy(account: str) -> Json:
    """Return the policy of a key that was created without one (AWS KMS developer guide, "Default key policy")."""
    return document(delegation(account), policy_id="key-default-1")


def team(account: str, administrator: str, *users: str) -> Json:
    """Return the organisation's usual policy: the account, its key administrator and the roles that use the key."""
    return document(
        delegation(account),
        allow("Key administrators", administrator, ADMINISTER),
        allow("Use of the key", users if len(users) > 1 else users[0], USE),
        policy_id="example-team-policy",
    )


def added(policy: Json, *statements: Json) -> Json:
    """Return `policy` with more statements at its end."""
    return {**policy, "Statement": [*statements_of(policy), *statements]}


def reordered(policy: Json) -> Json:
    """Return `policy` with its statements the other way round: different text, same meaning."""
    return {**policy, "Statement": statements_of(policy)[::-1]}


def statements_of(policy: Json) -> list[object]:
    """Return the statements of a policy that was made here."""
    statements = policy["Statement"]
    assert isinstance(statements, list)
    return statements


def as_sent(policy: Json) -> str:
    """Return the text as the console and most people send it: indented by two blanks."""
    return json.dumps(policy, indent=2, ensure_ascii=False)
