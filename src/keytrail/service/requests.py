"""What the faces ask of the service and what they get back: small immutable values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from keytrail.errors import InputError, SourceError
from keytrail.settings import Settings

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """One run of rules over archives. Times are event times; `until` is exclusive.

    `rule_ids` keeps only these rules (all when empty); `check` reads every record, also those that no rule can match,
    so that every damaged one is reported. `jobs` is a number of processes, 0 for what the settings say. Alerts about
    key policies are investigated unless the settings say not to; `organisation` and `trusted` add to accounts.toml.
    """

    sources: tuple[str, ...]
    rule_paths: tuple[str, ...] = ()
    builtin: bool = True
    organisation: str | None = None
    trusted: tuple[str, ...] = ()
    rule_ids: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_severity: str = "low"
    jobs: int = 0
    check: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """One KQL query over archives, an empty one for every event (`keytrail ecs`); `raw` asks for the records too."""

    sources: tuple[str, ...]
    query: str = ""
    strict: bool = False
    raw: bool = False
    since: datetime | None = None
    until: datetime | None = None
    jobs: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. A total is None while it is not known; bytes are as stored, before inflating.

    `phase` says what it does when that is no longer what it was asked for first.
    """

    objects_done: int = 0
    objects_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    alerts: int = 0
    elapsed_seconds: float = 0.0
    current: str = ""
    phase: str = ""


Observe = Callable[[Progress], None]
Report = Callable[[InputError | SourceError], None]


@dataclass(frozen=True, slots=True)
class Stats:
    """What a run read and found. Bytes as stored and as inflated; `records_read` are those that were not passed over.

    `skipped` counts what was recognised and left alone (digest, insight, other files) by what it is; `duplicates` the
    matches that were removed because the same event had matched already; `problems` what could not be read;
    `by_verdict` the alerts that were investigated, in `investigating_seconds` of the time.
    """

    objects: int = 0
    stored_bytes: int = 0
    inflated_bytes: int = 0
    records_read: int = 0
    matches: int = 0
    duplicates: int = 0
    problems: int = 0
    elapsed_seconds: float = 0.0
    skipped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_rule: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_severity: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_verdict: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    investigating_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Alerts by event time (ECS copy plus flat `kibana.alert.*` keys), what could not be read, and the counts.

    `raw` gives the record of an alert that was investigated, by the alert's id. `errors` holds the first ones only
    (`Stats.problems` counts all); `failures` are sources that could not be reached.
    """

    alerts: Sequence[Json]
    raw: Callable[[str], str | None] = lambda _: None
    errors: tuple[InputError, ...] = ()
    failures: tuple[SourceError, ...] = ()
    stats: Stats = field(default_factory=Stats)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One event that a query found: its ECS document as safe JSON text on one line, and the record it was made from.

    `raw` holds the record's bytes as they were stored, if the request asked for them.
    """

    text: str
    raw: bytes = b""

    @property
    def document(self) -> Json:
        """The ECS document, parsed anew each time."""
        document: Json = json.loads(self.text)
        return document
