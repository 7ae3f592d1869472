"""What a comparison covers: no change at all, what it could not decide, first policies, other Regions."""

from __future__ import annotations

from collections.abc import Iterator

from keytrail.phrases import start
from keytrail.policy.findings import words
from keytrail.policy.findings.case import Case
from keytrail.policy.findings.finding import Found, Severity, references
from keytrail.policy.prover.comparison import Comparison

_OUTSIDE = (
    "grants, keys shared through AWS RAM, organisation policies, permissions boundaries, session and VPC endpoint "
    "policies, and what IAM itself says"
)


def changes_nothing(case: Case) -> Iterator[Found]:
    """KMS-P00: both difference questions are proved to have no answer."""
    if not case.comparison.unchanged or not case.facts.before_known:
        return
    yield Found(
        "info",
        "This change of the key policy gives nobody new access and takes none away, which is proved. "
        f"Not part of the proof: {_OUTSIDE}.",
        "Nothing to do.",
    )


def is_incomplete(case: Case) -> Iterator[Found]:
    """KMS-P26: something was not decided, and what exactly. Never silently taken for no change."""
    reasons = list(case.comparison.incomplete)
    if not case.facts.before_known:
        shown = "everything is shown as if it were new" if case.first else "it is compared with the last that is known"
        reasons.insert(0, f"the policy before this change is not known, so {shown}")
    if case.facts.policy_name != "default":
        reasons.insert(
            0, f'the change is of the policy named "{case.facts.policy_name}", not of the key policy "default"'
        )
    if not reasons:
        return
    proof = case.comparison.proof
    open_ = "possible" in (proof.new_access, proof.public, proof.external_accounts)
    severity: Severity = "medium" if open_ or not case.facts.before_known else "low"
    yield Found(
        severity,
        f"The answer is not complete: {'; '.join(reasons[:4])}"
        + (f"; and {len(reasons) - 4} more" if len(reasons) > 4 else "")
        + ".",
        "Read the statements concerned; what could not be decided is shown as possible.",
        proof="possible",
    )


def is_first(case: Case) -> Iterator[Found]:
    """KMS-P27: a new key; compared with what AWS would have given it, and a replica with its primary."""
    if not case.first or not case.facts.before_known:
        return
    beyond = case.difference
    if beyond.unchanged:
        than = "it amounts to AWS's default policy, which leaves everything to IAM of the account"
    elif beyond.new_access and beyond.lost_access:
        than = "it gives some access that AWS's default policy would not, and withholds some that it would give"
    elif beyond.new_access:
        than = "it gives more than AWS's default policy"
    else:
        than = "it gives less than AWS's default policy"
    primary = case.facts.primary
    if primary is not None:
        than += f"; {_against_primary(case.compare(primary, case.after))}"
    wide = case.comparison.public or bool(case.comparison.external_accounts)
    if wide:
        than += f"; and it lets in {words.listed([_outsider(a) for a in case.comparison.external_accounts])}"
    yield Found(
        "info",
        f"This is the first policy of the key: {than}.",
        "Nothing to do if this is the access that the key is for.",
        statements=references("after", case.after.statements),
        witness=beyond.witness,
        proof="witnessed" if beyond.witness is not None else "proved",
        techniques=("T1098",) if wide else (),
    )


def diverges(case: Case) -> Iterator[Found]:
    """KMS-P28: copies of a multi-Region key differ: open elsewhere to what this policy refuses, or open wider here.

    The witness is such a request. A new copy is held against the primary alone.
    """
    yield from _wider_than_primary(case)
    for arn, policy in case.facts.replicas:
        beyond = case.compare(case.after, policy)
        if not beyond.new_access:
            continue
        first = beyond.gains[0]
        tightened = case.comparison.lost_access and not case.first
        how = "this change took it away here only" if tightened else "the two policies differ"
        can = "can" if first.witness is not None else "may be able to"
        severity: Severity = "medium" if tightened else "low"
        yield Found(
            severity,
            f"{start(case.who(first.classes))} {can} {words.powers(first.actions)} through the copy {arn} of "
            f"this key, though not here: {how}.",
            f"Give {arn} the same policy: key policies of multi-Region keys are never synchronised.",
            principals=first.principals,
            actions=first.actions,
            witness=first.witness,
            proof="possible" if first.witness is None else "witnessed",
        )


def _wider_than_primary(case: Case) -> Iterator[Found]:
    primary = case.facts.primary
    beyond = None if primary is None else case.compare(primary, case.after)
    if beyond is None or not beyond.new_access:
        return
    first = beyond.gains[0]
    can = "can" if first.witness is not None else "may be able to"
    yield Found(
        "medium",
        f"{start(case.who(first.classes))} {can} {words.powers(first.actions)} through this new copy of the key, "
        "though not through its primary.",
        "Give this copy the policy of the primary: key policies of multi-Region keys are never synchronised.",
        principals=first.principals,
        actions=first.actions,
        statements=references("after", first.statements),
        witness=first.witness,
        proof="possible" if first.witness is None else "witnessed",
    )


def _against_primary(comparison: Comparison) -> str:
    if comparison.unchanged:
        return "it gives the same as the policy of the primary key"
    if comparison.new_access:
        return "it gives access that the policy of the primary key does not give"
    return "it gives less than the policy of the primary key"


def _outsider(account: str) -> str:
    if account == "*":
        return "accounts without bound"
    return f"organisation {account[4:]}" if account.startswith("org:") else f"account {account}"
