"""Case files: what people keep about alerts that belong together, each change with its line in the audit log."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.errors import UsageError
from keytrail.store.state.alerts import log
from keytrail.store.state.counters import advance
from keytrail.store.state.database import in_parts
from keytrail.store.state.tables import alerts, case_alerts, case_files, case_notes
from keytrail.store.state.triage import Note

CaseStatus: TypeAlias = Literal["open", "closed"]

MOST_ALERTS = 1_000
"""Alerts of one case: what is shown and exported of it is read at once."""

MOST_TITLE_CHARACTERS = 200

_KIND = "case"
_NUMBERS = "case_files"
# As people say and type it: C-7, c7, 7. More digits than a number of the database has name none.
_ID = re.compile(r"(?:c-?)?0*([1-9]\d{0,17})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case. `outcome`, `closed_by` are "" and `closed_at` is None while it is open; its texts may be hostile."""

    id: str
    number: int
    title: str
    status: CaseStatus
    outcome: str
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None
    closed_by: str


@dataclass(frozen=True, slots=True)
class CaseAlert:
    """An alert of a case: who put it in, and when."""

    alert_id: str
    at: datetime
    who: str


# -- what is there --------------------------------------------------------------------------------------------------


def case_file(connection: Connection, text: str) -> CaseFile:
    """The case that `text` names: C-7, c7 or 7. Raises UsageError."""
    return _case_of(connection.execute(sa.select(case_files).where(case_files.c.number == _number(text))).first(), text)


def find_cases(
    connection: Connection, statuses: Collection[str], *, most: int, before: int | None = None
) -> tuple[CaseFile, ...]:
    """The latest cases of these statuses (empty: of any), at most `most`, only those numbered below `before`."""
    query = sa.select(case_files).order_by(case_files.c.number.desc()).limit(most)
    if statuses:
        query = query.where(case_files.c.status.in_(statuses))
    if before is not None:
        query = query.where(case_files.c.number < before)
    return tuple(CaseFile(**row._mapping) for row in connection.execute(query))


def count_cases(connection: Connection, statuses: Collection[str]) -> int:
    """How many there are."""
    query = sa.select(sa.func.count()).select_from(case_files)
    if statuses:
        query = query.where(case_files.c.status.in_(statuses))
    return connection.execute(query).scalar_one()


def alerts_in(connection: Connection, case_id: str) -> tuple[CaseAlert, ...]:
    """The alerts of a case, in the order in which they came into it."""
    query = (
        sa.select(case_alerts.c.alert_id, case_alerts.c.at, case_alerts.c.who)
        .where(case_alerts.c.case_id == case_id)
        .order_by(case_alerts.c.at, case_alerts.c.alert_id)
    )
    return tuple(CaseAlert(**row._mapping) for row in connection.execute(query))


