"""`keytrail policies history`: every policy that a key is known to have had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.commands.policies import Key
from keytrail.cli.exits import finished
from keytrail.cli.facts import Facts
from keytrail.cli.output import Format, choose_format, open_output
from keytrail.cli.service_tools import write_rows
from keytrail.cli.table import Column
from keytrail.names import person, short_digest
from keytrail.phrases import clock
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.service.policies_history import HistoryLine

# The columns of CSV. Published: names and order stay, new ones go to the end (docs/cli.md).
COLUMNS = (
    "since", "seen_until", "source", "status", "digest", "in_force", "good", "author", "event_name", "event_id",
    "severity", "change", "notes",
)  # fmt: skip
TABLE = (
    Column("clock", "SINCE (UTC)", rigid=True),
    Column("version", "POLICY", rigid=True),
    Column("marks", "MARKS", rigid=True),
    Column("who", "BY", share=14, middle=True),
    Column("severity", "SEVERITY", rigid=True, styled=True),
    Column("change", "WHAT CHANGED", share=60),
)

_SOURCES = {"record": "", "kms": "(a look)", "config": "(AWS Config)", "file": "(a file)"}
_FORCE = {"seen": "live", "reported": "last", "": ""}


def history(
    key: Key,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Records of this file, folder or bucket, and not those of the lake; repeatable.",
            show_default=False,
        ),
    ] = None,
    snapshots: options.Snapshots = None,
    accounts: options.AccountsFile = None,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Show every policy that a key is known to have had: since when, by whom, what it changed, and what is not certain.

    From looks at the key, AWS Config, and CloudTrail's records in the lake. "live" is what the last look saw, "last"
    the last one known, "good" one that is vouched for. JSON has the policies.

    \b
    Examples:
      keytrail policies history alias/orders
      keytrail policies history 1234abcd --format json | jq '.[-1].document'
      keytrail policies history arn:aws:kms:eu-west-1:111122223333:key/1234abcd-… --source s3://my-trail-bucket
    """
    from keytrail.cli.progress import watching
    from keytrail.service.policies_history import HistoryOfKeyRequest, history_of_key

    form = choose_format(output_format, output, Format)
    flags = options.source_flags(None, profile, region, role_arn, endpoint_url) | options.lake_flags(lake, state)
    flags |= options.investigation_flags(accounts, None, snapshots)
    settings = options.settings(config, flags | {"scan.jobs": jobs, "output.color": color})
    request = HistoryOfKeyRequest(key, tuple(source or ()), settings.scan.jobs, settings)
    problems = messages.Problems()
    try:
        with open_output(output, force=force) as out:
            with watching(wanted=not quiet and bool(source)) as observe:
                found = history_of_key(request, now=datetime.now(UTC), observe=observe, report=problems.add)
            write_rows(
                form,
                out,
                map(_facts, found.lines),
                (line.to_dict() for line in found.lines),
                table=TABLE,
                columns=COLUMNS,
            )
            if form is Format.TABLE:
                out.writelines(f"{for_terminal(text)}\n" for text in _doubts(found.lines))
    finally:
        problems.tell()
    if not quiet:
        for text in found.notes:
            messages.note(text)
    raise typer.Exit(finished(unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))


def _facts(line: HistoryLine) -> Facts:
    """The values of COLUMNS and TABLE for a version."""
    document = line.to_dict()
    marks = (_FORCE[line.force], "good" if line.good else "")
    return {
        **{name: _text(document[name]) for name in COLUMNS if name not in ("notes", "in_force", "good")},
        "good": "good" if line.good else "",
        "in_force": line.force,
        "notes": " ".join(line.notes),
        "clock": clock(line.since) if line.since is not None else "no time",
        "version": short_digest(line.digest or "") or "not known",
        "marks": " ".join(filter(None, marks)),
        "who": person(line.author) if line.author else _SOURCES[line.source],
    }


def _doubts(lines: tuple[HistoryLine, ...]) -> Iterator[str]:
    """What is not certain about the versions, a line each, below the table."""
    found = [(line, note) for line in lines for note in line.notes]
    if found:
        yield ""
    for line, note in found:
        yield f"{clock(line.since) if line.since is not None else 'no time':<19}  {note}"


def _text(value: object) -> str:
    return "" if value is None else str(value)
