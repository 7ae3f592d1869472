"""Key policies: the document, what a request gets from it, and what a change of it grants. Pure: no I/O, no clock."""

from keytrail.policy.assess import assess
from keytrail.policy.catalogue import Action, Catalogue, ConditionKey, actions_of, catalogue, expand
from keytrail.policy.evaluate import Decision, Outcome, Part, StatementResult, evaluate
from keytrail.policy.findings import SEVERITIES, ChangeFacts, Finding, Found, Severity, listed, powers, step
from keytrail.policy.lints import Lint, lint
from keytrail.policy.model import (
    Condition,
    Effect,
    KeyPolicy,
    Operator,
    Principal,
    PrincipalKind,
    Qualifier,
    Statement,
)
from keytrail.policy.prover import Change, Comparison, compare
from keytrail.policy.requests import Caller, CallerKind, Request

__all__ = [
    "SEVERITIES",
    "Action",
    "Caller",
    "CallerKind",
    "Catalogue",
    "Change",
    "ChangeFacts",
    "Comparison",
    "Condition",
    "ConditionKey",
    "Decision",
    "Effect",
    "Finding",
    "Found",
    "KeyPolicy",
    "Lint",
    "Operator",
    "Outcome",
    "Part",
    "Principal",
    "PrincipalKind",
    "Qualifier",
    "Request",
    "Severity",
    "Statement",
    "StatementResult",
    "actions_of",
    "assess",
    "catalogue",
    "compare",
    "evaluate",
    "expand",
    "lint",
    "listed",
    "powers",
    "step",
]
