"""Running rules over what arrived: one pass for all that stand at the same place; alerts, cursors and log at once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from keytrail.cloudtrail import ReadLimits
from keytrail.cloudtrail.geo import GeoLookup
from keytrail.detect.exceptions import Exceptions
from keytrail.detect.suppression import Suppression
from keytrail.errors import KeytrailError, StoreError
from keytrail.rules import Rule
from keytrail.search import Dispatch, Examiner, Literal, Options, Pattern, Result, dispatch
from keytrail.service.installation import Installation
from keytrail.service.watch.arriving import Arriving, Stretch
from keytrail.service.watch.judging import Found, Judged, KnownInState, judge, write
from keytrail.service.watch.pauses import Pauses
from keytrail.service.watch.schedule import Scheduled, interval_of
from keytrail.store.state.alerts import one_at_a_time
from keytrail.store.state.cases import Watch, looked_up_to, put_looked, touch, watches
from keytrail.store.state.lease import Lease
from keytrail.store.state.rule_states import (
    Execution,
    RuleState,
    extend_quiet,
    log_executions,
    move_cursors,
    put_state,
)

# Rows of one pass, at most: what a pass finds is held until it is committed.
_PASS_ROWS = 500_000
# Documents that a pass holds, of all rules together; and of one rule beyond what it may raise.
_HELD = 20_000
_BEYOND = 100
# Rows that a pass examines at a time for rules which stand behind: they find more than they may raise.
_BEHIND_ROWS = 1_000
# A rule with dates relative to now is compiled again after so long.
_FRESH = timedelta(minutes=1)
_LONGEST_TOUCH_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RunnableRule:
    """A rule that is scheduled, with what decides over its matches besides the query."""

    scheduled: Scheduled
    exceptions: Exceptions
    suppression: Suppression | None = None

    @property
    def rule(self) -> Rule:
        return self.scheduled.rule

    @property
    def state(self) -> RuleState:
        return self.scheduled.state


@dataclass(slots=True)
class Ran:
    """What a round of the runner did. `more`: there is more to do at once."""

    passes: int = 0
    rules: int = 0
    created: int = 0
    more: bool = False
    seconds: float = 0.0
    executions: list[Execution] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Ran) -> None:
        self.passes += other.passes
        self.rules += other.rules
        self.created += other.created
        self.more = self.more or other.more
        self.seconds += other.seconds
        self.executions += other.executions
        self.failures += other.failures


@dataclass(slots=True)
class _Log:
    """What a pass wrote down: where its rules are, and the lines of the log that their quiet runs go on in."""

    states: list[RuleState] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    lines: dict[str, tuple[int, datetime] | None] = field(default_factory=dict)


Post = Callable[[Connection, Sequence[Judged], datetime], None]
"""Opens cases and puts what is to be told into the outbox, in the transaction of the alerts."""


class Runner:
    """Runs rules for the holder of a lease. Used by one thread. `geo` looks up addresses for alert documents."""

    def __init__(
        self,
        home: Installation,
        lease: Lease,
        arriving: Arriving,
        limits: ReadLimits,
        post: Post,
        clock: Callable[[], datetime],
        geo: GeoLookup | None = None,
    ) -> None:
        self._home = home
        self._lease = lease
        self._arriving = arriving
        self._limits = limits
        self._post = post
        self._clock = clock
        self._geo = geo
        watch = home.settings.watch
        self._pauses = Pauses(watch.retry_seconds, watch.longest_retry_seconds)
        self._touch_pause = timedelta(seconds=watch.touch_pause_seconds)
        self._rules: dict[str, RunnableRule] = {}
        self.ready = False  # until it was told which rules there are
        # Rules that are not through with what was there when they last ran.
        self._behind: set[str] = set()
        # From here on records were not held yet against what cases wait for; None until the state was asked.
        self._looked: int | None = None
        # The line of the log that a rule's quiet runs are added to, and when it was begun.
        self._lines: dict[str, tuple[int, datetime]] = {}
        self._dispatch: tuple[tuple[object, ...], datetime, Dispatch] | None = None

    def use(self, rules: Iterable[RunnableRule]) -> None:
        """Run these from now on."""
        before, self._rules = self._rules, {one.rule.rule_id: one for one in rules}
        for rule_id, one in before.items():
            now = self._rules.get(rule_id)
            if now is None or now.state.cursor != one.state.cursor:
                # Where a rule goes on elsewhere, its line must not tell that it went on from here.
                self._lines.pop(rule_id, None)
        self._dispatch = None
        self.ready = True

    def rule(self, rule_id: str) -> RunnableRule | None:
        """The rule of an id, None if it does not run. Any thread may ask."""
        return self._rules.get(rule_id)

    @property
    def states(self) -> tuple[RuleState, ...]:
        """Where the rules are."""
        return tuple(one.state for one in self._rules.values())

    def next_due(self, now: datetime) -> datetime:
        """When a rule is due next if nothing arrives."""
        times = [now + timedelta(minutes=1)]
        for one in self._rules.values():
            state = one.state
            if state.retry_at is not None:
                times.append(state.retry_at)
            elif state.last_run is not None:
                times.append(state.last_run + interval_of(one.rule))
            else:
                times.append(now)
        return min(times)

    def run(self) -> Ran:
        """Run every rule that is due, once: those that stand together in one pass. Raises StoreError."""
        now = self._clock()
        head = self._home.catalog.head()
        eager = self._home.settings.watch.eager
        groups: dict[int, list[RunnableRule]] = defaultdict(list)
        if self._looked is None:
            with self._home.database.read() as connection:
                self._looked = looked_up_to(connection)
        if self._looked < head:
            groups[self._looked] = []  # Cases wait for records, whether rules examine them or not.
        for one in self._rules.values():
            if one.scheduled.due(now, head, eager=eager or one.rule.rule_id in self._behind):
                groups[one.state.cursor].append(one)
        ran = Ran()
        # Those that are furthest wait for nobody.
        for cursor in sorted(groups, reverse=True):
            ran.add(self._pass(groups[cursor], cursor, head))
        return ran

    def _pass(self, group: Sequence[RunnableRule], cursor: int, head: int) -> Ran:
        """One pass for rules at the same place; where one of them breaks, each by itself."""
        try:
            return self._examined(group, cursor, head)
        except _Unreadable as error:
            # A damaged segment stops the rules that have to read it, and neither others nor what arrives.
            if cursor == self._looked:
                self._look_past(head)
            ran = Ran()
            for one in group:
                ran.add(self._failed(one, str(error.why)))
            return ran
        except StoreError:
            raise
        except Exception as error:
            if not group:
                raise
            if len(group) == 1:
                known = isinstance(error, KeytrailError)
                return self._failed(
                    group[0], str(error) if known else f"a defect of keytrail: {type(error).__name__}: {error}"
                )
        ran = Ran()
        for one in group:
            ran.add(self._pass([one], cursor, head))
        return ran

    def _examined(self, group: Sequence[RunnableRule], cursor: int, head: int) -> Ran:
        started, began = self._clock(), time.monotonic()
        # One pass looks out for what touches investigated keys: everything is held against that once.
        looks = cursor == self._looked
        waiting = self._waiting(started) if looks else ()
        watched = self._watched(waiting, started)
        if group or watched:
            found, touched, end = self._find(group, cursor, head, watched)
        else:
            found, touched, end = {}, {}, head
        judged: list[Judged] = []
        created = 0
        with self._home.database.write() as connection:
            self._lease.check(connection)
            one_at_a_time(connection)
            now = self._clock()
            known = KnownInState(connection)
            for one in group:
                each = judge(known, one.rule, one.exceptions, one.suppression, found[one.rule.rule_id], end, now)
                write(connection, one.rule, each, now)
                judged.append(each)
                created += len(each.alerts)
            self._post(connection, judged, now)
            for at, events in touched.items():
                touch(connection, events, end, at)
            if looks:
                # What was looked at meanwhile may wait for something else now, which nobody looked out for.
                others = set(self._waiting(started, connection)).difference(waiting)
                touch(connection, [one.event for one in others], end, started + self._touch_pause)
                put_looked(connection, end)
            log = self._record(connection, group, judged, cursor, started, now, time.monotonic() - began)
        # Only what is committed counts.
        if looks:
            self._looked = end
        for state in log.states:
            one = self._rules[state.rule_id]
            self._rules[state.rule_id] = replace(one, scheduled=replace(one.scheduled, state=state))
        for rule_id, line in log.lines.items():
            if line is None:
                self._lines.pop(rule_id, None)
            else:
                self._lines[rule_id] = line
        behind = {one.rule.rule_id for one, each in zip(group, judged, strict=True) if each.cursor < head}
        self._behind = (self._behind - {one.rule.rule_id for one in group}) | behind
        more = end < head or bool(behind)
        return Ran(1, len(group), created, more, time.monotonic() - began, log.executions)

    def _look_past(self, head: int) -> None:
        """Take every case for touched by records that cannot be read."""
        now = self._clock()
        with self._home.database.write() as connection:
            self._lease.check(connection)
            one_at_a_time(connection)
            waiting = self._waiting(now, connection)
            touch(connection, [one.event for one in waiting], head, now + self._touch_pause)
            put_looked(connection, head)
        self._looked = head

    # -- finding ----------------------------------------------------------------------------------------------------

    def _find(
        self,
        group: Sequence[RunnableRule],
        cursor: int,
        head: int,
        watched: Mapping[str, Sequence[tuple[str, datetime]]],
    ) -> tuple[dict[str, Found], dict[datetime, set[str]], int]:
        """The matches of the rules from `cursor` on, the cases that records touch, and where the pass ended."""
        rules = [one.rule for one in group]
        examiner = Examiner(
            self._dispatched(rules, tuple(sorted(watched))), Options(self._limits, keep_raw=True), self._geo
        )
        found = {rule.rule_id: Found(rule.max_signals + _BEYOND) for rule in rules}
        touched: dict[datetime, set[str]] = defaultdict(set)
        end = cursor
        held = 0
        arrived = self._home.catalog.arrived()
        behind = bool(group) and not watched and all(rule.rule_id in self._behind for rule in rules)
        steps = self._arriving.stretches(
            arrived, cursor, min(head, cursor + _PASS_ROWS), *([_BEHIND_ROWS] if behind else [])
        )
        for stretch in _readable(steps):
            for row, match in examiner.examine_rows(stretch.rows, Result()):
                if match.pattern < len(rules):
                    held += found[rules[match.pattern].rule_id].add(stretch.first + row, match, stretch.quiet)
                else:
                    for literal in match.literals:
                        for event, at in watched[literal]:
                            touched[at].add(event)
            end = stretch.end
            # What waits is not read for nothing: rules with all that they may raise go on from here.
            if held >= _HELD or (found and all(one.full for one in found.values())):
                return found, touched, end
        return found, touched, min(head, cursor + _PASS_ROWS)

    def _dispatched(self, rules: Sequence[Rule], values: tuple[str, ...]) -> Dispatch:
        now = self._clock()
        key = (tuple(rule.rule_id for rule in rules), values)
        if self._dispatch is not None:
            before, made, compiled = self._dispatch
            if before == key and timedelta() <= now - made < _FRESH:
                return compiled
        patterns = [Pattern(rule.rule_id, rule.query) for rule in rules]
        if values:
            patterns.append(Pattern("", literals=frozenset(map(Literal, values))))
        compiled = dispatch(patterns, now=now)
        self._dispatch = (key, now, compiled)
        return compiled

    def _waiting(self, now: datetime, connection: Connection | None = None) -> tuple[Watch, ...]:
        """The cases that wait for records."""
        since = now - timedelta(days=self._home.settings.watch.case_days)
        if connection is not None:
            return watches(connection, since)
        with self._home.database.read() as connection:
            return watches(connection, since)

    def _watched(self, waiting: Iterable[Watch], now: datetime) -> dict[str, list[tuple[str, datetime]]]:
        """The values that cases wait for: of each the events of the cases, and when a touch makes them due."""
        found: dict[str, list[tuple[str, datetime]]] = {}
        for one in waiting:
            # What is touched again and again is looked at more and more rarely.
            pause = min(self._touch_pause * 2 ** min(max(one.revision - 4, 0), 20), _LONGEST_TOUCH_PAUSE)
            for value in one.watched:
                found.setdefault(value, []).append((one.event, now + pause))
        return found

    # -- recording --------------------------------------------------------------------------------------------------

    def _record(
        self,
        connection: Connection,
        group: Sequence[RunnableRule],
        judged: Sequence[Judged],
        cursor: int,
        started: datetime,
        now: datetime,
        seconds: float,
    ) -> _Log:
        """Move the cursors, and write down what was done; what had nothing to say is added to a line that is there."""
        log = _Log()
        quiet: list[str] = []
        goes_on: list[int] = []
        fresh: list[Execution] = []
        end = cursor
        for one, each in zip(group, judged, strict=True):
            rule_id = one.rule.rule_id
            execution = Execution(
                rule_id=rule_id,
                started_at=started,
                finished_at=now,
                seconds=seconds / len(group),
                status="warning" if each.warnings else "succeeded",
                first=cursor,
                end=each.cursor,
                message="; ".join(each.warnings),
                **asdict(each.counts),
            )
            state = replace(
                one.state,
                cursor=each.cursor,
                last_run=now,
                status=execution.status,
                message=execution.message,
                failures=0,
                retry_at=None,
            )
            log.states.append(state)
            if not execution.quiet:
                log.executions.append(execution)
                log.lines[rule_id] = None
                put_state(connection, state)
                continue
            quiet.append(rule_id)
            end = each.cursor
            line = self._lines.get(rule_id)
            if line is not None and timedelta() <= now - line[1] < interval_of(one.rule):
                goes_on.append(line[0])
            else:
                fresh.append(execution)
        log_executions(connection, log.executions)
        if quiet:
            move_cursors(connection, quiet, end, now)
        if goes_on:
            extend_quiet(connection, goes_on, end, seconds / len(group), now)
        for execution, number in zip(fresh, log_executions(connection, fresh), strict=True):
            log.lines[execution.rule_id] = (number, started)
        return log

    def _failed(self, one: RunnableRule, message: str) -> Ran:
        now = self._clock()
        failures = one.state.failures + 1
        state = replace(
            one.state,
            status="failed",
            message=message,
            last_run=now,
            failures=failures,
            retry_at=now + self._pauses.after(failures),
        )
        line = Execution(
            one.rule.rule_id, now, now, 0.0, status="failed", first=state.cursor, end=state.cursor, message=message
        )
        with self._home.database.write() as connection:
            self._lease.check(connection)
            put_state(connection, state)
            log_executions(connection, [line])
        self._lines.pop(one.rule.rule_id, None)
        self._rules[one.rule.rule_id] = replace(one, scheduled=replace(one.scheduled, state=state))
        return Ran(rules=1, executions=[line], failures=[(one.rule.rule_id, message)])


class _Unreadable(Exception):
    """Records of the lake cannot be read, for the reason `why`."""

    def __init__(self, why: StoreError) -> None:
        super().__init__(why.what)
        self.why = why


def _readable(stretches: Iterator[Stretch]) -> Iterator[Stretch]:
    """The same; raises _Unreadable for what reading them raises."""
    try:
        yield from stretches
    except StoreError as error:
        raise _Unreadable(error) from error
