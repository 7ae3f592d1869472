"""What the principals that gained access did, and what was done to them; the grants that outlive the change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from keytrail.cloudtrail import text_of
from keytrail.investigate.accounts import UNTRUSTED, relation_of
from keytrail.investigate.activity import KeyActivity
from keytrail.investigate.acts import act_of
from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event, each_once, event_of
from keytrail.investigate.grants import grants_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import (
    Act,
    Capped,
    ComparedChange,
    DataAtStake,
    Grant,
    PrincipalActivity,
    RelatedActivity,
    Usage,
)
from keytrail.investigate.queries import CREATIONS, KMS, POWERS, STS
from keytrail.investigate.requests import caller_of
from keytrail.investigate.uses import is_among, undone_at, uses_since
from keytrail.policy import Caller, CallerKind, KeyPolicy, Request, evaluate
from keytrail.settings import Accounts
from keytrail.store import EventStore, Selector, Want, strings_of

_SHORTEST = 3  # A shorter name is a value of too many members to go by.
_NAMED = frozenset({CallerKind.USER, CallerKind.ROLE, CallerKind.FEDERATED_USER})

T = TypeVar("T", Act, Event)
U = TypeVar("U", Grant, Usage)


def related_wants(change: PolicyChange, gained: Sequence[str], limits: Limits) -> tuple[Want, ...]:
    """What `relate` will ask a store for: the events by or about an identity that gained, from shortly before on."""
    arns = [one.arn for one in _identities(gained, limits)]
    return (Want(Selector.any_of(arns), limits.window(change.event.time)[0]),) if arns else ()


class IdentityEvents:
    """The events of IDENTITIES_QUERY, by the account and the name of the role or user that they are about."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            if event.succeeded:
                self._events[event.account, _about(event)].append(event)

    def about(self, identity: Caller) -> Sequence[Event]:
        """Those about a role or user, by time."""
        return self._events.get((identity.account or "", identity.name.rpartition("/")[2]), ())


def relate(
    change: PolicyChange,
    compared: ComparedChange,
    gained: Sequence[str],
    activity: KeyActivity,
    store: EventStore,
    identities: IdentityEvents,
    data: Sequence[DataAtStake],
    limits: Limits,
    accounts: Accounts | None = None,
) -> RelatedActivity:
    """All that the events tell of the principals in `gained` (see `uses_since`), and of the grants on the key.

    What went into an identity or was done by it counts from `limits.around` before the change on, what made it at any
    time.
    """
    uses = uses_since(change, compared, gained, activity, limits, accounts)
    grants = grants_of(activity)
    since = _grants_since(change, compared, gained, activity, grants)
    surviving = _surviving(change, compared, grants)
    most = limits.max_acts
    trust = accounts or Accounts()

    def stranger(principal: str) -> int:
        relation = relation_of(principal, change, (), trust)
        return 0 if relation in UNTRUSTED else 1 if relation != "owner" else 2

    def grantees(grant: Grant) -> tuple[int, ...]:
        return (stranger(grant.grantee),)

    listed = _strangest(uses, lambda one: (stranger(one.principal), -one.count), most)
    shown_since = _strangest(since, grantees, most)
    named = {one.arn: one for one in _identities(gained, limits)}
    at_stake = _Resources.of(data)
    return RelatedActivity(
        principals=Capped(
            tuple(
                _principal(one, named.get(one), change, store, identities, at_stake, listed, shown_since, limits)
                for one in gained[: limits.max_principals]
            ),
            len(gained),
        ),
        uses=listed,
        grants_since=shown_since,
        surviving_grants=_strangest(surviving, grantees, most),
        used_event_ids=tuple(event_id for one in listed for event_id in one.event_ids.items),
        uses_total=len(uses),
        grants_since_total=len(since),
        surviving_grants_total=len(surviving),
    )


def nearest(items: Sequence[T], moment: datetime, most: int) -> Capped[T]:
    """At most `most` of the items, those nearest to a moment, by time."""
    if len(items) <= most:
        return Capped(tuple(items), len(items))
    kept = sorted(range(len(items)), key=lambda at: (abs(items[at].time - moment), at))[:most]
    return Capped(tuple(items[at] for at in sorted(kept)), len(items))


