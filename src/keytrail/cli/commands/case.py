"""`keytrail case`: what people keep about alerts that belong together, and hand on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from keytrail.cli import messages, options
from keytrail.cli.case_text import CASE_COLUMNS, CASE_TABLE, case_facts
from keytrail.cli.colour import wanted
from keytrail.cli.commands.alerts import Ids, Reason
from keytrail.cli.output import Format, PageFormat, choose_format, make_folder, open_output
from keytrail.cli.service_tools import ids_given, opened, so_already, write_rows
from keytrail.errors import UsageError
from keytrail.phrases import count
from keytrail.text import for_json

if TYPE_CHECKING:
    from keytrail.service.case_dossier import Dossier

_LIMIT = 100
# What happened when, in rows of a report; the JSON document has all.
_MOMENTS_OF_A_PAGE = 2_000
_MOMENTS_OF_A_TICKET = 100
_SUFFIXES = {PageFormat.JSON: "json", PageFormat.MARKDOWN: "md", PageFormat.HTML: "html", PageFormat.TEXT: "txt"}
_HANDED_ON = (PageFormat.JSON, PageFormat.MARKDOWN, PageFormat.HTML)


class Status(StrEnum):
    """The values of `--status`."""

    OPEN = "open"
    CLOSED = "closed"


Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the case: C-7, also c7 or 7.", show_default=False)]
Text = Annotated[str, typer.Option("--text", "-m", metavar="TEXT", help="What to write down.", show_default=False)]


def open_(
    ids: Ids,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What it is about. Default: the first alert.", show_default=False),
    ] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="A first note about it.", show_default=False)] = None,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Open a case about alerts, and print its id.

    \b
    Examples:
      keytrail case open 3c6ac8f2 --title "The payments key is open to a stranger"
      keytrail alerts list --verdict malicious --since 24h --format json | jq -r '.[]."kibana.alert.uuid"' \\
        | keytrail case open -
    """
    from keytrail.service.case_files import open_case
    from keytrail.service.state import who_works

    who, named = who_works(user), ids_given(ids)
    if note is not None:
        _written(note, "--note")
    with opened(config, lake, state) as here:
        made = open_case(here.database, named, title=title, note=note or "", who=who, now=datetime.now(UTC))
    with open_output(None) as out:
        out.write(f"{made.id}\n")
    messages.note(f"opened: {made.id}, {made.title}")


