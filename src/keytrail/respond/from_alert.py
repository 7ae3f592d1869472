"""Reads what remedies are made from out of an alert's investigation, whose texts are those of records: hostile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

from keytrail.errors import PolicyError
from keytrail.fields import DRIFT
from keytrail.investigate import KeyName
from keytrail.investigate.accounts import account_of
from keytrail.investigate.model import BeforeStatus
from keytrail.investigate.names import at, short
from keytrail.investigate.reading import Json, inner, investigation_of, moment, number, objects, text, texts
from keytrail.policy import KeyPolicy
from keytrail.policy.digest import digest_of
from keytrail.respond.facts import MOST_POLICY_BYTES, Current, GrantSeen, KeyState, LiveGrant, Suspect, Version
from keytrail.respond.identities import principal_of, without_path

_STATUSES: Mapping[str, BeforeStatus] = {one: one for one in get_args(BeforeStatus)}


def told_of(alert: Json) -> Json:
    """What an alert tells of a change of a key's policy: its investigation, or how a policy drifted; else nothing."""
    return investigation_of(alert) or inner(alert, DRIFT)


def time_of(alert: Json, found: Json) -> datetime | None:
    """When the change was made."""
    return moment(found, "after.source.time") or moment(alert, "kibana.alert.original_time")


def alias_of(found: Json) -> str:
    """The name that the key had at the time of the change, "" without one."""
    named = [text(one, "name") for one in objects(found, "key.aliases") if one.get("current") is True]
    return named[-1] if named else ""


def version_of(told: Json, key: KeyName) -> Version:
    """A version of the policy, as `before` and `after` of an investigation tell it."""
    document = told.get("document")
    source = inner(told, "source")
    author, time = text(source, "author"), moment(source, "time")
    place = text(source, "place")
    name = text(source, "event_name")
    by = f" by {short(author, key.account)}" if author else ""
    when = f" at {at(time)}" if time is not None else ""
    origin = f"{name}{when}{by}, event {text(source, 'event_id')}" if name else f"{place or 'a snapshot'}{when}"
    version = Version(
        _STATUSES.get(text(told, "status"), "unknown"),
        origin=origin if source else "",
        reason=text(told, "reason"),
        time=time,
        author=author,
    )
    if not isinstance(document, Mapping):
        return version
    written = written_out(document)
    try:
        policy = KeyPolicy.parse(written, name=f"the policy of event {text(source, 'event_id')}")
    except PolicyError as error:
        return Version("unknown", origin=version.origin, reason=f"it cannot be read: {error.what}")
    return Version(version.status, written, policy, digest_of(document), version.origin, version.reason, time, author)


def written_out(document: Mapping[str, object]) -> str:
    """A document as text for people, without blanks where KMS would not take it otherwise.

    In ASCII: KMS takes no character above U+00FF, unless it is written as an escape.
    """
    readable = json.dumps(document, indent=2)
    return readable if len(readable) <= MOST_POLICY_BYTES else json.dumps(document, separators=(",", ":"))


def current_by_records(found: Json, before: Version, after: Version) -> Current | None:
    """The last policy that records show, where the investigation holds its document."""
    history = objects(found, "history")
    if number(found, "history_total") > len(history) or not history:
        return None
    last = history[-1]
    digest = text(last, "digest")
    for one in (after, before):
        if one.text is not None and one.policy is not None and digest == one.digest:
            name, event = text(last, "source.event_name"), text(last, "source.event_id")
            origin = f"records: {name}, event {event}" if event else f"a look at it, {text(last, 'source.time')}"
            return Current(one.text, one.policy, one.digest, None, origin)
    return None


def put_back(found: Json, current: Current | None, key: KeyName, change: datetime) -> str:
    """Who gave the key, after a change, the policy that it has now, as the last event of the history tells it."""
    for one in reversed(objects(found, "history")):
        time, author = moment(one, "source.time"), text(one, "source.author")
        if time is None or time <= change:
            return ""
        if current is not None and text(one, "digest") == current.digest and author:
            return f"{short(author, key.account)} at {at(time)} (event {text(one, 'source.event_id')})"
    return ""


def state_of(value: str) -> KeyState:
    """The state of a key by its name in KMS."""
    if value in ("Enabled", "Disabled"):
        return "enabled" if value == "Enabled" else "disabled"
    return "pending" if value.startswith("Pending") else "unknown"


def suspects_of(found: Json) -> tuple[Suspect, ...]:
    """Who made the change first, then who opened its sessions, the nearest first; each principal once."""
    actor = inner(found, "actor")
    long_lived = text(actor, "access_key_kind") == "long-term"
    made = Suspect(
        text(actor, "who"),
        text(actor, "principal"),
        text(actor, "type"),
        text(actor, "account"),
        text(actor, "access_key") if long_lived else "",
    )
    opened = [
        Suspect(who, principal_of(who), "", account_of(who), opened=True)
        for who in (text(act, "who") for act in objects(actor, "chain") if text(act, "outcome") == "success")
    ]
    each: dict[str, Suspect] = {}
    for one in (made, *opened):
        if one.principal:
            each.setdefault(without_path(one.principal), one)
    return tuple(each.values())


def grants_of(found: Json, live: Sequence[LiveGrant] | None, time: datetime) -> tuple[GrantSeen, ...]:
    """The grants of the records, those still there if it is known, and the live ones that no record shows."""
    related = inner(found, "related_activity")
    ids = None if live is None else {one.grant_id for one in live}
    seen = [
        GrantSeen(
            text(one, "grant_id"),
            text(one, "grantee"),
            texts(one, "operations"),
            moment(one, "created"),
            text(one, "created_by"),
            text(one, "event_id"),
            ended=bool(text(one, "ended_by")),
            since=name == "grants_since",
            live=None if ids is None else text(one, "grant_id") in ids,
        )
        for name in ("grants_since", "surviving_grants")
        for one in objects(related, name)
    ]
    known = {one.grant_id for one in seen}
    more = [
        GrantSeen(
            one.grant_id,
            one.grantee,
            one.operations,
            one.created,
            since=one.created is not None and one.created >= time,
            live=True,
        )
        for one in live or ()
        if one.grant_id not in known
    ]
    return (*seen, *more)


def left_out(found: Json) -> int:
    """How many of the grants the investigation does not list."""
    related = inner(found, "related_activity")
    names = ("grants_since", "surviving_grants")
    return sum(max(0, number(related, f"{name}_total") - len(objects(related, name))) for name in names)
