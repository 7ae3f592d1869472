"""A case with all that belongs to it, read in one transaction: for its page, and for who is handed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from keytrail.investigate.glance import Glance
from keytrail.investigate.reading import objects, text
from keytrail.phrases import count
from keytrail.report import Moment, PlanLine, ReportItem, case_opening
from keytrail.report.blocks import Opening
from keytrail.service.case_files import case_json
from keytrail.service.triage import document_of
from keytrail.store.state.alerts import Json
from keytrail.store.state.case_files import CaseAlert, CaseFile, alerts_in, case_file, case_notes_of
from keytrail.store.state.case_plans import CasePlan, plans_about
from keytrail.store.state.cases import case_of
from keytrail.store.state.database import Database
from keytrail.store.state.plans import PlanStep, ShownPlan
from keytrail.store.state.triage import AuditLine, Note, alerts_by_id, history, latest_revisions, notes_of

SCHEMA = "keytrail.case/1"
"""Of the JSON document. Members stay as they are; new ones may come (docs/cases.md)."""


@dataclass(frozen=True, slots=True)
class FiledAlert:
    """An alert of a case. `event` is the digest of its event's identity, `raw` the record, None if not investigated."""

    member: CaseAlert
    document: Json
    event: str
    raw: str | None
    event_time: datetime | None
    made_at: datetime
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Dossier:
    """A case, its alerts, the notes about it, the plans for its alerts, and the audit lines about all of them."""

    file: CaseFile
    alerts: tuple[FiledAlert, ...]
    notes: tuple[Note, ...]
    plans: tuple[CasePlan, ...]
    audit: tuple[AuditLine, ...]

    @property
    def items(self) -> tuple[ReportItem, ...]:
        """Its alerts as a report takes them."""
        return tuple(ReportItem(one.document, one.raw) for one in self.alerts)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """What happened, in the order of time."""
        return tuple(sorted(_moments(self), key=lambda one: one.at))

    def opening(self, *, most_moments: int) -> Opening:
        """What stands before the alerts in its report."""
        plans = tuple(map(_line, self.plans))
        return case_opening(
            self.file, alerts=len(self.alerts), moments=self.moments, plans=plans, most_moments=most_moments
        )

    def to_dict(self, *, exported_at: datetime) -> Json:
        """The document of docs/cases.md, as plain JSON values."""
        return {
            "schema": SCHEMA,
            "exported_at": exported_at.isoformat(),
            "case": case_json(self.file),
            "alerts": [_alert_json(one) for one in self.alerts],
            "notes": list(map(_note_json, self.notes)),
            "plans": list(map(_plan_json, self.plans)),
            "timeline": [_moment_json(one) for one in self.moments],
            "audit": [_audit_json(one) for one in self.audit],
        }


def read_case(database: Database, id: str) -> Dossier:
    """The case that an id names, with all that belongs to it. Raises UsageError."""
    with database.read() as connection:
        file = case_file(connection, id)
        members = alerts_in(connection, file.id)
        found = alerts_by_id(connection, [one.alert_id for one in members])
        revisions = latest_revisions(connection, [one.event for one in found])
        filed = []
        # Alerts are never deleted: each member is there.
        for member, stored in zip(members, found, strict=True):
            case = case_of(connection, stored.event)
            filed.append(
                FiledAlert(
                    member,
                    document_of(stored, revisions.get(stored.event)),
                    stored.event,
                    None if case is None else case.raw.decode("utf-8", "replace"),
                    stored.event_time,
                    stored.created_at,
                    notes_of(connection, stored.id),
                )
            )
        plans = plans_about(connection, [one.alert_id for one in members])
        subjects = [
            ("case", file.id),
            *(("alert", one.id) for one in found),
            *(("plan", one.shown.id) for one in plans),
        ]
        audit = [line for kind, subject in subjects for line in history(connection, kind, subject)]
        return Dossier(
            file,
            tuple(filed),
            case_notes_of(connection, file.id),
            plans,
            tuple(sorted(audit, key=lambda line: line.at)),
        )


# -- what happened when ---------------------------------------------------------------------------------------------


