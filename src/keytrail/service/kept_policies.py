"""The policies that the state keeps of keys, as evidence: what each key was found with, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from sqlalchemy.engine import Connection

from keytrail.errors import PolicyError
from keytrail.investigate import KeyName, Knowledge, PolicyChange, Snapshot
from keytrail.policy import KeyPolicy
from keytrail.respond.drift import Observed, Unjudged
from keytrail.respond.keys import DELETED
from keytrail.store.state.policies import KeySnapshot, document, snapshots_of

LIVE = "kms"
"""The source of snapshots that were read from KMS: what a key had at that time."""

CONFIG = "config"
"""The source of snapshots that AWS Config recorded."""

SOURCES: Mapping[Literal["kms", "config"], str] = {"kms": "the snapshot of", "config": "AWS Config's item of"}
"""How the places of snapshots begin, by their source."""


def kept_snapshots(connection: Connection, key_arn: str, until: datetime | None = None) -> tuple[Snapshot, ...]:
    """What a key was found with up to a time, the first one first: of each find the first time and the last.

    A policy that cannot be parsed is passed over: it says nothing that could be compared.
    """
    found: list[Snapshot] = []
    texts: dict[str, str | None] = {}
    for one in snapshots_of(connection, key_arn):
        text = _text(connection, one, texts)
        if text is not None:
            times = sorted({one.first_seen, one.last_seen})
            found += [Snapshot(key_arn, time, text, place(one.source, time)) for time in times]
    return tuple(each for each in sorted(found, key=_time) if until is None or _time(each) <= until)


def with_kept(known: Knowledge, connection: Connection, changes: Iterable[PolicyChange]) -> Knowledge:
    """The same knowledge, and what the state keeps of the keys that are changed, up to the last change of each.

    What a key was found with later may be of a change whose record is still to come.
    """
    until: dict[str, datetime] = {}
    for change in changes:
        arn, time = change.key.arn, change.event.time
        until[arn] = max(time, until.get(arn, time))
    kept = tuple(one for arn, time in until.items() for one in kept_snapshots(connection, arn, time))
    return replace(known, snapshots=(*known.snapshots, *kept)) if kept else known


def observed_of(connection: Connection, key: KeyName) -> tuple[Observed | Unjudged | None, tuple[Snapshot, ...]]:
    """The policy that a key was found with at the last look, and what it was found with before that.

    None where it was never looked at, or is gone; Unjudged where its policy may not be read, or cannot be parsed.
    """
    kept = snapshots_of(connection, key.arn)
    looks = [one for one in kept if one.source == LIVE]
    latest = max(looks, key=lambda one: (one.last_seen, one.first_seen), default=None)
    if latest is None or latest.facts.get("state") == DELETED:
        return None, ()
    if latest.digest is None:
        return Unjudged("its policy may not be read"), ()
    text = _text(connection, latest, {})
    if text is None:
        return Unjudged("its policy cannot be parsed"), ()
    first = _first_seen(kept, latest)
    policy = KeyPolicy.parse(text, name=place(LIVE, first))
    earlier = tuple(one for one in kept_snapshots(connection, key.arn) if _time(one) < first)
    return Observed(key, policy, text, first, latest.last_seen), earlier


def place(source: str, time: datetime) -> str:
    """How a kept policy is called before people."""
    return f"{SOURCES['config' if source == CONFIG else 'kms']} {time:%Y-%m-%d %H:%M:%S} UTC"


def _first_seen(kept: Sequence[KeySnapshot], latest: KeySnapshot) -> datetime:
    """Since when the policy of a find was found without another one in between."""
    first = latest.first_seen
    for one in sorted(kept, key=lambda each: each.first_seen, reverse=True):
        if one.first_seen > first or one.digest is None:
            continue
        if one.digest != latest.digest:
            break
        first = one.first_seen
    return first


def _text(connection: Connection, one: KeySnapshot, known: dict[str, str | None]) -> str | None:
    """The text of a find's policy, None where there is none that can be parsed."""
    if one.digest is None:
        return None
    if one.digest not in known:
        text = document(connection, one.digest)
        try:
            KeyPolicy.parse(text or "", name=one.key_arn)
        except PolicyError:
            text = None
        known[one.digest] = text
    return known[one.digest]


def _time(one: Snapshot) -> datetime:
    assert one.time is not None  # what is kept has its time
    return one.time


__all__ = ["CONFIG", "LIVE", "SOURCES", "kept_snapshots", "observed_of", "place", "with_kept"]
