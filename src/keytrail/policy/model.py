"""The parts of a key policy, as values: statements, principals, conditions. Nothing here decides what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Effect = Literal["Allow", "Deny"]
Qualifier = Literal["ForAllValues", "ForAnyValue"]


class PrincipalKind(StrEnum):
    """What one entry of a Principal or NotPrincipal element names (spec/key-policy.md 1.2)."""

    EVERYONE = "everyone"  # "*" and {"AWS": "*"}
    ACCOUNT = "account"  # an account id or the ARN ending in :root
    ROLE = "role"
    USER = "user"
    SESSION = "session"  # one assumed-role session
    FEDERATED_USER = "federated-user"  # one GetFederationToken session
    SERVICE = "service"
    DELETED = "deleted"  # the unique id that a deleted user or role leaves behind
    FEDERATED = "federated"  # {"Federated": …}: has a meaning in trust policies only
    CANONICAL = "canonical"  # {"CanonicalUser": …}: has a meaning in S3 only
    INVALID = "invalid"  # a group, a partial wildcard, anything else: AWS refuses it

    @property
    def names_nobody(self) -> bool:
        """Whether no caller can ever be this principal."""
        return self in _NOBODY


_NOBODY = frozenset({PrincipalKind.DELETED, PrincipalKind.FEDERATED, PrincipalKind.CANONICAL, PrincipalKind.INVALID})


@dataclass(frozen=True, slots=True)
class Principal:
    """One entry of a Principal element; two spellings of the same principal are equal.

    `value` is canonical: "*", a 12-digit account id, a full ARN, a service name, or for the kinds that name nobody the
    text as it stood. `account` is the 12-digit account of accounts and ARNs. `text` is what the policy says.
    """

    kind: PrincipalKind
    value: str
    account: str | None = None
    text: str = field(default="", compare=False)
    type: str = field(default="AWS", compare=False)  # the name it stands under in the document

    def __str__(self) -> str:
        return self.text or self.value


@dataclass(frozen=True, slots=True)
class Operator:
    """A condition operator with its set qualifier and IfExists parsed out: `ForAnyValue:StringLikeIfExists`.

    `name` is the documented spelling ("StringLike"), or when `known` is False whatever the policy says.
    """

    name: str
    qualifier: Qualifier | None = None
    if_exists: bool = False
    known: bool = True

    def __str__(self) -> str:
        prefix = f"{self.qualifier}:" if self.qualifier else ""
        return f"{prefix}{self.name}{'IfExists' if self.if_exists else ''}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition key under one operator. `values` are texts: `true` and `"true"` are the same value."""

    operator: Operator
    key: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key in lower case: key names are case-insensitive (1.6)."""
        return self.key.lower()

    def __str__(self) -> str:
        return f"{self.operator} {self.key} {list(self.values)}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. Of each pair (principals, not_principals) and so on at most one is set; both None = absent.

    `index` counts from 0 in the order of the document. An empty tuple is an element that names nothing (1.1).
    """

    index: int
    sid: str | None
    effect: Effect
    principals: tuple[Principal, ...] | None = None
    not_principals: tuple[Principal, ...] | None = None
    actions: tuple[str, ...] | None = None
    not_actions: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    not_resources: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def label(self) -> str:
        """How to call the statement before a person: its Sid, and always its number from 1."""
        return f"statement {self.index + 1}" + (f' "{self.sid}"' if self.sid else "")

    def to_dict(self) -> dict[str, object]:
        """The statement as an element of a document."""
        elements: dict[str, object] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Principal": None if self.principals is None else _principals(self.principals),
            "NotPrincipal": None if self.not_principals is None else _principals(self.not_principals),
            "Action": _values(self.actions),
            "NotAction": _values(self.not_actions),
            "Resource": _values(self.resources),
            "NotResource": _values(self.not_resources),
        }
        conditions: dict[str, dict[str, object]] = {}
        for condition in self.conditions:
            conditions.setdefault(str(condition.operator), {})[condition.key] = _values(condition.values)
        if conditions:
            elements["Condition"] = conditions
        return {name: value for name, value in elements.items() if value is not None}

    def all_principals(self) -> tuple[Principal, ...]:
        """The entries of Principal or NotPrincipal, whichever is there."""
        return (self.principals or ()) + (self.not_principals or ())


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """A key policy, legal by the grammar (1.1); immutable, hashable, and equal when the statements are.

    `name` and `source` say where it came from: what errors and lints call it, and its text where it came as text.
    """

    statements: tuple[Statement, ...]
    version: str | None = None
    id: str | None = field(default=None, compare=False)
    name: str = field(default="policy", compare=False)
    source: str | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def parse(text: str | bytes | dict[str, object], *, name: str = "policy") -> KeyPolicy:
        """Parse a policy document, as JSON text or as the standard library parses it.

        `name` is the file or event shown in errors. Raises PolicyError with every problem found and its place.
        """
        from keytrail.policy.parse import parse_policy

        return parse_policy(text, name=name)

    @staticmethod
    def default(account: str) -> KeyPolicy:
        """The policy of a key that is created without one: IAM of its own account decides (3.2).

        >>> KeyPolicy.default("111122223333").statements[0].label
        'statement 1 "Enable IAM User Permissions"'
        """
        root = Principal(PrincipalKind.ACCOUNT, account, account, f"arn:aws:iam::{account}:root")
        sid = "Enable IAM User Permissions"
        statement = Statement(0, sid, "Allow", principals=(root,), actions=("kms:*",), resources=("*",))
        return KeyPolicy((statement,), "2012-10-17", "key-default-1", "default")

    def to_dict(self) -> dict[str, object]:
        """The policy as a document, `KeyPolicy.parse` of which is equal to it; a single value stands alone."""
        heads = {"Version": self.version, "Id": self.id}
        return {
            **{name: value for name, value in heads.items() if value is not None},
            "Statement": [statement.to_dict() for statement in self.statements],
        }

    @property
    def has_variables(self) -> bool:
        """Whether `${…}` is a policy variable: only Version 2012-10-17 has them (1.1, 1.6)."""
        return self.version == "2012-10-17"

    def conditions(self) -> Iterator[tuple[Statement, Condition]]:
        """Every condition with its statement."""
        for statement in self.statements:
            for condition in statement.conditions:
                yield statement, condition


def _principals(principals: tuple[Principal, ...]) -> object:
    if [str(principal) for principal in principals] == ["*"] and principals[0].kind is PrincipalKind.EVERYONE:
        return "*"
    types: dict[str, list[str]] = {}
    for principal in principals:
        types.setdefault(principal.type, []).append(str(principal))
    return {name: _values(tuple(texts)) for name, texts in types.items()}


def _values(values: tuple[str, ...] | None) -> object:
    return values if values is None else values[0] if len(values) == 1 else list(values)