def _moments(of: Dossier) -> Iterator[Moment]:
    """All that happened; of what was at the same time, what led to the other comes first."""
    told: set[str] = set()
    for one in of.alerts:
        glance = Glance.of(one.document)
        alert_id = one.member.alert_id
        # Several rules may have reported one event.
        if one.event_time is not None and one.event not in told:
            told.add(one.event)
            said = glance.summary or " on ".join(part for part in (glance.action, glance.resource) if part)
            yield Moment(one.event_time, "event", alert_id, glance.who, said)
        yield Moment(one.made_at, "alert", alert_id, "", f"raised by the rule {glance.rule}")
    titles = {plan.shown.id: text(plan.shown.document, "title") for plan in of.plans}
    for line in of.audit:
        # Notes and steps have moments of their own, and how often a plan was shown again is of no interest.
        if line.kind == "plan" and line.action == "shown" and line.subject in titles:
            yield Moment(line.at, "plan", line.subject, line.who, f"shown: {titles.pop(line.subject)}")
        elif line.kind == "case" and line.action != "note":
            yield Moment(line.at, "case", line.subject, line.who, _about_case(line))
        elif line.kind == "alert" and line.action != "note":
            yield Moment(line.at, "alert", line.subject, line.who, _about_alert(line))
    for one in of.alerts:
        yield from (Moment(note.at, "note", one.member.alert_id, note.who, note.text) for note in one.notes)
    yield from (Moment(note.at, "note", of.file.id, note.who, note.text) for note in of.notes)
    for plan in of.plans:
        yield from (Moment(step.at, "step", plan.shown.id, step.who, _step(plan.shown, step)) for step in plan.steps)


def _step(plan: ShownPlan, step: PlanStep) -> str:
    calls = objects(plan.document, "calls")
    what = "the plan as a whole"
    if 0 <= step.step < len(calls):
        what = f"call {step.step + 1} of {len(calls)}, {_action(calls[step.step])} on {_resource(calls[step.step])}"
    by = f", as {step.caller}" if step.caller else ""
    why = text(step.detail, "why")
    return f"{step.state}: {what}{by}{': ' + why if why else ''}"


def _action(call: Mapping[str, object]) -> str:
    return f"{text(call, 'service')}:{text(call, 'operation')}"


def _resource(call: Mapping[str, object]) -> str:
    return text(call, "resource")


def _about_case(line: AuditLine) -> str:
    listed = line.detail.get("alerts")
    alerts = count(len(listed) if isinstance(listed, list) else 0, "alert")
    match line.action:
        case "open":
            return f"opened with {alerts}"
        case "add":
            return f"{alerts} added"
        case "remove":
            return f"{alerts} removed"
        case "close":
            return f"closed: {text(line.detail, 'after.outcome')}"
        case "reopen":
            return "opened again"
        case _:
            return line.action


def _about_alert(line: AuditLine) -> str:
    match line.action:
        case "acknowledge":
            return "acknowledged"
        case "close":
            return f"closed: {text(line.detail, 'after.close_reason').replace('_', ' ')}"
        case "reopen":
            return "opened again"
        case "assign":
            return f"assigned to {_names(line, 'assignees') or 'nobody'}"
        case "tag":
            return f"tags: {_names(line, 'tags') or 'none'}"
        case "snooze":
            until = text(line.detail, "after.snoozed_until")
            return f"snoozed until {until}" if until else "woken"
        case _:
            return line.action


def _names(line: AuditLine, name: str) -> str:
    after = line.detail.get("after")
    listed = after.get(name) if isinstance(after, Mapping) else None
    return ", ".join(map(str, listed)) if isinstance(listed, list) else ""


def _line(plan: CasePlan) -> PlanLine:
    shown = plan.shown
    return PlanLine(
        id=shown.id,
        title=text(shown.document, "title") or shown.kind,
        alert_id=shown.alert_id,
        calls=tuple((_action(call), _resource(call)) for call in objects(shown.document, "calls")),
        claims=tuple((text(claim, "answer"), text(claim, "sentence")) for claim in objects(shown.document, "claims")),
        standing=plan.standing,
    )


# -- as JSON --------------------------------------------------------------------------------------------------------


def _alert_json(one: FiledAlert) -> Json:
    return {
        "id": one.member.alert_id,
        "added_at": one.member.at.isoformat(),
        "added_by": one.member.who,
        "document": one.document,
        "record": one.raw,
        "notes": list(map(_note_json, one.notes)),
    }


def _note_json(note: Note) -> Json:
    return {"at": note.at.isoformat(), "who": note.who, "text": note.text}


def _plan_json(plan: CasePlan) -> Json:
    return {
        "id": plan.shown.id,
        "alert_id": plan.shown.alert_id,
        "kind": plan.shown.kind,
        "standing": plan.standing,
        "shown_at": plan.shown.shown_at.isoformat(),
        "shown_to": plan.shown.shown_to,
        "document": plan.shown.document,
        "steps": [
            {
                "step": step.step,
                "state": step.state,
                "at": step.at.isoformat(),
                "who": step.who,
                "caller": step.caller,
                "detail": dict(step.detail),
            }
            for step in plan.steps
        ],
    }


def _moment_json(one: Moment) -> Json:
    return {"at": one.at.isoformat(), "kind": one.kind, "about": one.about, "who": one.who, "text": one.text}


def _audit_json(line: AuditLine) -> Json:
    return {
        "at": line.at.isoformat(),
        "who": line.who,
        "kind": line.kind,
        "subject": line.subject,
        "action": line.action,
        "detail": dict(line.detail),
    }
