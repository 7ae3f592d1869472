"""What a key policy answers to one request, by the documented rules and nothing else: the judge of this room.

Numbers in comments are sections of spec/key-policy.md. Every test is three-valued: True, False, or None where AWS does
not document the answer; a decision that hangs on a None is `Outcome.UNKNOWN`, never a guess.

Outside this model, as 1.9 says: grants, the AWS_RAM policy, service and resource control policies, permissions
boundaries, session policies, VPC endpoint policies, and what IAM really says (that is the request's `needs_iam`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from keytrail.policy.catalogue import actions_of, catalogue
from keytrail.policy.conditions import all_of, any_of, consulted, holds, negate
from keytrail.policy.context import CompleteContext, complete, unstated
from keytrail.policy.model import KeyPolicy, Principal, PrincipalKind, Statement
from keytrail.policy.patterns import Wildcard, glob, matches
from keytrail.policy.requests import Caller, CallerKind, Request


class Outcome(StrEnum):
    """How a request ends."""

    ALLOWED = "allowed"
    DENIED = "denied"  # by a Deny statement
    NOT_ALLOWED = "not allowed"  # no Allow statement counts: denied by default
    UNKNOWN = "unknown"  # it hangs on something AWS does not document


class Part(StrEnum):
    """The part of a statement that decided whether it applies."""

    ACTION = "action"
    RESOURCE = "resource"
    PRINCIPAL = "principal"
    IAM = "iam"  # it delegates to the caller's account, whose IAM does not allow the request
    CONDITION = "condition"


@dataclass(frozen=True, slots=True)
class StatementResult:
    """Whether a statement applies to the request; `part` is what did not match, or what is not documented."""

    statement: Statement
    applies: bool | None
    part: Part | None = None
    condition: int | None = None  # index in statement.conditions, with Part.CONDITION


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request.

    `barrier` says why no Allow statement could count at all, where that is so. `unstated` names, in lower case, the
    keys that every such request carries and the answer looked at, but this one does not state; taken as missing.
    """

    outcome: Outcome
    results: tuple[StatementResult, ...]
    barrier: str | None = None
    unstated: frozenset[str] = frozenset()

    @property
    def allowed(self) -> bool:
        """Whether the request is allowed for certain."""
        return self.outcome is Outcome.ALLOWED

    @property
    def possible(self) -> bool:
        """Whether the request is allowed, or would be under one reading of what is not documented."""
        return self.outcome in (Outcome.ALLOWED, Outcome.UNKNOWN)

    @property
    def allowed_by(self) -> tuple[Statement, ...]:
        """The Allow statements that apply, whether or not a Deny or a barrier outweighs them."""
        return tuple(r.statement for r in self.results if r.applies and r.statement.effect == "Allow")

    @property
    def denied_by(self) -> tuple[Statement, ...]:
        """The Deny statements that apply."""
        return tuple(r.statement for r in self.results if r.applies and r.statement.effect == "Deny")

    @property
    def undocumented(self) -> tuple[StatementResult, ...]:
        """The statements of which it is not documented whether they apply."""
        return tuple(r for r in self.results if r.applies is None)


def evaluate(policy: KeyPolicy, request: Request, owner: str, *, key_arn: str | None = None) -> Decision:
    """Decide `request` on a key of account `owner` (12 digits) by its key policy. Never raises.

    `key_arn` is needed only for statements whose Resource is not "*" (1.4).
    """
    context = complete(request, owner)
    results = tuple(_applies(s, policy, request, context, owner, key_arn) for s in policy.statements)
    barrier = _barrier(request, owner)
    allow = False if barrier else any_of(r.applies for r in results if r.statement.effect == "Allow")
    deny = any_of(r.applies for r in results if r.statement.effect == "Deny")
    return Decision(_outcome(allow, deny), results, barrier, _looked_at(policy, results, request, context))


