"""What stands before the alerts in the report of a case: its facts, what happened when, and the plans."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keytrail.phrases import clock, count, start
from keytrail.report.blocks import Cell, Code, Facts, Mark, Opening, Paragraph, Section, Table, Tone, section
from keytrail.store.state.case_files import CaseFile
from keytrail.store.state.case_plans import PlanStanding

MomentKind = Literal["event", "alert", "note", "plan", "step", "case"]

_SHORT = 12  # characters of an alert's id, as lists show it
_PIECE = 500  # characters of one line: a report shows a text of more with its end cut off
_TONES: dict[PlanStanding, Tone] = {
    "shown": "info", "applied": "good", "refused": "medium", "half applied": "critical", "superseded": "info",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, by whom ("" where nobody is named); `about` is the id of an alert, a plan or the case.

    An event is what CloudTrail recorded, an alert what became of one, and a step what was done of a plan.
    """

    at: datetime
    kind: MomentKind
    about: str
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A plan in a row. `calls` are actions and what they change, `claims` how far each sentence is shown."""

    id: str
    title: str
    alert_id: str
    calls: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, str], ...]
    standing: PlanStanding


def case_title(file: CaseFile) -> str:
    """How a report of the case is headed."""
    return f"Case {file.id} – {file.title}"


def case_opening(
    file: CaseFile, *, alerts: int, moments: Sequence[Moment], plans: Sequence[PlanLine], most_moments: int
) -> Opening:
    """The facts of a case, its moments (in the order of time) and its plans; more moments than `most` are left out."""
    listed = (
        _facts(file, alerts, plans),
        _timeline(moments, most_moments),
        _plans(plans),
    )
    return Opening("The case", tuple(one for one in listed if one is not None))


def _facts(file: CaseFile, alerts: int, plans: Sequence[PlanLine]) -> Section:
    standings: dict[PlanStanding, int] = {}
    for plan in plans:
        standings[plan.standing] = standings.get(plan.standing, 0) + 1
    facts = Facts.of(
        ("Status", start(file.status)),
        ("Outcome", lines(file.outcome)),
        ("Opened", f"{clock(file.opened_at)} UTC by {file.opened_by}"),
        ("Closed", f"{clock(file.closed_at)} UTC by {file.closed_by}" if file.closed_at else ""),
        ("Alerts", count(alerts, "alert")),
        ("Plans", ", ".join(f"{number} {standing}" for standing, number in standings.items())),
    )
    half = [plan.id for plan in plans if plan.standing == "half applied"]
    warning = f"Half applied: {count(len(half), 'plan')}. What was done of each stands below." if half else ""
    return Section("Facts", (facts, *((Paragraph(warning, warning=True),) if half else ())))


def _timeline(moments: Sequence[Moment], most: int) -> Section | None:
    rows = tuple(
        (clock(one.at), (start(one.kind), Code(short(one.about))), one.who, lines(one.text)) for one in moments[:most]
    )
    table = Table(("Time (UTC)", "What", "Who", "How"), rows, len(moments), "moment", (16, 15, 16, 53))
    return section("What happened when", [table] if rows else [])


def _plans(plans: Sequence[PlanLine]) -> Section | None:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            (plan.title, Code(plan.id)),
            Code(short(plan.alert_id)),
            tuple(one for action, resource in plan.calls for one in (Code(action), Code(resource))),
            tuple(f"{start(answer)}: {sentence}" for answer, sentence in plan.claims),
            Mark(plan.standing, _TONES[plan.standing]),
        )
        for plan in plans
    )
    table = Table(("Plan", "Alert", "Calls", "What is shown of it", "Stands"), rows, len(rows), "plan",
                  (24, 12, 28, 26, 10))  # fmt: skip
    return section("Plans", [table] if rows else [])


def lines(text: str) -> tuple[str, ...]:
    """A text of many lines as pieces that a report shows whole, one a line; without blank lines."""
    return tuple(
        piece
        for line in text.split("\n")
        for piece in textwrap.wrap(line, _PIECE, expand_tabs=False, replace_whitespace=False, break_on_hyphens=False)
    )


def short(id: str) -> str:
    """An id as lists show it; those of cases and plans are as short."""
    return id[:_SHORT]
