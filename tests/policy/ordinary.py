"""Random pairs of policies of ordinary shape: what consoles, templates and people write, up to 32 KB."""

from __future__ import annotations

import copy
import json
import random

Json = dict[str, object]

OWNER = "111122223333"
LIMIT = 32_768
_ADMIN = ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*",
          "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion",
          "kms:CancelKeyDeletion"]  # fmt: skip
_USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
_GRANTS = ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"]
_SERVICES = ("cloudtrail", "sns", "logs.us-east-1", "s3", "events", "delivery.logs")


def ordinary_pair(seed: int) -> tuple[Json, Json]:
    """A policy and what one change of it left."""
    pick = random.Random(seed)
    # Most policies are small; one in ten is large, and some of these fill the quota.
    number = pick.choice((2, 3, 3, 4, 4, 5, 6, 8, 12)) if pick.random() < 0.9 else pick.choice((20, 40, 60, 120))
    statements = [_root()] if pick.random() < 0.85 else []
    while len(statements) < number:
        statements.append(_statement(pick))
        if len(json.dumps(statements)) > LIMIT - 300:
            statements.pop()
            break
    return _policy(statements), _policy(_changed(pick, statements))


def _policy(statements: list[Json]) -> Json:
    return {"Version": "2012-10-17", "Id": "key-policy", "Statement": statements}


def _root() -> Json:
    return {
        "Sid": "Enable IAM policies",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }


def _arn(pick: random.Random, account: str = OWNER) -> str:
    kind = pick.choice(("role/App", "role/service-role/Worker", "user/person", "role/Admin"))
    return f"arn:aws:iam::{account}:{kind}{pick.randrange(40)}"


def _account(pick: random.Random) -> str:
    return pick.choice(("444455556666", "777788889999", "123412341234"))


def _condition(pick: random.Random) -> Json:
    tag = pick.randrange(4)
    return pick.choice(
        (
            {"StringEquals": {"kms:ViaService": f"{pick.choice(('s3', 'ec2', 'rds'))}.us-east-1.amazonaws.com"}},
            {"StringEquals": {"kms:CallerAccount": OWNER, "kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}},
            {"StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::bucket{tag}/*"}},
            {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
            {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", f"198.51.100.{tag * 64}/26"]}},
            {"StringNotEquals": {"aws:SourceVpce": f"vpce-{tag}a2b3c4d"}},
            {"ArnLike": {"aws:PrincipalArn": [f"arn:aws:iam::{OWNER}:role/team{tag}-*", _arn(pick)]}},
            {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
            {"StringEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team}"}},
            {"DateLessThan": {"aws:CurrentTime": f"20{30 + tag}-01-01T00:00:00Z"}},
            {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"o-a1b2c3d4e5/r-ab12/ou-{tag}/*"}},
        )
    )


def _statement(pick: random.Random) -> Json:
    roll = pick.random()
    statement: Json = {"Sid": f"s{pick.randrange(10_000)}", "Effect": "Allow", "Resource": "*"}
    if roll < 0.25:
        statement |= {"Principal": {"AWS": [_arn(pick) for _ in range(pick.randint(1, 3))]}, "Action": _ADMIN}
    elif roll < 0.5:
        statement |= {"Principal": {"AWS": [_arn(pick) for _ in range(pick.randint(1, 8))]}, "Action": _USE}
    elif roll < 0.6:
        statement |= {"Principal": {"AWS": _arn(pick)}, "Action": _GRANTS}
        statement["Condition"] = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    elif roll < 0.7:
        statement |= {"Principal": {"AWS": _account(pick)}, "Action": _USE}
    elif roll < 0.8:
        service = pick.choice(_SERVICES)
        statement |= {
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
        }
        source = pick.choice(
            (
                {"StringEquals": {"aws:SourceAccount": OWNER}},
                {"ArnLike": {"aws:SourceArn": f"arn:aws:{service}:*:{OWNER}:*"}},
                {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{OWNER}:trail/*"}},
            )
        )
        statement["Condition"] = source
    elif roll < 0.92:
        statement |= {"Principal": {"AWS": "*"}, "Action": _USE}
        statement["Condition"] = {"StringEquals": {"kms:CallerAccount": OWNER}} | (
            _condition(pick) if pick.random() < 0.5 else {}
        )
    else:
        statement |= {"Effect": "Deny", "Principal": "*", "Action": pick.choice(("kms:*", "kms:Decrypt", _GRANTS))}
        statement["Condition"] = _condition(pick)
    if statement["Effect"] == "Allow" and "Condition" not in statement and pick.random() < 0.35:
        statement["Condition"] = _condition(pick)
    return statement


def _changed(pick: random.Random, statements: list[Json]) -> list[Json]:
    result = copy.deepcopy(statements)
    roll = pick.random()
    if roll < 0.15:
        pick.shuffle(result)
    elif roll < 0.4 or not result:
        result.append(_statement(pick))
    elif roll < 0.5 and len(result) > 1:
        result.pop(pick.randrange(len(result)))
    elif roll < 0.75:
        statement = pick.choice(result)
        statement["Condition"] = _condition(pick)
    else:
        statement = pick.choice(result)
        statement["Action"] = pick.choice((_USE, _ADMIN, "kms:*", "kms:Decrypt"))
    return result