def _strangest(items: Sequence[U], rank: Callable[[U], tuple[int, ...]], most: int) -> tuple[U, ...]:
    """At most `most` of the items, those with the least rank, in their order: no flood hides what a stranger did."""
    if len(items) <= most:
        return tuple(items)
    kept = sorted(range(len(items)), key=lambda at: (*rank(items[at]), at))[:most]
    return tuple(items[at] for at in sorted(kept))


# Principals ---------------------------------------------------------------------------------------------------------


def _identities(gained: Sequence[str], limits: Limits) -> list[Caller]:
    """The users, roles and sessions among the principals that are looked at; never accounts, services or everyone."""
    callers = [caller_of(one) for one in gained[: limits.max_principals]]
    return [one for one in callers if one is not None and one.kind in _NAMED]


def _principal(
    principal: str,
    identity: Caller | None,
    change: PolicyChange,
    store: EventStore,
    identities: IdentityEvents,
    at_stake: _Resources,
    uses: Sequence[Usage],
    grants: Sequence[Grant],
    limits: Limits,
) -> PrincipalActivity:
    owner = change.key.account
    own_uses = tuple(
        one for one in uses if _stands_for(principal, one.principal) or _may_be(principal, one.principal, owner)
    )
    own_grants = tuple(
        one for one in grants if _stands_for(principal, one.grantee) or _stands_for(principal, one.created_by)
    )
    if identity is None:
        return PrincipalActivity(principal, uses=own_uses, grants=own_grants)
    creations, powers = (table.get(identity.kind, frozenset()) for table in (CREATIONS, POWERS))
    found = _Acts()
    about = identities.about(identity)
    found.created += [one for one in about if one.name in creations]
    found.powers += [one for one in about if one.name in powers]
    for record in store.find(Selector.any_of((identity.arn,)), limits.window(change.event.time)[0]):
        event = event_of(record)
        if event is None or event.id == change.event.id or not event.succeeded:
            continue
        if event.provider == STS and event.name.startswith("AssumeRole") and _goes_into(event, identity):
            found.assumed.append(event)
        elif event.time > change.event.time and _is_by(event, identity) and at_stake.named_in(event):
            found.data.append(event)
    moment = change.event.time
    powers_given = _acts(found.powers, principal, moment, limits)
    return PrincipalActivity(
        principal,
        created=_acts(found.created, principal, moment, limits).items,
        assumed=_acts(found.assumed, principal, moment, limits),
        policies_attached=powers_given.items,
        policies_attached_total=powers_given.total,
        uses=own_uses,
        grants=own_grants,
        data_access=_acts(found.data, "", moment, limits),
        assumed_by_accounts=tuple(sorted({one.caller_account for one in found.assumed} - {"", identity.account})),
    )


@dataclass(slots=True)
class _Acts:
    created: list[Event] = field(default_factory=list)
    assumed: list[Event] = field(default_factory=list)
    powers: list[Event] = field(default_factory=list)
    data: list[Event] = field(default_factory=list)


def _acts(events: Sequence[Event], about: str, moment: datetime, limits: Limits) -> Capped[Act]:
    kept = nearest(each_once(events), moment, limits.max_acts)
    return Capped(tuple(act_of(event, about=about) for event in kept.items), kept.total)


def _stands_for(principal: str, other: str) -> bool:
    """Whether `principal` is `other` or covers it: an account its identities, "*" everyone."""
    caller = caller_of(other)
    return principal == other or (caller is not None and is_among(principal, caller))


def _may_be(principal: str, other: str, owner: str) -> bool:
    """Whether `other` is the account of an identity from outside, of whose callers records tell no more than that."""
    caller, account = caller_of(principal), caller_of(other)
    if caller is None or account is None or account.kind is not CallerKind.ROOT:
        return False
    return caller.account == account.account != owner


def _about(event: Event) -> str:
    """The name of the role or user that an event of IAM is about."""
    if event.name in CREATIONS[CallerKind.ROLE] | POWERS[CallerKind.ROLE]:
        return text_of(event.parameters, "roleName") or text_of(event.response, "role", "roleName")
    # Who names no user acts on itself.
    return text_of(event.parameters, "userName") or text_of(event.identity, "userName")


