"""The one-sentence remedies: put the policy before back, or change the statement behind the finding."""

from __future__ import annotations

from keytrail.policy.findings import words
from keytrail.policy.findings.case import Access, Case


def restore(case: Case) -> str:
    """Put back what there was."""
    if case.first:
        return "Set a policy that gives only what the key is for."
    return "Put the previous policy back with PutKeyPolicy."


def drop(case: Case, access: Access) -> str:
    """Take back a gain."""
    if case.first:
        return f"Narrow or remove {words.statements(access.change.statements, 'new')}."
    if access.change.denials:
        return f"Put back {words.statements(access.change.denials, 'previous')}, or the whole previous policy."
    which = words.statements(access.change.statements, "new")
    return f"Put the previous policy back, or narrow {which}."


def pin(what: str, org: str | None) -> str:
    """Bound statements that name everyone."""
    return (
        f"Put the previous policy back, or bound {what} by StringEquals aws:PrincipalOrgID {org or '(your own)'} "
        "or kms:CallerAccount with fixed account ids."
    )