def _outcome(allow: bool | None, deny: bool | None) -> Outcome:
    """1.5: an applicable Deny wins, otherwise an Allow is needed."""
    if deny:
        return Outcome.DENIED
    if allow is False:
        return Outcome.NOT_ALLOWED
    return Outcome.ALLOWED if allow and deny is False else Outcome.UNKNOWN


def _barrier(request: Request, owner: str) -> str | None:
    """Why no key policy could allow the request (1.3, 1.5, 1.9)."""
    action = catalogue().action(request.action)
    if action is None:
        return f"{request.action} is no KMS action that the catalogue of {catalogue().date} knows"
    if not action.key_level:
        return f"{action.name} is not authorised on a key: only IAM can allow it"
    caller = request.caller
    if caller.kind is CallerKind.SERVICE or caller.account == owner:
        return None
    if not action.cross_account:
        return f"{action.name} has no effect for another account"
    if not request.needs_iam:
        return f"IAM of account {caller.account} does not allow it, and another account needs both sides"
    return None


def _applies(
    statement: Statement,
    policy: KeyPolicy,
    request: Request,
    context: CompleteContext,
    owner: str,
    key_arn: str | None,
) -> StatementResult:
    """Whether one statement applies; the first part that does not match is the reason."""
    action = catalogue().action(request.action)
    if action is None or action.name not in actions_of(statement):
        return StatementResult(statement, False, Part.ACTION)
    undocumented: tuple[Part, int | None] | None = None
    resource = names_key(statement, owner, key_arn)
    if resource is False:
        return StatementResult(statement, False, Part.RESOURCE)
    if resource is None:
        undocumented = Part.RESOURCE, None
    principal = names_caller(statement, request.caller, needs_iam=request.needs_iam)
    if principal is False:
        delegated = not request.needs_iam and names_caller(statement, request.caller, needs_iam=True)
        return StatementResult(statement, False, Part.IAM if delegated else Part.PRINCIPAL)
    if principal is None:
        undocumented = undocumented or (Part.PRINCIPAL, None)
    for index, condition in enumerate(statement.conditions):  # 1.6: all of them must hold
        answer = holds(condition, context, variables=policy.has_variables)
        if answer is False:
            return StatementResult(statement, False, Part.CONDITION, index)
        if answer is None:
            undocumented = undocumented or (Part.CONDITION, index)
    return StatementResult(statement, None, *undocumented) if undocumented else StatementResult(statement, True)


def names_caller(statement: Statement, caller: Caller, *, needs_iam: bool) -> bool | None:
    """Whether the statement is about `caller`: its Principal or NotPrincipal, by 1.2 and 1.9."""
    if statement.principals is not None:
        if statement.effect == "Deny":
            return any(covers(principal, caller) for principal in statement.principals)
        return any(_gives(principal, caller, needs_iam) for principal in statement.principals)
    if statement.not_principals is None:
        return False
    if statement.effect == "Deny":
        return negate(_exempt(statement.not_principals, caller))
    # Allow with NotPrincipal: everyone but the named, strangers included, directly.
    return not any(covers(principal, caller) for principal in statement.not_principals)


def covers(principal: Principal, caller: Caller) -> bool:
    """Whether `principal` names `caller` or something it is part of: its account, its role.

    Names are case-sensitive. A session's ARN has no path, so it names a role by the last part of its name. Services are
    in no account; "*" and {"AWS": "*"} cover them as well (which is not documented for the second).
    """
    match principal.kind:
        case PrincipalKind.EVERYONE:
            return True
        case PrincipalKind.ACCOUNT:
            return principal.account == caller.account
        case PrincipalKind.SERVICE:
            return caller.kind is CallerKind.SERVICE and principal.value.lower() == caller.name.lower()
        case PrincipalKind.SESSION:
            return principal.value == caller.arn
        case PrincipalKind.ROLE | PrincipalKind.USER | PrincipalKind.FEDERATED_USER:
            return principal.value == caller.principal_arn
        case _:  # a deleted principal's id, or nothing that KMS knows
            return False


