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
from keytrail.rules import SEVERITIES, Rule, RuleSet
from keytrail.search import Crew, Match, Options, Pattern
from keytrail.service.investigations import Beside, Investigations, attach
from keytrail.service.requests import Json, Observe, Report, ScanRequest, ScanResult, Stats
from keytrail.service.rules import load_rules, runnable
from keytrail.service.running import Run, open_sources, read_limits
from keytrail.service.spool import Spool


def scan(request: ScanRequest, *, observe: Observe | None = None, report: Report | None = None) -> ScanResult:
    """Run the request's rules over its sources, and investigate the alerts about key policies.

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
    with Crew() as crew:
        return _scan(request, loaded, rules, crew, observe=observe, report=report)


def _scan(
    request: ScanRequest,
    loaded: RuleSet,
    rules: tuple[Rule, ...],
    crew: Crew,
    *,
    observe: Observe | None,
    report: Report | None,
) -> ScanResult:
    sources = open_sources(request.sources, request.settings)
    beside = Beside(request, sources, observe, crew) if request.settings.investigate.enabled else None
    run = Run(
        sources=sources if beside is None else beside.sources,
        patterns=(
            *(Pattern(rule.rule_id, rule.query) for rule in rules),
            *(() if beside is None else beside.patterns),
        ),
        settings=request.settings,
        options=Options(
            limits=read_limits(request.settings),
            since=request.since,
            until=request.until,
            check=request.check,
        ),
        jobs=request.jobs,
        observe=observe,
        report=report,
        crew=crew,
    )
    found = _Alerts(rules, request.min_severity)
    for result in run.results():
        if beside is not None:
            beside.take(result, first=len(rules))
        for match in result.matches:
            if match.pattern < len(rules):
                found.take(match)
        run.alerts = len(found.spool)
    scanned_seconds = run.elapsed_seconds
    investigations = Investigations()
    if beside is not None:
        investigations = beside.investigate(found.spool.holds, rules)
        run.tell(beside.problems())
    return ScanResult(
        alerts=found.spool.sorted(_builder(rules, investigations)),
        raw=investigations.raw,
        errors=tuple(run.errors),
        failures=tuple(run.failures),
        stats=_stats(run, found, investigations, run.elapsed_seconds - scanned_seconds),
        notes=(*loaded.notes, *run.notes(), *(() if beside is None else beside.notes)),
    )


class _Alerts:
    """The matches of a scan that become alerts, and how many there are of what."""

    def __init__(self, rules: tuple[Rule, ...], least: str) -> None:
        self._rules = rules
        self._severity = _filter(rules, least)
        self.spool = Spool()
        self.matches = 0
        self.by_rule: Counter[str] = Counter()
        self.by_severity: Counter[str] = Counter()

    def take(self, match: Match) -> None:
        """Keep the match of a rule, unless it is below the least severity, or the same as one before."""
        severity = self._severity(match)
        if severity is None:
            return
        self.matches += 1
        if self.spool.add(match):
            self.by_rule[self._rules[match.pattern].name] += 1
            self.by_severity[severity] += 1


def _stats(run: Run, found: _Alerts, investigations: Investigations, investigating_seconds: float) -> Stats:
    of_severity = found.by_severity
    return Stats(
        objects=run.counts.objects,
        stored_bytes=run.counts.stored_bytes,
        inflated_bytes=run.counts.inflated_bytes,
        records_read=run.counts.records,
        matches=found.matches,
        duplicates=found.matches - len(found.spool),
        problems=run.problems,
        elapsed_seconds=run.elapsed_seconds,
        skipped=MappingProxyType(run.skipped()),
        by_rule=MappingProxyType(dict(found.by_rule.most_common())),
        by_severity=MappingProxyType({one: of_severity[one] for one in reversed(SEVERITIES) if of_severity[one]}),
        by_verdict=investigations.by_verdict,
        investigating_seconds=investigating_seconds,
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


def _builder(rules: tuple[Rule, ...], investigations: Investigations) -> Callable[[int, str, bytes], Json]:
    execution = Execution(str(uuid.uuid4()), datetime.now(UTC))

    def build(pattern: int, id: str, document: bytes) -> Json:
        alert = build_alert(rules[pattern], json.loads(document), id=id, execution=execution)
        return attach(alert, investigations.document(id))

    return build
