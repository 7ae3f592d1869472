"""Who made a change, whether it is known here, how it got its session, and what else it did around the change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal, get_args

from keytrail.cloudtrail import event_time, text_of
from keytrail.investigate.activity import Call, KeyActivity
from keytrail.investigate.acts import act_of
from keytrail.investigate.change import PolicyChange, change_of
from keytrail.investigate.deeds import SUSPICIOUS
from keytrail.investigate.events import Event, each_once, event_of, member
from keytrail.investigate.limits import Limits, later
from keytrail.investigate.model import Act, ActKind, Actor, Capped, Seen
from keytrail.store import EventStore, Selector, Sighting, StoredRecord, Want

MOST_STEPS = 5
"""How far back the opening of sessions is followed."""

SIGN_IN = timedelta(minutes=5)
"""How near the start of a console session lies to the event that opened it, which does not name the access key."""

_QUIET: tuple[ActKind, ...] = ("data", "other", "look", "use")


def actor_wants(change: PolicyChange, limits: Limits) -> tuple[Want, ...]:
    """What will be asked about the actor: its access key at any time, its name around the change.

    The name is the ARN of the user, or of this session of a role; the role's own is in every session of it, and a busy
    role has very many. A caller without an ARN goes by its id. A service has neither key nor address, and its name is
    in every record that it passes on.
    """
    event, found = change.event, []
    if event.access_key:
        found.append(Want(Selector.any_of((event.access_key,))))
    if name := _name(event):
        found.append(Want(Selector.any_of((name,)), *limits.window(event.time)))
    return tuple(found)


def address_wants(change: PolicyChange, store: EventStore, limits: Limits) -> tuple[Want, ...]:
    """What will be asked about the address: what came from it around the change, if it is new to the account.

    Behind an address that was seen before stand others too (an office, a pipeline): what they did says nothing.
    """
    event = change.event
    if not _is_new(event, store, limits):
        return ()
    return (Want(Selector.any_of((_address(event),)), *limits.window(event.time)),)


def actor_sightings(change: PolicyChange, limits: Limits) -> tuple[Sighting, ...]:
    """The actor's address and agent in the key's account, earlier than the hours around the change."""
    event, (since, _) = change.event, limits.window(change.event.time)
    found = []
    if _address(event):
        found.append(_of_address(event, limits))
    if agent := _agent(event):
        found.append(Sighting(("userAgent",), agent, event.account, since))
    return tuple(found)


def describe_actor(change: PolicyChange, store: EventStore, activity: KeyActivity, limits: Limits) -> Actor:
    """The actor, from the event, the events of its access key, session and new address, and those of the key."""
    event = change.event
    around = _Around.of(event, store, limits)
    seen_since = min((one.first for one in store.coverage().seen if one.account == event.account), default=None)
    earlier = _Earlier(change, activity, around.since, seen_since)
    in_account = {one.path: store.seen(one) or earlier.unless_unknown for one in actor_sightings(change, limits)}
    session = member(event.identity, "sessionContext")
    chain = tuple(_chain(event, around.events))
    others = _by_others(event, chain, around.acts)
    acts = [act_of(one) for one in around.acts]
    kinds = Counter(act.kind for act in acts)
    return Actor(
        who=event.who,
        principal=event.principal,
        type=text_of(event.identity, "type") or "unknown",
        account=event.caller_account,
        session_issuer=text_of(session, "sessionIssuer", "arn") or None,
        session_created=_session_created(event),
        mfa={"true": True, "false": False}.get(text_of(session, "attributes", "mfaAuthenticated")),
        address=Seen(
            event.address,
            earlier.on_key(lambda one: one.address == event.address) if _address(event) else None,
            in_account.get(("sourceIPAddress",)),
        ),
        agent=Seen(
            event.agent,
            earlier.on_key(lambda one: one.agent == event.agent) if _agent(event) else None,
            in_account.get(("userAgent",)),
        ),
        access_key=event.access_key,
        access_key_kind=_kind_of(event.access_key),
        access_key_first_seen=around.first_with_key,
        access_key_age_seconds=around.key_age_seconds(event.time),
        before_on_key=earlier.on_key(lambda one: one.principal == event.principal),
        account_seen_since=seen_since,
        chain=tuple(act_of(one) for one in chain),
        acts=Capped(_most_telling(acts, others, limits.max_acts), len(acts)),
        acts_by_others=len(others),
        acts_by_kind={kind: kinds[kind] for kind in get_args(ActKind) if kinds[kind]},
    )


# What the store tells -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Around:
    """The answers to what was wanted: each event once, by time. `acts` are the actor's, without the change itself."""

    since: datetime
    first_with_key: datetime | None
    events: tuple[Event, ...]
    acts: tuple[Event, ...]

    def key_age_seconds(self, moment: datetime) -> int | None:
        return None if self.first_with_key is None else int((moment - self.first_with_key).total_seconds())

    @classmethod
    def of(cls, event: Event, store: EventStore, limits: Limits) -> _Around:
        since, until = limits.window(event.time)
        found: list[Event] = []
        first = None
        if event.access_key:
            for one in _events(store.find(Selector.any_of((event.access_key,)))):
                first = first or one.time
                # A key in daily use has very many events: only these matter.
                if since <= one.time < until or _opened_key(one) == event.access_key:
                    found.append(one)
        address = _address(event) if _is_new(event, store, limits) else ""
        for literal in filter(None, (_name(event), address)):
            found.extend(_events(store.find(Selector.any_of((literal,)), since, until)))
        events = each_once(found)
        acts = (one for one in events if since <= one.time < until and _same_actor(one, event, address))
        return cls(since, first, events, tuple(one for one in acts if one.operation != event.operation))


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What was seen earlier than `since`: False only where the store reaches back as far again, and the key so far.

    An archive that begins shortly before proves nothing to be new.
    """

    change: PolicyChange
    activity: KeyActivity
    since: datetime
    seen_since: datetime | None

    @property
    def unless_unknown(self) -> bool | None:
        """The answer when nothing was found."""
        far = later(self.since, self.since - self.change.event.time)
        return False if self.seen_since is not None and self.seen_since <= far else None

    def on_key(self, same: Callable[[Event | Call], bool]) -> bool | None:
        """Whether an event or call on the key is the `same` in what is asked."""
        known: Iterable[Event | Call] = (*self.activity.events, *self.activity.calls)
        if any(one.time < self.since and same(one) for one in known):
            return True
        return None if self._is_young or self.activity.calls_total > len(self.activity.calls) else self.unless_unknown

    @property
    def _is_young(self) -> bool:
        """Whether the key was created no earlier than `since`."""
        made = (change_of(one) for one in self.activity.events if one.time >= self.since)
        return self.change.creates or any(one and one.creates and one.key == self.change.key for one in made)


def _of_address(event: Event, limits: Limits) -> Sighting:
    return Sighting(("sourceIPAddress",), _address(event), event.account, limits.window(event.time)[0])


def _is_new(event: Event, store: EventStore, limits: Limits) -> bool:
    """Whether the address was not seen in the account earlier than the hours around the event."""
    return _address(event) != "" and not store.seen(_of_address(event, limits))


def _name(event: Event) -> str:
    """The ARN of a user or of a session, the id of a caller who has none; "" for a service, never a bare account id."""
    if text_of(event.identity, "type") == "AWSService":
        return ""
    name = text_of(event.identity, "arn") or text_of(event.identity, "principalId")
    return "" if name.isdigit() else name


def _address(event: Event) -> str:
    """The IP address of the caller, "" when a service called."""
    try:
        ip_address(event.address)
    except ValueError:
        return ""
    return event.address


def _agent(event: Event) -> str:
    """The program of the caller, "" when a service called."""
    return "" if event.agent == "AWS Internal" or event.agent.endswith(".amazonaws.com") else event.agent


def _kind_of(access_key: str) -> Literal["long-term", "temporary", "unknown", "none"]:
    """Source: IAM user guide, "IAM identifiers", unique ID prefixes."""
    if access_key.startswith("AKIA"):
        return "long-term"
    if access_key.startswith("ASIA"):
        return "temporary"
    return "unknown" if access_key else "none"


def _same_actor(one: Event, actor: Event, address: str) -> bool:
    pairs = ((one.access_key, actor.access_key), (_name(one), _name(actor)), (one.address, address))
    return any(mine and mine == its for mine, its in pairs)


def _events(records: Iterable[StoredRecord]) -> Iterator[Event]:
    return (event for record in records if (event := event_of(record)) is not None)


# Who opened the session ---------------------------------------------------------------------------------------------


def _chain(event: Event, events: Iterable[Event]) -> Iterator[Event]:
    """Backwards, the event that opened the session of `event`, then that of its caller, as far as `events` tell."""
    passed = {event.id}
    for _ in range(MOST_STEPS):
        opener = _opener(event, [one for one in events if one.time <= event.time and one.id not in passed])
        if opener is None:
            return
        yield opener
        passed.add(opener.id)
        event = opener


def _opener(event: Event, earlier: list[Event]) -> Event | None:
    """The event whose answer holds the access key; of a console session, which has another, the sign-in beside it."""
    if key := event.access_key:
        for one in reversed(earlier):
            if one.succeeded and _opened_key(one) == key:
                return one
    began = _session_created(event)
    if began is None or _kind_of(key) == "long-term":
        return None
    near = (one for one in reversed(earlier) if one.succeeded and abs(one.time - began) <= SIGN_IN)
    return next((one for one in near if _opened_session(one) == text_of(event.identity, "arn") != ""), None)


def _opened_key(event: Event) -> str:
    """The access key that the answer of STS or IAM gave away."""
    for holder in ("credentials", "accessKey"):
        if key := text_of(event.response, holder, "accessKeyId"):
            return key
    return ""


def _opened_session(event: Event) -> str:
    """The ARN of the session that an event opened: the caller's own at a sign-in, else the one in the answer."""
    if event.provider == "signin.amazonaws.com":
        return text_of(event.identity, "arn") if event.name in ("ConsoleLogin", "SwitchRole") else ""
    answered = (member(event.response, holder) for holder in ("assumedRoleUser", "federatedUser"))
    return next((arn for one in answered if (arn := text_of(one, "arn"))), "")