def _gives(principal: Principal, caller: Caller, needs_iam: bool) -> bool:
    """1.9: an account principal gives to its root user, and lets IAM of the account give to the others."""
    if principal.kind is PrincipalKind.ACCOUNT:
        return covers(principal, caller) and (caller.kind is CallerKind.ROOT or needs_iam)
    return covers(principal, caller)


def _exempt(named: tuple[Principal, ...], caller: Caller) -> bool | None:
    """Whether Deny with NotPrincipal spares `caller`: only if all its layers are listed (1.2).

    The layers are the account, the user or role, and the session. AWS's example lists the session of a role. Where no
    session of the role is listed, what happens to its sessions is not documented for KMS (section 7, point 3).
    """
    if any(p.kind is PrincipalKind.EVERYONE for p in named):
        return True
    if caller.kind is CallerKind.SERVICE:
        return any(covers(p, caller) for p in named)
    kinds = {p.kind for p in named if covers(p, caller)}
    if PrincipalKind.ACCOUNT not in kinds:
        return False
    match caller.kind:
        case CallerKind.ROOT:
            return True
        case CallerKind.ROLE:
            if PrincipalKind.ROLE not in kinds:
                return False
            if PrincipalKind.SESSION in kinds:
                return True
            return False if any(_is_session_of(p, caller) for p in named) else None
        case _:
            return PrincipalKind(caller.kind.value) in kinds


def _is_session_of(principal: Principal, role: Caller) -> bool:
    name = role.name.rpartition("/")[2]
    prefix = f"arn:{role.partition}:sts::{role.account}:assumed-role/{name}/"
    return principal.kind is PrincipalKind.SESSION and principal.value.startswith(prefix)


def names_key(statement: Statement, owner: str, key_arn: str | None) -> bool | None:
    """Whether the statement is about this key (1.4): Resource "*", or its ARN; no Resource at all means no key.

    Without `key_arn`, a pattern that covers some keys of the owner but not all leaves it open.
    """
    if statement.resources is not None:
        return any_of(_is_key(pattern, owner, key_arn) for pattern in statement.resources)
    if statement.not_resources is not None:
        return all_of(negate(_is_key(pattern, owner, key_arn)) for pattern in statement.not_resources)
    return False


def _is_key(pattern: str, owner: str, key_arn: str | None) -> bool | None:
    parts = glob(pattern)
    if parts == (Wildcard.ANY,):
        return True
    if "${" in pattern:
        return None
    if key_arn is not None:
        return matches(parts, key_arn)
    # Partition, Region and id of the key are not known.
    fixed = re.split(r"[*?]", pattern)[0].split(":", 5)
    known = ("arn", "", "kms", "", owner, "key/")
    for at, text in enumerate(fixed):
        if not _may_start(text, known[at], whole=at + 1 < len(fixed)):
            return False
    return True if re.fullmatch(rf"arn:(aws[^:]*|\*):kms:\*:({re.escape(owner)}|\*):(key/)?\*", pattern) else None


def _may_start(text: str, wanted: str, *, whole: bool) -> bool:
    """Whether a segment can be `wanted` ("" = anything) when `text` is all of it, or else only how it begins."""
    if not wanted or (whole and text == wanted):
        return True
    return not whole and (text.startswith(wanted) or wanted.startswith(text))


def _looked_at(
    policy: KeyPolicy, results: Iterable[StatementResult], request: Request, context: CompleteContext
) -> frozenset[str]:
    """The unstated keys among the conditions of statements that were decided by their conditions."""
    return frozenset(
        key
        for result in results
        if result.applies is not False or result.part is Part.CONDITION
        for condition in result.statement.conditions
        for key in consulted(condition, variables=policy.has_variables)
        if unstated(key, request, context)
    )
