"""The signals of a verdict that are about who stands behind a principal: openers of sessions, makers of roles."""

from __future__ import annotations

from keytrail.investigate.accounts import UNTRUSTED
from keytrail.investigate.acts import act_of
from keytrail.investigate.compare import gained_principals
from keytrail.investigate.evidence import Evidence, Said
from keytrail.investigate.names import short
from keytrail.investigate.requests import caller_of
from keytrail.investigate.uses import is_among
from keytrail.policy import CallerKind, listed


def self_grant(e: Evidence) -> Said | None:
    """Whoever made the change gained by it, or whoever opened the session that did."""
    if e.of("KMS-P13"):
        return Said("Whoever made the change gave itself access.", ("KMS-P13",))
    named = [
        one
        for one in gained_principals(e.compared)
        if (caller := caller_of(one)) is not None and caller.kind is not CallerKind.ROOT
    ]
    openers = [
        act
        for act in e.actor.chain
        if (caller := caller_of(act.who)) is not None and any(is_among(one, caller) for one in named)
    ]
    if not openers:
        return None
    who = listed(list(dict.fromkeys(short(act.who, e.owner) for act in openers)))
    return Said(
        f"The session that made the change was opened by {who}, to whom it gives access.",
        event_ids=tuple(act.event_id for act in openers),
    )


def remade(e: Evidence) -> Said | None:
    """The policy names a role or user that is no longer the one that it named before."""
    if not e.remade:
        return None
    done = listed(list(dict.fromkeys(act_of(one).sentence for one in e.remade)))
    return Said(
        f"After the policy before was set, somebody {done}: that policy let in the former of that name, this one lets "
        "in the new.",
        event_ids=tuple(one.id for one in e.remade),
    )


def assumed_from_outside(e: Evidence) -> Said | None:
    """Somebody unknown acts as a role of the own accounts that gained access."""
    found: dict[str, list[str]] = {}
    for one in e.related.principals.items:
        strangers = [account for account in one.assumed_by_accounts if _is_stranger(account, e)]
        if strangers and e.relation(one.principal) not in UNTRUSTED:
            found[one.principal] = strangers
    if not found:
        return None
    said = [f"{short(role, e.owner)} from {listed([f'account {one}' for one in of])}" for role, of in found.items()]
    return Said(f"Who gained access was assumed from accounts that nobody approved: {listed(said)}.")


def not_all_looked_at(e: Evidence) -> Said | None:
    """So many gained that what some of them did was not looked for: a crowd hides one."""
    found = e.related.principals
    if not found.truncated:
        return None
    return Said(f"Of {found.total:,} principals that gained access only {len(found.items):,} were looked at.")


def _is_stranger(account: str, e: Evidence) -> bool:
    return e.relation(f"arn:aws:iam::{account}:root") in UNTRUSTED