def verdicts_in(connection: Connection, case_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The verdicts of the alerts of cases, one for each alert, "" for one without; by case."""
    query = (
        sa.select(case_alerts.c.case_id, alerts.c.verdict)
        .join(alerts, alerts.c.id == case_alerts.c.alert_id)
        .where(case_alerts.c.case_id.in_(case_ids))
    )
    found: dict[str, list[str]] = {one: [] for one in case_ids}
    for row in connection.execute(query):
        found[row.case_id].append(row.verdict)
    return {case_id: tuple(verdicts) for case_id, verdicts in found.items()}


def case_notes_of(connection: Connection, case_id: str) -> tuple[Note, ...]:
    """The notes about a case itself, the first one first."""
    query = sa.select(case_notes).where(case_notes.c.case_id == case_id).order_by(case_notes.c.id)
    return tuple(Note(row.at, row.who, row.text) for row in connection.execute(query))


def cases_with(connection: Connection, alert_id: str) -> tuple[CaseFile, ...]:
    """The cases that an alert is in, the first one first."""
    query = (
        sa.select(case_files)
        .join(case_alerts, case_alerts.c.case_id == case_files.c.id)
        .where(case_alerts.c.alert_id == alert_id)
        .order_by(case_files.c.number)
    )
    return tuple(CaseFile(**row._mapping) for row in connection.execute(query))


# -- what is done ---------------------------------------------------------------------------------------------------
#
# Whoever changes a case holds its row, and takes those of its alerts after it, in the order of their ids: two people
# who work on the same case at the same time wait for each other, and never each for the other.


def open_case(
    connection: Connection, alert_ids: Iterable[str], *, title: str, note: str, who: str, now: datetime
) -> CaseFile:
    """Open a case about alerts that there are, with a note about it unless that is "". Raises UsageError."""
    number = advance(connection, _NUMBERS, 1) + 1
    made = CaseFile(f"C-{number}", number, _title(title), "open", "", now, who, None, "")
    connection.execute(
        sa.insert(case_files).values(
            id=made.id, number=number, title=made.title, status=made.status, outcome="", opened_at=now, opened_by=who,
            closed_by="",
        )
    )  # fmt: skip
    named = sorted(set(alert_ids))
    _bounded(made, len(named))
    _insert(connection, made.id, named, who, now)
    _log(connection, made.id, "open", {"title": made.title, "alerts": named}, who, now)
    if note:
        add_note(connection, made.id, note, who=who, now=now)
    # As it is kept: what a database refuses has become its escape.
    return case_file(connection, made.id)


def add_alerts_to(
    connection: Connection, case_id: str, alert_ids: Iterable[str], *, who: str, now: datetime
) -> tuple[str, ...]:
    """Put alerts that there are into a case; returns those that were not in it. Raises UsageError for a closed one."""
    held = _held_open(connection, case_id)
    there = {one.alert_id for one in alerts_in(connection, held.id)}
    fresh = sorted(set(alert_ids) - there)
    _bounded(held, len(there) + len(fresh))
    if fresh:
        _insert(connection, held.id, fresh, who, now)
        _log(connection, held.id, "add", {"alerts": fresh}, who, now)
    return tuple(fresh)


def remove_alerts_from(
    connection: Connection, case_id: str, alert_ids: Iterable[str], *, who: str, now: datetime
) -> tuple[str, ...]:
    """Take alerts out of a case; returns those that were in it. Raises UsageError for a closed one."""
    held = _held_open(connection, case_id)
    gone = sorted({one.alert_id for one in alerts_in(connection, held.id)} & set(alert_ids))
    for some in in_parts(gone):
        these = case_alerts.c.alert_id.in_(some)
        connection.execute(sa.delete(case_alerts).where(case_alerts.c.case_id == held.id, these))
    if gone:
        _log(connection, held.id, "remove", {"alerts": gone}, who, now)
    return tuple(gone)


def add_note(connection: Connection, case_id: str, text: str, *, who: str, now: datetime) -> CaseFile:
    """Write something down about a case, a closed one too. Notes stay. Raises UsageError."""
    held = _held(connection, case_id)
    connection.execute(sa.insert(case_notes).values(case_id=held.id, at=now, who=who, text=text))
    _log(connection, held.id, "note", {"text": text}, who, now)
    return held


def close_case(connection: Connection, case_id: str, outcome: str, *, who: str, now: datetime) -> bool:
    """Close a case; another outcome of a closed one takes the place of the earlier. False where it was so already."""
    held = _held(connection, case_id)
    return _set(connection, held, "close", who, now, status="closed", outcome=outcome)


def reopen_case(connection: Connection, case_id: str, *, who: str, now: datetime) -> bool:
    """Open a case again; its outcome stays in the audit log. False where it is open."""
    held = _held(connection, case_id)
    return _set(connection, held, "reopen", who, now, status="open", outcome="")


def alerts_not_closed(connection: Connection, alert_ids: Sequence[str]) -> tuple[str, ...]:
    """Those of the alerts that are not closed, held until the transaction ends, in the order of their ids."""
    found: list[str] = []
    for some in in_parts(sorted(set(alert_ids))):
        query = (
            sa.select(alerts.c.id)
            .where(alerts.c.id.in_(some), alerts.c.status != "closed")
            .order_by(alerts.c.id)
            .with_for_update()
        )
        found += connection.execute(query).scalars()
    return tuple(found)


# -- pieces ---------------------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    found = _ID.fullmatch(text.strip())
    # 0 is the number of no case.
    return int(found[1]) if found else 0


def _case_of(row: sa.Row[tuple[object, ...]] | None, text: str) -> CaseFile:
    if row is None:
        raise UsageError(f"no case has the id {text!r}", advice="keytrail case list shows the cases with their ids.")
    return CaseFile(**row._mapping)


def _held(connection: Connection, text: str) -> CaseFile:
    """The case, which nobody else changes until this transaction ends."""
    query = sa.select(case_files).where(case_files.c.number == _number(text)).with_for_update()
    return _case_of(connection.execute(query).first(), text)


def _held_open(connection: Connection, text: str) -> CaseFile:
    held = _held(connection, text)
    if held.status != "open":
        raise UsageError(
            f"case {held.id} is closed", advice=f"Open it again first (keytrail case reopen {held.id}), or another one."
        )
    return held


def _set(
    connection: Connection, held: CaseFile, action: str, who: str, now: datetime, *, status: CaseStatus, outcome: str
) -> bool:
    if (held.status, held.outcome) == (status, outcome):
        return False
    closed = {"closed_at": now, "closed_by": who} if status == "closed" else {"closed_at": None, "closed_by": ""}
    changed = sa.update(case_files).where(case_files.c.id == held.id)
    connection.execute(changed.values(status=status, outcome=outcome, **closed))
    detail = {
        "before": {"status": held.status, "outcome": held.outcome},
        "after": {"status": status, "outcome": outcome},
    }
    _log(connection, held.id, action, detail, who, now)
    return True


def _insert(connection: Connection, case_id: str, alert_ids: Sequence[str], who: str, now: datetime) -> None:
    if alert_ids:
        rows = [{"case_id": case_id, "alert_id": one, "at": now, "who": who} for one in alert_ids]
        connection.execute(sa.insert(case_alerts), rows)


def _title(text: str) -> str:
    title = text.strip()
    if not title:
        raise UsageError("the title is empty", advice="Say in a few words what the case is about.")
    if len(title) > MOST_TITLE_CHARACTERS:
        raise UsageError(
            f"the title has {len(title):,} characters, more than {MOST_TITLE_CHARACTERS}",
            advice="Say it shorter, and the rest in a note.",
        )
    return title


def _bounded(held: CaseFile, number: int) -> None:
    if number > MOST_ALERTS:
        raise UsageError(
            f"case {held.id} would have {number:,} alerts, more than {MOST_ALERTS:,}",
            advice="Open another case for the others; an exception keeps alerts away that nobody needs.",
        )


def _log(
    connection: Connection, case_id: str, action: str, detail: Mapping[str, object], who: str, now: datetime
) -> None:
    log(connection, who=who, kind=_KIND, subject=case_id, action=action, detail=detail, now=now)