def _session_created(event: Event) -> datetime | None:
    attributes = member(member(event.identity, "sessionContext"), "attributes")
    return event_time({"eventTime": attributes.get("creationDate")})


# Which acts to show -------------------------------------------------------------------------------------------------


def _by_others(event: Event, chain: Sequence[Event], acts: Sequence[Event]) -> frozenset[str]:
    """The ids of acts from the actor's address under credentials that nothing links to the actor's.

    Linked are those that opened the actor's session, and those that linked ones opened or made.
    """
    linked = set().union(*map(_credentials, (event, *chain)))
    for act in acts:
        if not linked.isdisjoint(_credentials(act)):
            linked |= {_opened_key(act), _opened_session(act)} - {""}
    return frozenset(act.id for act in acts if linked.isdisjoint(_credentials(act)))


def _credentials(event: Event) -> set[str]:
    return {event.access_key, _name(event)} - {""}


def _most_telling(acts: list[Act], others: frozenset[str], most: int) -> tuple[Act, ...]:
    """At most `most` acts, by time: one of each sort before the second of any, and what changes something first.

    A thousand uses of a key are one sort; two policies attached are two. The first of each name that a verdict looks
    for (`deeds.SUSPICIOUS`) comes before all: no flood of other acts hides it.
    """
    grave = frozenset().union(*SUSPICIOUS.values())
    met: set[tuple[str, bool]] = set()
    repeats: Counter[tuple[str, ...]] = Counter()
    ranked = []
    for number, act in enumerate(acts):
        quiet = act.kind in _QUIET
        sort = (act.who, act.outcome, act.provider, act.event_name if quiet else act.sentence)
        weight = _QUIET.index(act.kind) + 1 if quiet else 0
        by_other = act.event_id in others
        first_grave = act.event_name in grave and (act.event_name, by_other) not in met
        met.add((act.event_name, by_other))
        ranked.append((not first_grave, repeats[sort] > 0, by_other, weight, repeats[sort], number))
        repeats[sort] += 1
    return tuple(acts[number] for number in sorted(rank[-1] for rank in sorted(ranked)[:most]))
