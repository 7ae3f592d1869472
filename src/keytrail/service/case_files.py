"""Case files: opened about alerts, listed, changed and closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from keytrail.errors import UsageError
from keytrail.investigate.glance import Glance
from keytrail.phrases import count
from keytrail.service.triage import document_of, resolve
from keytrail.store.state.alerts import Json, alert
from keytrail.store.state.case_files import (
    MOST_TITLE_CHARACTERS,
    CaseFile,
    add_alerts_to,
    add_note,
    alerts_in,
    alerts_not_closed,
    case_file,
    count_cases,
    find_cases,
    remove_alerts_from,
    reopen_case,
    verdicts_in,
)
from keytrail.store.state.case_files import close_case as set_closed
from keytrail.store.state.case_files import open_case as make_case
from keytrail.store.state.case_plans import half_applied, plans_about
from keytrail.store.state.cases import latest_revision
from keytrail.store.state.database import Database
from keytrail.store.state.triage import SetStatus, change_alerts
from keytrail.text import shorten

# Cases that are read in one transaction.
_AT_ONCE = 100
_GRAVEST_FIRST = ("malicious", "review", "expected", "no_effect")


@dataclass(frozen=True, slots=True)
class Listed:
    """A case in a list: how many alerts it has, and the gravest verdict about them, "" where there is none."""

    file: CaseFile
    alerts: int
    verdict: str

    def to_dict(self) -> Json:
        """As plain JSON values."""
        return case_json(self.file) | {"alerts": self.alerts, "verdict": self.verdict or None}


def list_cases(database: Database, statuses: Sequence[str], *, most: int) -> Iterator[Listed]:
    """The latest cases of these statuses (empty: of any), the one opened last first, at most `most`."""
    left, before = most, None
    while left > 0:
        with database.read() as connection:
            page = find_cases(connection, statuses, most=min(_AT_ONCE, left), before=before)
            verdicts = verdicts_in(connection, [one.id for one in page])
        for one in page:
            said = verdicts[one.id]
            yield Listed(one, len(said), next((word for word in _GRAVEST_FIRST if word in said), ""))
        if len(page) < _AT_ONCE:
            return
        before, left = page[-1].number, left - len(page)


def number_of_cases(database: Database, statuses: Sequence[str]) -> int:
    """How many cases there are of these statuses; empty: of any."""
    with database.read() as connection:
        return count_cases(connection, statuses)


def case_json(file: CaseFile) -> Json:
    """The facts of a case as plain JSON values; what is not so (yet) is null."""
    return {
        "id": file.id,
        "title": file.title,
        "status": file.status,
        "outcome": file.outcome or None,
        "opened_at": file.opened_at.isoformat(),
        "opened_by": file.opened_by,
        "closed_at": file.closed_at.isoformat() if file.closed_at else None,
        "closed_by": file.closed_by or None,
    }


# -- what is done ---------------------------------------------------------------------------------------------------


def open_case(
    database: Database, alerts: Sequence[str], *, title: str | None, note: str, who: str, now: datetime
) -> CaseFile:
    """Open a case about the alerts that ids name; without a title it is that of the first one.

    Raises UsageError, before anything is changed, if an id names none.
    """
    named = resolve(database, alerts)
    if not named:
        raise UsageError("no alert was named", advice="keytrail alerts list shows the alerts with their ids.")
    with database.write() as connection:
        if title is None:
            first = alert(connection, named[0])
            glance = Glance.of(document_of(first, latest_revision(connection, first.event)))
            title = shorten(" on ".join(part for part in (glance.rule, glance.key) if part), MOST_TITLE_CHARACTERS)
        return make_case(connection, named, title=title, note=note, who=who, now=now)


def add_alerts(database: Database, case: str, alerts: Sequence[str], *, who: str, now: datetime) -> tuple[int, int]:
    """Put alerts into a case that is open; how many were named, and how many were not in it. Raises UsageError."""
    named = resolve(database, alerts)
    with database.write() as connection:
        return len(named), len(add_alerts_to(connection, case, named, who=who, now=now))


def remove_alerts(database: Database, case: str, alerts: Sequence[str], *, who: str, now: datetime) -> tuple[int, int]:
    """Take alerts out of a case that is open; how many were named, and how many were in it. Raises UsageError."""
    named = resolve(database, alerts)
    with database.write() as connection:
        return len(named), len(remove_alerts_from(connection, case, named, who=who, now=now))


def write_note(database: Database, case: str, text: str, *, who: str, now: datetime) -> CaseFile:
    """Write something down about a case. Raises UsageError."""
    with database.write() as connection:
        return add_note(connection, case, text, who=who, now=now)


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing did: the case, whether it was not so already, and how many of its alerts were closed with it."""

    file: CaseFile
    changed: bool
    alerts: int


def close_case(
    database: Database, case: str, outcome: str, *, close_alerts: str | None, force: bool, who: str, now: datetime
) -> Closed:
    """Close a case with its outcome, and with a reason for it those of its alerts that are not closed.

    It is one transaction. Raises UsageError where a plan for one of its alerts is half applied, unless `force`.
    """
    with database.write() as connection:
        held = case_file(connection, case)
        # Closed first: from here on nobody puts an alert into it, or takes one out.
        changed = set_closed(connection, held.id, outcome, who=who, now=now)
        members = [one.alert_id for one in alerts_in(connection, held.id)]
        half = half_applied(plans_about(connection, members))
        if half and not force:
            raise UsageError(
                f"case {held.id} cannot be closed: {count(len(half), 'plan')} half applied ({', '.join(half)})",
                advice=f"See how to go on: keytrail case show {held.id}. Close it as it is: --force.",
            )
        done: tuple[str, ...] = ()
        if close_alerts is not None:
            what = SetStatus("closed", close_alerts)
            done = change_alerts(connection, alerts_not_closed(connection, members), what, who=who, now=now)
        return Closed(case_file(connection, held.id), changed, len(done))


def reopen(database: Database, case: str, *, who: str, now: datetime) -> tuple[CaseFile, bool]:
    """Open a case again; the case, and whether it was not open already. Raises UsageError."""
    with database.write() as connection:
        changed = reopen_case(connection, case, who=who, now=now)
        return case_file(connection, case), changed
