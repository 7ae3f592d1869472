"""What a guardrail denies: the ways to the power over a key policy, each with its reason, as statements of policies.

Which ways there are is in spec/key-policy.md (sections 0, 1.5, 2 and 3.3). A service control policy and a permissions
boundary hold back callers of the organisation wherever they call; a resource control policy holds back everybody who
calls for a key of the organisation, but knows no actions of IAM and RAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from keytrail.errors import UsageError
from keytrail.policy import Condition, Statement
from keytrail.policy.operators import parse_operator
from keytrail.policy.parse import parse_principal
from keytrail.respond.guardrail.model import Group, Guardrail, Json, Kind

VERSION = "2012-10-17"

BOUNDARY_NAME = "keytrail-key-policy-boundary"
"""The name that the policy of a permissions boundary gets: it is named in the policy itself."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the power over key policies: what it takes, and why it is one."""

    group: Group
    actions: tuple[str, ...]
    why: str


WAYS: Mapping[Group, Way] = {
    one.group: one
    for one in (
        Way("policy", ("kms:PutKeyPolicy",), "replaces the policy of a key"),
        Way(
            "replicas",
            ("kms:ReplicateKey", "kms:UpdatePrimaryRegion"),
            "makes a replica with the same key material under a policy of one's choice; what is replicated is the"
            " primary key, and UpdatePrimaryRegion says which that is",
        ),
        Way(
            "grants",
            ("kms:CreateGrant",),
            "gives anybody any use of a key past its policy; grants that an AWS service makes for its resource stay"
            " possible (kms:GrantIsForAWSResource)",
        ),
        Way(
            "sharing",
            ("ram:CreateResourceShare", "ram:AssociateResourceShare"),
            "shares a key through AWS RAM, which gives it a second key policy (AWS_RAM)",
        ),
        Way(
            "takeover",
            (
                "iam:AttachRolePolicy",
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:DeleteRolePermissionsBoundary",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:PassRole",
                "iam:PutRolePermissionsBoundary",
                "iam:PutRolePolicy",
                "iam:UpdateAssumeRolePolicy",
            ),
            "takes over a break-glass role, makes one of its name, or takes it away",
        ),
        Way(
            "boundary",
            (
                "iam:CreateRole",
                "iam:CreateUser",
                "iam:PutRolePermissionsBoundary",
                "iam:PutUserPermissionsBoundary",
                "iam:DeleteRolePermissionsBoundary",
                "iam:DeleteUserPermissionsBoundary",
                "iam:CreatePolicyVersion",
                "iam:DeletePolicy",
                "iam:DeletePolicyVersion",
                "iam:SetDefaultPolicyVersion",
            ),
            "gets round a permissions boundary: identities without it, or with another one (boundary form only)",
        ),
    )
}
"""Every way that is closed, by group."""

_OF_KIND: Mapping[Kind, tuple[Group, ...]] = {
    "scp": ("policy", "replicas", "grants", "sharing", "takeover"),
    "rcp": ("policy", "replicas", "grants"),
    "boundary": ("policy", "replicas", "grants", "sharing", "takeover", "boundary"),
}


def groups_but(without: Iterable[str]) -> tuple[Group, ...]:
    """All groups but these. Raises UsageError for a name that is none, and for leaving out the key policy itself."""
    left_out = [name.strip() for name in without]
    for name in left_out:
        if name not in WAYS or name == "policy":
            what = "is what a guardrail is for" if name == "policy" else "is not a group of actions"
            names = ", ".join(one for one in WAYS if one != "policy")
            raise UsageError(f"--without: {name!r} {what}", advice=f"What may be left out: {names}.")
    return tuple(one for one in WAYS if one not in left_out)


def denied_groups(guardrail: Guardrail, kinds: Iterable[Kind]) -> tuple[Group, ...]:
    """The groups of a guardrail that policies of these kinds deny."""
    groups = {group for kind in kinds for group in _OF_KIND[kind]}
    return tuple(one for one in guardrail.groups if one in groups)


def denied_actions(guardrail: Guardrail, kinds: Iterable[Kind]) -> tuple[str, ...]:
    """All actions that policies of these kinds deny to somebody, each once."""
    found = (action for kind in kinds for one in statements(guardrail, kind) for action in one.actions or ())
    return tuple(dict.fromkeys(found))


