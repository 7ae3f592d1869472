"""The grants on a key: access that lies beside its policy and outlives a change of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keytrail.cloudtrail import text_of
from keytrail.investigate.activity import KeyActivity
from keytrail.investigate.events import Event, member
from keytrail.investigate.model import Grant
from keytrail.investigate.queries import KMS

_ENDS = ("RevokeGrant", "RetireGrant")


def grants_of(activity: KeyActivity) -> tuple[Grant, ...]:
    """Every grant that was created on the key, by time; a grant that two accounts or two calls tell of, once.

    KMS answers a CreateGrant that repeats the name and content of an earlier one with the id of the earlier grant.
    """
    found: dict[str, Grant] = {}
    for event in activity.events:
        if event.provider != KMS or not event.succeeded:
            continue
        if event.name == "CreateGrant":
            grant = grant_of(event)
            found.setdefault(grant.grant_id or event.id, grant)
        elif event.name in _ENDS:
            grant_id = ended_grant(event)
            known = found.get(grant_id)
            if known is not None and known.ended is None:
                found[grant_id] = replace(known, ended_by=event.id, ended=event.time)
    return tuple(found.values())


def grant_of(event: Event) -> Grant:
    """The grant that a CreateGrant made. Its id is "" when the record has no answer."""
    asked = event.parameters
    return Grant(
        grant_id=text_of(event.response, "grantId"),
        grantee=text_of(asked, "granteePrincipal") or text_of(asked, "granteeServicePrincipal"),
        operations=_texts(asked, "operations"),
        created=event.time,
        event_id=event.id,
        created_by=event.principal,
        retiring=text_of(asked, "retiringPrincipal") or text_of(asked, "retiringServicePrincipal"),
        constraints=member(asked, "constraints"),
    )


def ended_grant(event: Event) -> str:
    """The id of the grant that a RevokeGrant or RetireGrant ended, which they log in different places (3.3)."""
    return text_of(event.parameters, "grantId") or text_of(event.data, "additionalEventData", "grantId")


def _texts(data: Mapping[str, object], name: str) -> tuple[str, ...]:
    listed = data.get(name)
    return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()
