"""`scan`: rules over archives, every match an alert, by event time."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType

from keytrail.detect import Execution, assess, build_alert
from keytrail.errors import UsageError
from keytrail.investigate import CHANGES, FIRST_LOOK
from keytrail.rules import SEVERITIES, Rule
from keytrail.search import Match, Options, Pattern
from keytrail.service.investigate import (
    Investigations,
    again,
    archive_store,
    attach,
    investigate_alerts,
    knowledge,
    look_back,
)
from keytrail.service.requests import Json, Observe, Report, ScanRequest, ScanResult, Stats
from keytrail.service.rules import load_rules, runnable
from keytrail.service.running import Run, open_sources, read_limits
from keytrail.service.spool import Spool
from keytrail.store import Selector


def scan(request: ScanRequest, *, observe: Observe | None = None, report: Report | None = None) -> ScanResult:
    """Run the request's rules over its sources.

    `observe` is told how far the run is, `report` every error when it happens. Raises UsageError (a rule, a query, a
    setting, a time) before anything is read; what cannot be read, or reached, is in the result.
    """
    loaded = load_rules(request.rule_paths, builtin=request.builtin, rule_ids=request.rule_ids)
    rules = runnable(loaded)
    if not rules:
        raise UsageError("no rule is left to run", advice="Add rules with --rules PATH, or leave out --no-builtin.")
    if request.min_severity not in SEVERITIES:
        raise UsageError(
            f"{request.min_severity!r} is not a severity", advice=f"Choose one of {', '.join(SEVERITIES)}."
        )
    known = None
    if request.settings.investigate.enabled:
        known = knowledge(request.settings, organisation=request.organisation, trusted=request.trusted)
    sources = open_sources(request.sources, request.settings)
    if known is not None:
        sources = tuple(again(source) for source in sources)
    # The events that the history of keys is made of are found on the way, unless it began before the time asked for.
    seeding = known is not None and request.since is None
    aside = FIRST_LOOK if seeding else ()
    patterns = [Pattern(rule.rule_id, rule.query) for rule in rules]
    run = Run(
        sources=sources,
        patterns=(*patterns, *(Pattern(what.query, what.query, raw_only=True) for what in aside)),
        settings=request.settings,
        options=Options(
            limits=read_limits(request.settings), since=request.since, until=request.until, check=request.check
        ),
        jobs=request.jobs,
        observe=observe,
        report=report,
    )
    spool = Spool()
    wanted = _filter(rules, request.min_severity)
    seeds: dict[Selector, list[bytes]] = {what: [] for what in aside}
    duplicates = matches = 0
    changes = False
    by_rule: Counter[str] = Counter()
    by_severity: Counter[str] = Counter()
    for result in run.results():
        for match in result.matches:
            if match.pattern >= len(rules):
                seeds[aside[match.pattern - len(rules)]].append(match.raw)
                continue
            severity = wanted(match)
            if severity is None:
                continue
            matches += 1
            if spool.add(match):
                by_rule[rules[match.pattern].name] += 1
                by_severity[severity] += 1
                changes = changes or _is_change(match)
            else:
                duplicates += 1
        run.alerts = len(spool)
    scanned_seconds = run.elapsed_seconds
    investigations = Investigations()
    if known is not None and changes:
        store = archive_store(
            sources,
            request.settings,
            since=look_back(request.settings, request.since),
            until=request.until,
            jobs=request.jobs,
            observe=observe,
        )
        for what, raws in seeds.items():
            store.seed(what, raws)
        investigations = investigate_alerts(spool.holds, rules, store, known)
        run.tell(store.new_problems())
    return ScanResult(
        alerts=spool.sorted(_builder(rules, investigations)),
        raw=investigations.raw,
        errors=tuple(run.errors),
        failures=tuple(run.failures),
        stats=Stats(
            objects=run.counts.objects,
            stored_bytes=run.counts.stored_bytes,
            inflated_bytes=run.counts.inflated_bytes,
            records_read=run.counts.records,
            matches=matches,
            duplicates=duplicates,
            problems=run.problems,
            elapsed_seconds=run.elapsed_seconds,
            skipped=MappingProxyType(run.skipped()),
            by_rule=MappingProxyType(dict(by_rule.most_common())),
            by_severity=MappingProxyType({s: by_severity[s] for s in reversed(SEVERITIES) if by_severity[s]}),
            by_verdict=investigations.by_verdict,
            investigating_seconds=run.elapsed_seconds - scanned_seconds,
        ),
        notes=(*loaded.notes, *run.notes()),
    )


def _filter(rules: tuple[Rule, ...], least: str) -> Callable[[Match], str | None]:
    """The severity of a match's alert, or None when it is below `least`."""
    floor = SEVERITIES.index(least)

    def severity(match: Match) -> str | None:
        rule = rules[match.pattern]
        found = rule.severity
        if rule.severity_mapping:
            found = assess(rule, json.loads(match.document)).severity
        return found if SEVERITIES.index(found) >= floor else None

    return severity


def _is_change(match: Match) -> bool:
    """Whether a match may be of an event that gives a key a policy; the investigation looks closer."""
    return any(f'"{name}"'.encode() in match.document for name in CHANGES)


def _builder(rules: tuple[Rule, ...], investigations: Investigations) -> Callable[[int, str, bytes], Json]:
    execution = Execution(str(uuid.uuid4()), datetime.now(UTC))

    def build(pattern: int, id: str, document: bytes) -> Json:
        alert = build_alert(rules[pattern], json.loads(document), id=id, execution=execution)
        return attach(alert, investigations.document(id))

    return build
