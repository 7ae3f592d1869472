"""An investigation in two sentences: who changed which key's policy, what came of it, what happened since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.investigate.accounts import ANYONE, called
from keytrail.investigate.evidence import Evidence
from keytrail.investigate.model import AccountFact, Verdict
from keytrail.investigate.names import key_name, length, number, short, start, times
from keytrail.policy import Change, Comparison, listed, powers

_DID = {"CreateKey": "created key", "ReplicateKey": "made a copy of key"}


def summary_of(e: Evidence, verdict: Verdict) -> str:
    """The summary of an investigation that came to `verdict`."""
    event = e.change.event
    did = _DID.get(event.name, "replaced the policy of key")
    who, where = start(short(event.who, e.owner)), f"in {e.key.region} of account {e.owner}"
    first = f"{who} {did} {key_name(e.key)} {where}: {_effect(e, verdict)}."
    return " ".join([first, *_since(e)])


def _effect(e: Evidence, verdict: Verdict) -> str:
    comparison = e.compared.comparison
    if comparison is None:
        return "which access that gives is not known, because the policy after it is not"
    if verdict == "no_effect":
        return "it is proved that nobody gained access and nobody lost any"
    said = list(map(_outsider, e.untrusted))
    if e.of("KMS-P20") or e.of("KMS-P18"):
        said.append(_shut_out(e))
    elif e.restores():
        said += ["a policy that it had before is back", *_inside(comparison, e.owner)]
    if not said:
        said = [_trusted(one) for one in e.accounts if one.gained and one.relation in ("approved", "trusted")]
    if not said and not e.change.creates and e.before_is_known:
        said = list(_inside(comparison, e.owner))
    if not said:
        outsiders = [called(one) for one in e.accounts if one.relation != "owner"]
        said = [f"it lets in {listed(outsiders)}" if outsiders else f"it lets in nobody outside account {e.owner}"]
    unknown = "" if e.before_is_known else "; the policy before is not certain"
    return f"{'; '.join(said)}{unknown}"


def _outsider(one: AccountFact) -> str:
    notes = {"outside": " (not approved)", "expired": " (its approval has expired)"}
    note = "" if one.account == ANYONE else notes.get(one.relation, "")
    return f"{called(one)}{note} can now {powers(one.actions)}"


def _trusted(one: AccountFact) -> str:
    reason = f": {one.reason}" if one.reason else ""
    return f"{called(one)} ({one.relation}{reason}) can now {powers(one.actions)}"


def _shut_out(e: Evidence) -> str:
    return "nobody in the account can manage it any more" if e.of("KMS-P18") else "everyone else is shut out of it"


def _inside(comparison: Comparison, owner: str) -> Iterator[str]:
    """What the owner's identities, its organisation's and AWS services gained, and who lost something."""
    for can, got, changes in (
        ("can now", "gained access", comparison.gains),
        ("can no longer", "lost access", comparison.losses),
    ):
        who = listed(_callers(changes, owner))
        if len({change.actions for change in changes}) == 1:
            yield f"{who} {can} {powers(changes[0].actions)}"
        elif who:
            yield f"{who} {got}"


def _callers(changes: Sequence[Change], owner: str) -> list[str]:
    """Short names; an account whose every identity is meant by its number."""
    groups = [group for change in changes for group in change.classes]
    whole = {group.account for group in groups if group.sort == "other" and group.account}
    named = (
        f"account {group.account}" if group.account in whole and group.sort != "named" else short(group.family, owner)
        for group in groups
    )
    return list(dict.fromkeys(named))


def _since(e: Evidence) -> Iterator[str]:
    uses = e.related.uses
    if uses:
        who = listed([short(one, e.owner) for one in dict.fromkeys(use.principal for use in uses)])
        yield f"Since then {who} used the key {times(sum(use.count for use in uses))}."
    elif e.untrusted:
        yield "No use of that access was seen so far."
    if e.compared.reverted_at is not None:
        yield f"The change was undone {length(e.compared.reverted_at - e.change.event.time)} later."
    if e.related.surviving_grants:
        who = listed([short(one, e.owner) for one in dict.fromkeys(g.grantee for g in e.related.surviving_grants)])
        yield f"{start(number(len(e.related.surviving_grants), 'grant'))} to {who} outlived it."
