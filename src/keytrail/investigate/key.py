"""What the events tell of a key besides its policy: its names, its state, what it is made of and for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from keytrail.cloudtrail import Json, text_of
from keytrail.investigate.activity import KeyActivity
from keytrail.investigate.change import KeyName, PolicyChange
from keytrail.investigate.events import Event, member
from keytrail.investigate.model import Alias, Fact, KeyFacts
from keytrail.investigate.queries import KMS

STATES: Mapping[str, str] = {
    "CancelKeyDeletion": "Disabled",
    "DeleteExpiredKeyMaterial": "PendingImport",
    "DeleteImportedKeyMaterial": "PendingImport",
    "DeleteKey": "Deleted",
    "DisableKey": "Disabled",
    "EnableKey": "Enabled",
    "ImportKeyMaterial": "Enabled",
    "ScheduleKeyDeletion": "PendingDeletion",
}
"""The state of a key after an event, where its response does not tell (spec/key-policy.md 3.3; KMS, "Key states")."""

_CREATIONS = {"CreateKey": "keyMetadata", "ReplicateKey": "replicaKeyMetadata"}
_ALIASES = ("CreateAlias", "DeleteAlias", "UpdateAlias")


def describe_key(
    change: PolicyChange, activity: KeyActivity, siblings: Iterable[str] = (), alias_events: Iterable[Event] = ()
) -> KeyFacts:
    """What the events about a key tell of it at the time of a change, and what became of its state since.

    `siblings` are ARNs of the same multi-Region key elsewhere, to which those that the events name are added.
    `alias_events` are events of ALIASES_QUERY; without them an alias that was moved away counts as the key's.
    """
    key, moment = change.key, change.event.time
    events = [event for event in activity.events if event.provider == KMS and event.succeeded]
    births = [(event, found) for event in events if (found := _metadata(event, key))]
    own = [event for event in events if _is_about(event, key)]
    states = _states(births, own)
    state = _last(states, moment) or _used(activity, moment)
    return KeyFacts(
        arn=key.arn,
        arn_source=change.arn_source,
        key_id=key.id,
        account=key.account,
        region=key.region,
        multi_region=key.is_multi_region,
        aliases=_aliases(key, moment, [*events, *alias_events]),
        siblings=tuple(sorted({*siblings, *_siblings(key, events)} - {key.arn})),
        state=state,
        state_now=_last(states) or state,
        origin=_told(births, "origin") or _origin(own),
        spec=_told(births, "keySpec", "customerMasterKeySpec"),
        usage=_told(births, "keyUsage"),
        description=_last(sorted(_descriptions(births, own), key=_by_time), moment),
        created=next((Fact(text_of(event.data, "eventTime"), event.time, event.id) for event, _ in births), None),
    )


def alias_names(key: KeyName, events: Iterable[Event]) -> frozenset[str]:
    """The names that events of ALIASES_QUERY gave the key at any time."""
    return frozenset(one.name for one in _aliases(key, datetime.max.replace(tzinfo=UTC), events))


def _metadata(event: Event, key: KeyName) -> Json:
    """What an event that creates the key answers about it, {} for all others."""
    found = member(event.response, _CREATIONS.get(event.name, ""))
    return found if text_of(found, "arn") == key.arn else {}


def _is_about(event: Event, key: KeyName) -> bool:
    """Whether an event did something to the key, and not to another that names it."""
    if event.name in (*_CREATIONS, *_ALIASES):
        return False
    if event.resources:
        return key.arn in event.resources
    details = member(event.data, "serviceEventDetails")
    named = {text_of(told, "keyId") for told in (event.parameters, event.response, details)}
    return key.arn in named or (key.id in named and event.region == key.region)


# State --------------------------------------------------------------------------------------------------------------


def _states(births: Iterable[tuple[Event, Json]], events: Iterable[Event]) -> list[Fact]:
    """What state each event put the key into, by time."""
    found = []
    for event, metadata in births:
        # A replica is "Creating" for seconds, and no event tells the end of that.
        if state := text_of(metadata, "keyState").replace("Creating", "Enabled"):
            found.append(Fact(state, event.time, event.id))
    for event in events:
        if event.name in STATES:
            found.append(Fact(text_of(event.response, "keyState") or STATES[event.name], event.time, event.id))
    return sorted(found, key=_by_time)


def _used(activity: KeyActivity, moment: datetime) -> Fact | None:
    """Enabled, by the last use before the change that succeeded: no other key can be used."""
    for call in reversed(activity.calls):
        if call.is_use and call.succeeded and call.time < moment:
            return Fact("Enabled", call.time, call.event_id)
    return None


def _last(facts: Iterable[Fact], moment: datetime | None = None) -> Fact | None:
    """The last of facts that come by time, up to a moment if one is given; None for one without a value."""
    found = [fact for fact in facts if moment is None or (fact.time is not None and fact.time <= moment)]
    return found[-1] if found and found[-1].value else None


def _by_time(fact: Fact) -> tuple[datetime, str]:
    assert fact.time is not None
    return fact.time, fact.event_id or ""


# What it is ---------------------------------------------------------------------------------------------------------


def _told(births: Iterable[tuple[Event, Json]], *names: str) -> Fact | None:
    """What the creation of the key says about it, in its answer or else in what was asked."""
    for event, metadata in births:
        for name in names:
            if value := text_of(metadata, name) or text_of(event.parameters, name):
                return Fact(value, event.time, event.id)
    return None


def _origin(events: Iterable[Event]) -> Fact | None:
    """Whose material it is, where the creation is not there: only a key of this origin takes material from outside."""
    for event in events:
        if event.name in ("DeleteImportedKeyMaterial", "ImportKeyMaterial"):
            return Fact("EXTERNAL", event.time, event.id)
    return None


def _descriptions(births: Iterable[tuple[Event, Json]], events: Iterable[Event]) -> Iterator[Fact]:
    for event, metadata in births:
        yield Fact(text_of(metadata, "description") or text_of(event.parameters, "description"), event.time, event.id)
    for event in events:
        if event.name == "UpdateKeyDescription":
            yield Fact(text_of(event.parameters, "description"), event.time, event.id)


def _siblings(key: KeyName, events: Iterable[Event]) -> Iterator[str]:
    """The ARNs of the same multi-Region key in other Regions that its replications name."""
    if not key.is_multi_region:
        return
    for event in events:
        for metadata in (member(event.response, name) for name in _CREATIONS.values()):
            regions = member(metadata, "multiRegionConfiguration")
            replicas = regions.get("replicaKeys")
            listed = [regions.get("primaryKey"), *(replicas if isinstance(replicas, list) else ())]
            named = [text_of(metadata, "arn"), *(text_of(one, "arn") for one in listed if isinstance(one, dict))]
            for arn in named:
                found = KeyName.parse(arn)
                if found is not None and (found.id, found.account) == (key.id, key.account):
                    yield arn


# Aliases ------------------------------------------------------------------------------------------------------------


def _aliases(key: KeyName, moment: datetime, events: Iterable[Event]) -> tuple[Alias, ...]:
    """The aliases that events gave the key, by name; the last event of each up to the change decides."""
    found: dict[str, Alias] = {}
    told = {event.id: event for event in events if event.name in _ALIASES and event.succeeded}
    for event in sorted(told.values(), key=lambda one: (one.time, one.id)):
        if (event.account, event.region) != (key.account, key.region):
            continue
        name = text_of(event.parameters, "aliasName")
        target = text_of(event.parameters, "targetKeyId")
        gives = event.name != "DeleteAlias" and (
            target in (key.arn, key.id) or (not target and key.arn in event.resources)
        )
        known = found.get(name)
        if gives and name and (known is None or event.time <= moment):
            found[name] = Alias(name, event.time, event.id, current=event.time <= moment)
        elif known is not None and event.time <= moment:
            found[name] = Alias(name, known.time, known.event_id, current=False)
        elif known is None and event.name == "DeleteAlias" and key.arn in event.resources:
            # It was the key's until then; what gave it is not there.
            found[name] = Alias(name, event.time, event.id, current=event.time > moment)
    return tuple(found[name] for name in sorted(found))
