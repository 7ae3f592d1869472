"""What is proved about the policy that a plan puts in place: each claim says how far it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from keytrail.investigate.accounts import ORGANISATION, account_of, called
from keytrail.investigate.model import AccountFact
from keytrail.investigate.requests import Reader, Use
from keytrail.phrases import count, start
from keytrail.policy import Caller, CallerKind, Change, Comparison, KeyPolicy, Request, evaluate, powers
from keytrail.respond.model import Answer, Claim, Json, Loss
from keytrail.respond.situation import Situation, some
from keytrail.respond.subject import Subject
from keytrail.respond.uses import RecentUse, by_principal

PUT = "kms:PutKeyPolicy"

MOST_EXAMPLES = 5
"""Requests that a claim shows."""


# The rogue access ----------------------------------------------------------------------------------------------------


def rogue_gone(situation: Situation, result: KeyPolicy) -> Claim:
    """Whether the access that the change gave beyond the good version is gone.

    Without a good version: whether each request that showed the access is refused, and nobody from outside is let in.
    """
    good = situation.subject.good
    if good is None:
        return _outsiders_gone(situation, result)
    found = situation.subject.compare(good.policy, result)
    if not found.gains:
        if found.incomplete or found.proof.new_access != "proved":
            return Claim("rogue_gone", f"No access beyond the good version was found, {_unfinished(found)}", "open")
        if back := _let_in_again(situation, result):
            said = (
                "The policy lets nobody do anything that the version before the change does not; but that one lets in"
            )
            return Claim(
                "rogue_gone", f"{said} {back}, which nobody vouches for, and the policy of now does not.", "open"
            )
        return Claim("rogue_gone", "The policy lets nobody do anything that the good version does not allow.", "proved")
    shown = _witnesses(found.gains)
    who = situation.names(name for one in found.gains for name in one.principals)
    what = powers([action for one in found.gains for action in one.actions])
    if shown:
        return Claim(
            "rogue_gone", f"{start(who)} can still {what}, which the good version does not allow.", "refuted", shown
        )
    return Claim("rogue_gone", f"It could not be shown that {who} can no longer {what}.", "open")


def _let_in_again(situation: Situation, result: KeyPolicy) -> str:
    """Whom from outside a version would let in again that nobody marked as good: the change may have been a repair."""
    subject = situation.subject
    if subject.current is None or (subject.good is not None and subject.good.marked):
        return ""
    return let_in_again(subject, subject.current.policy, result)


def _outsiders_gone(situation: Situation, result: KeyPolicy) -> Claim:
    subject = situation.subject
    found = subject.compare(None, result)
    left = outsiders(subject, found)
    rest = "What the change gave within these accounts is not judged: no good version of the policy is known."
    if left:
        answer: Answer = "refuted" if found.proof.external_accounts == "witnessed" else "open"
        shown = _witnesses([one for one in found.gains if _is_foreign(subject, one)])
        return Claim("rogue_gone", f"The policy lets in {_called(left)}, which nobody vouches for.", answer, shown)
    if found.incomplete:  # else who is not listed is proved not to be let in
        return Claim("rogue_gone", f"No access from outside was found, {_unfinished(found)} {rest}", "open")
    said = "Nobody but the owner's and trusted accounts is let in by the policy, proved."
    return Claim("rogue_gone", f"{said} {rest}", "open")


def outsiders(subject: Subject, found: Comparison) -> tuple[str, ...]:
    """The accounts that a policy lets in (compared with none) and that nobody vouches for; "*" is everyone."""
    organisation = subject.accounts.organisation
    own = None if organisation is None else f"{ORGANISATION}{organisation}"
    return tuple(one for one in found.external_accounts if one != own and not subject.is_trusted(one))


def let_in_again(subject: Subject, before: KeyPolicy, after: KeyPolicy) -> str:
    """Whom nobody vouches for the policy after lets in and the one before does not, in words; "" for nobody."""
    had, has = (outsiders(subject, subject.compare(None, one)) for one in (before, after))
    return _called([one for one in has if one not in had])


def still_lets_in(subject: Subject, before: KeyPolicy, after: KeyPolicy) -> str:
    """Whom nobody vouches for both policies let in, in words; "" for nobody."""
    had, has = (outsiders(subject, subject.compare(None, one)) for one in (before, after))
    return _called([one for one in has if one in had])


def _called(accounts: Sequence[str]) -> str:
    return some(called(AccountFact(one, "outside", gained=True)) for one in accounts)


def _is_foreign(subject: Subject, change: Change) -> bool:
    """Whether a change is about somebody outside: of an account nobody vouches for, or of any account at all."""
    return any(
        one.sort in ("stranger", "other service") or not subject.is_trusted(one.account) for one in change.classes
    )


# The owner -----------------------------------------------------------------------------------------------------------


def owner_manages(situation: Situation, result: KeyPolicy) -> Claim:
    """Whether somebody of the owner's account can set the key's policy under the result; which ones, and by what."""
    subject = situation.subject
    found = subject.compare(None, result)
    holding = [one for one in found.gains if PUT in one.actions]
    if not holding:
        if found.incomplete:
            return Claim(
                "owner_manages", f"Nobody was found who can set the key's policy, {_unfinished(found)}", "open"
            )
        return Claim(
            "owner_manages",
            f"Nobody of account {subject.owner} could set the key's policy again; only AWS Support could help.",
            "refuted",
        )
    gone = {one.principal for one in situation.deleted if one.remade is None}
    suspects = set(subject.identities)
    direct = [one for one in dict.fromkeys(_direct(holding)) if one not in gone]
    others = [one for one in direct if one not in suspects]
    root = any(group.sort == "root" and not one.needs_iam for one in holding for group in one.classes)
    delegated = any(one.needs_iam and one.witness is not None for one in holding)
    shown = _examples(subject, result, holding, PUT)
    if not shown:
        return Claim("owner_manages", "It could not be shown that somebody can set the key's policy.", "open")
    ways = [f"{some([situation.name(one) for one in others])} by the key policy itself"] if others else []
    ways += [f"every identity of account {subject.owner} that IAM allows it"] if delegated else []
    ways += [f"the root user of account {subject.owner}"] if root else []
    if not ways:
        who = situation.names(direct or gone)
        why = "made the change or opened its session" if direct else "was deleted"
        return Claim("owner_manages", f"Only {who} could set the key's policy, which {why}.", "refuted", shown)
    bound = sorted({text for one in holding for text in one.conditions})
    under = f" Conditions apply: {some(bound)}." if bound else ""
    only = "" if others else " No role or user is named: make sure that IAM allows kms:PutKeyPolicy to somebody."
    return Claim("owner_manages", f"The key's policy can be set by {'; by '.join(ways)}.{only}{under}", "proved", shown)


def managers(subject: Subject, policy: KeyPolicy, action: str = PUT) -> tuple[str, ...]:
    """Those of the owner's account who hold a permission by a policy, as the prover names them."""
    found = [one for one in subject.compare(None, policy).gains if action in one.actions]
    return tuple(
        dict.fromkeys(
            group.family + (" that IAM allows it" if one.needs_iam else "")
            for one in found
            for group in one.classes
            if group.account == subject.owner
        )
    )


