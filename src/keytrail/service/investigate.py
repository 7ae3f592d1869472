"""`investigate`: alerts about key policies answered from the archive they come from, one by one or those of a scan."""

from __future__ import annotations

import json
import tempfile
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from keytrail.cloudtrail import Document, identity
from keytrail.detect import Execution, alert_id, build_alert
from keytrail.errors import SourceError, UsageError
from keytrail.investigate import (
    FIRST_LOOK,
    POLICY_EVENTS,
    VERDICTS,
    Event,
    Inventory,
    Investigation,
    Knowledge,
    Limits,
    PolicyChange,
    PolicyVersion,
    change_of,
    investigate,
)
from keytrail.rules import Rule
from keytrail.search import Pattern, Result, Sizes, dispatch
from keytrail.service.accounts import approvals, trust
from keytrail.service.inventory import read_inventory
from keytrail.service.policy import Version
from keytrail.service.policy_diff import PolicyDiff
from keytrail.service.requests import Json, Observe, Progress, Report
from keytrail.service.rules import load_rules, runnable
from keytrail.service.running import open_sources, read_limits
from keytrail.service.snapshots import read_snapshots
from keytrail.settings import Settings
from keytrail.settings.trust import Accounts
from keytrail.sources import ReplaySource, Source
from keytrail.store import Selector, StoredRecord, Want
from keytrail.store.archive import ArchiveStore

FIELD = "keytrail.investigation"
"""The key of an alert document under which its investigation stands."""

_LEAST_PREFIX = 8  # characters of an id that name it


@dataclass(frozen=True, slots=True)
class InvestigateRequest:
    """One event or alert by its id, or the beginning of one, and the sources to answer it from.

    `organisation` and `trusted` add to accounts.toml. `until` (exclusive) leaves out what came later.
    """

    id: str
    sources: tuple[str, ...]
    rule_paths: tuple[str, ...] = ()
    builtin: bool = True
    organisation: str | None = None
    trusted: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    jobs: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Investigated:
    """An investigation, the alert it answers with it inside (the event's ECS document where no rule matches it), the
    record, and the change as `policy diff` has it. `notes` are for the user.
    """

    investigation: Investigation
    alert: Json
    raw: str
    diff: PolicyDiff
    notes: tuple[str, ...] = ()


def investigate_one(
    request: InvestigateRequest, *, observe: Observe | None = None, report: Report | None = None
) -> Investigated:
    """Investigate the change that an id names.

    Raises UsageError when it names no change of a key policy, SourceError when the sources hold nothing of the id or
    cannot be reached. What cannot be read is told to `report`.
    """
    if len(request.id) < _LEAST_PREFIX:
        raise UsageError(
            f"{request.id!r} is too short for an id", advice=f"write at least {_LEAST_PREFIX} characters of it"
        )
    known = knowledge(request.settings, organisation=request.organisation, trusted=request.trusted)
    loaded = load_rules(request.rule_paths, builtin=request.builtin)
    rules = runnable(loaded)
    store = archive_store(
        open_sources(request.sources, request.settings),
        request.settings,
        since=request.since,
        until=request.until,
        jobs=request.jobs,
        observe=observe,
    )
    named = Selector.any_of((request.id,))
    store.prepare([*(Want(what) for what in FIRST_LOOK), Want(named)])
    tell(store, report)
    record = _find(request, rules, store, named)
    event = Event.of(record.data)
    change = None if event is None else change_of(event)
    if change is None:
        raise _no_change(request.id, record.data)
    [(_, found)] = investigate([change], store, known)
    tell(store, report)
    alert = _alert(record.data, request.id, rules) | {FIELD: found.to_dict()}
    raw = record.raw.decode("utf-8", "replace")
    diff = change_diff(found, known.accounts, change.event.time)
    return Investigated(found, alert, raw, diff, loaded.notes)


def knowledge(settings: Settings, *, organisation: str | None = None, trusted: Sequence[str] = ()) -> Knowledge:
    """What the settings name besides events: accounts, inventory, snapshots, limits. Raises UsageError."""
    asked = settings.investigate
    return Knowledge(
        accounts=trust(settings, organisation=organisation, trusted=trusted),
        inventory=read_inventory(str(asked.inventory)) if asked.inventory is not None else Inventory(),
        snapshots=tuple(one for path in asked.snapshots for one in read_snapshots(str(path))),
        limits=Limits(**{one.name: getattr(asked, one.name) for one in fields(Limits)}),
    )


