"""The data at stake: what the key was seen to protect before its policy was changed, by whom and how often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keytrail.cloudtrail import text_of
from keytrail.investigate.activity import Call, KeyActivity
from keytrail.investigate.change import KeyName, PolicyChange
from keytrail.investigate.events import Event, member
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Capped, DataAtStake, DataSummary, StakedData
from keytrail.investigate.queries import KMS
from keytrail.investigate.services import (
    UNKNOWN,
    Protected,
    is_of_a_service,
    key_named_in,
    named_by_context,
    named_by_grantee,
    named_by_request,
)

Context = tuple[tuple[str, str], ...]
Basis = Literal["encryption_context", "request", "inferred"]

UNCONFIRMED = "named by the caller; not confirmed by the service"
FROM_OUTSIDE = "named by callers of other accounts only; not confirmed by the service"
FROM_GRANT = "inferred from the constraint of a grant: no use of the key for it was seen"
FROM_GRANTEE = "inferred from the grantee of a grant, which does not say for which resource"
FROM_REENCRYPT = "inferred from ReEncrypt, whose two contexts belong to two keys"
OWN_CONTEXT = "an application's own context: what it protects is not known"
BUCKET_KEY = "the bucket has a Bucket Key: calls do not name its objects"


def data_at_stake(
    change: PolicyChange, activity: KeyActivity, *, aliases: Sequence[str] = (), limits: Limits
) -> StakedData:
    """What successful events strictly before the change say of the data that the key protects.

    A row for each encryption context of the uses of the key and of the grants on it (key-policy.md 3.5), and one for
    each resource that only a request to another service, or the grantee of a grant, tells of. A context is chosen by
    the caller and proves nothing about it; the notes of a row say how sure it is. `aliases` are names of the key, or
    their ARNs. A key that the change created protects nothing yet.
    """
    if change.creates:
        return StakedData()
    moment, key = change.event.time, activity.key
    calls = (call for call in activity.calls if call.time < moment and call.is_use and call.succeeded)
    events = [event for event in activity.events if event.time < moment and event.succeeded]
    grants = [event for event in events if event.name == "CreateGrant" and _is_about(event, key)]

    found = list(_by_context(calls, grants, key, limits))
    known = {(protected.service, protected.resource) for protected, _ in found}
    for others in (_by_request(events, key, aliases, limits), _by_grantee(grants, key, limits)):
        found.extend((protected, row) for protected, row in others if (row.service, row.resource) not in known)
    found.sort(key=lambda one: (-one[1].count, _json(one[1]), one[1].service, one[1].resource, one[1].kind))

    rows = Capped.of([row for _, row in found], limits.max_data)
    services = Counter(service for service, _ in {(row.service, row.resource) for _, row in found})
    return StakedData(
        rows.items,
        rows.total,
        summary=Capped.of(_summary(found), limits.max_data),
        by_service=dict(sorted(services.items(), key=lambda item: (-item[1], item[0]))),
        complete=len(activity.calls) == activity.calls_total,
    )


@dataclass(slots=True)
class _Tally:
    """What is counted of one resource while the events go by.

    `last` is (time, event id), so that ties are broken. Of a context: `used`, a use of this key named it; `confirmed`,
    a service did; `from_inside`, somebody within the key's account did. Of a request: `key_names`, as it named the key.
    """

    count: int = 0
    first: datetime | None = None
    last: tuple[datetime, str] | None = None
    principals: set[str] = field(default_factory=set)
    operations: set[str] = field(default_factory=set)
    used: bool = False
    confirmed: bool = False
    from_inside: bool = False
    key_names: set[str] = field(default_factory=set)

    def add(self, time: datetime, event_id: str, name: str, principal: str) -> None:
        self.count += 1
        self.first = time if self.first is None else min(self.first, time)
        self.last = (time, event_id) if self.last is None else max(self.last, (time, event_id))
        self.principals.add(principal)
        self.operations.add(name)

    def attest(self, principal: str, invoked_by: str, caller_account: str, owner: str) -> None:
        """Take note of who stands for a context: a service within the owner's account, or the caller alone."""
        inside = caller_account in ("", owner)
        self.from_inside |= inside
        self.confirmed |= inside and is_of_a_service(principal, invoked_by)


# Encryption contexts ------------------------------------------------------------------------------------------------


def _by_context(
    calls: Iterable[Call], grants: Iterable[Event], key: KeyName, limits: Limits
) -> Iterator[tuple[Protected, DataAtStake]]:
    tallies: dict[Context, _Tally] = {}
    for call in calls:
        for context in call.contexts:
            tally = tallies.setdefault(context, _Tally())
            tally.add(call.time, call.event_id, call.name, call.principal)
            tally.attest(call.principal, call.invoked_by, call.caller_account, key.account)
            # A call does not tell which of the contexts of a ReEncrypt is that of this key.
            tally.used |= len(call.contexts) == 1
    for event in grants:
        for context in _constraints(event):
            tally = tallies.setdefault(context, _Tally())
            tally.add(event.time, event.id, event.name, event.principal)
            tally.attest(event.principal, event.invoked_by, event.caller_account, key.account)
    for context, tally in tallies.items():
        protected = named_by_context(dict(context), key)
        basis: Basis = "encryption_context" if tally.used else "inferred"
        yield protected, _row(protected, tally, limits, basis, _context_notes(protected, tally), context)


