"""The key: what the events tell of it, its names, and what the inventory says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that an event tells, and which."""

    value: str
    time: datetime | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the key, and the event that gave (or, where that is not there, took) it.

    `current` tells whether it was the key's at the time of the change.
    """

    name: str
    time: datetime
    event_id: str
    current: bool


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """A line of the inventory about the key or its data; `place` cites it, `matched` is what it was found by."""

    matched: str
    owner: str
    application: str
    data_class: str
    place: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the events before and after the change tell of the key; None and empty where they are silent.

    `state` is that at the time of the change, `state_now` what later events made of it.
    """

    arn: str
    arn_source: str
    key_id: str
    account: str
    region: str
    multi_region: bool
    aliases: tuple[Alias, ...] = ()
    siblings: tuple[str, ...] = ()
    state: Fact | None = None
    state_now: Fact | None = None
    origin: Fact | None = None
    spec: Fact | None = None
    usage: Fact | None = None
    description: Fact | None = None
    created: Fact | None = None
    inventory: tuple[InventoryEntry, ...] = ()
