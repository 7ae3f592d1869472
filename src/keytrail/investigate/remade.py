"""Roles and users that were made anew under a name that the policy held already."""

from __future__ import annotations

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.model import ComparedChange
from keytrail.investigate.queries import CREATIONS
from keytrail.investigate.related import IdentityEvents
from keytrail.investigate.requests import caller_of
from keytrail.policy import KeyPolicy


def remade_of(change: PolicyChange, compared: ComparedChange, identities: IdentityEvents) -> tuple[Event, ...]:
    """What created a role or user that both policies name, after the one before was set and before the change, by time.

    KMS keeps who a principal is, not what it is called (spec/key-policy.md 1.2): what the policy before named existed
    when it was set and is gone, and to set the same text again lets in the new one of that name.
    """
    before, after, source = compared.before.policy, compared.after.policy, compared.before.source
    if before is None or after is None or source is None or source.time is None:
        return ()
    found: dict[str, Event] = {}
    for name in _let_in(before) & _let_in(after):
        identity = caller_of(name)
        if identity is None or identity.session is not None:
            continue
        for event in identities.about(identity):
            created = event.name in CREATIONS.get(identity.kind, frozenset())
            if created and source.time < event.time <= change.event.time:
                found[event.id] = event
    return tuple(sorted(found.values(), key=lambda one: (one.time, one.id)))


def _let_in(policy: KeyPolicy) -> frozenset[str]:
    return frozenset(
        principal.value
        for statement in policy.statements
        if statement.effect == "Allow"
        for principal in statement.principals or ()
    )
