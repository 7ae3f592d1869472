"""How findings speak: principals and powers in words that someone understands who has not read the policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from keytrail.phrases import joined
from keytrail.policy.catalogue import catalogue
from keytrail.policy.model import Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.requests import Caller, CallerKind

_MOST = 3  # names in one sentence; the finding lists all

# One power per line, by the actions that amount to it; said in this order.
_POWERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("replace this key's policy", ("kms:PutKeyPolicy",)),
    ("decrypt data with this key", ("kms:Decrypt", "kms:ReEncryptFrom")),
    ("derive shared secrets with this key", ("kms:DeriveSharedSecret", "kms:Decapsulate")),
    ("hand out use of this key through grants", ("kms:CreateGrant",)),
    ("schedule this key's deletion", ("kms:ScheduleKeyDeletion",)),
    ("disable this key", ("kms:DisableKey",)),
    ("remove this key's imported material", ("kms:DeleteImportedKeyMaterial",)),
    ("import key material", ("kms:ImportKeyMaterial",)),
    ("copy this key to another Region under a policy of their choice", ("kms:ReplicateKey",)),
    ("move this key's primary Region", ("kms:UpdatePrimaryRegion",)),
    ("sign as this key", ("kms:Sign",)),
    ("make and check authentication codes with this key", ("kms:GenerateMac", "kms:VerifyMac")),
    ("encrypt data with this key", ("kms:Encrypt", "kms:ReEncryptTo")),
    ("create shared secrets for this key", ("kms:Encapsulate",)),
    (
        "generate data keys under this key",
        (
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyPair",
            "kms:GenerateDataKeyPairWithoutPlaintext",
            "kms:GenerateDataKeyWithoutPlaintext",
        ),
    ),
    ("verify signatures of this key", ("kms:Verify",)),
    ("revoke, retire or list grants of this key", ("kms:RevokeGrant", "kms:RetireGrant", "kms:ListGrants")),
    ("read this key's policy and properties", ("kms:GetKeyPolicy", "kms:DescribeKey", "kms:ListKeyPolicies")),
)


def powers(actions: Collection[str]) -> str:
    """What actions amount to, as a verb phrase.

    >>> powers(["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"])
    'decrypt data with this key, encrypt data with this key and generate data keys under this key'
    """
    if set(actions) >= {action.name for action in catalogue().key_actions() if action.access != "unknown"}:
        return "do anything with this key, even replace its policy"
    said = [(text, names) for text, names in _POWERS if any(name in actions for name in names)]
    rest = sorted(set(actions) - {name for _, names in said for name in names})
    phrases = [text for text, _ in said]
    if rest:
        phrases.append(f"call {_some(rest, 'other operations')}")
    if len(phrases) > 5:
        phrases = [*phrases[:4], f"{len(phrases) - 4} other things"]
    return joined(phrases)


def who(classes: Iterable[PrincipalClass], owner: str) -> str:
    """Callers as the subject of a sentence, those that make up a whole account under its name."""
    names: dict[str, None] = {}
    for members in _by_account(classes).values():
        names.update(dict.fromkeys(_members(members, owner)))
    return _some(list(names), "others")


def labels(classes: Iterable[PrincipalClass]) -> tuple[str, ...]:
    """Callers as a list, ARNs where there are some."""
    return tuple(dict.fromkeys(group.family for group in classes))


def caller(given: Caller, owner: str) -> str:
    """One caller.

    >>> caller(Caller.parse("arn:aws:sts::111122223333:assumed-role/Dev/s1"), "111122223333")
    'session s1 of role Dev of this account'
    """
    account = "this account" if given.account == owner else f"account {given.account}"
    match given.kind:
        case CallerKind.SERVICE:
            return f"the AWS service {given.name}"
        case CallerKind.ROOT:
            return f"the root user of {account}"
        case CallerKind.ROLE if given.session is not None:
            return f"session {given.session} of role {given.name} of {account}"
        case CallerKind.FEDERATED_USER:
            return f"federated user {given.name} of {account}"
        case _:
            return f"{given.kind} {given.name} of {account}"


def statements(given: Sequence[Statement], policy: str) -> str:
    """Statements of one policy: 'statement 2 "Sid" of the new policy'."""
    return f"{_some([statement.label for statement in given], 'others')} of the {policy} policy"


def keys(given: Iterable[Statement]) -> str:
    """The condition keys of statements; empty when they have none."""
    return _some(list(dict.fromkeys(c.key for statement in given for c in statement.conditions)), "others")


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence, the first few of them."""
    return _some(names, "others")


def _by_account(classes: Iterable[PrincipalClass]) -> dict[str, list[PrincipalClass]]:
    found: dict[str, list[PrincipalClass]] = {}
    for group in classes:
        found.setdefault(group.account or group.sort, []).append(group)
    return found


def _members(members: Sequence[PrincipalClass], owner: str) -> list[str]:
    first = members[0]
    if first.sort == "other service":
        return ["any AWS service"]
    if first.sort == "stranger":
        kinds = {group.caller.kind for group in members}
        return ["anyone with an AWS account"] if len(kinds) > 2 else [f"any {k} of any AWS account" for k in kinds]
    account = "this account" if first.account == owner else f"account {first.account}"
    named = [caller(group.caller, owner) for group in members if group.sort in ("named", "service")]
    named += [caller(g.caller, owner) for g in members if g.sort == "other" and g.caller.session is not None]
    others = {group.caller.kind: None for group in members if group.sort == "other" and group.caller.session is None}
    root = any(group.sort == "root" for group in members)
    if len(others) > 2 and root:
        return [f"every identity of {account}" if first.account == owner else account]
    if len(others) > 2:
        everyone = f"any identity of {account}"
        return [*named, everyone if not named else f"any other identity of {account}"]
    found = [*named, *(f"any other {kind.value.replace('-', ' ')} of {account}" for kind in others)]
    return [*found, f"the root user of {account}"] if root else found


def _some(names: Sequence[str], others: str) -> str:
    if len(names) > _MOST + 1:
        return f"{', '.join(names[:_MOST])} and {len(names) - _MOST} {others}"
    return joined(names)
