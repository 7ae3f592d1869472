"""The signals a verdict is summed up from: one visible table of what counts, for how many points, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from keytrail.investigate import deeds, stand_ins
from keytrail.investigate.accounts import ANYONE, ORGANISATION, UNTRUSTED, called
from keytrail.investigate.evidence import Evidence, Said
from keytrail.investigate.model import AccountFact, Grant, Usage
from keytrail.investigate.names import length, short, times
from keytrail.investigate.remaining import no_longer_readable
from keytrail.phrases import count, start
from keytrail.policy import SEVERITIES, Finding, listed

Weight = Literal["grave", "concern", "hint", "mild"]
"""grave: can make a change malicious. concern: somebody must look. hint: adds up. mild: speaks for the change."""

UNDONE_BY_ITSELF = timedelta(hours=1)
"""Within this time, putting back what one has changed oneself is covering up rather than thinking again."""

_SECRETS = ("secretsmanager", "ssm")
_MANY = 10
_GRAVE = ("critical", "high")


@dataclass(frozen=True, slots=True)
class Signal:
    """One line of the table: its points, how much it can decide, and the function that says whether it applies."""

    points: int
    weight: Weight
    when: Callable[[Evidence], Said | None]


# Who gained ---------------------------------------------------------------------------------------------------------


def _anyone(e: Evidence) -> Said | None:
    if not any(one.account == ANYONE for one in e.untrusted):
        return None
    what = "gained access" if e.before_is_known else "is let in"
    return Said(f"Anyone with an AWS account {what}.", _ids(e, "KMS-P01", "KMS-P02", "KMS-P03"))


def _outside(e: Evidence) -> Said | None:
    return _outsiders(e, "gained access") if e.before_is_known else None


def _outside_perhaps(e: Evidence) -> Said | None:
    return None if e.before_is_known else _outsiders(e, "is let in, for how long already is not known")


def _outsiders(e: Evidence, what: str) -> Said | None:
    found = [one for one in e.untrusted if one.relation == "outside"]
    if not found:
        return None
    who = start(listed([called(one) for one in found]))
    ids = _ids(e, "KMS-P02", "KMS-P03")
    return Said(f"{who}, which nobody approved, {what}.", ids, would_change=tuple(map(_approve, found)))


def _expired(e: Evidence) -> Said | None:
    found = [one for one in e.untrusted if one.relation == "expired"]
    if not found:
        return None
    when = [f"{called(one)} (on {one.expires:%Y-%m-%d})" for one in found if one.expires is not None]
    sentence = f"Access was given where the approval has expired: {listed(when)}."
    advice = tuple(
        f"Renew the approval with `keytrail accounts approve {one.account}`, if account {one.account} is meant to have "
        "access again."
        for one in found
    )
    return Said(sentence, _ids(e, "KMS-P02", "KMS-P03"), would_change=advice)


def _boundary(e: Evidence) -> Said | None:
    return _finding(e, "KMS-P04", "The policy before kept everyone outside the organisation out; this one does not.")


def _unbounded_service(e: Evidence) -> Said | None:
    return _finding(e, "KMS-P15", "An AWS service gained access without a bound to your own accounts or resources.")


def _approved(e: Evidence) -> Said | None:
    found = [one for one in e.accounts if one.gained and one.relation in ("approved", "trusted")]
    if not found:
        return None
    reasons = [f"{called(one)}{f': {one.reason}' if one.reason else ''}" for one in found]
    advice = tuple(
        f"Revoke the approval with `keytrail accounts revoke {one.account}`, if account {one.account} is no longer "
        "meant to have access."
        for one in found
        if one.relation == "approved"
    )
    return Said(f"Approved accounts gained access ({listed(reasons)}).", would_change=advice)


def _own_only(e: Evidence) -> Said | None:
    gained = [one for one in e.accounts if one.gained]
    if not gained or any(one.relation not in ("owner", "organisation") for one in gained):
        return None
    return Said("Nobody outside your own accounts gained access.")


def _by_service(e: Evidence) -> Said | None:
    if e.actor.type != "AWSService" or any(one.gained and one.relation != "owner" for one in e.accounts):
        return None
    return Said("An AWS service made the change in its own name, and no other account gained by it.")


# What the owner keeps ------------------------------------------------------------------------------------------------


def _takeover(e: Evidence) -> Said | None:
    return _finding(e, "KMS-P20", "The owner's identities lost the key, and only the caller or an outsider holds it.")


def _locked_out(e: Evidence) -> Said | None:
    return _finding(e, "KMS-P18", "Nobody in the account can manage the key any more.")


def _bypass(e: Evidence) -> Said | None:
    return _finding(e, "KMS-P19", "The lock-out safety check was switched off for this change.")


def _copies(e: Evidence) -> Said | None:
    if not _weighty(e, "KMS-P28"):
        return None  # Copies whose policies differed before and after are no news.
    return _finding(e, "KMS-P28", "The copies of this multi-Region key do not let in the same callers.")


def _weakened(e: Evidence) -> Said | None:
    """A protection of the own accounts is gone: who gained by it is no outsider, who have signs of their own."""
    ids = [one for one in ("KMS-P09", "KMS-P12", "KMS-P16") if any(f.severity in _GRAVE for f in e.of(one))]
    comparison = e.compared.comparison
    if comparison is not None and comparison.unchanged and e.of("KMS-P12"):
        return Said("A Deny is gone: it gives nothing yet, but to grants that it may have held back.", ("KMS-P12",))
    if not ids or any(one.gained and one.relation not in ("owner", "organisation") for one in e.accounts):
        return None
    return Said("A condition or a Deny that held access back is gone or weaker.", tuple(ids))


def _nothing_gained(e: Evidence) -> Said | None:
    comparison = e.compared.comparison
    if comparison is None or not e.before_is_known or comparison.new_access or not comparison.lost_access:
        return None
    return Said("Nobody gained anything: access was only taken away.")


def _no_effect(e: Evidence) -> Said | None:
    comparison, compared = e.compared.comparison, e.compared
    if comparison is None or not comparison.unchanged or compared.baseline != "before":
        return None
    if e.remade or e.of("KMS-P12"):  # A Deny holds grants back too, and these are outside the proof.
        return None
    if compared.before.status not in ("known", "default"):
        return None
    return Said("It is proved that the change gives nobody access and takes none away.", _ids(e, "KMS-P00"))


# What is not known ---------------------------------------------------------------------------------------------------


def _before_unknown(e: Evidence) -> Said | None:
    if e.before_is_known:
        return None
    why = f": {e.compared.before.reason.rstrip('.')}" if e.compared.before.reason else ""
    return Said(
        f"What is new about this policy cannot be proved, since the one before is not certain{why}.",
        _ids(e, "KMS-P26"),
        would_change=("The policy before: a snapshot of it (an exported policy) would show what is new.",),
    )


def _after_unknown(e: Evidence) -> Said | None:
    if e.compared.comparison is not None:
        return None
    why = f": {e.compared.after.reason.rstrip('.')}" if e.compared.after.reason else ""
    return Said(
        f"The policy after the change is not known{why}.",
        would_change=("The policy after: export it with `aws kms get-key-policy`, and give it as a snapshot.",),
    )


def _undecided(e: Evidence) -> Said | None:
    comparison = e.compared.comparison
    if comparison is None or comparison.proof.new_access != "possible":
        return None
    return Said("Whether anyone gained access could not be decided.", _ids(e, "KMS-P26"))


# What happened since and before --------------------------------------------------------------------------------------


def _used_by_outsiders(e: Evidence) -> Said | None:
    return _used(e.uses_by("outside"), e.owner, "") if e.before_is_known else None


def _used_perhaps(e: Evidence) -> Said | None:
    return None if e.before_is_known else _used(e.uses_by("outside"), e.owner, ", which may have had access before,")


def _used_after_expiry(e: Evidence) -> Said | None:
    return _used(e.uses_by("expired"), e.owner, ", its approval expired,")


def _used(uses: Sequence[Usage], owner: str, note: str) -> Said | None:
    if not uses:
        return None
    who = listed([short(one, owner) for one in dict.fromkeys(use.principal for use in uses)])
    ids = tuple(dict.fromkeys(id_ for use in uses for id_ in use.event_ids.items))
    return Said(f"{start(who)}{note} used the key {times(sum(use.count for use in uses))} since.", ("KMS-P31",), ids)


def _grants_since(e: Evidence) -> Said | None:
    found = [one for one in e.related.grants_since if e.relation(_stranger(one, e)) in UNTRUSTED]
    if not found:
        return None
    who = listed([short(one, e.owner) for one in dict.fromkeys(_stranger(grant, e) for grant in found)])
    least = "at least " if e.related.grants_since_total > len(e.related.grants_since) else ""
    sentence = f"{start(least)}{count(len(found), 'grant')} to {who} made since would outlive a restored policy."
    return Said(sentence, event_ids=tuple(one.event_id for one in found))


def _stranger(grant: Grant, e: Evidence) -> str:
    """The grantee, or where a service acts for a resource of somebody unknown, that resource."""
    source = grant.constraints.get("sourceArn")
    return source if isinstance(source, str) and e.relation(source) in UNTRUSTED else grant.grantee


def _grants_survive(e: Evidence) -> Said | None:
    found, total = e.related.surviving_grants, max(e.related.surviving_grants_total, len(e.related.surviving_grants))
    if not found:
        return None
    who = listed([short(one, e.owner) for one in dict.fromkeys(grant.grantee for grant in found)])
    return Said(
        f"{start(who)} is shut out by the policy and still let in by {count(total, 'grant')}.",
        ("KMS-P30",),
        tuple(one.event_id for one in found),
        (f"Revoke the grants that are left with RevokeGrant: {listed([grant.grant_id for grant in found])}.",),
    )


def _refused(e: Evidence) -> Said | None:
    found = _weighty(e, "KMS-P29")
    return Said(found[0].sentence, ("KMS-P29",), e.compared.refused_before) if found else None


def _reverted(e: Evidence) -> Said | None:
    found = _weighty(e, "KMS-P32")
    by = e.compared.reverted_by
    return Said(found[0].sentence, ("KMS-P32",), (by,) if by else ()) if found else None


def _undoes_itself(e: Evidence) -> Said | None:
    source, event = e.compared.before.source, e.change.event
    if source is None or source.time is None or not (e.restores() and _hides(e)):
        return None
    since = event.time - source.time
    if source.author not in (event.who, event.principal) or since > UNDONE_BY_ITSELF:
        return None
    return Said(
        f"{start(short(event.principal, e.owner))} put back what it had changed itself {length(since)} before, so that "
        "the policy looks untouched.",
        event_ids=(source.event_id,) if source.event_id else (),
    )


def _hides(e: Evidence) -> bool:
    """Whether somebody untrusted, or the caller itself, is no longer seen in the policy."""
    comparison = e.compared.comparison
    if comparison is None:
        return False
    groups = [group for loss in comparison.losses for group in loss.classes]
    return any(
        group.sort == "stranger"
        or group.caller.principal_arn == e.actor.principal
        or (group.caller.principal_arn is not None and e.relation(group.caller.principal_arn) in UNTRUSTED)
        for group in groups
    )


def _restores(e: Evidence) -> Said | None:
    if not e.restores() or _undoes_itself(e) is not None:
        return None
    return Said("The policy is one that the key had before: a restoration.")


# What is at stake ----------------------------------------------------------------------------------------------------


def _secrets(e: Evidence) -> Said | None:
    found = [one for one in e.data.items if one.service in _SECRETS]
    if not found or not e.is_harmful:
        return None
    return Said("The key protects secrets or parameters.", event_ids=tuple(one.example for one in found[:3]))


def _much_data(e: Evidence) -> Said | None:
    if e.data.total < _MANY or not e.is_harmful:
        return None
    return Said(f"The key protects at least {count(e.data.total, 'resource')}.")


SIGNALS: Mapping[str, Signal] = {
    "no_effect": Signal(-100, "mild", _no_effect),
    "opened_to_anyone": Signal(45, "concern", _anyone),
    "outside_gained": Signal(40, "concern", _outside),
    "assumed_from_outside": Signal(25, "concern", stand_ins.assumed_from_outside),
    "takeover": Signal(40, "grave", _takeover),
    "locked_out": Signal(40, "grave", _locked_out),
    "expired_gained": Signal(30, "concern", _expired),
    "suspicious_acts": Signal(30, "grave", deeds.did_much_more),
    "used_by_outsiders": Signal(25, "grave", _used_by_outsiders),
    "undoes_itself": Signal(25, "concern", _undoes_itself),
    "after_unknown": Signal(20, "concern", _after_unknown),
    "principal_remade": Signal(20, "concern", stand_ins.remade),
    "no_longer_readable": Signal(20, "concern", no_longer_readable),
    "self_grant": Signal(20, "grave", stand_ins.self_grant),
    "organisation_boundary_lost": Signal(15, "concern", _boundary),
    "unbounded_service": Signal(15, "concern", _unbounded_service),
    "lockout_check_bypassed": Signal(15, "grave", _bypass),
    "refused_before": Signal(15, "concern", _refused),
    "reverted_quickly": Signal(15, "concern", _reverted),
    "before_unknown": Signal(15, "concern", _before_unknown),
    "protection_weakened": Signal(15, "concern", _weakened),
    "grants_survive": Signal(15, "concern", _grants_survive),
    "outside_perhaps": Signal(20, "concern", _outside_perhaps),
    "grants_since": Signal(10, "concern", _grants_since),
    "used_perhaps": Signal(10, "concern", _used_perhaps),
    "used_after_expiry": Signal(10, "concern", _used_after_expiry),
    "not_all_looked_at": Signal(10, "concern", stand_ins.not_all_looked_at),
    "copies_differ": Signal(10, "concern", _copies),
    "undecided": Signal(10, "concern", _undecided),
    "suspicious_act": Signal(10, "hint", deeds.did_one_thing_more),
    "new_address": Signal(10, "hint", deeds.has_new_address),
    "young_access_key": Signal(10, "hint", deeds.has_young_key),
    "new_agent": Signal(5, "hint", deeds.has_new_agent),
    "new_actor": Signal(5, "hint", deeds.is_new),
    "no_second_factor": Signal(5, "hint", deeds.has_no_mfa),
    "secrets_at_stake": Signal(5, "hint", _secrets),
    "much_data_at_stake": Signal(5, "hint", _much_data),
    "restores_earlier": Signal(-15, "mild", _restores),
    "nothing_gained": Signal(-10, "mild", _nothing_gained),
    "approved_gained": Signal(-10, "mild", _approved),
    "known_actor": Signal(-10, "mild", deeds.is_known),
    "infrastructure_code": Signal(-10, "mild", deeds.is_infrastructure),
    "made_by_service": Signal(-5, "mild", _by_service),
    "own_accounts_only": Signal(-5, "mild", _own_only),
}
"""By code, what weighs most first. A signal is one function and one line here."""

APPROVABLE = ("outside_gained", "outside_perhaps", "expired_gained")
"""The signals that the approval of an account takes away."""


def _finding(e: Evidence, id_: str, sentence: str) -> Said | None:
    return Said(sentence, (id_,)) if e.of(id_) else None


def _weighty(e: Evidence, id_: str) -> tuple[Finding, ...]:
    """The findings with an id that are more than low."""
    return tuple(one for one in e.of(id_) if SEVERITIES.index(one.severity) < SEVERITIES.index("low"))


def _ids(e: Evidence, *ids: str) -> tuple[str, ...]:
    return tuple(one for one in ids if e.of(one))


def _approve(one: AccountFact) -> str:
    if one.account.startswith(ORGANISATION):
        name = one.account.removeprefix(ORGANISATION)
        return f"Name {name} as your organisation in accounts.toml, if it is yours."
    account = one.account
    return f"Approve account {account} with `keytrail accounts approve {account}`, if it is meant to have access."
