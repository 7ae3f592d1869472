"""What the text shows: dangerous constructs, dead principals and statements, an old language, growing wildcards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from keytrail.phrases import start
from keytrail.policy.catalogue import actions_of, catalogue, expand
from keytrail.policy.findings import words
from keytrail.policy.findings.case import ALLOW_EVERYTHING, Case, with_statements
from keytrail.policy.findings.finding import Found, Severity, StatementRef, references
from keytrail.policy.findings.remedies import restore
from keytrail.policy.model import KeyPolicy, PrincipalKind, Statement

_MOST_ASKED = 50  # statements asked about one by one


def negates(case: Case) -> Iterator[Found]:
    """KMS-P14: NotPrincipal and NotAction; Allow with NotPrincipal always, the others when they are new."""
    new = {statement.index for statement in case.new_statements}
    for statement in case.after.statements:
        fresh = statement.index in new
        refs = references("after", [statement])
        if statement.not_principals is not None and statement.effect == "Allow":
            spared = words.listed([str(p) for p in statement.not_principals]) or "nobody"
            gains = [a for a in case.gained() if statement.index in {s.index for s in a.change.statements}]
            witness = next((w for w in map(case.witness, gains) if w is not None), None)
            actions = tuple(sorted(actions_of(statement)))
            effect = words.powers(actions) if actions else "do nothing on a key"
            yield Found(
                "high",
                f"{start(statement.label)} of the new policy allows everyone except {spared}, "
                f"strangers of other accounts included, to {effect}.",
                f"Name those who are meant in Principal of {statement.label} instead of NotPrincipal.",
                principals=("*",),
                actions=actions,
                statements=refs,
                witness=witness,
                proof="witnessed" if witness is not None else "proved",
                standing=not fresh,
            )
        elif fresh and statement.not_principals is not None:
            spared = words.listed([str(p) for p in statement.not_principals]) or "nobody"
            yield Found(
                "low",
                f"{start(statement.label)} of the new policy denies everyone except {spared}; it spares a "
                "session only if its account, its role and itself are all listed.",
                f"Use Principal * with ArnNotLike aws:PrincipalArn in {statement.label}.",
                statements=refs,
            )
        elif fresh and statement.not_actions is not None:
            covered = sorted(actions_of(statement))
            effect = f"covers {len(covered)} operations on the key" if covered else "covers nothing on a key"
            verb = "allow" if statement.effect == "Allow" else "deny"
            yield Found(
                "low",
                f"{start(statement.label)} of the new policy uses NotAction to {verb} everything but "
                f"{words.listed(list(statement.not_actions)) or 'nothing'}: it {effect}, and whatever AWS adds.",
                f"List the operations that are meant in Action of {statement.label}.",
                actions=tuple(covered),
                statements=refs,
            )


def is_orphaned(case: Case) -> Iterator[Found]:
    """KMS-P21: the unique id that a deleted user or role left behind."""
    found: dict[str, list[StatementRef]] = {}
    sides: list[tuple[Literal["before", "after"], KeyPolicy | None]] = [("after", case.after), ("before", case.before)]
    for side, policy in sides:
        for statement in () if policy is None else policy.statements:
            for principal in statement.all_principals():
                if principal.kind is PrincipalKind.DELETED:
                    found.setdefault(principal.value, []).extend(references(side, [statement]))
    for name, refs in found.items():
        here = any(ref.side == "after" for ref in refs)
        where = "is named by the new policy" if here else "was named by the previous policy"
        yield Found(
            "low",
            f"{name}, the id of a user or role that was deleted, {where}: nobody can be it, "
            "not even a new user or role of the old name.",
            f"Remove {name}, and name the user or role again if it was created anew."
            if here
            else "Nothing to do: the new policy no longer names it.",
            principals=(name,),
            statements=tuple(dict.fromkeys(refs)),
            standing=here and any(ref.side == "before" for ref in refs),
        )


def is_ineffective(case: Case) -> Iterator[Found]:
    """KMS-P22: a new statement that does nothing on its own, whatever else the policy says."""
    giving = {s.index for access in case.gains for s in access.change.statements}
    asked = [s for s in case.new_statements if s.index not in giving]
    for statement in asked[:_MOST_ASKED]:
        alone = replace(case.after, statements=(statement,), source=None)
        everything = replace(case.after, statements=(), source=None)
        if statement.effect == "Allow":
            idle = not case.compare(None, alone).new_access
        else:
            sides = [with_statements(policy, [ALLOW_EVERYTHING]) for policy in (everything, alone)]
            idle = not case.compare(sides[0], sides[1]).lost_access
        if idle:
            verb = "allows" if statement.effect == "Allow" else "denies"
            yield Found(
                "low",
                f"{start(statement.label)} of the new policy {verb} nothing: {_why_idle(statement, case)}.",
                f"Correct or remove {statement.label}; its author meant something by it.",
                principals=tuple(str(p) for p in statement.all_principals()),
                statements=references("after", [statement]),
            )


def is_older(case: Case) -> Iterator[Found]:
    """KMS-P23: Version lowered or missing, so that policy variables are plain text; raised the other way round."""
    now = case.after.has_variables
    if case.before is not None and case.before.version == case.after.version:
        return
    if case.before is None and now:
        return
    using = [s for s in case.after.statements if any("${" in v for c in s.conditions for v in c.values)]
    if case.before is None and not using:
        return
    version = case.after.version or "missing"
    changed = bool(using) and (case.before is None or case.before.has_variables != now)
    severity: Severity = "medium" if changed and not now else "low"
    was = "" if case.before is None else f" (it was {case.before.version or 'missing'})"
    if changed:
        means = "policy variables now stand for values" if now else "its policy variables are plain text"
        effect = f": {means} in {words.statements(using, 'new')}"
    else:
        effect = ", which changes nothing as long as the policy uses no policy variables"
    witness = None
    if changed:
        gains = [a for a in case.gained() if {s.index for s in using} & {s.index for s in a.change.statements}]
        witness = next((w for w in map(case.witness, gains) if w is not None), None)
    yield Found(
        severity,
        f"The Version of the policy is {version}{was}{effect}.",
        'Write "Version": "2012-10-17".' if not now else restore(case),
        statements=references("after", using) if changed else (),
        witness=witness,
        proof="witnessed" if witness is not None else "proved",
    )


def has_grown(case: Case) -> Iterator[Found]:
    """KMS-P34: wildcards that cover operations which did not exist when the policy before was set."""
    since = case.facts.before_date
    if since is None:
        return
    newer = {
        a.name for a in catalogue().key_actions() if a.newer_than is not None and a.newer_than >= since.isoformat()
    }
    refs: list[StatementRef] = []
    patterns: dict[str, None] = {}
    covered: set[str] = set()
    for statement in case.after.statements:
        for pattern in statement.actions or () if statement.effect == "Allow" else ():
            more = expand(pattern) & newer if "*" in pattern or "?" in pattern else frozenset()
            if more:
                covered |= more
                patterns[pattern] = None
                refs.extend(references("after", [statement]))
    if covered:
        yield Found(
            "info",
            f"The wildcard{'s' if len(patterns) > 1 else ''} {words.listed(list(patterns))} of the new policy now "
            f"{'include' if len(patterns) > 1 else 'includes'} operations that may be younger than the previous policy "
            f"of {since.isoformat()}: {words.listed(sorted(covered))}.",
            "List the operations that are meant.",
            actions=tuple(sorted(covered)),
            statements=tuple(dict.fromkeys(refs)),
            standing=True,
        )


def _why_idle(statement: Statement, case: Case) -> str:
    if statement.actions is None and statement.not_actions is None:
        return "it has no Action"
    if statement.resources is None and statement.not_resources is None:
        return "it has no Resource, so it applies to no key"
    principals = statement.principals
    if principals is not None and all(p.kind.names_nobody for p in principals):
        return "its Principal names nobody" + (f" ({words.listed([str(p) for p in principals])})" if principals else "")
    if principals is None and statement.not_principals is None:
        return "it has no Principal"
    actions = actions_of(statement)
    if not actions:
        patterns = statement.actions or ()
        known = [p for p in patterns if catalogue().action(p) is not None]
        if known:
            return f"only IAM can give {words.listed(known)}"
        return (
            f"no operation on a key is called {words.listed(list(patterns))}"
            if patterns
            else "it covers no operation on a key"
        )
    outside = principals is not None and all(p.account not in (None, case.owner) for p in principals)
    if outside and not any(a.cross_account for a in catalogue().key_actions() if a.name in actions):
        return f"{words.listed(sorted(actions))} has no effect for another account"
    if statement.conditions:
        return f"no request meets its conditions on {words.keys([statement])}"
    return "it names no request on this key"
