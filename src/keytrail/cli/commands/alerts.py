"""`keytrail alerts`: the alerts that the service made, and what people do about them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.alert_text import (
    HISTORY_COLUMNS,
    HISTORY_TABLE,
    TRIAGE_COLUMNS,
    TRIAGE_TABLE,
    history_facts,
    history_json,
    triage_facts,
)
from keytrail.cli.colour import wanted
from keytrail.cli.options import Severity
from keytrail.cli.output import Format, PageFormat, choose_format, open_output
from keytrail.cli.service_tools import ids_given, opened, so_already, write_rows
from keytrail.errors import UsageError
from keytrail.phrases import count
from keytrail.text import for_json

if TYPE_CHECKING:
    from keytrail.service.installation import Installation
    from keytrail.store.state.triage import Change

_LIMIT = 100


class Status(StrEnum):
    """The values of `--status`."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Verdict(StrEnum):
    """The values of `--verdict`; `none` is that of alerts without an investigation."""

    MALICIOUS = "malicious"
    REVIEW = "review"
    EXPECTED = "expected"
    NO_EFFECT = "no_effect"
    NONE = "none"


class Reason(StrEnum):
    """The values of `--reason`."""

    FALSE_POSITIVE = "false_positive"
    DUPLICATE = "duplicate"
    ISSUE_RESOLVED = "issue_resolved"
    ACCEPTABLE_RISK = "acceptable_risk"
    EXPECTED_ACTIVITY = "expected_activity"
    LOW_SEVERITY = "low_severity"
    INVESTIGATION_REQUIRED = "investigation_required"


Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID",
        help="Ids of alerts, the first 8 characters or more of one, or ids of events; - reads them from stdin.",
        show_default=False,
    ),
]
Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The id of the alert, its first 8 characters or more, or the id of its event.",
        show_default=False,
    ),
]


def list_alerts(
    status: Annotated[
        list[Status] | None,
        typer.Option(help="Only these; repeatable. Default: open and acknowledged.", show_default=False),
    ] = None,
    severity: Annotated[
        list[Severity] | None, typer.Option(help="Only alerts of this severity; repeatable.", show_default=False)
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only alerts of the rule with this id; repeatable.", show_default=False),
    ] = None,
    verdict: Annotated[
        list[Verdict] | None,
        typer.Option(help="Only alerts whose investigation says so; repeatable.", show_default=False),
    ] = None,
    assignee: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only alerts that are assigned to this person; repeatable."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Alerts that were made from this time on.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Alerts that were made before this time.", show_default=False)
    ] = None,
    building_blocks: Annotated[
        bool, typer.Option("--building-blocks", help="Alerts of building block rules, too.")
    ] = False,
    all_alerts: Annotated[
        bool, typer.Option("--all", help="Closed and snoozed alerts and building blocks, too; without a limit.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help=f"At most so many, the latest ones. Default: {_LIMIT}.", show_default=False
        ),
    ] = None,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """List alerts that are not closed, those made last first.

    Works while `keytrail watch` runs. JSON has whole documents, with the latest investigation.

    \b
    Examples:
      keytrail alerts list
      keytrail alerts list --verdict malicious --since 24h
      keytrail alerts list --rule f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c --format csv -o alerts.csv
      keytrail alerts list --severity low | jq -r '."kibana.alert.uuid"' | keytrail alerts close - --reason low_severity
    """
    from keytrail.service.times import parse_window
    from keytrail.service.triage import list_alerts as found_alerts
    from keytrail.service.triage import number_of_alerts
    from keytrail.store.state.triage import AlertFilter

    form = choose_format(output_format, output, Format)
    now = datetime.now(UTC)
    start, end = parse_window(since, until, now)
    asked = AlertFilter(
        statuses=tuple(status or (() if all_alerts else (Status.OPEN, Status.ACKNOWLEDGED))),
        severities=tuple(severity or ()),
        rules=tuple(rule or ()),
        verdicts=tuple("" if one is Verdict.NONE else one.value for one in verdict or ()),
        assignees=tuple(assignee or ()),
        since=start,
        until=end,
        building_blocks=building_blocks or all_alerts,
        awake_at=None if all_alerts else now,
    )
    most = limit if limit is not None else None if all_alerts else _LIMIT
    with opened(config, lake, state, color) as here, open_output(output, force=force) as out:
        number = number_of_alerts(here.database, asked)
        documents = found_alerts(here.database, asked, most=most)
        # Read once, as they are written: as rows or as documents.
        rows = map(triage_facts, documents)
        write_rows(form, out, rows, documents, table=TRIAGE_TABLE, columns=TRIAGE_COLUMNS)
    if most is not None and number > most:
        messages.note(f"{count(number - most, 'more alert')} not shown: --limit N shows more, --all shows every one")