def _context_notes(protected: Protected, tally: _Tally) -> Iterator[str]:
    if not tally.used:
        yield FROM_GRANT if tally.operations == {"CreateGrant"} else FROM_REENCRYPT
    if protected.service == UNKNOWN:
        yield OWN_CONTEXT
    elif not tally.confirmed:
        yield UNCONFIRMED if tally.from_inside else FROM_OUTSIDE
    if protected.kind == "bucket":
        yield BUCKET_KEY


def _constraints(event: Event) -> tuple[Context, ...]:
    """The contexts that a CreateGrant is limited to."""
    constraints = member(event.parameters, "constraints")
    found = [member(constraints, name) for name in ("encryptionContextSubset", "encryptionContextEquals")]
    contexts = (tuple(sorted((k, v) for k, v in one.items() if isinstance(v, str))) for one in found)
    return tuple(dict.fromkeys(context for context in contexts if context))


# What only hints ----------------------------------------------------------------------------------------------------


def _by_request(
    events: Iterable[Event], key: KeyName, aliases: Sequence[str], limits: Limits
) -> Iterator[tuple[Protected, DataAtStake]]:
    """What requests to other services name the key for."""
    tallies: dict[Protected, _Tally] = {}
    for event in events:
        if event.provider == KMS:
            continue
        protected = named_by_request(event, key)
        name = key_named_in(event, key, aliases) if protected is not None else ""
        if protected is None or not name:
            continue
        tally = tallies.setdefault(protected, _Tally())
        tally.add(event.time, event.id, event.name, event.principal)
        tally.key_names.add(name)
    for protected, tally in tallies.items():
        # Which key an alias names may change, so it is said when nothing better did.
        by = f" by its alias {min(tally.key_names)}" if all("alias/" in name for name in tally.key_names) else ""
        note = f"{' and '.join(sorted(tally.operations))} named the key for it{by}; no use of the key for it was seen"
        unnamed = () if protected.resource else ("the record does not say what it is called",)
        yield protected, _row(protected, tally, limits, "request", (note, *unnamed))


def _by_grantee(grants: Iterable[Event], key: KeyName, limits: Limits) -> Iterator[tuple[Protected, DataAtStake]]:
    """What grants to services hint at that are not limited to an encryption context."""
    tallies: dict[Protected, _Tally] = {}
    for event in grants:
        protected = named_by_grantee(text_of(event.parameters, "granteePrincipal"), key)
        if protected is not None and not _constraints(event):
            tallies.setdefault(protected, _Tally()).add(event.time, event.id, event.name, event.principal)
    for protected, tally in tallies.items():
        yield protected, _row(protected, tally, limits, "inferred", (FROM_GRANTEE,))


def _is_about(event: Event, key: KeyName) -> bool:
    """Whether an event of KMS is on the key, and does not only mention it."""
    if event.provider != KMS:
        return False
    return key.arn in event.resources or (
        not event.resources and text_of(event.parameters, "keyId") in (key.arn, key.id)
    )


# Rows ---------------------------------------------------------------------------------------------------------------


def _row(
    protected: Protected, tally: _Tally, limits: Limits, basis: Basis, notes: Iterable[str], context: Context = ()
) -> DataAtStake:
    assert tally.first is not None
    assert tally.last is not None
    last, example = tally.last
    return DataAtStake(
        service=protected.service,
        kind=protected.kind,
        resource=protected.resource,
        context=dict(context),
        basis=basis,
        count=tally.count,
        first=tally.first,
        last=last,
        principals=Capped.of(sorted(tally.principals), limits.max_event_ids),
        operations=tuple(sorted(tally.operations)),
        example=example,
        note="; ".join(notes),
    )


def _json(row: DataAtStake) -> str:
    return json.dumps(row.context, sort_keys=True)


def _summary(found: Iterable[tuple[Protected, DataAtStake]]) -> list[DataSummary]:
    """The rows taken together by what holds the resources, most used first."""
    groups: dict[Protected, list[DataAtStake]] = {}
    for protected, row in found:
        groups.setdefault(protected.holder, []).append(row)
    summaries = [
        DataSummary(
            service=holder.service,
            kind=holder.kind,
            resource=holder.resource,
            contexts=sum(bool(row.context) for row in rows),
            count=sum(row.count for row in rows),
            first=min(row.first for row in rows),
            last=max(row.last for row in rows),
        )
        for holder, rows in groups.items()
    ]
    return sorted(summaries, key=lambda one: (-one.count, one.service, one.resource, one.kind))