def _direct(changes: Sequence[Change]) -> Iterator[str]:
    """The identities that a policy itself gives something, the root user left out."""
    for one in changes:
        if not one.needs_iam:
            yield from (group.label for group in one.classes if group.sort != "root")


# Those who use the key -----------------------------------------------------------------------------------------------


def services_keep(situation: Situation, result: KeyPolicy) -> Claim:
    """Whether each recorded use, by the owner's and trusted accounts, that the good version allows stays allowed.

    Without a good version, each that the policy before the plan allows.
    """
    subject, seen = situation.subject, situation.uses
    baseline = _baseline(subject)
    if seen is None or baseline is None:
        return Claim(
            "services_keep", "No records of uses were looked at, so nobody knows who would lose access.", "open"
        )
    reader = Reader((*subject.policies, result), subject.key, subject.accounts)
    ours = [one for one in seen.uses if subject.is_trusted(account_of(one.principal))]
    asked = [(one, one.use) for one in ours if one.use is not None and reader.may(one.use, baseline)]
    fates: dict[_Fate, list[RecentUse]] = {}
    for one, use in asked:
        fates.setdefault(_fate(reader, use, subject.policies, result), []).append(one)
    span = f"from {seen.since:%Y-%m-%d} to {seen.until:%Y-%m-%d}"
    if lost := fates.get("lost"):
        shown = tuple(_example(one) for one in lost[:MOST_EXAMPLES])
        said = f"Access that was used {span} is lost: {_users(situation, lost)}."
        return Claim("services_keep", said, "refuted", shown)
    which = "the good version" if subject.good is not None else "the policy of now"
    if not asked:
        said = f"The records {span} show no use of the key that {which} allows, so there is nothing to test."
        return Claim("services_keep", said, "open")
    said = f"All uses that were recorded {span} and that {which} allows stay allowed ({count(len(asked), 'kind')})"
    doubts = [] if _takes_nothing(subject, baseline, result) else list(_doubts(situation, fates))
    doubts += ["not every record tells who called"] if any(one.use is None for one in ours) else []
    doubts += [] if seen.complete else ["there are more kinds than are told apart"]
    if doubts:
        return Claim("services_keep", f"{said}, as far as can be told: {'; '.join(doubts)}.", "open")
    return Claim("services_keep", f"{said}.", "proved")


_Fate = Literal["kept", "lost", "iam", "unknown"]


