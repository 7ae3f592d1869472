"""Words for what investigations hold as codes: verdicts, relations, lanes, services, spans of time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from keytrail import phrases
from keytrail.report.blocks import Tone

_TONES: Mapping[str, Tone] = {"malicious": "critical", "review": "medium", "expected": "good", "no_effect": "low"}

VERDICTS: Mapping[str, tuple[str, Tone]] = {
    one: (phrases.start(words), _TONES[one]) for one, words in phrases.VERDICTS.items()
}
"""Gravest first."""

SEVERITIES: Mapping[str, Tone] = {
    "critical": "critical", "high": "high", "medium": "medium", "low": "low", "info": "info",
}  # fmt: skip

RELATIONS: Mapping[str, tuple[str, Tone]] = {
    "owner": ("the key's own", "plain"),
    "organisation": ("of the organisation", "plain"),
    "approved": ("approved", "good"),
    "expired": ("approval expired", "high"),
    "trusted": ("trusted by --trust", "good"),
    "outside": ("outside, not approved", "critical"),
    "anyone": ("anyone", "critical"),
}

LANES: Mapping[str, str] = {
    "change": "Key policy",
    "attempt": "Attempts",
    "actor": "Who did it",
    "access": "Who was let in",
    "key": "The key",
    "data": "The data",
}

KINDS: Mapping[str, str] = {
    "policy": "key policies", "grant": "grants", "key": "keys", "role": "roles assumed", "identity": "identities",
    "sign-in": "sign-ins", "logging": "logging", "share": "sharing", "data": "data", "other": "other",
    "look": "looking around", "use": "uses of keys",
}  # fmt: skip

BASES: Mapping[str, str] = {
    "encryption_context": "encryption context",
    "request": "named in a request",
    "inferred": "inferred",
}

STATUSES: Mapping[str, str] = {
    "known": "known",
    "default": "AWS's default policy",
    "none": "none, the key was new",
    "unknown": "not known",
    "gap": "the last that is known; a change may be missing",
}

PROOFS: Mapping[str, str] = {
    "proved": "proved",
    "witnessed": "proved by an example",
    "possible": "possible, not proved",
}

GROUPS: Mapping[str, str] = {
    "decrypt": "decrypt",
    "derive": "derive shared secrets",
    "sign": "sign",
    "policy": "change the policy",
    "grants": "create or handle grants",
    "lifecycle": "disable, delete or replace",
    "encrypt": "encrypt",
    "generate": "generate data keys",
    "mac": "compute MACs",
    "verify": "verify signatures",
    "tag-alias": "change tags and aliases",
    "metadata": "read the description",
}
"""The groups of actions (spec/key-policy.md section 2), in the order in which they matter."""

SERVICES: Mapping[str, str] = {
    "s3": "S3", "ebs": "EBS", "ec2": "EC2", "rds": "RDS", "dynamodb": "DynamoDB", "secretsmanager": "Secrets Manager",
    "ssm": "Systems Manager", "sqs": "SQS", "sns": "SNS", "lambda": "Lambda", "logs": "CloudWatch Logs",
    "cloudtrail": "CloudTrail", "redshift": "Redshift", "kinesis": "Kinesis", "glue": "Glue", "backup": "Backup",
    "kms": "KMS", "ecr": "ECR", "efs": "EFS", "elasticfilesystem": "EFS", "eks": "EKS", "fsx": "FSx",
}  # fmt: skip


def service(name: str) -> str:
    """How people call a service.

    >>> service("secretsmanager"), service("s3.amazonaws.com"), service("new-one")
    ('Secrets Manager', 'S3', 'new-one')
    """
    short = name.removesuffix(".amazonaws.com")
    return SERVICES.get(short, short)


def clock(value: str) -> str:
    """A time in RFC 3339 as people read it, in UTC without saying so; anything else as it is.

    >>> clock("2026-03-06T22:27:30.000Z"), clock("soon")
    ('2026-03-06 22:27:30', 'soon')
    """
    if len(value) >= 20 and value[10] == "T" and value.endswith("Z"):
        return f"{value[:10]} {value[11:19]}"
    return value


def span(length: timedelta) -> str:
    """A span of time in its two largest units.

    >>> span(timedelta(seconds=42)), span(timedelta(hours=9, minutes=52, seconds=3)), span(timedelta(days=3))
    ('42 s', '9 h 52 min', '3 d')
    """
    left = max(int(length.total_seconds()), 0)
    parts: list[str] = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= seconds or (unit == "s" and not parts):
            parts.append(f"{left // seconds:,} {unit}")
            left %= seconds
        elif parts:
            break
    return " ".join(part for part in parts[:2] if not part.startswith("0 ") or len(parts) == 1)


def sentence(text: str) -> str:
    """A text that begins and ends as sentences do.

    >>> sentence("the policy is not known"), sentence("Done.")
    ('The policy is not known.', 'Done.')
    """
    return phrases.start(text) + ("" if not text or text[-1] in ".?!" else ".")
