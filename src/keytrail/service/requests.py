"""What the faces ask of the service and what they get back: small immutable values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TypedDict

from keytrail.errors import InputError
from keytrail.settings import Settings

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """One run of rules over archives. Times are event times; `until` is exclusive.

    `rule_ids` keeps only these rules (all when empty); `jobs` is a number of processes, 0 for one per core;
    `check` reads every record, also those that no rule can match, so that every damaged one is reported.
    """

    sources: tuple[str, ...]
    rule_paths: tuple[str, ...] = ()
    builtin: bool = True
    rule_ids: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_severity: str = "low"
    jobs: int = 0
    check: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """One KQL query over archives; an empty `query` asks for every event (`keytrail ecs`)."""

    sources: tuple[str, ...]
    query: str = ""
    since: datetime | None = None
    until: datetime | None = None
    jobs: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. A total is None while it is not known; bytes are as stored, before inflating."""

    objects_done: int = 0
    objects_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    alerts: int = 0
    elapsed_seconds: float = 0.0
    current: str = ""


Observe = Callable[[Progress], None]
Report = Callable[[InputError], None]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a run read and found. `matches` counts alerts before, `duplicates` what was removed as repeated."""

    objects: int = 0
    skipped_objects: int = 0
    stored_bytes: int = 0
    inflated_bytes: int = 0
    records_read: int = 0
    matches: int = 0
    duplicates: int = 0
    elapsed_seconds: float = 0.0
    by_rule: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Alerts by event time (ECS copy plus flat `kibana.alert.*` keys), what could not be read, and the counts."""

    alerts: tuple[Json, ...]
    errors: tuple[InputError, ...] = ()
    stats: Stats = field(default_factory=Stats)
    notes: tuple[str, ...] = ()


class Found(TypedDict):
    """One event that a query found: its ECS document and the bytes of the record it was made from."""

    document: Json
    raw: bytes
