"""Roles and users behind ARNs: that of a session does not tell the path of its role, nor has it to.

Names of roles and of users are unique in an account, whatever their path.
"""

from __future__ import annotations


def principal_of(caller: str) -> str:
    """The principal behind a caller: of a session its role, without the path that it may have.

    >>> principal_of("arn:aws:sts::111122223333:assumed-role/Admin/dana")
    'arn:aws:iam::111122223333:role/Admin'
    """
    parts = caller.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("assumed-role/"):
        return caller
    role = parts[5].removeprefix("assumed-role/").partition("/")[0]
    return f"arn:{parts[1]}:iam::{parts[4]}:role/{role}"


def without_path(principal: str) -> str:
    """The ARN of a principal by which it is told from others.

    >>> without_path("arn:aws:iam::111122223333:role/ops/Admin")
    'arn:aws:iam::111122223333:role/Admin'
    """
    head, _, rest = principal.rpartition(":")
    kind, _, path = rest.partition("/")
    return f"{head}:{kind}/{path.rpartition('/')[2]}"


def same_identity(one: str, other: str) -> bool:
    """Whether two ARNs are of the same role or user; the ARN of a session is one of its role.

    >>> role = "arn:aws:iam::111122223333:role/path/Admin"
    >>> same_identity("arn:aws:sts::111122223333:assumed-role/Admin/dana", role)
    True
    """
    return without_path(principal_of(one)) == without_path(principal_of(other))
