"""What a guardrail is: the roles that keep the power over key policies, and the ways to it that others are denied."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from keytrail.errors import UsageError
from keytrail.policy.patterns import arn_match, glob

Json: TypeAlias = dict[str, object]

Kind = Literal["scp", "rcp", "boundary"]
"""The policies that deny: of the callers' accounts, of the keys' accounts, and of single users and roles."""

Group = Literal["policy", "replicas", "grants", "sharing", "takeover", "boundary"]

FormName = Literal["scp", "rcp", "boundary", "eventbridge", "config", "cloudformation", "terraform"]

_ROLE = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov|aws-iso[a-z-]*|aws-eusc):iam::([0-9]{12}|\*):role/([\w+=,.@/*-]+)", re.ASCII
)
_SESSION = re.compile(r"arn:aws[a-z-]*:sts::([0-9]{12}):assumed-role/([^/]+)/.+", re.DOTALL)
_KEY = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+|\*):([0-9]{12}|\*):key/[A-Za-z0-9*-]+", re.ASCII)
_MOST_NAME, _MOST_PATH = 64, 512
_SERVICE_LINKED = "aws-service-role/"

# Roles that nobody would name as break-glass: a pattern that covers one of them covers everybody of its kind.
_EVERYBODY = (
    ("role/Zq7", "any role"),
    ("role/zq/7", "any role with a path"),
    ("role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Zq7_0123456789abcdef", "any role of IAM Identity Center"),
    ("role/aws-reserved/sso.amazonaws.com/x/AWSReservedSSO_Zq7_0123456789abcdef", "any role of IAM Identity Center"),
    ("role/service-role/Zq7", "any role that the console made for a service"),
)


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """A role that may still change key policies, or several: `*` stands for any account, or any run in path and name.

    >>> BreakGlass.parse("arn:aws:iam::*:role/BreakGlass").covers("arn:aws:iam::111122223333:role/BreakGlass")
    True
    """

    arn: str
    partition: str
    account: str  # 12 digits, or "*"
    resource: str  # "role/" with path and name

    @classmethod
    def parse(cls, text: str) -> BreakGlass:
        """Read the ARN of a role. Raises UsageError for what names no role, nobody, or everybody."""
        given = text.strip()
        found = _ROLE.fullmatch(given)
        if found is None:
            session = _SESSION.fullmatch(given)
            advice = (
                f"Name the role of the session: arn:aws:iam::{session[1]}:role/{session[2]}, with its path if it has"
                " one."
                if session
                else "Write it like arn:aws:iam::111122223333:role/BreakGlass; * stands for any account, path or part"
                " of a name."
            )
            raise UsageError(f"{text!r} is not the ARN of a role", advice=advice)
        partition, account, rest = found.groups()
        result = cls(given, partition, account, f"role/{rest}")
        result._check()
        return result

    def _check(self) -> None:
        path_and_name = self.resource.removeprefix("role/")
        if (
            not self.name
            or path_and_name.startswith("/")
            or "//" in path_and_name
            or "**" in path_and_name
            or len(self.name) > _MOST_NAME
            or len(path_and_name) > _MOST_PATH + _MOST_NAME
        ):
            raise UsageError(
                f"{self.arn!r} is an ARN that no role has",
                advice="A role's name has 1 to 64 characters after its path; write one * where any run may stand.",
            )
        if path_and_name.startswith(_SERVICE_LINKED):
            raise UsageError(
                f"{self.arn!r} names service-linked roles",
                advice="They are beyond such policies anyway, and nobody can sign in as one: name a role of people.",
            )
        for resource, whom in _EVERYBODY:
            if self.covers(f"arn:{self.partition}:iam::111122223333:{resource}") or self.covers(
                f"arn:{self.partition}:iam::{self.account}:{resource}"
            ):
                raise UsageError(
                    f"{self.arn!r} covers {whom}, so that the guardrail would hold nobody back",
                    advice="Write enough of the role's name that only break-glass roles have it.",
                )

    @property
    def name(self) -> str:
        """The last part of the role's path and name."""
        return self.resource.rpartition("/")[2]

    def covers(self, arn: str) -> bool:
        """Whether the role of this ARN is one of these, as ArnLike compares."""
        return arn_match(glob(self.arn), arn) is True

    def in_account(self, account: str) -> bool:
        """Whether there may be such a role in an account."""
        return self.account in ("*", account)

    def example(self, account: str) -> str:
        """The ARN of a role that this covers in an account, the wildcards filled."""
        return f"arn:{self.partition}:iam::{account}:{self.resource.replace('*', 'x')}"

    def named(self, name: str, account: str) -> str | None:
        """The ARN of the role of this name, whatever its path, that this covers in an account; None if it covers none.

        >>> BreakGlass.parse("arn:aws:iam::*:role/ops/*/Break*").named("BreakGlass", "111122223333")
        'arn:aws:iam::111122223333:role/ops/x/BreakGlass'
        """
        folder = self.resource.rpartition("/")[0].replace("*", "x")
        arn = f"arn:{self.partition}:iam::{account}:{folder}/{name}"
        return arn if self.covers(arn) else None


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Who keeps the power over key policies, which ways to it are closed for others, and for which keys.

    `keys` are ARNs of keys, `*` for any Region or account; none is every key. `organisation` is the id of the
    organisation where it is known.
    """

    break_glass: tuple[BreakGlass, ...]
    groups: tuple[Group, ...]
    keys: tuple[str, ...] = ()
    organisation: str | None = None

    @property
    def partition(self) -> str:
        """The AWS partition of the roles."""
        return self.break_glass[0].partition

    @property
    def arns(self) -> tuple[str, ...]:
        """The ARNs of the break-glass roles."""
        return tuple(one.arn for one in self.break_glass)

    @property
    def any_account(self) -> bool:
        """Whether a role of any account at all is break-glass if only it has the name."""
        return any(one.account == "*" for one in self.break_glass)

    def spares(self, arn: str) -> bool:
        """Whether a role is a break-glass role."""
        return any(one.covers(arn) for one in self.break_glass)

    def guards(self, key_arn: str) -> bool:
        """Whether a key is one of those that it is for."""
        return not self.keys or any(arn_match(glob(pattern), key_arn) is True for pattern in self.keys)


@dataclass(frozen=True, slots=True)
class Document:
    """One file of a form: its name, and its text with a line feed at the end."""

    name: str
    text: str


def guardrail(
    break_glass: tuple[str, ...],
    *,
    groups: tuple[Group, ...],
    keys: tuple[str, ...] = (),
    organisation: str | None = None,
) -> Guardrail:
    """Make a guardrail of ARNs. Raises UsageError for none, for ARNs of none, and for such that cover everybody."""
    if not any(one.strip() for one in break_glass):
        raise UsageError(
            "no break-glass role is named: nobody could change a key policy any more",
            advice="Name at least one with --break-glass ARN, or as break_glass under [guardrail].",
        )
    roles = {one.arn: one for one in map(BreakGlass.parse, break_glass)}
    if len({one.partition for one in roles.values()}) > 1:
        raise UsageError(
            "the break-glass roles are of several AWS partitions",
            advice="An organisation lies in one partition: make a guardrail for each.",
        )
    for key in keys:
        if _KEY.fullmatch(key.strip()) is None:
            raise UsageError(
                f"{key!r} is not the ARN of a key",
                advice="Write it like arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab;"
                " * stands for any Region, account or id.",
            )
    named = tuple(dict.fromkeys(key.strip() for key in keys))
    return Guardrail(tuple(roles.values()), groups, named, organisation)
