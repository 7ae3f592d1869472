"""Findings: what is dangerous about a change of a key policy, each decided by the prover and said for a person."""

from keytrail.policy.findings.finding import (
    SEVERITIES,
    TECHNIQUES,
    ChangeFacts,
    Finding,
    Found,
    Severity,
    StatementRef,
    step,
)
from keytrail.policy.findings.registry import FINDINGS, find
from keytrail.policy.findings.words import listed, powers

__all__ = [
    "FINDINGS",
    "SEVERITIES",
    "TECHNIQUES",
    "ChangeFacts",
    "Finding",
    "Found",
    "Severity",
    "StatementRef",
    "find",
    "listed",
    "powers",
    "step",
]
