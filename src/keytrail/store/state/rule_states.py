"""How far each rule is, what a person decided about it, and the record of its executions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.counters import advance
from keytrail.store.state.tables import executions, rule_choices, rule_documents, rules, stretches

Json = dict[str, object]
Status = Literal["new", "succeeded", "warning", "failed", "disabled", "gone"]
Stretch = Literal["searched", "disabled", "before"]

# A counter that does not count: its row is the lock of those who decide.
_CHOICES = "choices"


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule that the service has run: `cursor` is the position of the first record it has not examined.

    `fingerprint` says whether what decides its matches has changed. `failures` are those in a row.
    """

    rule_id: str
    name: str
    fingerprint: str
    cursor: int
    running: bool = True
    last_run: datetime | None = None
    status: Status = "new"
    message: str = ""
    failures: int = 0
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person decided: whether the rule runs (None: as its file says), and whether it catches up when it does."""

    enabled: bool | None = None
    catch_up: bool = False
    snoozed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a rule, or several quiet ones in a row: `first` to `end` are positions, `since` to `until` times.

    The counts are of events: those that matched, and what became of them (docs of detect.budget).
    """

    rule_id: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    kind: Literal["scheduled", "manual"] = "scheduled"
    status: Literal["succeeded", "warning", "failed"] = "succeeded"
    runs: int = 1
    first: int | None = None
    end: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    matched: int = 0
    created: int = 0
    duplicate: int = 0
    excluded: int = 0
    suppressed: int = 0
    deferred: int = 0
    message: str = ""

    @property
    def quiet(self) -> bool:
        """Whether it has nothing to say but how far it went."""
        return self.status == "succeeded" and not self.matched and self.kind == "scheduled"


def rule_states(connection: Connection) -> dict[str, RuleState]:
    """Every rule that has run, by id."""
    return {row.rule_id: RuleState(**row._mapping) for row in connection.execute(sa.select(rules))}


def put_state(connection: Connection, state: RuleState) -> None:
    """Store where a rule is."""
    values = {name: getattr(state, name) for name in RuleState.__slots__}
    if not connection.execute(sa.update(rules).where(rules.c.rule_id == state.rule_id).values(**values)).rowcount:
        connection.execute(sa.insert(rules).values(**values))


def move_cursors(connection: Connection, rule_ids: Collection[str], cursor: int, now: datetime) -> None:
    """The rules have examined everything before a position, and nothing was wrong."""
    connection.execute(
        sa.update(rules)
        .where(rules.c.rule_id.in_(rule_ids))
        .values(cursor=cursor, last_run=now, status="succeeded", message="", failures=0, retry_at=None)
    )


def choices(connection: Connection) -> dict[str, Choice]:
    """What people decided, by rule id."""
    return {
        row.rule_id: Choice(row.enabled, row.catch_up, row.snoozed_until)
        for row in connection.execute(sa.select(rule_choices))
    }


def hold_choices(connection: Connection) -> None:
    """From here on, whoever else decides waits for this transaction: for what is read to be decided upon."""
    advance(connection, _CHOICES, 0)


def put_choice(connection: Connection, rule_id: str, choice: Choice) -> None:
    """Store what a person decided."""
    hold_choices(connection)
    values = {"enabled": choice.enabled, "catch_up": choice.catch_up, "snoozed_until": choice.snoozed_until}
    if not connection.execute(
        sa.update(rule_choices).where(rule_choices.c.rule_id == rule_id).values(**values)
    ).rowcount:
        connection.execute(sa.insert(rule_choices).values(rule_id=rule_id, **values))


def documents(connection: Connection) -> tuple[Json, ...]:
    """The rules that were imported, as the API has them."""
    query = sa.select(rule_documents.c.document).order_by(rule_documents.c.rule_id)
    return tuple(connection.execute(query).scalars())


def put_document(connection: Connection, rule_id: str, document: Mapping[str, object], now: datetime) -> None:
    """Store an imported rule, in place of one of the same id."""
    connection.execute(sa.delete(rule_documents).where(rule_documents.c.rule_id == rule_id))
    connection.execute(sa.insert(rule_documents).values(rule_id=rule_id, document=dict(document), imported_at=now))


# -- coverage -------------------------------------------------------------------------------------------------------


def begin_stretch(connection: Connection, rule_id: str, kind: Stretch, first: int, now: datetime) -> None:
    """From this position on the rule searches, or does not; what was open ends here."""
    open_one = (stretches.c.rule_id == rule_id) & stretches.c.end.is_(None)
    connection.execute(sa.update(stretches).where(open_one).values(end=first))
    connection.execute(sa.insert(stretches).values(rule_id=rule_id, first=first, end=None, kind=kind, at=now))


def add_stretch(connection: Connection, rule_id: str, kind: Stretch, first: int, end: int, now: datetime) -> None:
    """A part that is over: what was skipped while the rule was disabled."""
    connection.execute(sa.insert(stretches).values(rule_id=rule_id, first=first, end=end, kind=kind, at=now))


def stretches_of(connection: Connection, rule_id: str) -> tuple[tuple[Stretch, int, int | None], ...]:
    """The parts of the order of arrival that a rule searched or did not, as they came."""
    query = sa.select(stretches).where(stretches.c.rule_id == rule_id).order_by(stretches.c.id)
    return tuple((row.kind, row.first, row.end) for row in connection.execute(query))


# -- executions -----------------------------------------------------------------------------------------------------


def log_executions(connection: Connection, each: Sequence[Execution]) -> list[int]:
    """Add lines to the record; returns their numbers."""
    return [
        connection.execute(
            sa.insert(executions)
            .values({name: getattr(one, name) for name in Execution.__slots__})
            .returning(executions.c.id)
        ).scalar_one()
        for one in each
    ]


def extend_quiet(connection: Connection, lines: Sequence[int], end: int, seconds: float, now: datetime) -> None:
    """Another quiet run went on where these ended."""
    connection.execute(
        sa.update(executions)
        .where(executions.c.id.in_(lines))
        .values(end=end, runs=executions.c.runs + 1, seconds=executions.c.seconds + seconds, finished_at=now)
    )


def executions_of(connection: Connection, rule_id: str | None = None, most: int = 50) -> tuple[Execution, ...]:
    """The latest lines of the record, of one rule or of all, the latest first."""
    query = sa.select(executions).order_by(executions.c.id.desc()).limit(most)
    if rule_id is not None:
        query = query.where(executions.c.rule_id == rule_id)
    return tuple(
        Execution(**{name: value for name, value in row._mapping.items() if name != "id"})
        for row in connection.execute(query)
    )


def forget_executions(connection: Connection, before: datetime) -> int:
    """Drop lines that finished before a time; returns how many."""
    return connection.execute(sa.delete(executions).where(executions.c.finished_at < before)).rowcount
