"""The plans that stop an identity: everything denied to it, or to the sessions that it has open."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from keytrail.investigate.names import at
from keytrail.investigate.requests import caller_of
from keytrail.phrases import count, start
from keytrail.policy import Caller, CallerKind
from keytrail.respond.facts import Suspect
from keytrail.respond.identities import same_identity
from keytrail.respond.model import Basis, Call, Json, Kind, Loss, NoPlan, Plan
from keytrail.respond.operations import ACCESS_KEY_ID, IAM_NAME
from keytrail.respond.proofs import managers
from keytrail.respond.situation import Situation, some
from keytrail.respond.uses import SessionUse

PREFIX = "keytrail-quarantine-"
"""How the names of the inline policies begin, by which they are found again."""

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9]", re.ASCII)
_SSO = "AWSReservedSSO_"
_CENTER = "In IAM Identity Center: end the user's sessions, disable the user, or take the assignment away."


@dataclass(frozen=True, slots=True)
class _Identity:
    """A user or role that can be stopped: its own name without the path, as IAM takes it."""

    suspect: Suspect
    caller: Caller
    name: str

    @property
    def arn(self) -> str:
        return self.caller.principal_arn or ""

    @property
    def account(self) -> str:
        return self.caller.account or ""


def quarantine(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Deny everything to who made the change, and to the users who opened its sessions; their access keys go off."""
    if not situation.subject.suspects:
        yield NoPlan("quarantine", "The record does not tell which identity made the change.")
    for suspect in situation.subject.suspects:
        found = _identity(situation, "quarantine", suspect)
        if isinstance(found, NoPlan):
            yield found
        elif found.caller.kind is CallerKind.USER or not suspect.opened:
            yield _quarantine(situation, found)


