"""What people see of a case: its row in the list, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keytrail.cli.alert_text import triage_facts
from keytrail.cli.colour import paint
from keytrail.cli.facts import Facts
from keytrail.cli.table import Column
from keytrail.phrases import VERDICTS, clock
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.service.case_dossier import Dossier
    from keytrail.service.case_files import Listed

# The columns of CSV. Published: names and order stay, new ones go to the end (docs/cli.md).
CASE_COLUMNS = (
    "id", "title", "status", "outcome", "alerts", "verdict", "opened_at", "opened_by", "closed_at", "closed_by",
)  # fmt: skip

CASE_TABLE = (
    Column("id", "ID", rigid=True),
    Column("clock", "OPENED (UTC)", rigid=True),
    Column("opened_by", "BY", share=8),
    Column("status", "STATUS", rigid=True),
    Column("verdict_words", "VERDICT", rigid=True, styled=True),
    Column("alerts", "ALERTS", rigid=True),
    Column("title", "TITLE", share=30),
    Column("outcome", "OUTCOME", share=20),
)

_MOST_MOMENTS = 500  # lines of the page; the JSON document has all


def case_facts(listed: Listed) -> Facts:
    """Return the values of CASE_COLUMNS and CASE_TABLE for a case."""
    file = listed.file
    return {
        "id": file.id,
        "title": file.title,
        "status": file.status,
        "outcome": file.outcome,
        "alerts": str(listed.alerts),
        "verdict": listed.verdict,
        "opened_at": file.opened_at.isoformat(),
        "opened_by": file.opened_by,
        "closed_at": file.closed_at.isoformat() if file.closed_at else "",
        "closed_by": file.closed_by,
        "clock": clock(file.opened_at),
        "verdict_words": VERDICTS.get(listed.verdict, listed.verdict),
    }


def case_page(case: Dossier, *, colour: bool = False) -> str:
    """Return the page of a case, safe to show: its facts, what happened when, its plans and alerts."""
    from keytrail.report import case_title, plain_sections

    lines = [paint(for_terminal(case_title(case.file)), "header", on=colour)]
    sections = [*plain_sections(case.opening(most_moments=_MOST_MOMENTS).sections), ("Alerts", list(_alerts(case)))]
    for heading, body in sections:
        if body:
            lines += ["", paint(heading, "header", on=colour), *body]
    return "\n".join(lines)


def _alerts(case: Dossier) -> Iterator[str]:
    for one in case.alerts:
        facts = triage_facts(one.document)
        told = ", ".join(facts[name] for name in ("severity", "verdict", "state") if facts[name])
        yield for_terminal(f"  {facts['short_id']}  {facts['clock']}  {facts['rule']} ({told})")