def archive_store(
    sources: Iterable[Source],
    settings: Settings,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    jobs: int = 0,
    observe: Observe | None = None,
) -> ArchiveStore:
    """The event store over sources; those that can be read once are copied as they are read."""
    scan = settings.scan
    return ArchiveStore(
        tuple(again(source) for source in sources),
        limits=read_limits(settings),
        sizes=Sizes(jobs or scan.jobs, scan.batch_files, scan.batch_bytes),
        since=since,
        until=until,
        observe=_observer(observe),
    )


def again(source: Source) -> Source:
    """A source that can be read more than once."""
    return source if source.parallel or isinstance(source, ReplaySource) else ReplaySource(source)


def look_back(settings: Settings, since: datetime | None) -> datetime | None:
    """From when on events tell the history of what happens after `since`."""
    return None if since is None else since - timedelta(days=settings.investigate.look_back_days)


def change_diff(found: Investigation, accounts: Accounts, at: datetime) -> PolicyDiff:
    """The change of an investigation as `policy diff` has it."""
    change = found.change
    outside = [one.account for one in found.accounts if one.relation != "owner" and not one.gained]
    return PolicyDiff(
        account=found.key.account,
        before=_version(change.before),
        after=_version(change.after),
        comparison=change.comparison,
        outside_before=tuple(outside) if change.before.policy is not None else None,
        trusted=accounts.trusted_at(at),
        approvals=approvals(accounts, found.key.account, at),
        key_arn=found.key.arn,
        notes=change.notes,
        complete=change.before.status != "gap",
    )


def _version(version: PolicyVersion) -> Version:
    source = version.source
    origin = (
        "" if source is None else " ".join(part for part in (source.event_name, source.event_id, source.place) if part)
    )
    return Version(version.policy, "unknown" if version.status == "gap" else version.status, origin, version.reason)


def _observer(observe: Observe | None) -> Callable[[Result], None] | None:
    if observe is None:
        return None
    done = Progress(current="investigating")

    def on(result: Result) -> None:
        nonlocal done
        done = replace(
            done,
            objects_done=done.objects_done + result.counts.objects,
            bytes_done=done.bytes_done + result.counts.stored_bytes,
            current=result.last,
        )
        observe(done)

    return on


def tell(store: ArchiveStore, report: Report | None) -> None:
    """Tell what the store could not read or reach, each once; raises SourceError when nothing was reached."""
    for problem in store.new_problems():
        if report is not None:
            report(problem)


# -- which event ----------------------------------------------------------------------------------------------------


def _find(request: InvestigateRequest, rules: Sequence[Rule], store: ArchiveStore, named: Selector) -> StoredRecord:
    """The record that the id names: of an event, or of an alert that one of the rules raises for it."""
    exact: list[StoredRecord] = []
    begun: list[StoredRecord] = []
    for record in store.find(POLICY_EVENTS):
        ids = [identity(record.data).event_id, *(alert_id(rule.rule_id, record.data) for rule in rules)]
        if request.id in ids:
            exact.append(record)
        elif any(one.startswith(request.id) for one in ids):
            begun.append(record)
    found = exact or begun
    if not found:
        found = [record for record in store.find(named) if identity(record.data).event_id == request.id]
    if not found:
        raise SourceError(
            f"no event and no alert {request.id!r} in {', '.join(request.sources)}",
            advice="an alert of a rule of your own needs --rules PATH; an event must lie in the sources",
        )
    if len({identity(record.data) for record in found}) > 1:
        several = ", ".join(sorted(identity(record.data).event_id for record in found)[:5])
        raise UsageError(f"{request.id!r} begins the ids of several events: {several}", advice="write more of the id")
    return found[0]


def _no_change(id: str, data: Json) -> UsageError:
    name, error = data.get("eventName"), data.get("errorCode")
    if error:
        return UsageError(
            f"event {id!r} is a {name} that was refused ({error}): it changed nothing",
            advice="`keytrail policy diff` says what the policy in it would have given",
        )
    return UsageError(
        f"event {id!r} is a {name}: it gives no key a policy",
        advice="investigated are successful PutKeyPolicy, CreateKey and ReplicateKey",
    )