def _fate(reader: Reader, use: Use, policies: Sequence[KeyPolicy], result: KeyPolicy) -> _Fate:
    """What becomes of a use that succeeded under one of `policies`; iam: it stays only if IAM allows it as well."""
    if not reader.may(use, result):
        return "lost"
    if reader.must(use, result, iam=False):
        return "kept"
    if not reader.must(use, result):
        return "unknown"
    # A use that no policy allowed by itself succeeded because IAM allows it.
    return "iam" if any(reader.may(use, one, iam=False) for one in policies) else "kept"


def _doubts(situation: Situation, fates: Mapping[_Fate, Sequence[RecentUse]]) -> Iterator[str]:
    if through := fates.get("iam"):
        yield f"only if IAM allows it, which was not looked at, {_users(situation, through)}"
    if unknown := fates.get("unknown"):
        yield f"what records do not tell decides about {_users(situation, unknown)}"


def losses(situation: Situation, result: KeyPolicy) -> tuple[Loss, ...]:
    """Who can do what no longer, whether that is what the plan is for, and how it was used last."""
    subject = situation.subject
    if subject.current is None:
        return ()
    found = subject.compare(subject.current.policy, result)
    reader = Reader((*subject.policies, result), subject.key, subject.accounts)
    return tuple(
        Loss(
            one.principals, one.actions, _is_meant(subject, one), situation.used(_used(situation, reader, one, result))
        )
        for one in found.losses
    )


def _is_meant(subject: Subject, loss: Change) -> bool:
    """Whether the alert's change gave what is lost, and no good version did."""
    if loss.witness is None:
        return False
    if subject.good is None and (subject.before.policy is None or subject.baseline == "nothing"):
        return _is_foreign(subject, loss)

    def allows(policy: KeyPolicy | None, request: Request) -> bool:
        return policy is not None and evaluate(policy, request, subject.owner, key_arn=subject.key.arn).possible

    good = None if subject.good is None else subject.good.policy
    earlier = subject.before.policy if subject.baseline == "before" else None
    return allows(subject.after.policy, loss.witness) and not any(allows(one, loss.witness) for one in (good, earlier))


def _used(situation: Situation, reader: Reader, loss: Change, result: KeyPolicy) -> list[RecentUse]:
    subject, current = situation.subject, situation.subject.current
    if situation.uses is None or current is None:
        return []
    return [
        one
        for one in situation.uses.uses
        if one.use is not None
        and not {*one.permissions}.isdisjoint(loss.actions)
        and any(_is_of(loss, caller) for caller in one.use.callers)
        and reader.may(one.use, current.policy)
        and _fate(reader, one.use, subject.policies, result) != "kept"
    ]


def _is_of(change: Change, caller: Caller) -> bool:
    """Whether a caller is among those that a change is about, as far as account and name tell."""
    for group in change.classes:
        named = group.caller
        if group.sort == "named":
            if caller.principal_arn == named.principal_arn and named.session in (None, caller.session):
                return True
        elif caller.kind is CallerKind.SERVICE:
            if group.sort == "other service" or named.name == caller.name:
                return True
        elif group.account == caller.account or (
            group.sort == "stranger" and caller.account not in group.named_accounts
        ):
            return True
    return False


def _takes_nothing(subject: Subject, baseline: KeyPolicy, result: KeyPolicy) -> bool:
    found = subject.compare(baseline, result)
    return not found.losses and not found.incomplete and found.proof.lost_access == "proved"


def _baseline(subject: Subject) -> KeyPolicy | None:
    if subject.good is not None:
        return subject.good.policy
    return None if subject.current is None else subject.current.policy


def _users(situation: Situation, uses: Sequence[RecentUse]) -> str:
    found = by_principal(uses).items()
    return some(f"{situation.name(principal)} ({situation.used(each)})" for principal, each in found)


def _example(use: RecentUse) -> Json:
    return {"principal": use.principal, "action": use.permissions[0], "via": use.via, "count": use.count}


def _witnesses(changes: Sequence[Change]) -> tuple[Json, ...]:
    found = [one.witness.to_witness() for one in changes if one.witness is not None]
    return tuple(found[:MOST_EXAMPLES])


def _examples(subject: Subject, result: KeyPolicy, changes: Sequence[Change], action: str) -> tuple[Json, ...]:
    """Requests for one action that the result allows; a witness shows another one that is allowed alike."""
    asked = (replace(one.witness, action=action) for one in changes if one.witness is not None)
    found = [one.to_witness() for one in asked if evaluate(result, one, subject.owner, key_arn=subject.key.arn).allowed]
    return tuple(found[:MOST_EXAMPLES])


def _unfinished(comparison: Comparison) -> str:
    why = (
        some(one.removeprefix("incomplete: ") for one in comparison.incomplete) or "one part of it could not be decided"
    )
    return f"but the proof is not complete: {why}."


__all__ = [
    "PUT",
    "let_in_again",
    "losses",
    "managers",
    "outsiders",
    "owner_manages",
    "rogue_gone",
    "services_keep",
    "still_lets_in",
]
