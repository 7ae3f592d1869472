"""Who can do what they could not: decrypt, administer, grant, use, destroy; and callers who helped themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.findings import words
from keytrail.policy.findings.case import EVERYONE, Access, Case, group_actions, with_statements
from keytrail.policy.findings.finding import Found, Severity, step
from keytrail.policy.findings.remedies import drop
from keytrail.policy.model import Condition, Operator, Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.requests import Caller, CallerKind, Request

DECRYPT = group_actions("decrypt", "derive") - {"kms:Encapsulate"}
ADMINISTER = group_actions("policy", "lifecycle")
USE = group_actions("encrypt", "generate", "sign", "verify", "mac") | {"kms:Encapsulate"}
DESTROY = frozenset(
    {
        "kms:ScheduleKeyDeletion",
        "kms:DisableKey",
        "kms:DeleteImportedKeyMaterial",
        "kms:ImportKeyMaterial",
        "kms:ReplicateKey",
        "kms:UpdatePrimaryRegion",
    }
)
_GRANT = "kms:CreateGrant"


def can_decrypt(case: Case) -> Iterator[Found]:
    """KMS-P05: a principal can decrypt that could not."""
    for access in _news(case, DECRYPT):
        if access.bound == "strict" and not _is_named(access):
            continue  # everybody of the account, directly: P07 says it
        yield found(case, access, _severity(case, access, "high"))


def administers(case: Case) -> Iterator[Found]:
    """KMS-P06: a principal can change the policy or the life of the key that could not."""
    for access in _news(case, ADMINISTER):
        if access.bound == "strict" and not _is_named(access):
            continue
        grave: Severity = "critical" if "kms:PutKeyPolicy" in access.actions else "high"
        yield found(case, access, _severity(case, access, grave))


def goes_past_iam(case: Case) -> Iterator[Found]:
    """KMS-P07: identities of the owner's account that IAM had to allow need no IAM any more."""
    if case.first:
        return  # naming a new key's users is how keys are made
    for access in case.gained():
        if access.bound != "strict":
            continue
        grave: Severity = "medium" if _is_named(access) else "high"
        sentence = (
            f"{start(case.who(access.classes))} {_can(access)} {words.powers(access.actions)} by the key policy "
            f"alone{_conditions(access)}; before, IAM of the account had to allow it."
        )
        yield found(case, access, grave, sentence=sentence)


def creates_grants(case: Case) -> Iterator[Found]:
    """KMS-P08: CreateGrant for more than an AWS service asks for on someone's behalf, or within wider bounds."""
    for access in case.gained((_GRANT,)):
        if case.first and access.bound == "strict":
            continue
        witness, open_ = case.witness(access), True
        if any(c.name == "kms:grantisforawsresource" for s in access.change.statements for c in s.conditions):
            witness, open_ = _grant_for_oneself(case, access)
        if not open_ and not access.kept:
            continue  # newly, but only through AWS services
        how = "with fewer limits than before" if access.kept else "and so hand out its use to anyone"
        sentence = (
            f"{start(case.who(access.classes))} {_can(access)} create grants on this key {how}"
            f"{_iam(access, case.owner)}{_conditions(access)}."
        )
        remedy = (
            "Put back Bool kms:GrantIsForAWSResource true and ForAllValues:StringEquals kms:GrantOperations on "
            f"{words.statements(access.change.statements, 'new')}, and revoke grants made meanwhile."
        )
        yield found(case, access, _severity(case, access, "high"), sentence=sentence, remedy=remedy, witness=witness)


def uses(case: Case) -> Iterator[Found]:
    """KMS-P10: encrypt, generate, sign, verify or mac, for principals that do not gain decryption with it."""
    decrypting = {id(group) for access in case.gained(DECRYPT, kept=False) for group in access.classes}
    for access in _news(case, USE):
        classes = tuple(group for group in access.classes if id(group) not in decrypting)
        if not classes or (access.bound == "strict" and not _is_named(access)):
            continue
        access = replace(access, classes=classes)
        outside = any(map(case.is_outside, classes)) and not case.is_trusted(classes)
        signs = "kms:Sign" in access.actions
        writes = any(action in access.actions for action in group_actions("encrypt", "generate"))
        grave: Severity = "high" if signs or (outside and writes) else "low"
        if grave == "low" and any(action in access.actions for action in group_actions("mac")):
            grave = "medium"
        forged = "T1565" if signs or not writes else None
        techniques = tuple(t for t in ("T1486" if writes else None, forged) if t)
        sentence = None
        if outside and writes:
            sentence = (
                f"{start(case.who(classes))} {_can(access)} {words.powers(access.actions)}"
                f"{_iam(access, case.owner)}{_conditions(access)}: enough to lock up data under it."
            )
        yield found(case, access, _severity(case, access, grave), sentence=sentence, techniques=techniques)


