"""From changes of key policies and an event store to investigations: what is asked of the store, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from keytrail.cloudtrail import identity
from keytrail.investigate.accounts import account_facts
from keytrail.investigate.activity import KeyActivity, activity_of
from keytrail.investigate.actor import actor_sightings, actor_wants, address_wants, describe_actor
from keytrail.investigate.change import KeyName, PolicyChange, attempt_of
from keytrail.investigate.compare import compare_change, gained_principals
from keytrail.investigate.coverage import coverage_of
from keytrail.investigate.data import data_at_stake
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.evidence import Evidence
from keytrail.investigate.findings import findings_of
from keytrail.investigate.history import Snapshot, history_of
from keytrail.investigate.inventory import Inventory
from keytrail.investigate.key import alias_names, describe_key
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import ComparedChange, Investigation, Truncated
from keytrail.investigate.queries import (
    ALIASES_QUERY,
    CHANGES_QUERY,
    FIRST_LOOK,
    IDENTITIES_QUERY,
    KMS,
    LOGGING_QUERY,
)
from keytrail.investigate.related import IdentityEvents, relate, related_wants
from keytrail.investigate.remade import remade_of
from keytrail.investigate.services import names_of
from keytrail.investigate.timeline import timeline_of
from keytrail.investigate.unseen import logging_gaps
from keytrail.investigate.verdict import judge
from keytrail.phrases import start
from keytrail.settings import Accounts
from keytrail.store import Coverage, Damage, EventStore, Selector, Sighting, StoredRecord, Want, strings_of

POLICY_EVENTS = Selector.kql(CHANGES_QUERY)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known besides the events: who is trusted, who owns what, exported policies; and the bounds."""

    accounts: Accounts = field(default_factory=Accounts)
    inventory: Inventory = field(default_factory=Inventory)
    snapshots: tuple[Snapshot, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class _Outline:
    """A change with what the events about policies alone tell: enough to know what else to ask the store."""

    change: PolicyChange
    compared: ComparedChange
    gained: tuple[str, ...]
    attempts: tuple[Event, ...]
    siblings: tuple[str, ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Common:
    """What all investigations of a run look at."""

    store: EventStore
    coverage: Coverage
    knowledge: Knowledge
    alias_events: tuple[Event, ...]
    identities: IdentityEvents


def policy_events(store: EventStore) -> Iterator[Event]:
    """Every change of a key policy in the store, tried or made, by time."""
    return events_of(store.find(POLICY_EVENTS))


def investigate(
    changes: Iterable[PolicyChange], store: EventStore, knowledge: Knowledge
) -> Iterator[tuple[PolicyChange, Investigation]]:
    """Investigate changes; they come back key by key, each with what was found.

    The store is asked for the events about policies, then for all that these changes make worth knowing, and, where a
    change came from an address that is new to the account, for what else did.
    """
    by_key: dict[KeyName, list[PolicyChange]] = defaultdict(list)
    for change in changes:
        by_key[change.key].append(change)
    if not by_key:
        return
    store.prepare([Want(Selector.kql(query)) for query in FIRST_LOOK])
    outlines = _outlines(by_key, store, knowledge)
    limits = knowledge.limits
    alias_events = tuple(events_of(store.find(Selector.kql(ALIASES_QUERY))))
    about = {key: Selector.any_of(names_of(key, alias_names(key, alias_events))) for key in outlines}
    wants = [*map(Want, about.values()), Want(Selector.kql(IDENTITIES_QUERY))]
    sightings: list[Sighting] = []
    for one in chain.from_iterable(outlines.values()):
        wants += [*actor_wants(one.change, limits), *related_wants(one.change, one.gained, limits)]
        sightings += actor_sightings(one.change, limits)
    store.prepare(wants, sightings)
    store.prepare(
        [want for one in chain.from_iterable(outlines.values()) for want in address_wants(one.change, store, limits)]
    )
    coverage = store.coverage()
    common = _Common(
        store,
        coverage,
        knowledge,
        alias_events=alias_events,
        identities=IdentityEvents(events_of(store.find(Selector.kql(IDENTITIES_QUERY)))),
    )
    for key, each in outlines.items():
        activity = activity_of(
            key,
            _events_about(key, store.find(about[key]), about[key].literals),
            most_calls=limits.max_calls,
        )
        for one in each:
            yield one.change, _investigation(one, activity, common)


def _outlines(
    by_key: Mapping[KeyName, Sequence[PolicyChange]], store: EventStore, knowledge: Knowledge
) -> dict[KeyName, list[_Outline]]:
    """The first look: the history of each key, and what each change of it gave to whom."""
    ids = {key.id for key in by_key}
    of_key: dict[KeyName, list[Event]] = defaultdict(list)
    for event in policy_events(store):
        attempt = attempt_of(event)
        if attempt is not None and attempt.key.id in ids:
            of_key[attempt.key].append(event)
    snapshots: dict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in knowledge.snapshots:
        snapshots[snapshot.key_arn].append(snapshot)
    histories = {
        key.arn: history_of(key, events, (*snapshots[key.arn], *snapshots[key.id])) for key, events in of_key.items()
    }
    logging = tuple(events_of(store.find(Selector.kql(LOGGING_QUERY))))
    # How far the store reaches back matters here for what a snapshot shows only; asking for it later costs less.
    coverage = store.coverage() if knowledge.snapshots else Coverage(damage=store.damage())
    coverage = replace(coverage, damage=(*coverage.damage, *_timeless(store)))
    found: dict[KeyName, list[_Outline]] = {}
    for key, changes in by_key.items():
        family = {other.arn: histories[other.arn] for other in of_key if other.id == key.id}
        logged = family[key.arn].logged() if key.arn in family else ()
        gaps = logging_gaps(logging, key.account, logged=logged, organisation=tuple(knowledge.accounts.names))
        for change in changes:
            compared = compare_change(
                change, family, accounts=knowledge.accounts, coverage=coverage, logging=logging, limits=knowledge.limits
            )
            refused = set(compared.refused_before)
            found.setdefault(key, []).append(
                _Outline(
                    change,
                    compared,
                    gained_principals(compared),
                    tuple(event for event in of_key[key] if event.id in refused),
                    tuple(sorted(arn for arn in family if arn != key.arn)),
                    tuple(f"{start(gap.reason)}." for gap in gaps),
                )
            )
    return found


def _timeless(store: EventStore) -> Iterator[Damage]:
    """The changes of key policies whose time cannot be read: nobody knows which versions they come between."""
    for record in store.find(POLICY_EVENTS):
        if Event.of(record.data) is None:
            who = identity(record.data)
            yield Damage(f"the time of event {who.event_id}", who.account, who.region)


def _events_about(key: KeyName, records: Iterable[StoredRecord], names: Collection[str]) -> Iterator[Event]:
    """The events about a key, among those that name it by its ARN, its id or an alias.

    Copies of a multi-Region key share its id, and other accounts and Regions have aliases of the same name, so these
    count in its own only. An event of KMS lists the keys it is about: what is named elsewhere in it, in an encryption
    context say, was put there by the caller. Where it lists none, it has to name the key by one of its `names`.
    """
    for event in events_of(records):
        if event.provider == KMS and event.resources and key.arn not in event.resources:
            attempt = attempt_of(event)  # ReplicateKey lists the primary, and makes the replica.
            if attempt is not None and attempt.key == key:
                yield event
        elif event.provider == KMS and not event.resources and not _names_as_key(event, names):
            continue
        elif (event.account, event.region) == (key.account, key.region) or key.arn in strings_of(event.data):
            yield event


def _names_as_key(event: Event, names: Collection[str]) -> bool:
    """Whether one of the names stands anywhere but in an encryption context or a policy."""
    asked = {
        name: value
        for name, value in event.parameters.items()
        if name not in ("constraints", "policy") and not name.lower().endswith("encryptioncontext")
    }
    told = [asked, event.response, event.data.get("serviceEventDetails"), event.data.get("additionalEventData")]
    return any(value in names for value in strings_of(told))


def _investigation(one: _Outline, activity: KeyActivity, common: _Common) -> Investigation:
    change, compared = one.change, one.compared
    store, knowledge, limits = common.store, common.knowledge, common.knowledge.limits
    key = knowledge.inventory.with_key(describe_key(change, activity, one.siblings, common.alias_events))
    aliases = tuple(alias.name for alias in key.aliases)
    data = knowledge.inventory.with_data(data_at_stake(change, activity, aliases=aliases, limits=limits))
    accounts = account_facts(change, compared, knowledge.accounts)
    actor = describe_actor(change, store, activity, limits)
    related = relate(
        change, compared, one.gained, activity, store, common.identities, data.items, limits, knowledge.accounts
    )
    findings = findings_of(change, compared, related, key, data, accounts, one.attempts, knowledge.accounts)
    covered = coverage_of(change, compared, common.coverage, one.gaps)
    evidence = Evidence(
        change=change,
        key=key,
        compared=compared,
        accounts=accounts,
        data=data,
        actor=actor,
        related=related,
        coverage=covered,
        findings=findings,
        trust=knowledge.accounts,
        remade=remade_of(change, compared, common.identities),
    )
    timeline = timeline_of(change, one.attempts, actor, related, activity, limits)
    return Investigation(
        event_id=change.event.id,
        judgement=judge(evidence),
        key=key,
        change=compared,
        accounts=accounts,
        data_at_stake=data,
        actor=actor,
        related=related,
        timeline=timeline,
        findings=findings,
        coverage=covered,
        truncated=tuple(
            Truncated(section, shown, total)
            for section, shown, total in (
                ("history", len(compared.history), compared.history_total),
                ("refused_before", len(compared.refused_before), compared.refused_total),
                ("data_at_stake", len(data.items), data.total),
                ("actor.acts", len(actor.acts.items), actor.acts.total),
                ("calls", len(activity.calls), activity.calls_total),
                ("related_activity.principals", len(related.principals.items), related.principals.total),
                ("related_activity.uses", len(related.uses), related.uses_total),
                ("related_activity.grants_since", len(related.grants_since), related.grants_since_total),
                ("related_activity.surviving_grants", len(related.surviving_grants), related.surviving_grants_total),
                ("timeline", len(timeline.items), timeline.total),
            )
            if shown < total
        ),
        as_of=store.head(),
    )
