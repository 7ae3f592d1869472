"""What stood in the way and no longer does: conditions, Deny statements, operators that hold for missing keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.catalogue import actions_of, catalogue
from keytrail.policy.evaluate import names_caller
from keytrail.policy.findings import words
from keytrail.policy.findings.case import ALLOW_EVERYTHING, Access, Case, content, with_statements
from keytrail.policy.findings.finding import Found, Severity, references, step
from keytrail.policy.findings.holdings import class_key
from keytrail.policy.findings.powers import found
from keytrail.policy.model import Condition, KeyPolicy, Operator, Statement
from keytrail.policy.operators import OPERATORS

_GRAVE_KEYS = ("kms:recipientattestation:", "aws:sourcevpc", "aws:vpcsourceip", "aws:multifactorauth")
_MOST_HOLES = 16  # counterfactual questions; a change that rewrites more statements shows in other findings


def loses_conditions(case: Case) -> Iterator[Found]:
    """KMS-P09: the same callers could do it before, but only under conditions that are gone or weaker."""
    if case.first:
        return
    for access in case.gained(kept=True):
        if access.change.denials:
            continue  # KMS-P12
        changed = _changed_keys(case, access)
        grave: Severity = "high" if any(key.lower().startswith(_GRAVE_KEYS) for key in changed) else "medium"
        which = f"conditions on {words.listed(changed)}" if changed else "conditions"
        can = "can now" if access.change.witness is not None else "may now be able to"
        sentence = (
            f"{start(case.who(access.classes))} {can} {words.powers(access.actions)} in more situations than "
            f"before: {which} are gone or weaker."
        )
        yield found(case, access, step(grave, 1) if access.bound == "strict" else grave, sentence=sentence)


def loses_denials(case: Case) -> Iterator[Found]:
    """KMS-P12: a Deny covered what is allowed now; or it is gone although nothing is allowed yet."""
    if case.first or case.before is None:
        return
    gone: set[int] = set()
    for access in case.gains:
        denials = access.change.denials
        if not denials:
            continue
        gone.update(statement.index for statement in denials)
        which = words.statements(denials, "previous")
        can = "can now" if access.change.witness is not None else "may now be able to"
        iam = ", as far as IAM allows it" if access.change.needs_iam else ""
        sentence = (
            f"{start(case.who(access.classes))} {can} {words.powers(access.actions)}{iam}: "
            f"the Deny of {which} was removed or weakened."
        )
        yield found(case, access, "high", sentence=sentence)
    yield from _unused_denials(case, case.before, gone)


def has_hole(case: Case) -> Iterator[Found]:
    """KMS-P16: what is gained hangs on an operator that also holds (or, denying, fails) when its key is missing.

    Decided by the counterfactual: with the strict form of the operator, the gain is proved to be gone.
    """
    if case.first or not case.gains:
        return
    for statement in case.new_statements[:_MOST_HOLES]:
        strict = _strict(statement, case)
        if strict == statement:
            continue
        fixed = replace(
            case.after,
            statements=tuple(strict if s.index == statement.index else s for s in case.after.statements),
            source=None,
        )
        concerned = [access for access in case.gained() if _is_behind(statement, access)]
        remaining = {
            (class_key(group), action)
            for left in case.differences(case.baseline, fixed, {g for a in concerned for g in a.classes})
            for group in left.classes
            for action in left.actions
        }
        for access in concerned:
            classes = tuple(
                group
                for group in access.classes
                if all((class_key(group), action) not in remaining for action in access.actions)
            )
            if not classes:
                continue
            loose = [condition for condition in statement.conditions if _is_loose(condition, statement, case)]
            operators = words.listed([f"{condition.operator} on {condition.key}" for condition in loose])
            can = "can now" if access.change.witness is not None else "may now be able to"
            sentence = (
                f"{start(case.who(classes))} {can} {words.powers(access.actions)} only because {operators} in "
                f"{statement.label} of the new policy {_how(loose, statement)}."
            )
            remedy = f"Write the strict operator in {statement.label}" + (
                " (with IfExists, as it denies)." if statement.effect == "Deny" else ', with Null "false" beside it.'
            )
            result = found(case, replace(access, classes=classes), "high", sentence=sentence, remedy=remedy)
            refs = tuple(dict.fromkeys((*references("after", [statement]), *result.statements)))
            yield replace(result, statements=refs)


def _changed_keys(case: Case, access: Access) -> list[str]:
    """The condition keys about these actions that only one of the policies has, or has otherwise."""
    sides = []
    for policy in (case.baseline, case.after):
        sides.append({c for s in policy.statements if _concerns(s, access) for c in s.conditions})
    differing = sides[0] ^ sides[1]
    if not differing:  # the same conditions, but joined otherwise
        differing = sides[0]
    return sorted({condition.key for condition in differing})


def _concerns(statement: Statement, access: Access) -> bool:
    if not actions_of(statement).intersection(access.actions):
        return False
    return any(names_caller(statement, group.caller, needs_iam=True) is not False for group in access.classes)


def _unused_denials(case: Case, before: KeyPolicy, gone: set[int]) -> Iterator[Found]:
    """Denials that no longer deny, where nothing is allowed yet: compared as if everything else were allowed."""
    denials = [[s for s in policy.statements if s.effect == "Deny"] for policy in (before, case.after)]
    if {content(s) for s in denials[0]} <= {content(s) for s in denials[1]}:
        return
    sides = [
        with_statements(replace(policy, statements=tuple(deny), source=None), [ALLOW_EVERYTHING])
        for policy, deny in zip((before, case.after), denials, strict=True)
    ]
    seen: set[int] = set()
    for change in case.compare(sides[0], sides[1]).gains:
        which = tuple(s for s in change.denials if s.index not in gone)
        if not which or change.witness is None or {s.index for s in which} <= seen:
            continue
        seen.update(s.index for s in which)
        label = words.statements(which, "previous")
        sentence = (
            f"{start(label)} denied {case.who(change.classes)} to {words.powers(change.actions)}, and nothing "
            "does any more; nothing new is allowed by it yet."
        )
        yield Found(
            "low",
            sentence,
            f"Put back {label}, so that a later Allow or grant cannot give it.",
            principals=words.labels(change.classes),
            actions=change.actions,
            statements=references("before", which),
        )


def _is_behind(statement: Statement, access: Access) -> bool:
    if statement.effect == "Allow":
        return any(given.index == statement.index for given in access.change.statements)
    return bool(access.change.denials)


def _strict(statement: Statement, case: Case) -> Statement:
    """The statement with operators that a missing or an additional value does not slip through.

    For a Deny only conditions whose stricter form the policy before had: that is what was dropped.
    """
    conditions: list[Condition] = []
    added: list[Condition] = []
    for condition in statement.conditions:
        if not _is_loose(condition, statement, case):
            conditions.append(condition)
            continue
        conditions.append(replace(condition, operator=_strict_operator(condition.operator, statement.effect)))
        known = catalogue().key(condition.key)
        if statement.effect == "Allow" and (known is None or known.presence != "always"):
            added.append(Condition(Operator("Null"), condition.key, ("false",)))
    return replace(statement, conditions=(*conditions, *added))


def _is_loose(condition: Condition, statement: Statement, case: Case) -> bool:
    """Whether an operator lets through a request without the key, or one value among others."""
    operator = condition.operator
    if not operator.known or operator.name == "Null":
        return False
    negated = OPERATORS[operator.name].negated
    if statement.effect == "Deny":
        return not negated and not operator.if_exists and _was_strict(condition, case)
    return (
        operator.if_exists
        or operator.qualifier == "ForAllValues"
        or (operator.qualifier == "ForAnyValue" and not negated)
    )


def _strict_operator(operator: Operator, effect: str) -> Operator:
    if effect == "Deny":
        return replace(operator, if_exists=True)
    qualifier = "ForAllValues" if operator.qualifier == "ForAnyValue" else operator.qualifier
    return replace(operator, qualifier=qualifier, if_exists=False)


def _was_strict(condition: Condition, case: Case) -> bool:
    return any(
        old.name == condition.name and old.operator.if_exists and statement.effect == "Deny"
        for statement, old in case.baseline.conditions()
    )


def _how(conditions: Iterable[Condition], statement: Statement) -> str:
    if statement.effect == "Deny":
        return "does not deny requests that lack the key"
    if all(condition.operator.qualifier == "ForAnyValue" for condition in conditions):
        return "is content with one matching value among others"
    return "also holds for requests that lack the key"
