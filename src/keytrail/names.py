"""Short names: what people tell resources, identities and versions of policies by, in tables and reports."""

from __future__ import annotations

import re

# IAM Identity Center puts the name of a permission set between these; a role's session follows it.
_PERMISSION_SET = re.compile(r"^AWSReservedSSO_(.+)_[0-9a-f]{16}(?=/|$)")

_DIGEST = 12  # hex digits


def short_resource(resource: str) -> str:
    """Return the part of an ARN that a person tells resources by; anything else as it is.

    >>> short_resource("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
    '1234abcd-12ab-34cd-56ef-1234567890ab'
    >>> short_resource("arn:aws:kms:eu-west-1:111122223333:alias/orders"), short_resource("alias/orders")
    ('alias/orders', 'alias/orders')
    """
    parts = resource.split(":", 5)
    return (parts[5] if parts[0] == "arn" and len(parts) == 6 else resource).removeprefix("key/")


def short_identity(arn: str) -> str:
    """Return the name in the ARN of an identity; a role's session follows it, and tells whose it is.

    >>> short_identity("arn:aws:sts::111122223333:assumed-role/Admin/mallory")
    'Admin/mallory'
    >>> short_identity("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/eve@example.com")
    'Admin/eve@example.com'
    >>> short_identity("arn:aws:iam::111122223333:user/team/alice"), short_identity("arn:aws:iam::111122223333:root")
    ('alice', 'root')
    """
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    if kind in ("user", "role"):
        name = name.rpartition("/")[2]
    return role_name(name or kind)


def person(arn: str) -> str:
    """Return who an ARN names, in short; anything else as it is.

    >>> person("arn:aws:sts::111122223333:assumed-role/KeyAdministrator/i-0abc"), person("backup.amazonaws.com")
    ('KeyAdministrator/i-0abc', 'backup.amazonaws.com')
    >>> person("arn:aws:iam::111122223333:root")
    'root of 111122223333'
    """
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return arn
    return f"root of {parts[4]}" if parts[5] == "root" else short_identity(arn)


def role_name(name: str) -> str:
    """Return the name of a role as people know it: the permission set behind a role of IAM Identity Center.

    A session may follow the name. Of anything else the name stays as it is.

    >>> role_name("AWSReservedSSO_Admin_0123456789abcdef"), role_name("Admin")
    ('Admin', 'Admin')
    """
    return _PERMISSION_SET.sub(r"\1", name, count=1)


def short_digest(digest: str) -> str:
    """Return as much of the digest of a policy as tells a version from others.

    >>> short_digest("3f2a09c177d01b2e5c6d")
    '3f2a09c177d0'
    """
    return digest[:_DIGEST]
