"""The callers two policies can tell apart, as finitely many classes: Principal has no partial wildcards (1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from keytrail.policy.model import KeyPolicy, PrincipalKind
from keytrail.policy.prover.globs import Language
from keytrail.policy.prover.views import SERVICE_NAMES, identities, roles_named
from keytrail.policy.requests import Caller, CallerKind

Sort = Literal["named", "root", "other", "stranger", "service", "other service"]

_ACCOUNT_KEYS = frozenset({"kms:calleraccount", "aws:principalaccount"})
_ARN_ACCOUNT = re.compile(r"arn:(aws[a-z-]*):(?:iam|sts)::([0-9]{12}):(.+)", re.DOTALL)
_PREFIX = re.compile(r"arn:aws(?:-cn|-us-gov)?:(iam|sts)::(?:([0-9]{12}):(.+)?)?", re.DOTALL)
_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True)
class PrincipalClass:
    """Callers that no Principal element tells apart. `caller` is one of them.

    `domain` holds the ARNs (for services the names) of all members but `excluded`, where there is more than one.
    `account` is None for an account that is named nowhere, and for services.
    """

    sort: Sort
    caller: Caller
    account: str | None
    domain: Language | None = field(default=None, compare=False)
    excluded: Language | None = field(default=None, compare=False)
    named_accounts: frozenset[str] = field(default=frozenset(), compare=False)  # of strangers: those they are not of

    @cached_property
    def label(self) -> str:
        """How to call the class before a person."""
        kind = {"user": "user", "role": "role", "federated-user": "federated user", "root": "root user"}
        match self.sort:
            case "named" | "service":
                return self.caller.arn
            case "root":
                return f"arn:{self.caller.partition}:iam::{self.account}:root"
            case "other":
                if self.caller.session is not None:
                    return self.caller.arn
                return f"any other {kind[self.caller.kind.value]} of account {self.account}"
            case "stranger":
                return f"any {kind[self.caller.kind.value]} of an account named nowhere"
            case _:
                return "any other AWS service"

    @property
    def family(self) -> str:
        """What classes that behave alike are called together."""
        if self.sort == "other" and self.caller.session is None:
            return f"any other identity of account {self.account}"
        if self.sort == "stranger":
            return "any identity of an account named nowhere"
        return self.label

    def compatible(self, prefix: str) -> bool:
        """Whether the ARN of some member can start with `prefix`, as far as account and kind tell."""
        caller = self.caller
        if self.domain is None or caller.kind is CallerKind.SERVICE or len(prefix) < 13:
            return True
        found = _PREFIX.match(prefix)
        if found is None:
            return True
        service, account, kind = found.groups()
        if service is not None and (service == "sts") is not (caller.kind is CallerKind.FEDERATED_USER):
            return False
        if account is not None and (
            account in self.named_accounts if self.account is None else account != self.account
        ):
            return False
        own = f"{caller.kind.value}/" if caller.kind is not CallerKind.ROOT else "root"
        return kind is None or own.startswith(kind) or kind.startswith(own)

    def member(self, text: str | None) -> Caller:
        """The caller with that ARN or service name; the class's own where it has one member or none was asked for."""
        if self.domain is None or text is None:
            return self.caller
        if self.caller.kind is CallerKind.SERVICE:
            return replace(self.caller, name=text)
        return replace(Caller.parse(text), session=self.caller.session)


def labels(classes: Iterable[PrincipalClass]) -> tuple[str, ...]:
    """What to call several classes: all other kinds of identities of one account together get one name."""
    families: dict[str, list[PrincipalClass]] = {}
    for group in classes:
        families.setdefault(group.family, []).append(group)
    names = {
        name: None
        for family, members in families.items()
        for name in ([family] if len(members) > 2 else [member.label for member in members])
    }
    return tuple(names)