def destroys(case: Case) -> Iterator[Found]:
    """KMS-P11: deletion, disabling, foreign or removed material, another Region; or fewer conditions on these."""
    for access in case.gained(DESTROY):
        if access.bound == "strict" and (case.first or not _is_named(access)):
            continue
        sentence = None
        if access.kept:
            window = "kms:schedulekeydeletionpendingwindowindays"
            lowered = any(c.name == window for s in access.change.statements for c in s.conditions)
            how = "with a shorter waiting period" if lowered else "under conditions that did not suffice before"
            sentence = f"{start(case.who(access.classes))} {_can(access)} {words.powers(access.actions)} {how}."
        yield found(case, access, _severity(case, access, "high"), sentence=sentence)


def helped_itself(case: Case) -> Iterator[Found]:
    """KMS-P13: whoever made the change gains by it. An AWS service speaks for nobody: P05 and P15 judge it."""
    caller = case.facts.caller
    if caller is None or caller.kind is CallerKind.SERVICE or case.first:
        return
    for access in case.gains:
        witness = _as_caller(case, access, caller)
        if witness is None:
            continue
        actions = frozenset(access.actions)
        grave: Severity = "critical" if actions & (DECRYPT | {"kms:PutKeyPolicy", _GRANT}) else "high"
        sentence = (
            f"{start(words.caller(caller, case.owner))}, who made this change, gave itself the power to "
            f"{words.powers(access.actions)}{_conditions(access)}."
        )
        remedy = f"{drop(case, access)} Ask who used {words.caller(caller, case.owner)}, and why."
        yield replace(
            found(case, access, grave, sentence=sentence, remedy=remedy, witness=witness), principals=(caller.arn,)
        )


def found(
    case: Case,
    access: Access,
    severity: Severity,
    *,
    sentence: str | None = None,
    remedy: str | None = None,
    witness: Request | None = None,
    techniques: tuple[str, ...] | None = None,
) -> Found:
    """A gain as a finding: who can do what now."""
    witness = witness or case.witness(access)
    return Found(
        severity,
        sentence
        or f"{start(case.who(access.classes))} {_can(access)} {words.powers(access.actions)}"
        f"{_iam(access, case.owner)}{_conditions(access)}.",
        remedy or drop(case, access),
        principals=words.labels(access.classes),
        actions=access.actions,
        statements=case.statements(access),
        witness=witness,
        proof="possible" if witness is None else "witnessed",
        bound=access.bound,
        techniques=techniques,
    )


def _news(case: Case, actions: Collection[str]) -> Iterator[Access]:
    """What was not possible at all. On a first policy, being named for what IAM could already give is no news."""
    for access in case.gained(actions, kept=False):
        if not (case.first and access.bound == "strict"):
            yield access


def _is_named(access: Access) -> bool:
    return all(group.sort in ("named", "root", "service") for group in access.classes)


def _severity(case: Case, access: Access, severity: Severity) -> Severity:
    """One step lower where IAM could give it already, for trusted accounts, and for services (P15 judges them)."""
    mild = access.bound == "strict" or case.is_trusted(access.classes)
    return step(severity, 1) if mild or all(group.sort == "service" for group in access.classes) else severity


def _can(access: Access) -> str:
    return "can now" if access.change.witness is not None else "may now be able to"


def _iam(access: Access, owner: str) -> str:
    if access.bound == "strict":
        return " without IAM having to allow it"
    if access.change.needs_iam:
        return ", if IAM of their own account allows it" if access.classes[0].account != owner else ", if IAM allows it"
    return ""


def _conditions(access: Access) -> str:
    keys = words.keys(access.change.statements)
    unconditional = any(not statement.conditions for statement in access.change.statements)
    return f" (its conditions on {keys} met)" if keys and not unconditional else ""


def _grant_for_oneself(case: Case, access: Access) -> tuple[Request | None, bool]:
    """Whether the gain includes grants that no AWS service asks for, by denying all others in the policy after."""
    operator = Operator("Bool")
    only = Statement(
        0,
        None,
        "Deny",
        principals=(EVERYONE,),
        actions=(_GRANT,),
        resources=("*",),
        conditions=(Condition(operator, "kms:GrantIsForAWSResource", ("true",)),),
    )
    open_ = case.differences(case.baseline, with_statements(case.after, [only]), access.classes, (_GRANT,))
    witnesses = [each.witness for each in open_ if each.witness is not None and case.is_gain(each.witness)]
    return (witnesses[0] if witnesses else None), bool(open_)


def _as_caller(case: Case, access: Access, caller: Caller) -> Request | None:
    """The witness of a gain with the caller in its place, if that is a gain as well, directly."""
    if access.change.witness is None or not any(_may_be(group, caller) for group in access.classes):
        return None
    named = any(group.sort in ("named", "root") for group in access.classes)
    witness = case.witness(access)
    if witness is None or (witness.needs_iam and not named):
        return None
    request = replace(witness, caller=caller)
    return request if case.is_gain(request) else None


def _may_be(group: PrincipalClass, caller: Caller) -> bool:
    if group.caller.kind is not caller.kind or group.account != caller.account:
        return False
    if group.sort == "named" and caller.kind is not CallerKind.ROOT:
        return group.caller.principal_arn == caller.principal_arn
    return True
