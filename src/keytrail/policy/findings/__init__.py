"""Findings: what is dangerous about a change of a key policy, each decided by the prover and said for a person."""

from keytrail.policy.findings.finding import SEVERITIES, TECHNIQUES, ChangeFacts, Finding, Severity, StatementRef
from keytrail.policy.findings.registry import FINDINGS, find

__all__ = ["FINDINGS", "SEVERITIES", "TECHNIQUES", "ChangeFacts", "Finding", "Severity", "StatementRef", "find"]
