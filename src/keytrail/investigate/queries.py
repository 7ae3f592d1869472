"""The events that are looked for by what they are, as KQL: few in any archive, and hard to find by a value.

Imports nothing: every scan has some of them.
"""

from __future__ import annotations

from collections.abc import Mapping

KMS, IAM, STS, CLOUDTRAIL = (f"{service}.amazonaws.com" for service in ("kms", "iam", "sts", "cloudtrail"))

CHANGES = ("PutKeyPolicy", "CreateKey", "ReplicateKey")
"""The events that give a key a policy (spec/key-policy.md 3.2, 3.3)."""

LOGGING = ("CreateTrail", "DeleteTrail", "PutEventSelectors", "StartLogging", "StopLogging", "UpdateTrail")
"""The events that decide whether a change of a key policy is logged (3.2)."""

CREATIONS: Mapping[str, frozenset[str]] = {
    "role": frozenset({"CreateRole", "CreateServiceLinkedRole"}),
    "user": frozenset({"CreateUser"}),
}
POWERS: Mapping[str, frozenset[str]] = {
    "role": frozenset(
        {
            "AttachRolePolicy", "DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary", "PutRolePolicy",
            "UpdateAssumeRolePolicy",
        }
    ),
    "user": frozenset(
        {
            "AddUserToGroup", "AttachUserPolicy", "CreateAccessKey", "CreateLoginProfile",
            "DeleteUserPermissionsBoundary", "PutUserPermissionsBoundary", "PutUserPolicy", "UpdateAccessKey",
            "UpdateLoginProfile",
        }
    ),
}  # fmt: skip
"""The events of IAM that make a role or user, and those that give it powers or open ways to act as it."""


def _any(provider: str, actions: tuple[str, ...]) -> str:
    return f"event.provider: {provider} and event.action: ({' or '.join(actions)})"


CHANGES_QUERY = _any(KMS, CHANGES)
"""Every change of a key policy, tried or made."""

LOGGING_QUERY = _any(CLOUDTRAIL, LOGGING)

ALIASES_QUERY = _any(KMS, ("CreateAlias", "UpdateAlias", "DeleteAlias"))
"""What names keys. An UpdateAlias names the alias and the key it goes to, not the one it leaves."""

IDENTITIES_QUERY = _any(IAM, tuple(sorted(frozenset().union(*CREATIONS.values(), *POWERS.values()))))
"""What made roles and users. The events name them by names that are values of many other events too."""

FIRST_LOOK = (CHANGES_QUERY, LOGGING_QUERY, ALIASES_QUERY)
"""What has to be known before it is clear which values to look for."""
