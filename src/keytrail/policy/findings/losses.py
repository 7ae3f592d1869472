"""Who can no longer do what they could, and who no longer sees the key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.evaluate import evaluate
from keytrail.policy.findings import words
from keytrail.policy.findings.case import Access, Case
from keytrail.policy.findings.finding import Found, Severity, references, step
from keytrail.policy.model import Statement
from keytrail.policy.requests import CallerKind

_WATCHING = frozenset(
    {"kms:GetKeyPolicy", "kms:DescribeKey", "kms:ListKeyPolicies", "kms:ListGrants", "kms:ListResourceTags"}
)
_ANALYZER = "aws-service-role/access-analyzer.amazonaws.com/AWSServiceRoleForAccessAnalyzer"


def loses_access(case: Case) -> Iterator[Found]:
    """KMS-P24: callers that can no longer do something at all."""
    for access in _lost(case, kept=False):
        severity: Severity = "low" if all(map(case.is_outside, access.classes)) else "medium"
        only = ", unless IAM allows it" if access.bound == "strict" else ""
        sentence = (
            f"{start(case.who(access.classes))} can no longer {words.powers(access.actions)}{only}"
            f"{_why(case, access)}; whatever depends on that breaks."
        )
        yield _found(case, access, step(severity, 1) if access.bound == "strict" else severity, sentence)


def is_narrowed(case: Case) -> Iterator[Found]:
    """KMS-P25: callers that can still do it, but under fewer conditions."""
    for access in _lost(case, kept=True):
        denied = _is_denied(case, access)
        keys = _new_keys(case, access)
        under = f": the new policy looks at {words.listed(keys)}" if keys else ""
        sentence = (
            f"{start(case.who(access.classes))} can still {words.powers(access.actions)}, but in fewer "
            f"situations than before{under}{_why(case, access)}."
        )
        yield _found(case, access, "medium" if denied else "low", sentence)


def blinds_monitoring(case: Case) -> Iterator[Found]:
    """KMS-P33: those who watch over keys can no longer read this one's policy and properties."""
    auditors = case.facts.auditors
    for access in _lost(case, kept=False):
        actions = tuple(action for action in access.actions if action in _WATCHING)
        if not actions:
            continue
        watching = tuple(
            group
            for group in access.classes
            if group.account == case.owner
            and (
                group.caller.principal_arn in auditors
                or (group.caller.name == _ANALYZER and group.caller.kind is CallerKind.ROLE)
                or (group.sort == "other" and group.caller.kind is CallerKind.ROLE and group.caller.session is None)
            )
        )
        if not watching or access.bound == "strict":
            continue
        broad = any(group.sort == "other" for group in watching)
        who = "IAM Access Analyzer and audit roles" if broad else start(case.who(watching))
        narrowed = replace(access, actions=actions, classes=watching)
        sentence = f"{who} can no longer read this key's policy and properties, so that later changes go unseen there."
        result = _found(case, narrowed, "low", sentence)
        yield replace(
            result, remedy="Give kms:DescribeKey, kms:GetKeyPolicy and kms:List* back to those who audit keys."
        )


def _lost(case: Case, *, kept: bool) -> Iterator[Access]:
    for access in case.losses:
        classes = tuple(group for group in access.classes if group.sort != "other service")
        if classes and access.kept is kept:
            yield replace(access, classes=classes)


def _found(case: Case, access: Access, severity: Severity, sentence: str) -> Found:
    witness = case.witness(access, lost=True)
    if witness is None:
        sentence = sentence.replace(" can no longer ", " may no longer be able to ", 1)
    denials = () if case.before is None else references("after", _denying(case, access))
    return Found(
        severity,
        sentence,
        "If this was not meant, put the previous policy back with PutKeyPolicy.",
        principals=words.labels(access.classes),
        actions=access.actions,
        statements=(*references("before", access.change.statements), *denials),
        witness=witness,
        proof="possible" if witness is None else "witnessed",
        bound=access.bound,
    )


def _denying(case: Case, access: Access) -> tuple[Statement, ...]:
    witness = access.change.witness
    return () if witness is None else evaluate(case.after, witness, case.owner).denied_by


def _is_denied(case: Case, access: Access) -> bool:
    return bool(_denying(case, access))


def _why(case: Case, access: Access) -> str:
    denying = _denying(case, access)
    return f" ({words.statements(denying, 'new')} denies it)" if denying else ""


def _new_keys(case: Case, access: Access) -> list[str]:
    old = {c for s in access.change.statements for c in s.conditions}
    new = [c for s in case.new_statements for c in s.conditions if c not in old]
    return list(dict.fromkeys(condition.key for condition in new))
