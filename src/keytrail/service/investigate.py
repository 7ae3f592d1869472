"""`investigate`: one alert about a key policy, or one event, answered from the archive it comes from."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keytrail.cloudtrail import Document, identity
from keytrail.detect import Execution, alert_id, build_alert
from keytrail.errors import SourceError, UsageError
from keytrail.investigate import (
    FIRST_LOOK,
    POLICY_EVENTS,
    Event,
    Investigation,
    PolicyVersion,
    change_of,
    investigate,
)
from keytrail.rules import Rule
from keytrail.search import Crew, Pattern, dispatch
from keytrail.service.accounts import approvals, trust, trust_notes
from keytrail.service.investigations import attach
from keytrail.service.knowledge import knowledge
from keytrail.service.policy import Version
from keytrail.service.policy_diff import PolicyDiff
from keytrail.service.requests import Json, Observe, Report
from keytrail.service.rules import load_rules, runnable
from keytrail.service.running import open_sources
from keytrail.service.stores import archive_store
from keytrail.settings import Accounts, Settings
from keytrail.store import ArchiveStore, Selector, StoredRecord, Want
from keytrail.text import shorten

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
    accounts = trust(request.settings, organisation=request.organisation, trusted=request.trusted)
    known = knowledge(request.settings, accounts)
    loaded = load_rules(request.rule_paths, builtin=request.builtin)
    rules = runnable(loaded)
    with Crew() as crew:
        store = archive_store(
            open_sources(request.sources, request.settings),
            request.settings,
            since=request.since,
            until=request.until,
            jobs=request.jobs,
            observe=observe,
            crew=crew,
        )
        named = Selector.any_of((request.id,))
        store.prepare([*(Want(Selector.kql(query)) for query in FIRST_LOOK), Want(named)])
        _tell(store, report)
        record = _find(request, rules, store, named)
        event = Event.of(record.data)
        change = None if event is None else change_of(event)
        if change is None:
            raise _no_change(request.id, record.data)
        [(_, found)] = investigate([change], store, known)
        _tell(store, report)
    document = found.to_dict()
    alert = attach(_alert(record.data, request.id, rules), document)
    raw = record.raw.decode("utf-8", "replace")
    diff = _change_diff(found, known.accounts, change.event.time)
    return Investigated(found, alert, raw, diff, (*loaded.notes, *trust_notes(accounts, [document])))


def _change_diff(found: Investigation, accounts: Accounts, at: datetime) -> PolicyDiff:
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


def _tell(store: ArchiveStore, report: Report | None) -> None:
    """Tell what the store could not read or reach and was not told before."""
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
            f"no event {shorten(request.id, 80)!r}, and no alert about a key policy, in {', '.join(request.sources)}",
            advice="an alert of a rule of your own needs --rules PATH; an event must lie in the sources\n"
            "alerts of other events than PutKeyPolicy, CreateKey and ReplicateKey have no investigation",
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
