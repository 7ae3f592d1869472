"""What people see of an alert of the service: its row in the list, and its page with notes and history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.facts import ALERT_COLUMNS, Facts, Json, alert_facts, text_at
from keytrail.cli.table import Column
from keytrail.phrases import clock
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.service.triage import Shown
    from keytrail.store.state.triage import AuditLine

# The columns of CSV. Published: names and order stay, new ones go to the end (docs/cli.md).
TRIAGE_COLUMNS = (
    *ALERT_COLUMNS, "status", "reason", "user", "status_updated_at", "assignees", "tags", "snoozed_until", "made_at",
)  # fmt: skip

TRIAGE_TABLE = (
    Column("short_id", "ID", rigid=True),
    Column("clock", "TIME (UTC)", rigid=True),
    Column("severity", "SEVERITY", rigid=True, styled=True),
    Column("verdict", "VERDICT", rigid=True, styled=True),
    Column("state", "STATUS", share=12),
    Column("rule", "RULE", share=20, middle=True),
    Column("key", "KEY / RESOURCE", share=9),
    Column("actor", "WHO", share=14, middle=True),
)
HISTORY_TABLE = (
    Column("clock", "TIME (UTC)", rigid=True),
    Column("who", "WHO"),
    Column("action", "WHAT", rigid=True),
    Column("detail", "HOW", share=40),
)
HISTORY_COLUMNS = ("at", "who", "action", "detail")

_SHORT_ID = 12  # characters; 8 would name an alert, and more than 8 are rarely needed


def triage_facts(document: Json) -> Facts:
    """Return the values of TRIAGE_COLUMNS and TRIAGE_TABLE for an alert."""
    facts = alert_facts(document)
    status = text_at(document, "kibana.alert.workflow_status")
    reason = text_at(document, "kibana.alert.workflow_reason")
    assignees = text_at(document, "kibana.alert.workflow_assignee_ids")
    return facts | {
        "short_id": facts["alert_id"][:_SHORT_ID],
        "state": ", ".join(part for part in (reason or status, assignees) if part),
        "status": status,
        "reason": reason,
        "user": text_at(document, "kibana.alert.workflow_user"),
        "status_updated_at": text_at(document, "kibana.alert.workflow_status_updated_at"),
        "assignees": assignees,
        "tags": text_at(document, "kibana.alert.workflow_tags"),
        "snoozed_until": text_at(document, "keytrail.snoozed_until"),
        "made_at": text_at(document, "@timestamp"),
    }


def alert_page(shown: Shown, *, now: datetime, colour: bool = False) -> str:
    """Return the page of one alert, safe to show: where it stands, what was found out, notes and history."""
    from keytrail.report import ReportItem, plain_report

    lines: list[str] = []
    for number, (heading, body) in enumerate(plain_report(ReportItem(shown.document, shown.raw))):
        lines += [*([""] if number else []), paint(heading, "header", on=colour), *body]
        if not number:
            lines += _section("Where it stands", _standing(shown, now), colour)
            lines += _section("Notes", _notes(shown), colour)
    lines += _section("History (UTC)", map(_history_line, shown.history), colour)
    return "\n".join(lines)


def history_facts(line: AuditLine) -> Facts:
    """Return the values of HISTORY_COLUMNS and HISTORY_TABLE for one line of the audit log."""
    return {
        "at": line.at.isoformat(),
        "clock": clock(line.at),
        "who": line.who,
        "action": line.action,
        "detail": "; ".join(_differences(line.detail)),
    }


def history_json(line: AuditLine) -> dict[str, object]:
    """Return the line as JSON values."""
    return {"at": line.at.isoformat(), "who": line.who, "action": line.action, **line.detail}


def _standing(shown: Shown, now: datetime) -> Iterator[str]:
    facts = triage_facts(shown.document)
    status = facts["status"]
    if shown.document.get("keytrail.snoozed_until"):
        rests = datetime.fromisoformat(facts["snoozed_until"]) > now
        snoozed = f"{'until' if rests else 'was until'} {clock(datetime.fromisoformat(facts['snoozed_until']))}"
    else:
        snoozed = ""
    by = f"by {facts['user']}, {facts['status_updated_at'][:19].replace('T', ' ')} UTC" if facts["user"] else ""
    pairs = (
        ("alert", shown.id),
        ("status", ", ".join(part for part in (status, facts["reason"], by) if part)),
        ("assigned to", facts["assignees"]),
        ("tags", facts["tags"]),
        ("cases", "; ".join(f"{case.id} ({case.status}): {case.title}" for case in shown.cases)),
        ("snoozed", snoozed),
        ("made", clock(datetime.fromisoformat(facts["made_at"])) if facts["made_at"] else ""),
        ("investigation", f"revision {shown.revision}, {clock(shown.revised_at)}" if shown.revised_at else ""),
        ("to do", f"`keytrail respond {shown.id[:12]}` says how to put it right" if shown.revised_at else ""),
    )
    for name, value in pairs:
        if value:
            yield f"  {name:<14}{for_terminal(value)}"


def _notes(shown: Shown) -> Iterator[str]:
    for note in shown.notes:
        yield f"  {clock(note.at)}  {for_terminal(note.who)}"
        yield from (f"    {for_terminal(line)}" for line in note.text.split("\n"))


def _history_line(line: AuditLine) -> str:
    facts = history_facts(line)
    return for_terminal("  " + "  ".join(facts[name] for name in ("clock", "who", "action", "detail"))).rstrip()


def _differences(detail: Mapping[str, object]) -> Iterator[str]:
    before, after = detail.get("before"), detail.get("after")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name, value in after.items():
            if before.get(name) != value:
                yield f"{str(name).replace('_', ' ')}: {_word(before.get(name))} -> {_word(value)}"
    else:
        yield from (f"{name}: {_word(value)}" for name, value in detail.items())


def _word(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _section(title: str, lines: Iterable[str], colour: bool) -> list[str]:
    body = list(lines)
    return ["", paint(title, "header", on=colour), *body] if body else []