def _alert(data: Json, id: str, rules: Sequence[Rule]) -> Json:
    """The alert for a record: of the rule that the id names, else the first that matches, else its document alone."""
    now = datetime.now(UTC)
    patterns = dispatch([Pattern(rule.rule_id, rule.query) for rule in rules], now=now)
    document = Document(data)
    matching = [rules[one.number] for one in patterns.candidates(data) if one.query.matches(document)]
    matching.sort(key=lambda rule: not alert_id(rule.rule_id, data).startswith(id))
    for rule in matching[:1]:
        execution = Execution(str(uuid.uuid4()), now)
        return build_alert(rule, document.to_dict(), id=alert_id(rule.rule_id, data), execution=execution)
    return document.to_dict()


# -- the alerts of a scan -------------------------------------------------------------------------------------------


class Investigations:
    """The investigations of a scan by the id of their alert, kept on disk. Not shared between processes."""

    def __init__(self) -> None:
        # The file has no name, so nothing is left behind however this process ends.
        self._file = tempfile.TemporaryFile(prefix="keytrail-")  # noqa: SIM115 - it lives as long as this
        weakref.finalize(self, self._file.close)
        self._size = 0
        self._places: dict[str, tuple[int, int, int]] = {}
        self._verdicts: Counter[str] = Counter()

    def add(self, alerts: Sequence[str], document: Json, raw: bytes) -> None:
        """Keep the investigation of an event, and its record, for its alerts."""
        text = json.dumps(document, ensure_ascii=True).encode()
        self._file.seek(self._size)
        self._file.write(text + raw)
        place = (self._size, len(text), len(raw))
        self._size += len(text) + len(raw)
        self._places.update(dict.fromkeys(alerts, place))
        self._verdicts[str(document["verdict"])] += len(alerts)

    @property
    def by_verdict(self) -> Mapping[str, int]:
        """How many alerts got which verdict, the gravest first."""
        return MappingProxyType({one: self._verdicts[one] for one in VERDICTS if self._verdicts[one]})

    def document(self, alert: str) -> Json | None:
        """The investigation of an alert, None when it has none."""
        if alert not in self._places:
            return None
        offset, length, _ = self._places[alert]
        self._file.seek(offset)
        found: Json = json.loads(self._file.read(length))
        return found

    def raw(self, alert: str) -> str | None:
        """The record of an alert that was investigated, as text."""
        if alert not in self._places:
            return None
        offset, length, rest = self._places[alert]
        self._file.seek(offset + length)
        return self._file.read(rest).decode("utf-8", "replace")


def investigate_alerts(
    alerts: Callable[[str], bool], rules: Sequence[Rule], store: ArchiveStore, known: Knowledge
) -> Investigations:
    """Investigate every change of a key policy for which one of the rules raised an alert.

    `alerts` tells whether an alert id is one of the scan's.
    """
    changes: list[PolicyChange] = []
    found: dict[tuple[str, str, str], tuple[tuple[str, ...], bytes]] = {}
    for record in store.find(POLICY_EVENTS):
        event = Event.of(record.data)
        change = None if event is None else change_of(event)
        if change is None:
            continue
        ids = tuple(id for rule in rules if alerts(id := alert_id(rule.rule_id, record.data)))
        if ids:
            changes.append(change)
            found[_name(change)] = (ids, record.raw)
    result = Investigations()
    for change, investigation in investigate(changes, store, known):
        ids, raw = found[_name(change)]
        result.add(ids, investigation.to_dict(), raw)
    return result


def _name(change: PolicyChange) -> tuple[str, str, str]:
    return change.event.account, change.event.region, change.event.id


def attach(alert: Json, found: Mapping[str, object] | None) -> Json:
    """The alert with its investigation, if it has one."""
    return alert if found is None else alert | {FIELD: found}


__all__ = [
    "FIELD",
    "InvestigateRequest",
    "Investigated",
    "Investigations",
    "archive_store",
    "attach",
    "investigate_alerts",
    "investigate_one",
    "knowledge",
    "look_back",
    "tell",
]
