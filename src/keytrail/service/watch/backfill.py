"""A rule over events that are in the lake already: to make the alerts it would have made, or only to count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from keytrail.cloudtrail import open_geo
from keytrail.detect.budget import Counts
from keytrail.detect.exceptions import Exceptions, compile_exceptions
from keytrail.detect.suppression import Suppression, Window
from keytrail.errors import UsageError
from keytrail.rules import Rule
from keytrail.search import Examiner, Match, Options, Pattern, Result, dispatch
from keytrail.service.exceptions import exceptions_for
from keytrail.service.installation import Installation
from keytrail.service.requests import Progress
from keytrail.service.rule_admin import all_rules
from keytrail.service.rules import load_rules
from keytrail.service.running import read_limits
from keytrail.service.watch.arriving import Arriving, Stretch
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.judging import Found, Judged, KnownInState, judge, write
from keytrail.service.watch.telling import Posting
from keytrail.store.state.alerts import one_at_a_time
from keytrail.store.state.catalog import Arrived
from keytrail.store.state.rule_states import Execution, log_executions

# Matches that are decided over, and committed, together.
_MATCHES = 500


@dataclass(slots=True)
class Backfill:
    """What a rule came to over some days. `by_day` counts its alerts by the day (UTC) of their event, None without."""

    rule_id: str
    rule_name: str
    counts: Counts = field(default_factory=Counts)
    by_day: Counter[date | None] = field(default_factory=Counter)
    examples: list[dict[str, object]] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Event times, `until` exclusive."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise UsageError("the span ends before it begins", advice="--from is to be earlier than --to.")


def rule_named(home: Installation, text: str) -> Rule:
    """The rule of an id, or the one in a file. Raises UsageError for one that is not there, or cannot run."""
    if Path(text).is_file():
        found = load_rules((text,), builtin=False)
        if found.errors:
            raise found.errors[0]
        if len(found.rules) != 1:
            raise UsageError(f"{text} holds {len(found.rules)} rules", advice="Name a file with one rule, or an id.")
        rule = found.rules[0]
    else:
        with home.database.read() as connection:
            known = {one.rule_id: one for one in all_rules(home.settings, connection).rules}
        if text not in known:
            raise UsageError(
                f"no rule has the id {text!r}", advice="keytrail rules list shows the rules with their ids."
            )
        rule = known[text]
    if not rule.supported:
        raise UsageError(f"rule {rule.rule_id} cannot run: {rule.unsupported_reason}")
    return rule


def run_over(
    home: Installation,
    rules: Sequence[Rule],
    span: Span,
    clock: Clock,
    *,
    notify: bool = False,
    observe: Callable[[Progress], None] | None = None,
) -> tuple[Backfill, ...]:
    """Make the alerts that the rules would have made of the events of a span, had they run when these arrived.

    Those that are there already stay as they are. Nobody is told of the others unless `notify`. Works while the
    service runs. Raises StoreError.
    """
    posting = Posting(home.settings.notify.sinks)
    done = []
    for rule in rules:
        exceptions, suppression = _decided(home, rule, clock())
        result = Backfill(rule.rule_id, rule.name, problems=tuple(map(str, exceptions.problems)))
        started = clock()
        for found, end in _found(home, rule, span, clock(), result, observe):
            with home.database.write() as connection:
                # The service may run the same rule at the same time; who comes second sees what the first did.
                one_at_a_time(connection)
                now = clock()
                quiet = [(position, match, not notify) for position, match, _ in found.matches]
                some = Found(found.most, quiet)
                known = KnownInState(connection)
                judged = judge(known, rule, exceptions, suppression, some, end, now, most=None, manual=True)
                write(connection, rule, judged, now)
                posting.alerts(connection, [judged], now)
            _add(result, judged)
        with home.database.write() as connection:
            line = Execution(
                rule.rule_id,
                started,
                clock(),
                (clock() - started).total_seconds(),
                kind="manual",
                since=span.since,
                until=span.until,
                **asdict(result.counts),
            )
            log_executions(connection, [line])
        done.append(result)
    return tuple(done)


def preview(
    home: Installation,
    rule: Rule,
    span: Span,
    clock: Clock,
    *,
    examples: int = 5,
    observe: Callable[[Progress], None] | None = None,
) -> Backfill:
    """Count the alerts that a rule would have made of the events of a span, and show some. Writes nothing."""
    exceptions, suppression = _decided(home, rule, clock())
    result = Backfill(rule.rule_id, rule.name, problems=tuple(map(str, exceptions.problems)))
    memory = _Remembered()
    for found, end in _found(home, rule, span, clock(), result, observe):
        judged = judge(memory, rule, exceptions, suppression, found, end, clock(), most=None, manual=True)
        memory.add(judged)
        _add(result, judged)
        room = examples - len(result.examples)
        result.examples += [alert.document for alert, _ in judged.alerts[:room]]
    return result


class _Remembered:
    """What a preview made so far, in place of what the state knows."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    def done(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset()  # The lake holds each event once.

    def windows(self, rule_id: str, instances: Sequence[str]) -> Sequence[Window]:
        wanted = set(instances)
        return [one for one in self._windows.values() if one.group.instance_id in wanted]

    def add(self, judged: Judged) -> None:
        self._windows.update((one.alert_id, one) for one in judged.outcome.windows)


