"""An investigation in two sentences: who changed which key's policy, what came of it, what happened since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.investigate.accounts import ANYONE, ORGANISATION, called
from keytrail.investigate.evidence import Evidence
from keytrail.investigate.model import AccountFact, Verdict
from keytrail.investigate.names import key_name, length, short, times
from keytrail.phrases import count, start
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
        said += ["a policy that it had before is back", *_inside(comparison, e)]
    if not said:
        said = [_trusted(one) for one in e.accounts if one.gained and one.relation in ("approved", "trusted")]
    if not said and not e.change.creates and e.before_is_known:
        said = list(_inside(comparison, e))
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


def _inside(comparison: Comparison, e: Evidence) -> Iterator[str]:
    """What the owner's identities, its organisation's and AWS services gained, and who lost something."""
    gains, losses = comparison.gains, comparison.losses
    wide = [called(one) for one in e.accounts if one.gained and one.account.startswith((ANYONE, ORGANISATION))]
    # Who can still do all of it, on more conditions, did not lose it.
    lost = ("can", "lost access in some situations", " in fewer situations than before")
    if e.of("KMS-P24") or not e.of("KMS-P25"):
        lost = ("can no longer", "lost access", "")
    for (can, got, when), changes, others in (
        (("can now", "gained access", ""), gains, wide),
        (lost, losses, ["identities of other accounts"]),
    ):
        who = listed(_callers(changes, e.owner, others))
        maybe = "perhaps " if all(change.proof == "possible" for change in changes) else ""
        if len({change.actions for change in changes}) == 1:
            yield f"{maybe}{who} {can} {powers(changes[0].actions)}{when}"
        elif who:
            yield f"{maybe}{who} {got}"


def _callers(changes: Sequence[Change], owner: str, others: Sequence[str]) -> list[str]:
    """Short names; an account whose every identity is meant by its number, and `others` for accounts not named."""
    groups = [group for change in changes for group in change.classes]
    whole = {group.account for group in groups if group.sort == "other" and group.account}
    found: dict[str, None] = {}
    for change in changes:
        if any(group.sort == "stranger" for group in change.classes):
            found.update(dict.fromkeys(others))
            continue
        for group in change.classes:
            is_whole = group.account in whole and group.sort != "named"
            found[f"account {group.account}" if is_whole else short(group.family, owner)] = None
    return list(found)


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
        yield f"{start(count(len(e.related.surviving_grants), 'grant'))} to {who} outlived it."