def statements(guardrail: Guardrail, kind: Kind) -> tuple[Statement, ...]:
    """The Deny statements of a policy of a kind; those of a resource control policy name everybody as principal."""
    pieces: dict[_Alike, tuple[str, list[str]]] = {}
    for group in _OF_KIND[kind]:
        if group not in guardrail.groups:
            continue
        for piece in _PIECES[group](guardrail, kind):
            # Groups that differ in nothing but their actions share a statement: the sizes of policies are limited.
            pieces.setdefault(piece.alike, (piece.sid, []))[1].extend(piece.actions)
    everyone = (parse_principal("AWS", "*"),) if kind == "rcp" else None
    return tuple(
        Statement(number, sid, "Deny", everyone, actions=tuple(actions), resources=resources, conditions=conditions)
        for number, ((_, resources, conditions), (sid, actions)) in enumerate(pieces.items())
    )


def document(guardrail: Guardrail, kind: Kind) -> Json:
    """The policy of a kind as a document."""
    found: list[object] = [one.to_dict() for one in statements(guardrail, kind)]
    if kind == "boundary":  # a boundary allows what it does not deny only if it says so
        found.insert(0, {"Sid": "AllowTheRest", "Effect": "Allow", "Action": "*", "Resource": "*"})
    return {"Version": VERSION, "Statement": found}


# -- pieces -----------------------------------------------------------------------------------------------------------


_Alike: TypeAlias = tuple[str, tuple[str, ...], tuple[Condition, ...]]


@dataclass(frozen=True, slots=True)
class _Piece:
    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def alike(self) -> _Alike:
        """What pieces have in common that can be one statement: the service, and all but the actions."""
        return self.actions[0].partition(":")[0], self.resources, self.conditions


def _policy(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    yield _Piece("KeyPolicy", WAYS["policy"].actions, _keys(guardrail), _others(guardrail, kind))


def _replicas(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    yield _Piece("KeyReplicas", WAYS["replicas"].actions, _keys(guardrail), _others(guardrail, kind))


def _grants(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    by_hand = _condition("BoolIfExists", "kms:GrantIsForAWSResource", "false")
    actions = WAYS["grants"].actions
    yield _Piece("KeyGrants", actions, _keys(guardrail), (*_others(guardrail, kind), by_hand))
    if kind == "rcp" and guardrail.any_account:
        # A role of that name in a stranger's account is no break-glass role. Only grants work across accounts.
        outside = _condition(
            "StringNotEqualsIfExists", "aws:PrincipalOrgID", guardrail.organisation or "${aws:ResourceOrgID}"
        )
        yield _Piece("KeyGrantsFromOutside", actions, _keys(guardrail), (outside, _NO_SERVICE, by_hand))


def _sharing(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    of_keys = _condition("StringEqualsIgnoreCase", "ram:RequestedResourceType", "kms:Key")
    yield _Piece("KeySharing", WAYS["sharing"].actions, ("*",), (*_others(guardrail, kind), of_keys))


def _takeover(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    yield _Piece("BreakGlassRoles", WAYS["takeover"].actions, guardrail.arns, _others(guardrail, kind))


def _boundary(guardrail: Guardrail, kind: Kind) -> Iterator[_Piece]:
    policy = f"arn:{guardrail.partition}:iam::*:policy/{BOUNDARY_NAME}"
    others = _others(guardrail, kind)
    another = _condition("StringNotLike", "iam:PermissionsBoundary", policy)
    actions = WAYS["boundary"].actions
    yield _Piece("OtherBoundary", actions[:4], ("*",), (*others, another))
    yield _Piece("NoBoundary", actions[4:6], ("*",), others)
    yield _Piece("ThisBoundary", actions[6:], (policy,), others)


_PIECES = {
    "policy": _policy,
    "replicas": _replicas,
    "grants": _grants,
    "sharing": _sharing,
    "takeover": _takeover,
    "boundary": _boundary,
}


def _condition(operator: str, key: str, *values: str) -> Condition:
    return Condition(parse_operator(operator), key, values)


_NO_SERVICE = _condition("Bool", "aws:PrincipalIsAWSService", "false")


def _others(guardrail: Guardrail, kind: Kind) -> tuple[Condition, ...]:
    """Everybody but the break-glass roles. The own calls of AWS services come to keys past accounts' policies only."""
    others = _condition("ArnNotLike", "aws:PrincipalArn", *guardrail.arns)
    return (others, _NO_SERVICE) if kind == "rcp" else (others,)


def _keys(guardrail: Guardrail) -> tuple[str, ...]:
    return guardrail.keys or ("*",)
