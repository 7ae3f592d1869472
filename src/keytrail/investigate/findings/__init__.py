"""Findings about what came before a change of a key policy and after it; the policy room's are about the policies."""

from keytrail.investigate.findings.registry import FINDINGS, GAINS, Kind, findings_of

__all__ = ["FINDINGS", "GAINS", "Kind", "findings_of"]
