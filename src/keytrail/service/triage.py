"""Triage: the alerts that the service made, what people do about them, and the document that shows both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from keytrail.errors import UsageError
from keytrail.fields import INVESTIGATION as FIELD
from keytrail.service.investigations import attach
from keytrail.store.state.alerts import Json, StoredAlert, alert
from keytrail.store.state.case_files import CaseFile, cases_with
from keytrail.store.state.cases import Revision, case_of, latest_revision
from keytrail.store.state.database import Database
from keytrail.store.state.triage import (
    AlertFilter,
    AuditLine,
    Change,
    Note,
    change_alerts,
    count_alerts,
    find_alerts,
    history,
    latest_revisions,
    notes_of,
)
from keytrail.text import shorten

CLOSE_REASONS = (
    "false_positive",
    "duplicate",
    "issue_resolved",
    "acceptable_risk",
    "expected_activity",
    "low_severity",
    "investigation_required",
)
"""Why an alert is closed, in the words of Elastic's API."""

# Alerts that are read, and changed, in one transaction: others who write wait for it.
_AT_ONCE = 100


def document_of(stored: StoredAlert, revision: Revision | None = None) -> Json:
    """The alert as everybody sees it: as its rule made it, with what people did and what was found out since.

    `revision` is the latest investigation of its event, None where there is none. What is stored is not changed.
    """
    document: Json = dict(stored.document) | (stored.suppression or {})
    document |= {
        "kibana.alert.workflow_status": stored.status,
        "kibana.alert.workflow_tags": list(stored.tags),
        "kibana.alert.workflow_assignee_ids": list(stored.assignees),
    }
    if stored.status_at is not None:
        document["kibana.alert.workflow_user"] = stored.status_by
        document["kibana.alert.workflow_status_updated_at"] = _instant(stored.status_at)
    if stored.close_reason:
        document["kibana.alert.workflow_reason"] = stored.close_reason
    if stored.snoozed_until is not None:
        document["keytrail.snoozed_until"] = _instant(stored.snoozed_until)
    return attach(document, None if revision is None else revision.document)


def list_alerts(database: Database, wanted: AlertFilter, *, most: int | None = None) -> Iterator[Json]:
    """The documents of alerts, those made last first, at most `most`.

    They are read a few at a time, each few in a transaction of their own, so that nobody waits for a slow reader.
    """
    left, before = most, None
    while left is None or left > 0:
        with database.read() as connection:
            page = find_alerts(connection, wanted, most=min(_AT_ONCE, left or _AT_ONCE), before=before)
            found = latest_revisions(connection, [one.event for one in page])
        yield from (document_of(one, found.get(one.event)) for one in page)
        if len(page) < _AT_ONCE:
            return
        before = page[-1].number
        left = None if left is None else left - len(page)


def number_of_alerts(database: Database, wanted: AlertFilter) -> int:
    """How many alerts there are."""
    with database.read() as connection:
        return count_alerts(connection, wanted)


@dataclass(frozen=True, slots=True)
class Shown:
    """One alert with all that is known of it. `raw` is the record of its event, None where it was not investigated.

    `cases` are the case files that it is in.
    """

    id: str
    document: Json
    raw: str | None
    revision: int
    revised_at: datetime | None
    notes: tuple[Note, ...]
    history: tuple[AuditLine, ...]
    cases: tuple[CaseFile, ...]

    @property
    def investigated(self) -> bool:
        return FIELD in self.document


def show_alert(database: Database, id: str) -> Shown:
    """The alert that an id, the beginning of one, or the id of an event names. Raises UsageError."""
    with database.read() as connection:
        found = alert(connection, id)
        case, revision = case_of(connection, found.event), latest_revision(connection, found.event)
        return Shown(
            id=found.id,
            document=document_of(found, revision),
            raw=None if case is None else case.raw.decode("utf-8", "replace"),
            revision=0 if revision is None else revision.revision,
            revised_at=None if revision is None else revision.made_at,
            notes=notes_of(connection, found.id),
            history=history(connection, "alert", found.id),
            cases=cases_with(connection, found.id),
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """How many alerts were named, and the ids of those that were not so already."""

    named: int
    changed: tuple[str, ...]


def change(database: Database, ids: Sequence[str], what: Change, *, who: str, now: datetime) -> Changed:
    """Do the same to all alerts that `ids` name. Raises UsageError, before anything is changed, if one names none."""
    wanted = resolve(database, ids)
    changed: list[str] = []
    for at in range(0, len(wanted), _AT_ONCE):
        with database.write() as connection:
            changed += change_alerts(connection, wanted[at : at + _AT_ONCE], what, who=who, now=now)
    return Changed(len(wanted), tuple(changed))


def resolve(database: Database, ids: Sequence[str]) -> list[str]:
    """The ids of the alerts that `ids` name, each once. Raises UsageError with all that name none."""
    found: dict[str, None] = {}
    wrong: list[UsageError] = []
    with database.read() as connection:
        for one in dict.fromkeys(ids):
            try:
                found[alert(connection, one).id] = None
            except UsageError as error:
                wrong.append(error)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else _several(wrong)
    return list(found)


def _several(wrong: Sequence[UsageError]) -> UsageError:
    first = [shorten(one.what, 200) for one in wrong[:5]]
    more = [f"and {len(wrong) - 5:,} more"] if len(wrong) > 5 else []
    return UsageError("\n".join([*first, *more]), advice=f"Nothing was changed. {wrong[0].advice}")


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
