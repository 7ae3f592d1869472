"""Who is shut out of the key: the account's own IAM, everyone who could manage it, all but whoever made the change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.catalogue import actions_of
from keytrail.policy.evaluate import evaluate, names_caller
from keytrail.policy.findings import words
from keytrail.policy.findings.case import Case
from keytrail.policy.findings.finding import Found, Severity, references
from keytrail.policy.model import PrincipalKind, Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.prover.witness import confirms
from keytrail.policy.requests import Caller, Request

_PUT = "kms:PutKeyPolicy"
_DECRYPT = "kms:Decrypt"


def narrows_delegation(case: Case) -> Iterator[Found]:
    """KMS-P17: what the policy before let IAM of the owner's account decide, it may no longer decide."""
    statements: dict[int, Statement] = {}
    actions: dict[str, None] = {}
    witness = None
    possible = True
    for access in case.losses:
        delegated = [group for group in access.classes if group.sort == "other" and group.account == case.owner]
        delegating = [s for s in access.change.statements if _delegates(s, case.owner)]
        if not delegated or not delegating or not access.change.needs_iam or _is_denied(case, access.change.witness):
            continue
        statements.update({s.index: s for s in delegating})
        actions.update(dict.fromkeys(access.actions))
        witness = witness or case.witness(access, lost=True)
        possible = possible and access.change.witness is None
    if not actions:
        return
    gone = not any(_delegates(s, case.owner) for s in case.after.statements)
    which = words.statements(tuple(statements.values()), "previous")
    how = "no longer delegates to the account at all" if gone else "delegates less to the account"
    locked = any(locks_out(case))
    yield Found(
        "high" if locked else "medium",
        f"IAM of account {case.owner} {'can no longer' if not possible else 'may no longer be able to'} let anyone "
        f"{words.powers(tuple(actions))}: the new policy {how}, which {which} did.",
        f"Put {which} back; if nobody can set the policy any more, ask AWS Support.",
        principals=(f"arn:aws:iam::{case.owner}:root",),
        actions=tuple(actions),
        statements=references("before", statements.values()),
        witness=witness,
        proof="possible" if witness is None else "witnessed",
        bound="upper bound",
    )


def locks_out(case: Case) -> Iterator[Found]:
    """KMS-P18: nobody of the owner's account can set the key's policy, whatever IAM says. Proved, so no witness."""
    if _own(case, case.later.holders(_PUT)):
        return
    standing = case.before is not None and not _own(case, case.earlier.holders(_PUT))
    dead = [
        s
        for s in case.after.statements
        if s.effect == "Allow" and s.principals and all(p.kind.names_nobody for p in s.principals)
    ]
    why = f" ({words.statements(dead, 'new')} names only principals that do not exist)" if dead else ""
    was = ", as before this change" if standing else ""
    yield Found(
        "critical",
        f"Nobody in account {case.owner} can manage this key{was}: the new policy lets no identity replace it, "
        f"not even the root user{why}.",
        "Ask AWS Support to restore access, since no one in the account can; keep the previous policy at hand for them."
        if not case.first
        else f"Ask AWS Support, or schedule no use of this key; allow kms:* to arn:aws:iam::{case.owner}:root.",
        principals=(f"arn:aws:iam::{case.owner}:root",),
        actions=(_PUT,),
        statements=references("after", [s for s in case.after.statements if s.effect == "Deny"] + dead),
        standing=standing,
    )


def skips_check(case: Case) -> Iterator[Found]:
    """KMS-P19: the caller told KMS not to check that it can change the policy again."""
    if not case.facts.bypass_lockout_check:
        return
    worse = any(locks_out(case)) or any(takes_over(case))
    caller = case.facts.caller
    who = start(words.caller(caller, case.owner)) if caller is not None else "Whoever made this change"
    severity: Severity = "critical" if worse else "medium"
    yield Found(
        severity,
        f"{who} switched off the lock-out safety check, so KMS would have accepted a policy that nobody can "
        f"change any more{', and did' if any(locks_out(case)) else ''}.",
        "Ask for the reason, and deny kms:BypassPolicyLockoutSafetyCheck true in IAM where there is none.",
        principals=(caller.arn,) if caller is not None else (),
        actions=(_PUT,),
    )


def takes_over(case: Case) -> Iterator[Found]:
    """KMS-P20: the owner's identities lose decryption or the policy, and only the caller or an outsider has it."""
    if case.first:
        return
    caller = case.facts.caller
    for action in (_DECRYPT, _PUT):
        had = [g for g in _own(case, case.earlier.holders(action)) if not _is(g, caller)]
        if not had or any(not _is(g, caller) for g in _own(case, case.later.holders(action))):
            continue
        kept = [g for g in _own(case, case.later.holders(action)) if _is(g, caller)]
        decrypting = case.later.holders(_DECRYPT)
        outside = [] if _own(case, decrypting) else [g for g in decrypting if case.is_outside(g)]
        beneficiaries = kept or outside
        if not beneficiaries:
            continue
        loss = next(
            (a for a in case.losses if action in a.actions and any(not _is(g, caller) for g in a.classes)), None
        )
        witness = None if loss is None else case.witness(replace(loss, actions=(action,)), lost=True)
        if witness is None or not confirms(witness, case.baseline, case.after, case.owner):
            continue  # what is lost must be shown
        by = words.caller(caller, case.owner) if kept and caller is not None else case.who(beneficiaries)
        has = "keeps it" if kept else "can decrypt"
        trusted = not kept and case.is_trusted(beneficiaries)
        held_by = [*dict.fromkeys(words.labels(beneficiaries))]
        yield Found(
            "high" if trusted else "critical",
            f"Every identity of account {case.owner} that could {words.powers((action,))} has lost it, and only "
            f"{by} {has}: the shape of a takeover or of ransom.",
            "Put the previous policy back at once (through AWS Support if nobody can), disable the key rather than "
            "delete it, and revoke every grant made since.",
            principals=tuple(held_by),
            actions=(action,),
            statements=tuple(
                dict.fromkeys(
                    (
                        *references("before", loss.change.statements if loss is not None else ()),
                        *references("after", _giving(case, beneficiaries, _DECRYPT if not kept else action)),
                    )
                )
            ),
            witness=witness,
            proof="witnessed",
        )
        return


def _giving(case: Case, classes: Iterable[PrincipalClass], action: str) -> list[Statement]:
    callers = [group.caller for group in classes]
    return [
        statement
        for statement in case.after.statements
        if statement.effect == "Allow"
        and action in actions_of(statement)
        and any(names_caller(statement, caller, needs_iam=True) for caller in callers)
    ]


def _own(case: Case, classes: Iterable[PrincipalClass]) -> list[PrincipalClass]:
    return [group for group in classes if group.account == case.owner]


def _is(group: PrincipalClass, caller: Caller | None) -> bool:
    """Whether a class is the caller and nobody else."""
    if caller is None or group.sort not in ("named", "root"):
        return False
    return group.caller.kind is caller.kind and group.caller.principal_arn == caller.principal_arn


def _delegates(statement: Statement, owner: str) -> bool:
    return statement.effect == "Allow" and any(
        p.kind is PrincipalKind.ACCOUNT and p.account == owner for p in statement.principals or ()
    )


def _is_denied(case: Case, witness: Request | None) -> bool:
    return witness is not None and bool(evaluate(case.after, witness, case.owner).denied_by)
