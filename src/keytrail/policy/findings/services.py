"""AWS services that are let in without saying on whose behalf: the confused deputy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.evaluate import evaluate
from keytrail.policy.findings import words
from keytrail.policy.findings.case import EVERYONE, Case, with_statements
from keytrail.policy.findings.finding import Found, Severity, references
from keytrail.policy.findings.holdings import Slice, class_key
from keytrail.policy.model import Condition, KeyPolicy, Operator, Statement

_CONTEXT = "kms:encryptioncontext:"


def lacks_source(case: Case) -> Iterator[Found]:
    """KMS-P15: a service may act for a resource of a foreign account, or of nobody knows who.

    Decided by meaning: with everything denied that comes from the owner's, a trusted account's or a fixed source,
    something is still allowed. New if the policy before did not allow it.
    """
    if not any(_lets_services_in(statement) for statement in case.after.statements):
        return
    foreign = with_statements(case.after, _own_sources(case))
    services = [group for group in case.services if group.sort == "service" or not case.comparison.public]
    seen: set[tuple[object, ...]] = set()
    for against, fresh in ((case.baseline, True), (replace(case.after, statements=(), source=None), False)):
        merged: dict[tuple[object, ...], list[Slice]] = {}
        for part in case.differences(against, foreign, services):
            for group in part.classes:
                if (class_key(group), fresh) not in seen and (class_key(group), True) not in seen:
                    giving = () if part.witness is None else evaluate(case.after, part.witness, case.owner).allowed_by
                    key = tuple(statement.index for statement in giving)
                    merged.setdefault((class_key(group), *key), []).append(replace(part, classes=(group,)))
        for slices in merged.values():
            yield _found(case, slices, fresh)
        seen.update((key[0], fresh) for key in merged)


def _found(case: Case, slices: list[Slice], fresh: bool) -> Found:
    witness = next((each.witness for each in slices if each.witness is not None), None)
    if witness is not None and not (case.is_gain(witness) if fresh else case.allows(witness)):
        witness = None
    statements = [s for s in case.after.statements if _lets_services_in(s)]
    if witness is not None:
        statements = list(evaluate(case.after, witness, case.owner).allowed_by)
    limited = all(any(_pins_context(c) for c in statement.conditions) for statement in statements)
    severity: Severity = "low" if limited else "high" if fresh else "medium"
    classes = slices[0].classes
    actions = tuple(action for each in slices for action in each.actions)
    can = "can" if witness is not None else "may be able to"
    bound = "; only the encryption context, which the caller chooses, limits it" if limited else ""
    which = words.statements(statements, "new")
    return Found(
        severity,
        f"{start(case.who(classes))} {can} {'now ' if fresh else ''}{words.powers(actions)} on "
        f"behalf of any AWS account, so anyone can have it done{bound}.",
        f"Add aws:SourceArn of the resource that needs it (or else aws:SourceAccount {case.owner}) to {which}.",
        principals=words.labels(classes),
        actions=actions,
        statements=references("after", statements),
        witness=witness,
        proof="possible" if witness is None else "witnessed",
        bound="upper bound",
        standing=not fresh,
    )


def _lets_services_in(statement: Statement) -> bool:
    if statement.effect != "Allow":
        return False
    everyone = EVERYONE in (statement.principals or ())
    named = any(principal.type == "Service" for principal in statement.principals or ())
    return everyone or named or statement.not_principals is not None


def _own_sources(case: Case) -> list[Statement]:
    """Deny statements for all sources of the owner, a trusted account or the organisation, and for fixed resources."""
    accounts = (case.owner, *sorted(case.trusted))
    conditions = [
        Condition(Operator("StringEquals"), "aws:SourceAccount", accounts),
        Condition(Operator("ArnLike"), "aws:SourceArn", tuple(f"arn:*:*:*:{account}:*" for account in accounts)),
    ]
    if case.org:
        conditions.append(Condition(Operator("StringEquals"), "aws:SourceOrgID", (case.org,)))
        paths = Operator("StringLike", qualifier="ForAnyValue")
        conditions.append(Condition(paths, "aws:SourceOrgPaths", (f"{case.org}/*",)))
    fixed = _fixed_sources(case.after)
    if fixed:
        conditions.append(Condition(Operator("ArnLike"), "aws:SourceArn", fixed))
    return [
        Statement(
            0, None, "Deny", principals=(EVERYONE,), actions=("kms:*",), resources=("*",), conditions=(condition,)
        )
        for condition in conditions
    ]


def _fixed_sources(policy: KeyPolicy) -> tuple[str, ...]:
    """Source ARNs without an account that name one resource: a bucket."""
    found: dict[str, None] = {}
    for _, condition in policy.conditions():
        for value in condition.values if condition.name == "aws:sourcearn" else ():
            parts = value.split(":", 5)
            if len(parts) == 6 and not parts[4] and parts[5] and not set("*?$") & set(parts[5].partition("/")[0]):
                found[value] = None
    return tuple(found)


def _pins_context(condition: Condition) -> bool:
    operator = condition.operator
    positive = "Not" not in operator.name and operator.name != "Null" and not operator.if_exists
    return condition.name.startswith(_CONTEXT) and positive and bool(condition.values) and "*" not in condition.values