def revoke_sessions(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Deny everything to the open sessions of the role that made the change, and of those that led to it."""
    for suspect in situation.subject.suspects:
        caller = caller_of(suspect.principal)
        if caller is None or caller.kind is not CallerKind.ROLE:
            if not suspect.opened:
                why = f"{start(situation.name(suspect.principal))} is no role, so it has no role sessions to end."
                yield NoPlan("revoke-sessions", why)
            continue
        found = _identity(situation, "revoke-sessions", suspect)
        yield found if isinstance(found, NoPlan) else _revoke(situation, found)


def denies_all() -> Json:
    """The policy that denies everything."""
    return _denial("KeytrailQuarantine")


def denies_sessions(until: datetime) -> Json:
    """The policy that denies everything to sessions that were opened before a moment."""
    issued: Json = {"DateLessThan": {"aws:TokenIssueTime": f"{until:%Y-%m-%dT%H:%M:%SZ}"}}
    return _denial("KeytrailRevokeSessions", issued)


def _denial(sid: str, condition: Json | None = None) -> Json:
    statement: Json = {"Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*"}
    if condition is not None:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


# Plans ---------------------------------------------------------------------------------------------------------------


def _quarantine(situation: Situation, one: _Identity) -> Plan:
    kind = one.caller.kind.value
    text = json.dumps(denies_all(), separators=(",", ":"))
    calls = [
        _put(one, _policy_name(situation, ""), text),
        *(
            Call(
                "iam",
                "UpdateAccessKey",
                {"UserName": one.name, "AccessKeyId": key, "Status": "Inactive"},
                one.account,
                "",
                one.arn,
                undo="UpdateAccessKey with the Status Active.",
            )
            for key in _access_keys(situation, one)
        ),
    ]
    plan = _plan(situation, "quarantine", one, tuple(calls), text)
    return replace(
        plan,
        title=f"Quarantine the {kind} {one.name} of account {one.account}",
        why=f"{_part(one)} An inline policy denies it everything until the policy is deleted.",
        losses=(Loss((one.arn,), ("*",), True, _others(situation, one)),),
        warnings=tuple(_warnings(situation, one, everybody=True)),
    )


def _revoke(situation: Situation, one: _Identity) -> Plan:
    text = json.dumps(denies_sessions(situation.now), separators=(",", ":"))
    call = _put(one, _policy_name(situation, "sessions-"), text)
    plan = _plan(situation, "revoke-sessions", one, (call,), text)
    return replace(
        plan,
        title=f"Revoke the open sessions of the role {one.name} of account {one.account}",
        why=f"{_part(one)} Every session opened before {at(situation.now)} is denied everything; the role can be"
        " assumed again by those whom its trust policy lets in.",
        losses=(Loss((one.arn,), ("*",), True, _others(situation, one)),),
        warnings=(
            *_warnings(situation, one, everybody=False),
            f"Sessions opened after {at(situation.now)} go on: make this plan anew if it is applied much later.",
        ),
    )


def _plan(situation: Situation, kind: Kind, one: _Identity, calls: tuple[Call, ...], text: str) -> Plan:
    subject = situation.subject
    return Plan(
        kind=kind,
        alert_id=subject.alert_id,
        key_arn=subject.key.arn,
        subject=one.arn,
        title="",
        why="",
        basis=Basis("", None, "records"),
        calls=calls,
        after=text,
    )


def _put(one: _Identity, policy: str, text: str) -> Call:
    kind = "Role" if one.caller.kind is CallerKind.ROLE else "User"
    return Call(
        "iam",
        f"Put{kind}Policy",
        {f"{kind}Name": one.name, "PolicyName": policy, "PolicyDocument": text},
        one.account,
        "",
        one.arn,
        undo=f"Delete{kind}Policy of the policy {policy}.",
    )


def _policy_name(situation: Situation, what: str) -> str:
    return f"{PREFIX}{what}{_NOT_IN_NAME.sub('', situation.subject.alert_id)[:12]}".rstrip("-")


def _part(one: _Identity) -> str:
    return "It opened a session that led to the change." if one.suspect.opened else "It made the change."


# Who can be stopped --------------------------------------------------------------------------------------------------


def _identity(situation: Situation, kind: Kind, suspect: Suspect) -> _Identity | NoPlan:
    """The user or role of a suspect, or why it cannot be stopped here, and where it can."""
    subject = situation.subject
    caller = caller_of(suspect.principal)
    who = start(situation.name(suspect.principal)) or "An unknown caller"
    if caller is None or caller.kind is CallerKind.SERVICE:
        return NoPlan(kind, f"{who} is no identity of IAM.")
    if not subject.is_ours(caller.account or ""):
        return NoPlan(
            kind,
            f"{who} is of account {caller.account}, which is neither the key's nor of its organisation.",
            "Take its access away instead, and tell the owner of that account.",
        )
    if caller.kind is CallerKind.ROOT:
        return NoPlan(
            kind,
            f"The root user of account {caller.account} made the change: no policy of IAM denies it anything.",
            "Change its password, delete its access keys and check its second factor; a service control policy can"
            " deny it.",
        )
    if caller.kind is CallerKind.FEDERATED_USER:
        return NoPlan(
            kind,
            f"{who} is a federated user, which has no policies of its own.",
            "Quarantine the user that called GetFederationToken: the federated user cannot do more than it can.",
        )
    path, _, name = caller.name.rpartition("/")
    if name.startswith(_SSO):
        return NoPlan(kind, f"{who} is a role of IAM Identity Center, which IAM cannot change.", _CENTER)
    if path.split("/")[0] == "aws-service-role":
        return NoPlan(kind, f"{who} is a service-linked role, which only its AWS service can change.")
    if not IAM_NAME.fullmatch(name):
        return NoPlan(kind, f"{who} has a name that IAM does not take.")
    if situation.caller is not None and same_identity(situation.caller, suspect.principal):
        return NoPlan(
            kind,
            f"{who} is the identity that would apply this: it would lock itself out.",
            "Apply with other credentials.",
        )
    return _Identity(suspect, caller, name)


# Who else is hit -----------------------------------------------------------------------------------------------------


def _sessions(situation: Situation, one: _Identity) -> list[SessionUse]:
    seen = () if situation.uses is None else situation.uses.sessions
    return [each for each in seen if each.principal == one.suspect.principal and each.who != one.suspect.who]


def _access_keys(situation: Situation, one: _Identity) -> tuple[str, ...]:
    """The long-lived access keys that a user is known to have used."""
    if one.caller.kind is not CallerKind.USER:
        return ()
    seen = () if situation.uses is None else situation.uses.sessions
    used = [key for each in seen if each.principal == one.suspect.principal for key in each.access_keys]
    return tuple(key for key in dict.fromkeys((one.suspect.access_key, *used)) if ACCESS_KEY_ID.fullmatch(key))


def _others(situation: Situation, one: _Identity) -> str:
    found = _sessions(situation, one)
    if not found:
        return ""
    last = max(each.last for each in found)
    names = some(situation.name(each.who) for each in found)
    return f"{count(sum(each.count for each in found), 'call')} by {names}, last at {at(last)}"


def _warnings(situation: Situation, one: _Identity, *, everybody: bool) -> Iterator[str]:
    if everybody and (only := _only_manager(situation, one)):
        yield only
    others = _others(situation, one)
    seen = situation.uses
    if others:
        effect = "are denied everything as well" if everybody else "have to be opened anew"
        yield f"Others use it too, and {effect}: {others}."
    elif seen is None:
        yield "No records were looked at that would tell who else uses it."
    else:
        yield f"The records from {at(seen.since)} on show nobody else who uses it."
    if one.caller.kind is CallerKind.USER and not _access_keys(situation, one):
        yield "Which access key it used is not known: look through its access keys, and its password."
    if everybody:
        yield "The policy does not end what it left behind: other users, roles, keys and grants that it made."


def _only_manager(situation: Situation, one: _Identity) -> str:
    """That nobody else can set the key's policy now: it has to be put back before its last holder is stopped."""
    current = situation.subject.current
    if current is None:
        return ""
    able = managers(situation.subject, current.policy)
    if not able or any(not same_identity(each, one.arn) for each in able):
        return ""
    return (
        f"Nobody but this {one.caller.kind.value} can set the policy of key {situation.subject.called} now."
        " Put the policy back first, acting as it; once it is stopped, only AWS Support could."
    )


__all__ = ["PREFIX", "denies_all", "denies_sessions", "quarantine", "revoke_sessions"]