def _goes_into(event: Event, identity: Caller) -> bool:
    if identity.session is not None:
        return text_of(event.response, "assumedRoleUser", "arn") == identity.arn
    return text_of(event.parameters, "roleArn") == identity.arn


def _is_by(event: Event, identity: Caller) -> bool:
    return event.provider != KMS and identity.arn in (event.principal, text_of(event.identity, "arn"))


# Data ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Resources:
    """The names that the data at stake goes by: ARNs, and for each service the names in their ARNs."""

    arns: frozenset[str]
    names: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, data: Sequence[DataAtStake]) -> _Resources:
        arns, names = set(), set()
        for one in data:
            if not one.resource.startswith("arn:") or one.resource.count(":") < 5:
                names.add((one.service, one.resource))
                continue
            arns.add(one.resource)
            service, rest = one.resource.split(":")[2], one.resource.split(":", 5)[5]
            names.update((service, name) for name in _names(service, rest) if len(name) >= _SHORTEST)
        return cls(frozenset(arns), frozenset(names))

    def named_in(self, event: Event) -> bool:
        """Whether the event names one of them, by its ARN or, to its service, by name."""
        service = event.provider.partition(".")[0]
        given = {*event.resources, *strings_of(event.parameters)}
        if not self.arns.isdisjoint(given):
            return True
        return any((service, name) in self.names for one in given for name in (one, one.rpartition("/")[2]))


def _names(service: str, rest: str) -> Iterator[str]:
    """What requests call a resource, from the last part of its ARN."""
    if service == "s3":
        yield rest.partition("/")[0]  # the bucket: an object's name says nothing without it
        return
    kind, _, name = rest.partition("/") if "/" in rest.partition(":")[0] else rest.partition(":")
    yield name or kind
    if service == "secretsmanager":
        yield name.rpartition("-")[0]  # without the six characters that the service adds
    if service == "ssm":
        yield f"/{name}"


# Grants -------------------------------------------------------------------------------------------------------------


def _grants_since(
    change: PolicyChange,
    compared: ComparedChange,
    gained: Sequence[str],
    activity: KeyActivity,
    grants: Sequence[Grant],
) -> tuple[Grant, ...]:
    """The grants made since, to or by principals that gained access, until what the change gave was taken back.

    Grants to or by other accounts count as well, until the next change of the policy.
    """
    undone = undone_at(change, compared, activity)

    def counts(grant: Grant) -> bool:
        parties = (grant.grantee, grant.created_by)
        if any(_stands_for(one, party) for one in gained for party in parties):
            return undone is None or grant.created < undone
        callers = [caller for party in parties if (caller := caller_of(party)) is not None]
        next_change = compared.in_force_until
        return any(one.account != change.key.account for one in callers) and (
            next_change is None or grant.created < next_change
        )

    return tuple(grant for grant in grants if grant.created >= change.event.time and counts(grant))


def _surviving(change: PolicyChange, compared: ComparedChange, grants: Sequence[Grant]) -> tuple[Grant, ...]:
    """The grants from before the change, never ended, to whom the change took access or whose account it shut out."""
    before, after, comparison = compared.before.policy, compared.after.policy, compared.comparison
    if before is None or after is None or comparison is None or not comparison.losses:
        return ()
    owner = change.key.account
    shut_out = {
        one.account for loss in comparison.losses for one in loss.classes if one.account not in (None, owner)
    } - set(comparison.external_accounts)

    def is_shut_out(grant: Grant) -> bool:
        caller = caller_of(grant.grantee)
        if caller is None:
            return False
        return caller.account in shut_out or any(
            _lost(caller, f"kms:{one}", before, after, change) for one in grant.operations
        )

    return tuple(
        grant for grant in grants if grant.created < change.event.time and grant.ended is None and is_shut_out(grant)
    )


def _lost(caller: Caller, action: str, before: KeyPolicy, after: KeyPolicy, change: PolicyChange) -> bool:
    request = Request(caller, action, needs_iam=True)
    owner, arn = change.key.account, change.key.arn
    had, has = (evaluate(one, request, owner, key_arn=arn) for one in (before, after))
    return had.allowed and not has.possible
