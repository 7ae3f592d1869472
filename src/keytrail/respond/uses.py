"""Who used a key lately, who acts as an identity that may be stopped, and whom IAM has deleted, as the records tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from keytrail.cloudtrail import text_of
from keytrail.investigate import Event, KeyName, events_of
from keytrail.investigate.activity import Call, activity_of
from keytrail.investigate.events import USES
from keytrail.investigate.queries import IAM, KMS
from keytrail.investigate.requests import Pairs, Reader, Use
from keytrail.investigate.services import named_by_context
from keytrail.investigate.uses import uses_of
from keytrail.policy import KeyPolicy
from keytrail.settings import Accounts
from keytrail.store import EventStore, Selector, Want

MOST_USES = 20_000
"""Kinds of uses that are told apart; the uses of further kinds are counted, and the answer is not `complete`."""

MOST_RESOURCES = 5
"""Resources that one kind of use names; a reader at night wants examples."""

MOST_SESSIONS = 200
"""Sessions of one identity that are told apart."""

LONG_LIVED = "AKIA"
"""How the ids of access keys begin that are valid until somebody switches them off."""

_BATCH = 2_000  # events in memory at a time
_DELETED = ("DeleteRole", "DeleteUser")
_CREATED = ("CreateRole", "CreateUser", "CreateServiceLinkedRole")
_IDENTITIES = f"event.provider: {IAM} and event.action: ({' or '.join((*_DELETED, *_CREATED))})"


@dataclass(frozen=True, slots=True)
class RecentUse:
    """Successful uses of a key of one kind: who, what, through which service ("" for none), how often, when.

    `principal` is as policies name it, `action` the name of the event. `use` is what policies can tell of them, None
    where the records do not tell who called. `resources` are examples of what their encryption contexts name.
    """

    principal: str
    action: str
    via: str
    count: int
    first: datetime
    last: datetime
    use: Use | None
    resources: tuple[str, ...] = ()

    @property
    def permissions(self) -> tuple[str, ...]:
        """The permissions that it needs."""
        return USES.get(self.action, (f"kms:{self.action}",))


@dataclass(frozen=True, slots=True)
class SessionUse:
    """What somebody did as an identity: `who` is the caller (the session of a role), `count` the number of calls.

    `access_keys` are the long-lived ones that were used.
    """

    principal: str
    who: str
    count: int
    last: datetime
    access_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """A user or role that IAM deleted, by its ARN; `remade` is when one of the same name was made after that."""

    principal: str
    time: datetime
    event_id: str
    remade: datetime | None = None
    remade_by: str = ""


@dataclass(frozen=True, slots=True)
class RecentUses:
    """What the records from `since` to `until` (exclusive) tell; of deletions, all records. Most used first.

    `complete` is False when there were more kinds of uses than are told apart.
    """

    since: datetime
    until: datetime
    uses: tuple[RecentUse, ...] = ()
    sessions: tuple[SessionUse, ...] = ()
    deleted: tuple[Deleted, ...] = ()
    complete: bool = True


def by_principal(uses: Iterable[RecentUse]) -> dict[str, list[RecentUse]]:
    """Uses by who it was, in their order."""
    found: dict[str, list[RecentUse]] = {}
    for one in uses:
        found.setdefault(one.principal, []).append(one)
    return found


def recent_uses(
    store: EventStore,
    key: KeyName,
    since: datetime,
    until: datetime,
    accounts: Accounts,
    policies: Sequence[KeyPolicy],
    identities: Sequence[str] = (),
) -> RecentUses:
    """Read who used a key, who acted as one of `identities` (ARNs), and which principals of `policies` were deleted.

    `policies` are all that the uses will be judged by. Raises what the store raises.
    """
    of_key = Selector.any_of((key.arn,))
    of_iam = Selector.kql(_IDENTITIES)
    of_each = {one: Selector.any_of((one,)) for one in identities}
    wants = [Want(one, since, until) for one in (of_key, *of_each.values())]
    store.prepare([*wants, Want(of_iam)])
    reader = Reader(policies, key, accounts)
    uses, complete = _uses(events_of(store.find(of_key, since, until)), key, reader)
    sessions = [
        session
        for one, selector in of_each.items()
        for session in _sessions(one, events_of(store.find(selector, since, until)))
    ]
    named = {
        principal.value
        for policy in policies
        for statement in policy.statements
        for principal in statement.all_principals()
    }
    deleted = _deleted(named, events_of(store.find(of_iam)))
    return RecentUses(since, until, uses, tuple(sessions), deleted, complete)


# Uses of the key -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kind:
    first: datetime
    last: datetime
    count: int = 0
    resources: dict[str, None] = field(default_factory=dict)


_Name = tuple[str, str, str, Use | None]


def _uses(events: Iterable[Event], key: KeyName, reader: Reader) -> tuple[tuple[RecentUse, ...], bool]:
    found: dict[_Name, _Kind] = {}
    complete = True
    for call, more in _calls(events, key):
        use = reader.use(call, USES.get(call.name, (f"kms:{call.name}",)), more)
        name: _Name = (call.principal, call.name, call.invoked_by, use)
        if name not in found and len(found) >= MOST_USES:
            complete = False
            continue
        kind = found.setdefault(name, _Kind(call.time, call.time))
        kind.count += 1
        kind.first, kind.last = min(kind.first, call.time), max(kind.last, call.time)
        for context in call.contexts:
            if len(kind.resources) < MOST_RESOURCES:
                kind.resources[named_by_context(dict(context), key).resource] = None
    uses = [
        RecentUse(principal, action, via, kind.count, kind.first, kind.last, use, tuple(kind.resources))
        for (principal, action, via, use), kind in found.items()
    ]
    return tuple(sorted(uses, key=lambda one: (-one.count, one.principal, one.action, one.via))), complete


def _calls(events: Iterable[Event], key: KeyName) -> Iterator[tuple[Call, Pairs]]:
    """The successful uses of the key, a batch of events at a time: a busy key has more than there is memory for."""
    about = (one for one in events if one.provider == KMS and key.arn in one.resources and one.succeeded)
    while batch := tuple(islice(about, _BATCH)):
        yield from uses_of(activity_of(key, batch, most_calls=_BATCH))


# Identities ----------------------------------------------------------------------------------------------------------


def _sessions(principal: str, events: Iterable[Event]) -> Iterator[SessionUse]:
    found: dict[str, SessionUse] = {}
    for event in events:
        if event.principal != principal:
            continue
        known = found.get(event.who)
        if known is None and len(found) >= MOST_SESSIONS:
            continue
        keys = () if known is None else known.access_keys
        if event.access_key.startswith(LONG_LIVED) and event.access_key not in keys:
            keys = (*keys, event.access_key)
        found[event.who] = SessionUse(principal, event.who, (known.count if known else 0) + 1, event.time, keys)
    yield from sorted(found.values(), key=lambda one: (-one.count, one.who))


def _deleted(named: Iterable[str], events: Iterable[Event]) -> tuple[Deleted, ...]:
    """Names of roles and users are unique in an account, whatever the path; the events tell no more than the name."""
    principals: dict[tuple[str, str, str], list[str]] = {}
    for arn in sorted(named):
        parts = arn.split(":", 5)
        kind, _, path = parts[-1].partition("/")
        if len(parts) == 6 and kind in ("role", "user"):
            principals.setdefault((parts[4], kind, path.rpartition("/")[2]), []).append(arn)
    found: dict[str, Deleted] = {}
    for event in events:
        kind = "user" if event.name.endswith("User") else "role"
        for arn in principals.get((event.account, kind, _about(event, kind)), ()) if event.succeeded else ():
            if event.name in _DELETED:
                found[arn] = Deleted(arn, event.time, event.id)
            elif arn in found and found[arn].remade is None:
                gone = found[arn]
                found[arn] = Deleted(arn, gone.time, gone.event_id, event.time, event.who)
    return tuple(found.values())


def _about(event: Event, kind: str) -> str:
    return text_of(event.parameters, f"{kind}Name") or text_of(event.response, kind, f"{kind}Name")


__all__ = ["LONG_LIVED", "Deleted", "RecentUse", "RecentUses", "SessionUse", "by_principal", "recent_uses"]