def show(
    id: Id,
    output_format: Annotated[
        PageFormat | None,
        typer.Option(
            "--format",
            help="Default: by the suffix of -o; else text on a terminal, json in a pipe.",
            show_default=False,
        ),
    ] = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show one alert in full: its latest investigation, where it stands, notes and history.

    \b
    Examples:
      keytrail alerts show 3c6ac8f2
      keytrail alerts show 3c6ac8f2 -o report.html
      keytrail alerts show 3c6ac8f2 --format json | jq '."keytrail.investigation".summary'
    """
    from keytrail.cli.alert_text import alert_page
    from keytrail.service.triage import show_alert

    form = choose_format(output_format, output, PageFormat)
    now = datetime.now(UTC)
    with opened(config, lake, state, color) as here:
        shown = show_alert(here.database, id.strip())
    with open_output(output, force=force) as out:
        if form is PageFormat.TEXT:
            out.write(alert_page(shown, now=now, colour=wanted(out)) + "\n")
        elif form is PageFormat.JSON:
            out.write(for_json(shown.document) + "\n")
        else:
            from keytrail.report import ReportItem, html_report, markdown_report

            write = html_report if form is PageFormat.HTML else markdown_report
            item = ReportItem(shown.document, shown.raw)
            out.write(write([item], title="CloudTrail alert", generated=f"{now:%Y-%m-%d %H:%M} UTC"))


def history(
    id: Id,
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show what was done to an alert, by whom and when.

    \b
    Examples:
      keytrail alerts history 3c6ac8f2
    """
    from keytrail.service.triage import show_alert

    form = choose_format(output_format, None, Format)
    with opened(config, lake, state, color) as here:
        lines = show_alert(here.database, id.strip()).history
    with open_output(None) as out:
        rows, documents = map(history_facts, lines), map(history_json, lines)
        write_rows(form, out, rows, documents, table=HISTORY_TABLE, columns=HISTORY_COLUMNS)


def acknowledge(
    ids: Ids,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Acknowledge alerts: somebody has seen them and looks into them.

    \b
    Examples:
      keytrail alerts ack 3c6ac8f2
      keytrail alerts list --severity critical | jq -r '."kibana.alert.uuid"' | keytrail alerts ack -
    """
    from keytrail.store.state.triage import SetStatus

    _change(ids, SetStatus("acknowledged"), "acknowledged", user, opened(config, lake, state))


def close(
    ids: Ids,
    reason: Annotated[Reason, typer.Option(help="Why.", show_default=False)],
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Close alerts, with the reason.

    \b
    Examples:
      keytrail alerts close 3c6ac8f2 --reason expected_activity
    """
    from keytrail.store.state.triage import SetStatus

    _change(ids, SetStatus("closed", reason.value), "closed", user, opened(config, lake, state))


def reopen(
    ids: Ids,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Open alerts again that were closed or acknowledged.

    \b
    Examples:
      keytrail alerts reopen 3c6ac8f2
    """
    from keytrail.store.state.triage import SetStatus

    _change(ids, SetStatus("open"), "opened", user, opened(config, lake, state))


def assign(
    ids: Ids,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="NAME", help="Who takes care of them; repeatable.", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who does so no longer; repeatable.", show_default=False),
    ] = None,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Say who takes care of alerts.

    \b
    Examples:
      keytrail alerts assign 3c6ac8f2 --to ada
      keytrail alerts assign 3c6ac8f2 --to grace --remove ada
    """
    from keytrail.store.state.triage import Assign

    _change(ids, Assign(_names(to, remove, "--to"), _words(remove)), "assigned", user, opened(config, lake, state))


def tag(
    ids: Ids,
    add: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A tag to add; repeatable.", show_default=False)
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A tag to take away; repeatable.", show_default=False)
    ] = None,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Add tags to alerts, and take them away.

    \b
    Examples:
      keytrail alerts tag 3c6ac8f2 --add incident-42
    """
    from keytrail.store.state.triage import Tag

    _change(ids, Tag(_names(add, remove, "--add"), _words(remove)), "tagged", user, opened(config, lake, state))


def note(
    ids: Ids,
    text: Annotated[str, typer.Option("--text", "-m", metavar="TEXT", help="What to write down.", show_default=False)],
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write a note about alerts. Notes stay; a later one corrects an earlier one.

    \b
    Examples:
      keytrail alerts note 3c6ac8f2 -m "Asked the team: it was their migration, CHG-4711"
    """
    from keytrail.store.state.triage import AddNote

    if not text.strip():
        raise UsageError("--text is empty", advice="write what others should know")
    _change(ids, AddNote(text), "written about", user, opened(config, lake, state))


def snooze(
    ids: Ids,
    length: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long: 30m, 4h, 7d, 2w.", show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: RFC 3339 or a date.", show_default=False)
    ] = None,
    wake: Annotated[bool, typer.Option("--wake", help="No longer.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Let alerts rest for a time: lists leave them out, and nobody is told of them until then.

    \b
    Examples:
      keytrail alerts snooze 3c6ac8f2 --for 4h
      keytrail alerts snooze 3c6ac8f2 --until 2026-03-02T08:00:00Z
      keytrail alerts snooze 3c6ac8f2 --wake
    """
    from keytrail.service.state import ends_at
    from keytrail.store.state.triage import Snooze

    if wake and (length is not None or until is not None):
        raise UsageError("--wake excludes --for and --until")
    end = None if wake else ends_at(length, until, datetime.now(UTC))
    words = "woken" if end is None else f"snoozed until {end:%Y-%m-%d %H:%M:%S} UTC"
    _change(ids, Snooze(end), words, user, opened(config, lake, state))


def _change(
    ids: Sequence[str], what: Change, words: str, user: str | None, opening: AbstractContextManager[Installation]
) -> None:
    from keytrail.service.state import who_works
    from keytrail.service.triage import change

    who = who_works(user)
    named = ids_given(ids)
    if not named:
        messages.note("stdin named no alert: nothing to do")
        return
    with opening as here:
        done = change(here.database, named, what, who=who, now=datetime.now(UTC))
    messages.note(f"{words}: {count(len(done.changed), 'alert')}{so_already(done.named - len(done.changed))}")


def _names(add: Sequence[str] | None, remove: Sequence[str] | None, option: str) -> tuple[str, ...]:
    if not add and not remove:
        raise UsageError(f"say what is to change: {option} or --remove")
    return _words(add)


def _words(given: Sequence[str] | None) -> tuple[str, ...]:
    words = tuple(one.strip() for one in given or ())
    if not all(words):
        raise UsageError("a name is empty")
    return words