def list_cases(
    status: Annotated[
        list[Status] | None, typer.Option(help="Only these; repeatable. Default: open.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many, the latest ones.")] = _LIMIT,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """List cases, the one opened last first.

    \b
    Examples:
      keytrail case list
      keytrail case list --status open --status closed --format csv -o cases.csv
    """
    from keytrail.service.case_files import list_cases as found_cases
    from keytrail.service.case_files import number_of_cases

    form = choose_format(output_format, output, Format)
    statuses = [one.value for one in status or (Status.OPEN,)]
    with opened(config, lake, state, color) as here, open_output(output, force=force) as out:
        number = number_of_cases(here.database, statuses)
        listed = list(found_cases(here.database, statuses, most=limit))
        documents = (one.to_dict() for one in listed)
        write_rows(form, out, map(case_facts, listed), documents, table=CASE_TABLE, columns=CASE_COLUMNS)
    if number > limit:
        messages.note(f"{count(number - limit, 'more case')} not shown: --limit N shows more")


def show(
    id: Id,
    output_format: Annotated[
        PageFormat | None,
        typer.Option("--format", help="Default: text on a terminal, json in a pipe.", show_default=False),
    ] = None,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show a case: its facts, what happened when, the plans for its alerts, and the alerts.

    \b
    Examples:
      keytrail case show C-7
      keytrail case show 7 --format json | jq .timeline
    """
    from keytrail.service.case_dossier import read_case

    form = choose_format(output_format, None, PageFormat)
    with opened(config, lake, state, color) as here:
        found = read_case(here.database, id)
    with open_output(None) as out:
        _write(found, form, out, datetime.now(UTC))


def add(
    id: Id,
    ids: Ids,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Put alerts into a case. An alert may be in several.

    \b
    Examples:
      keytrail case add C-7 9b1d3c55 4fd00a71
    """
    from keytrail.service.case_files import add_alerts
    from keytrail.service.state import who_works

    who, given = who_works(user), ids_given(ids)
    with opened(config, lake, state) as here:
        named, fresh = add_alerts(here.database, id, given, who=who, now=datetime.now(UTC))
    messages.note(f"added: {count(fresh, 'alert')}{so_already(named - fresh)}")


def remove(
    id: Id,
    ids: Ids,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Take alerts out of a case. They stay as they are.

    \b
    Examples:
      keytrail case remove C-7 9b1d3c55
    """
    from keytrail.service.case_files import remove_alerts
    from keytrail.service.state import who_works

    who, given = who_works(user), ids_given(ids)
    with opened(config, lake, state) as here:
        named, gone = remove_alerts(here.database, id, given, who=who, now=datetime.now(UTC))
    left = f"; {count(named - gone, 'alert')} not in it" if named > gone else ""
    messages.note(f"removed: {count(gone, 'alert')}{left}")


def note(
    id: Id,
    text: Text,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write a note about a case, a closed one too. Notes stay; a later one corrects an earlier one.

    \b
    Examples:
      keytrail case note C-7 -m "The role was made by the partner's pipeline, see CHG-4711"
    """
    from keytrail.service.case_files import write_note
    from keytrail.service.state import who_works

    who = who_works(user)
    _written(text, "--text")
    with opened(config, lake, state) as here:
        file = write_note(here.database, id, text, who=who, now=datetime.now(UTC))
    messages.note(f"written about {file.id}")


def close(
    id: Id,
    outcome: Annotated[str, typer.Option(metavar="TEXT", help="How it ended, in words.", show_default=False)],
    close_alerts: Annotated[
        Reason | None,
        typer.Option("--close-alerts", help="Close its alerts with it, for this reason.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also while a plan for its alerts is half applied.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Close a case with its outcome. Refused while a plan for one of its alerts is half applied.

    \b
    Examples:
      keytrail case close C-7 --outcome "Policy put back, the role is gone" --close-alerts issue_resolved
    """
    from keytrail.service.case_files import close_case
    from keytrail.service.state import who_works

    who = who_works(user)
    _written(outcome, "--outcome")
    reason = None if close_alerts is None else close_alerts.value
    with opened(config, lake, state) as here:
        done = close_case(here.database, id, outcome, close_alerts=reason, force=force, who=who, now=datetime.now(UTC))
    words = f"closed: {done.file.id}" if done.changed else f"{done.file.id} was closed so already"
    messages.note(words + (f", and {count(done.alerts, 'alert')}" if close_alerts is not None else ""))


def reopen(
    id: Id,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Open a case again that was closed. Its alerts stay as they are.

    \b
    Examples:
      keytrail case reopen C-7
    """
    from keytrail.service.case_files import reopen as open_again
    from keytrail.service.state import who_works

    who = who_works(user)
    with opened(config, lake, state) as here:
        file, changed = open_again(here.database, id, who=who, now=datetime.now(UTC))
    messages.note(f"opened: {file.id}" if changed else f"{file.id} was open already")


def export(
    id: Id,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="Write it to this file; into a folder (it exists, or the name ends in /) as json, markdown and html.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        PageFormat | None,
        typer.Option(
            "--format",
            help="Default: by the suffix of -o; else text on a terminal, json in a pipe. Into a folder only this one.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write a case with all that belongs to it, to hand on: one page (html), for a ticket (markdown), for machines.

    \b
    Examples:
      keytrail case export C-7 -o case.html
      keytrail case export C-7 -o ./incidents/
    """
    from keytrail.service.case_dossier import read_case

    folder = output is not None and output != "-" and (output.endswith(os.sep) or Path(output).is_dir())
    form = None if folder else choose_format(output_format, output, PageFormat)
    with opened(config, lake, state) as here:
        found = read_case(here.database, id)
    now = datetime.now(UTC)
    if form is not None:
        with open_output(output, force=force) as out:
            _write(found, form, out, now)
        return
    assert output is not None
    forms = _HANDED_ON if output_format is None else (output_format,)
    _into_folder(found, Path(output), forms, now, force=force)


def _into_folder(found: Dossier, folder: Path, forms: Sequence[PageFormat], now: datetime, *, force: bool) -> None:
    make_folder(folder)
    for form in forms:
        path = folder / f"{found.file.id}.{_SUFFIXES[form]}"
        with open_output(str(path), force=force) as out:
            _write(found, form, out, now)
        messages.note(f"written: {path}")


def _write(found: Dossier, form: PageFormat, out: TextIO, now: datetime) -> None:
    if form is PageFormat.TEXT:
        from keytrail.cli.case_text import case_page

        out.write(case_page(found, colour=wanted(out)) + "\n")
    elif form is PageFormat.JSON:
        out.write(for_json(found.to_dict(exported_at=now)) + "\n")
    else:
        from keytrail.report import case_title, html_report, markdown_report

        html = form is PageFormat.HTML
        write = html_report if html else markdown_report
        opening = found.opening(most_moments=_MOMENTS_OF_A_PAGE if html else _MOMENTS_OF_A_TICKET)
        generated = f"{now:%Y-%m-%d %H:%M} UTC"
        out.write(write(found.items, title=case_title(found.file), generated=generated, opening=opening))


def _written(text: str, option: str) -> None:
    if not text.strip():
        raise UsageError(f"{option} is empty", advice="write what others should know")