def partition_callers(policies: Sequence[KeyPolicy], owner: str, accounts: Iterable[str] = ()) -> list[PrincipalClass]:
    """All classes for these policies, the most specific first. `accounts` are told apart as well."""
    arns: dict[str, None] = {}
    sessions: dict[str, None] = {}
    services: dict[str, None] = {}
    named_accounts: dict[str, None] = {owner: None, **dict.fromkeys(accounts)}
    partitions: dict[str, None] = {}
    for policy in policies:
        for statement in policy.statements:
            for principal in statement.all_principals():
                if principal.account is not None and not principal.kind.names_nobody:
                    named_accounts[principal.account] = None
                found = _ARN_ACCOUNT.fullmatch(principal.value)
                if found is not None:
                    partitions[found[1]] = None
                if principal.kind is PrincipalKind.SESSION:
                    sessions[principal.value] = None
                elif principal.kind in (PrincipalKind.ROLE, PrincipalKind.USER, PrincipalKind.FEDERATED_USER):
                    arns[principal.value] = None
                elif principal.kind is PrincipalKind.SERVICE:
                    services[principal.value.lower()] = None
    for policy in policies:
        _from_conditions(policy, named_accounts, partitions, services)
    parts = [partition for partition in partitions if partition in ("aws", "aws-cn", "aws-us-gov")] or ["aws"]
    classes = [_named(Caller.parse(arn)) for arn in arns]
    for text in sessions:
        classes += _session(Caller.parse(text), arns)
    for account in named_accounts:
        classes.append(_root(account, parts[0]))
        classes += [
            _others(kind, account, parts, arns)
            for kind in (CallerKind.ROLE, CallerKind.USER, CallerKind.FEDERATED_USER)
        ]
    classes += _strangers(list(named_accounts), parts)
    classes += [PrincipalClass("service", Caller(CallerKind.SERVICE, None, name), None) for name in services]
    free = next(name for name in _numbered("example") if f"{name}.amazonaws.com" not in services)
    classes.append(
        PrincipalClass(
            "other service",
            Caller(CallerKind.SERVICE, None, f"{free}.amazonaws.com"),
            None,
            SERVICE_NAMES,
            Language.of(*services),
        )
    )
    return classes


def _from_conditions(
    policy: KeyPolicy, accounts: dict[str, None], partitions: dict[str, None], services: dict[str, None]
) -> None:
    """Accounts and services that conditions name: an account is only "named nowhere" if they do not either."""
    for _, condition in policy.conditions():
        for value in condition.values:
            if condition.name in _ACCOUNT_KEYS and _ACCOUNT.fullmatch(value):
                accounts[value] = None
            elif condition.name == "aws:principalarn" and (found := _ARN_ACCOUNT.fullmatch(value)) is not None:
                partitions[found[1]] = None
                accounts[found[2]] = None
            elif condition.name == "aws:principalservicename" and re.fullmatch(r"[a-z0-9.-]+", value):
                services[value] = None


def _named(caller: Caller) -> PrincipalClass:
    return PrincipalClass("named", caller, caller.account)


def _root(account: str, partition: str) -> PrincipalClass:
    return PrincipalClass("root", Caller(CallerKind.ROOT, account, partition=partition), account)


def _session(caller: Caller, arns: Iterable[str]) -> list[PrincipalClass]:
    """One session. Its ARN does not show the path of the role, so it may be of any role of that name."""
    known = [
        role
        for role in (Caller.parse(arn) for arn in arns)
        if role.kind is CallerKind.ROLE
        and role.account == caller.account
        and role.partition == caller.partition
        and role.name.rpartition("/")[2] == caller.name
    ]
    classes = [PrincipalClass("named", replace(role, session=caller.session), caller.account) for role in known]
    domain = roles_named(caller.name, caller.account or "", caller.partition)
    excluded = Language.of(*(role.principal_arn or "" for role in known))
    if not known:
        return [PrincipalClass("other", caller, caller.account, domain, excluded)]
    if any(role.name == caller.name for role in known):
        # The role without a path is a class of its own above; a member of this one has a path.
        caller = replace(caller, name=f"x/{caller.name}")
    return [*classes, PrincipalClass("other", caller, caller.account, domain, excluded)]


def _others(kind: CallerKind, account: str, partitions: list[str], arns: dict[str, None]) -> PrincipalClass:
    for name in _numbered("any"):
        caller = Caller(kind, account, name, partition=partitions[0])
        if caller.principal_arn not in arns:
            break
    own = f"::{account}:{kind.value}/"
    taken = Language.of(*(arn for arn in arns if own in arn))
    return PrincipalClass("other", caller, account, identities(kind.value, [account], partitions), taken)


def _strangers(accounts: list[str], partitions: list[str]) -> list[PrincipalClass]:
    stranger = next(
        text for text in (f"{number:012d}" for number in range(999_999_999_999, 0, -1)) if text not in accounts
    )
    return [
        PrincipalClass(
            "stranger",
            Caller(kind, stranger, "" if kind is CallerKind.ROOT else "any", partition=partitions[0]),
            None,
            identities(kind.value, None, partitions),
            identities(kind.value, accounts, partitions),
            frozenset(accounts),
        )
        for kind in _KINDS
    ]


_KINDS = (CallerKind.ROLE, CallerKind.USER, CallerKind.FEDERATED_USER, CallerKind.ROOT)


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 1
    while True:
        yield f"{name}{number}"
        number += 1
