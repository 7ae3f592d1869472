"""What came before the change and after it: refused attempts, grants that stay, use of what was gained, a quick end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.investigate.accounts import UNTRUSTED
from keytrail.investigate.findings.case import Case
from keytrail.investigate.model import Usage
from keytrail.investigate.names import at, length, short, times
from keytrail.phrases import count, start
from keytrail.policy import Found, Severity, listed, powers

_MEANT = ("trusted", "approved")
_STOP = (
    "Put the previous policy back, disable the key rather than delete it, revoke every grant made since the change, "
    "and replace the secrets that were decrypted."
)
_ASK = "Nothing to do if this is what the access was given for."


def was_refused(case: Case) -> Iterator[Found]:
    """KMS-P29: the same change was tried before and refused; medium when somebody lacked the right, or kept trying."""
    tries = max(case.compared.refused_total, len(case.compared.refused_before))
    if not tries:
        return
    attempts = sorted(case.attempts, key=lambda one: (one.time, one.id))
    who = tuple(dict.fromkeys(event.principal for event in attempts))
    by = f", by {listed([short(one, case.owner) for one in who])}" if who else ""
    when = f", the last time at {at(attempts[-1].time)}" if attempts else ""
    denied = any(event.error.startswith("AccessDenied") for event in attempts)
    yield Found(
        "medium" if denied or tries > 1 else "low",
        f"The same change was tried and refused {times(tries)} before{by}{when}.",
        "Ask who made the attempts, and how they came by the right to make the change.",
        principals=who,
        actions=(f"kms:{case.change.event.name}",),
    )


def leaves_grants(case: Case) -> Iterator[Found]:
    """KMS-P30: the policy shuts a principal out that a grant still lets in. The end of a grant may be out of sight."""
    grants = case.related.surviving_grants
    if not grants:
        return
    grantees = tuple(dict.fromkeys(grant.grantee for grant in grants))
    actions = tuple(dict.fromkeys(f"kms:{operation}" for grant in grants for operation in grant.operations))
    one = len(grants) == 1
    what = powers(actions) if actions else "use this key"
    yield Found(
        "medium",
        f"{start(listed([short(grantee, case.owner) for grantee in grantees]))} can still {what} by "
        f"{count(len(grants), 'grant')} that {'was' if one else 'were'} not revoked, although this change shuts "
        f"{'it' if len(grantees) == 1 else 'them'} out: a grant does not end with the policy that allowed it.",
        f"Revoke {listed([grant.grant_id for grant in grants])} with RevokeGrant, unless a service needs "
        f"{'it' if one else 'them'}.",
        principals=grantees,
        actions=actions,
        proof="possible",
    )


def was_used(case: Case) -> Iterator[Found]:
    """KMS-P31: gained access was used; critical by outsiders, milder by those who are meant to use it."""
    outside = [one for one in case.related.uses if case.relation(one.principal) in UNTRUSTED]
    approved = [one for one in case.related.uses if case.relation(one.principal) in _MEANT]
    own = [one for one in case.related.uses if one not in outside and one not in approved]
    yield from _used(case, outside, "critical", "", _STOP)
    yield from _used(case, approved, "medium", " The account is approved.", _ASK)
    yield from _used(case, own, "low", " No outside account is among them.", _ASK)


def _used(case: Case, uses: Sequence[Usage], severity: Severity, note: str, remedy: str) -> Iterator[Found]:
    if not uses:
        return
    who = tuple(dict.fromkeys(one.principal for one in uses))
    actions = tuple(dict.fromkeys(one.action for one in uses))
    first, last = min(one.first for one in uses), max(one.last for one in uses)
    number, later = sum(one.count for one in uses), sum(one.after_revert for one in uses)
    when = f"at {at(first)}" if number == 1 else f"between {at(first)} and {at(last)}"
    still = f", {later:,} of them after the change was undone" if later else ""
    resources = list(dict.fromkeys(name for one in uses for name in one.resources.items))
    read = f" What it was used on: {listed(resources)}." if resources else ""
    yield Found(
        severity,
        f"{start(listed([short(one, case.owner) for one in who]))} used what this change gave "
        f"{times(number)} {when}{still}: {listed(actions)}.{read}{note}",
        remedy,
        principals=who,
        actions=actions,
        proof="proved" if case.before_is_certain else "possible",
    )


def was_undone(case: Case) -> Iterator[Found]:
    """KMS-P32: the policy before came back within the hour. Whoever wants to read once and go unseen does that."""
    compared = case.compared
    if compared.reverted_by is None or compared.reverted_at is None:
        return
    gave = compared.comparison is None or compared.comparison.new_access
    used = sum(one.in_force for one in case.related.uses)
    said = f"what it gave was used {times(used)} in that time" if used else "no use of what it gave was seen"
    if not gave:
        said = "it had given nobody anything"
    yield Found(
        "high" if gave else "low",
        f"This change was undone {length(compared.reverted_at - case.change.event.time)} later, at "
        f"{at(compared.reverted_at)}: {said}.",
        "Ask who undid it, and why; take what was decrypted in that time for read."
        if used
        else "Ask who made the change and who undid it, and why.",
        principals=(case.change.event.principal,),
        actions=("kms:PutKeyPolicy",),
    )