def _decided(home: Installation, rule: Rule, now: datetime) -> tuple[Exceptions, Suppression | None]:
    with home.database.read() as connection:
        of_files = all_rules(home.settings, connection).exception_items
        items, lists = exceptions_for(connection, rule, of_files)
    return compile_exceptions(items, lists, now=now), Suppression.of(rule)


def _found(
    home: Installation,
    rule: Rule,
    span: Span,
    now: datetime,
    result: Backfill,
    observe: Callable[[Progress], None] | None,
) -> Iterator[tuple[Found, int]]:
    """The matches of a rule in the order of arrival, some at a time, each with the position that they end at."""
    databases = [str(path) for path in home.settings.geoip.databases]
    limits = read_limits(home.settings)
    examiner = Examiner(
        dispatch([Pattern(rule.rule_id, rule.query, since=span.since, until=span.until)], now=now),
        Options(limits, keep_raw=True),
        open_geo(databases) if databases else None,
    )
    arrived = [one for one in home.catalog.arrived() if _may_hold(one, span)]
    found = Found(_MATCHES)
    end = 0
    for number, one in enumerate(arrived, 1):
        # History counts here: what was imported is what a new rule is tried on.
        segment = replace(one.segment, history=False)
        for stretch in Arriving(home.files).stretches((replace(one, segment=segment),), 0, segment.end):
            result.rows += len(stretch.rows)
            for position, match in _matches(examiner, stretch):
                found.add(position, match, False)
                end = position + 1
                if found.full:
                    yield found, end
                    found = Found(_MATCHES)
        if observe is not None:
            observe(Progress(objects_done=number, objects_total=len(arrived), alerts=result.counts.created))
    if found.matches:
        yield found, end


def _matches(examiner: Examiner, stretch: Stretch) -> Iterator[tuple[int, Match]]:
    for row, match in examiner.examine_rows(stretch.rows, Result()):
        yield stretch.first + row, match


def _may_hold(one: Arrived, span: Span) -> bool:
    file = one.segment.file
    return (
        file.first_time is not None
        and file.last_time is not None
        and (file.first_time < span.until and span.since <= file.last_time)
    )


def _add(result: Backfill, judged: Judged) -> None:
    before, more = result.counts, judged.counts
    result.counts = Counts(*(getattr(before, name) + getattr(more, name) for name in Counts.__slots__))
    result.by_day.update(
        None if alert.event_time is None else alert.event_time.astimezone(UTC).date() for alert, _ in judged.alerts
    )
