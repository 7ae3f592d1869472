"""The plan to revoke the grants that outlive a restored policy: access beside it, which PutKeyPolicy does not end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keytrail.investigate.accounts import account_of
from keytrail.investigate.names import at
from keytrail.investigate.requests import caller_of
from keytrail.investigate.uses import is_among
from keytrail.phrases import count, start
from keytrail.policy import CallerKind, powers
from keytrail.respond.authority import authority
from keytrail.respond.facts import GrantSeen
from keytrail.respond.model import Basis, Call, Claim, Loss, NoPlan, Plan
from keytrail.respond.operations import GRANT_ID
from keytrail.respond.situation import Situation, key_call, some
from keytrail.respond.subject import Subject

# Paths and names that IAM gives to nobody but AWS services. Whatever else stands in a name is for its owner to choose.
_OF_SERVICES = re.compile(
    r"arn:[a-z-]+:(iam::\d{12}:role/aws-service-role/|sts::\d{12}:assumed-role/aws:)|\d{12}:aws:", re.ASCII
)


@dataclass(frozen=True, slots=True)
class _Target:
    grant: GrantSeen
    why: str
    by_service: bool


def revoke_grants(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Revoke each grant to principals that gained, to accounts that nobody vouches for, or made by the actor since."""
    subject = situation.subject
    found = [one for grant in subject.grants if (one := _target(subject, grant)) is not None]
    targets = [one for one in found if GRANT_ID.fullmatch(one.grant.grant_id)]
    nameless = [one for one in found if not GRANT_ID.fullmatch(one.grant.grant_id)]
    if not targets:
        yield _none(subject, nameless)
        return
    names = [situation.name(one.grant.grantee) for one in targets]
    yield Plan(
        kind="revoke-grants",
        alert_id=subject.alert_id,
        key_arn=subject.key.arn,
        subject=subject.key.arn,
        title=f"Revoke {count(len(targets), 'grant')} on key {subject.called}, held by {some(names)}",
        why="A grant gives access beside the policy and outlives a policy that is put back. "
        + " ".join(f"{start(one.why)}." for one in targets),
        basis=Basis("", None, "ListGrants" if subject.grants_are_live else "records"),
        calls=tuple(_call(subject, one.grant) for one in targets),
        claims=(_gone(situation, targets, nameless),),
        losses=tuple(_loss(situation, one) for one in targets),
        authority=authority(situation, "kms:RevokeGrant"),
        warnings=tuple(_warnings(situation, targets, nameless)),
    )


def _target(subject: Subject, grant: GrantSeen) -> _Target | None:
    """Why a grant has to go, None when it may stay or is gone already."""
    if grant.ended or grant.live is False:
        return None
    name = grant.grant_id[:12] or "without a known id"
    made = f" made at {at(grant.created)}" if grant.created else ""
    is_actors = grant.since and grant.created_by in subject.identities
    grantee, account = caller_of(grant.grantee), account_of(grant.grantee)
    service = _OF_SERVICES.match(grant.grantee) is not None or (
        grantee is not None and grantee.kind is CallerKind.SERVICE
    )
    if is_actors:
        return _Target(grant, f"grant {name} was{made} by who made the change", service)
    # A service that works for another account reads the data for that one.
    if not subject.is_trusted(account):
        return _Target(grant, f"grant {name}{made} lets in account {account}, which nobody vouches for", service)
    if service:
        return None  # services give themselves grants for what they encrypt; without them data cannot be read
    if grant.since and grantee is not None and any(is_among(one, grantee) for one in _named(subject)):
        return _Target(grant, f"grant {name}{made} is held by somebody to whom the change gave access", service)
    return None


def _named(subject: Subject) -> Iterator[str]:
    """Who gained by name: "*" and the owner's account as a whole are everybody, and say nothing about one grant."""
    for one in subject.gained:
        caller = caller_of(one)
        if caller is None or (caller.kind is CallerKind.ROOT and caller.account == subject.owner):
            continue
        yield one


def _none(subject: Subject, nameless: list[_Target]) -> NoPlan:
    if nameless:
        events = some(one.grant.event_id for one in nameless)
        why = f"{start(count(len(nameless), 'grant'))} should go, but the records (events {events}) do not tell its id."
        return NoPlan("revoke-grants", why, "Let keytrail read the key's grants: it needs kms:ListGrants on the key.")
    shown = "ListGrants shows" if subject.grants_are_live else "The records show"
    why = (
        f"{shown} no grant on the key to somebody who gained access or is not trusted, or made by who made the change."
    )
    advice = "" if subject.grants_are_live else "To be certain, let keytrail read them: it needs kms:ListGrants."
    return NoPlan("revoke-grants", why, advice)


def _call(subject: Subject, grant: GrantSeen) -> Call:
    return key_call(
        subject,
        "RevokeGrant",
        GrantId=grant.grant_id,
        undo="A revoked grant cannot be brought back; CreateGrant can make a new one with the same grantee, operations"
        " and constraints.",
    )


def _gone(situation: Situation, targets: list[_Target], nameless: list[_Target]) -> Claim:
    subject = situation.subject
    left = subject.grants_left_out
    held = f"the {count(len(targets), 'grant')} named here"
    if nameless or (left and not subject.grants_are_live):
        more = len(nameless) + left
        return Claim("rogue_gone", f"Besides {held} there may be {more:,} more that are not named.", "open")
    if not subject.grants_are_live:
        said = f"Of the grants that records show, none is left to them but {held}; what the key has now was not read"
        return Claim("rogue_gone", f"{said}.", "open")
    return Claim("rogue_gone", f"ListGrants shows no grant to them on the key but {held}.", "proved")


def _loss(situation: Situation, target: _Target) -> Loss:
    grantee = caller_of(target.grant.grantee)
    used = (
        []
        if situation.uses is None
        else [
            one
            for one in situation.uses.uses
            if one.action in target.grant.operations
            and (
                one.principal == target.grant.grantee
                or (
                    grantee is not None
                    and one.use is not None
                    and one.use.callers[0].account == grantee.account
                    and grantee.account != situation.subject.owner
                )
            )
        ]
    )
    actions = tuple(f"kms:{one}" for one in target.grant.operations)
    return Loss((target.grant.grantee,), actions, True, situation.used(used))


def _warnings(situation: Situation, targets: list[_Target], nameless: list[_Target]) -> Iterator[str]:
    subject = situation.subject
    for one in targets:
        who = situation.name(one.grant.grantee)
        if one.by_service:
            yield (
                f"Grant {one.grant.grant_id[:12]} is held by {who}: an AWS service may need it for data that it"
                f" encrypted with the key. It goes all the same: {one.why}."
            )
        elif one.grant.created is not None and not one.grant.since:
            yield f"Grant {one.grant.grant_id[:12]} to {who} is older than the change ({at(one.grant.created)})."
        if one.grant.live and not one.grant.event_id and one.grant.since:
            what = powers([f"kms:{name}" for name in one.grant.operations])
            yield f"No record shows who made grant {one.grant.grant_id[:12]}, which lets {who} {what}."
    if nameless:
        yield f"Of {count(len(nameless), 'more grant')} the records do not tell the id: ListGrants shows it."
    if not subject.grants_are_live:
        yield "The grants are those of the records: the key may have others, and some may be gone."


__all__ = ["revoke_grants"]
