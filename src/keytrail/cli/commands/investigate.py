"""`keytrail investigate`: one alert about a key policy, answered in full."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import finished
from keytrail.cli.output import PageFormat, choose_format, open_output
from keytrail.text import for_json


def investigate(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ALERT_OR_EVENT_ID",
            help="The id of an alert (kibana.alert.uuid) or of an event (event.id), or the first 8 characters or more.",
            show_default=False,
        ),
    ],
    sources: options.Sources,
    rules: options.Rules = None,
    no_builtin: options.NoBuiltin = False,
    since: options.Since = None,
    until: options.Until = None,
    org: options.Organisation = None,
    trust: options.Trust = None,
    accounts: options.AccountsFile = None,
    inventory: options.InventoryFile = None,
    snapshots: options.Snapshots = None,
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
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Investigate one change of a key policy: who gained what, what data it exposes, what was done with it since.

    The change is a successful PutKeyPolicy, CreateKey or ReplicateKey; an alert about one names it as well. The answer
    comes from the sources alone: they should hold the history of the key and what came after.

    \b
    Examples:
      keytrail investigate 3c6ac8f2 ./AWSLogs
      keytrail investigate 3c6ac8f2 ./AWSLogs -o report.html
      keytrail investigate 3c6ac8f2 ./AWSLogs --format markdown --trust 777788889999 | gh issue create -F -
      keytrail investigate 3c6ac8f2 ./AWSLogs --format json | jq .verdict
    """
    from keytrail.cli.progress import watching
    from keytrail.cli.results import investigation_report
    from keytrail.service.investigate import InvestigateRequest, investigate_one
    from keytrail.service.times import parse_window

    form = choose_format(output_format, output, PageFormat)
    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.source_flags(None, profile, region, role_arn, endpoint_url)
    flags |= options.investigation_flags(accounts, inventory, snapshots)
    settings = options.settings(config, flags | {"scan.jobs": jobs, "output.color": color})
    organisation, trusted = options.trusted(org, trust)
    request = InvestigateRequest(
        id=id.strip(),
        sources=tuple(sources),
        rule_paths=tuple(rules or ()),
        builtin=not no_builtin,
        organisation=organisation,
        trusted=trusted,
        since=start,
        until=end,
        jobs=settings.scan.jobs,
        settings=settings,
    )
    problems = messages.Problems()
    try:
        with open_output(output, force=force) as out:
            with watching(wanted=not quiet) as observe:
                found = investigate_one(request, observe=observe, report=problems.add)
            if form is PageFormat.TEXT:
                from keytrail.cli.investigation_text import investigation_text

                out.write(investigation_text(found.investigation, found.diff, colour=wanted(out)) + "\n")
            elif form is PageFormat.JSON:
                out.write(for_json(found.investigation.to_dict()) + "\n")
            else:
                out.write(investigation_report(found, form))
    finally:
        problems.tell()
    if not quiet:
        for text in found.notes:
            messages.note(text)
    raise typer.Exit(finished(unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))
