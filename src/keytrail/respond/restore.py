"""The plan to put back the policy that the key should have."""

from __future__ import annotations

from collections.abc import Iterator

from keytrail.investigate.names import at
from keytrail.policy import KeyPolicy
from keytrail.respond.edits import restoration
from keytrail.respond.facts import Current, Good
from keytrail.respond.identities import same_identity
from keytrail.respond.model import NoPlan, Plan
from keytrail.respond.proofs import let_in_again
from keytrail.respond.replacement import READ_IT, UNKNOWN, replacement
from keytrail.respond.situation import Situation
from keytrail.respond.subject import Subject


def restore(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Put back the version marked as good, else the last one before the change; ids of deleted identities dropped."""
    subject = situation.subject
    good, current = subject.good, subject.current
    if good is None:
        yield _no_version(subject)
    elif current is None:
        yield NoPlan("restore", UNKNOWN, READ_IT)
    elif said := already_good(subject, good, current):
        yield NoPlan("restore", said)
    elif who := _only_took(subject, good, current):
        yield NoPlan(
            "restore",
            f"The version before the change lets in {who}, which nobody vouches for, and the change gave nobody"
            " anything: it may have been a repair, and putting that version back would undo it.",
            "Mark the version that is good: `keytrail policies mark-good`.",
        )
    else:
        yield replacement(
            situation,
            "restore",
            current,
            restoration(good.text, subject.owner, org=subject.accounts.organisation, trusted=subject.trusted()),
            title=f"Put back the policy of key {subject.called}",
            why=good.why,
            warnings=tuple(_warnings(situation, good)),
        )


def already_good(subject: Subject, good: Good, current: Current) -> str:
    """That the key's policy is as good as the good version, proved, and who put it back; "" when it is not."""
    found = subject.compare(good.policy, current.policy)
    if good.policy != current.policy and (not found.unchanged or found.incomplete):
        return ""
    same = (
        "The key has the good policy already"
        if good.digest == current.digest
        else ("The key's policy allows exactly what the good version allows, proved")
    )
    told = "" if current.read_at is not None else f"By what {current.origin} tells, {same[:1].lower()}{same[1:]}"
    by = f": {subject.put_back} put it there" if subject.put_back else "; no record tells who put it there"
    return f"{told or same}{by}. There is nothing to put back in the policy."


def _only_took(subject: Subject, good: Good, current: Current) -> str:
    """Whom from outside the version before the change would let in again, where the change only took access away."""
    change = subject.comparison
    if good.marked or change is None or change.gains:
        return ""
    return let_in_again(subject, current.policy, good.policy)


def _no_version(subject: Subject) -> NoPlan:
    before = subject.before
    advice = "Mark a version as good: `keytrail policies mark-good`. Versions come from backups and `policies history`."
    if before.status == "none":
        return NoPlan("restore", "The change made the key, so there is no policy before it.", advice)
    why = f": {before.reason}" if before.reason else ""
    return NoPlan("restore", f"No version of the policy is known from before the change{why}.", advice)


def _warnings(situation: Situation, good: Good) -> Iterator[str]:
    subject = situation.subject
    if good.gap:
        yield good.gap
    if not good.marked and any(good.author and same_identity(good.author, one.principal) for one in subject.suspects):
        yield (
            f"The version before the change is by {situation.name(good.author)} as well, so it may be rogue too: look"
            " at the history of the key, and mark the version that is good."
        )
    if subject.current is not None and (who := let_in_again(subject, subject.current.policy, good.policy)):
        yield f"This lets in {who} again, which the policy of now does not, and which nobody vouches for."
    if subject.changed_since:
        by = f" ({subject.put_back})" if subject.put_back else ""
        yield (
            f"The policy was changed again since the alert{by}: putting the good version back undoes that as well."
            " Removing only what is rogue keeps it."
        )
    named = _named(good.policy)
    for one in situation.deleted:
        if one.principal not in named:
            continue
        who = situation.name(one.principal)
        if one.remade is None:
            yield (
                f"The good version names {who}, which was deleted at {at(one.time)} (event {one.event_id}):"
                " KMS refuses a policy that names identities that do not exist."
            )
        elif good.time is None or one.time > good.time:
            by = situation.name(one.remade_by) if one.remade_by else "somebody"
            yield (
                f"The good version names {who}, which was deleted at {at(one.time)} and made again by {by} at"
                f" {at(one.remade)}: putting the name back lets in the new one."
            )


def _named(policy: KeyPolicy) -> frozenset[str]:
    return frozenset(one.value for statement in policy.statements for one in statement.all_principals())


__all__ = ["already_good", "restore"]
