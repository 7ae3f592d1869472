"""The whole answer about a change of a key policy: the comparison, and the findings it leads to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from keytrail.policy.findings import ChangeFacts, find
from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover import BUDGET, Comparison, compare


def assess(
    before: KeyPolicy | None,
    after: KeyPolicy,
    owner: str,
    *,
    org: str | None = None,
    trusted_accounts: Iterable[str] = (),
    facts: ChangeFacts | None = None,
    at: datetime | None = None,
    budget: int = BUDGET,
) -> Comparison:
    """Compare two policies of a key of account `owner` and add the findings, gravest first; see `compare`.

    >>> change = assess(KeyPolicy.default("111122223333"), KeyPolicy.default("111122223333"), "111122223333")
    >>> [finding.id for finding in change.findings]
    ['KMS-P00']
    """
    trusted = tuple(trusted_accounts)
    found = compare(before, after, owner, org=org, trusted_accounts=trusted, at=at, budget=budget)
    findings = find(before, after, owner, found, org=org, trusted_accounts=trusted, facts=facts, at=at)
    return replace(found, findings=findings)
