"""`keytrail scan`: rules over archives, alerts out."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode, finished
from keytrail.cli.options import FailOn, Severity
from keytrail.cli.output import AlertFormat, choose_format, open_output, to_stdout
from keytrail.phrases import count
from keytrail.text import for_terminal


def scan(
    sources: options.Sources,
    rules: options.Rules = None,
    no_builtin: options.NoBuiltin = False,
    rule: options.RuleIds = None,
    since: options.Since = None,
    until: options.Until = None,
    min_severity: Annotated[
        Severity | None, typer.Option(help="Leave out alerts below this severity.", show_default=False)
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="End with exit code 1 if an alert has at least this severity.", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read every record, also those no rule can match, to find all damage.")
    ] = False,
    investigate: Annotated[
        bool | None,
        typer.Option(
            "--investigate/--no-investigate",
            help="Answer each alert about a key policy: who gained what, what was done with it, and a verdict.",
            show_default=False,
        ),
    ] = None,
    org: options.Organisation = None,
    trust: options.Trust = None,
    accounts: options.AccountsFile = None,
    inventory: options.InventoryFile = None,
    snapshots: options.Snapshots = None,
    output_format: options.AlertOutput = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    no_summary: Annotated[bool, typer.Option("--no-summary", help="No summary at the end.")] = False,
    jobs: options.Jobs = None,
    geoip: options.GeoIp = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Run detection rules over CloudTrail archives and print the alerts.

    Alerts go to stdout, everything else to stderr. Alerts about key policies come with an investigation.

    \b
    Examples:
      keytrail scan ./AWSLogs
      keytrail scan s3://my-trail-bucket --since 7d --fail-on high
      keytrail scan aws:// --profile audit
      keytrail scan ./AWSLogs --rules ./my-rules -o alerts.csv
      keytrail scan ./AWSLogs -o report.html
      zcat trail.json.gz | keytrail scan - --format ndjson | jq .
    """
    from keytrail.cli.progress import watching
    from keytrail.cli.results import write_alerts, write_report
    from keytrail.cli.summary import summary
    from keytrail.service.requests import ScanRequest
    from keytrail.service.scan import scan as run
    from keytrail.service.times import parse_window

    form = choose_format(output_format, output, AlertFormat)
    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.source_flags(geoip, profile, region, role_arn, endpoint_url)
    flags |= options.investigation_flags(accounts, inventory, snapshots) | {"investigate.enabled": investigate}
    flags |= {"scan.jobs": jobs, "scan.min_severity": min_severity, "scan.fail_on": fail_on, "output.color": color}
    settings = options.settings(config, flags)
    organisation, trusted = options.trusted(org, trust)
    request = ScanRequest(
        sources=tuple(sources),
        rule_paths=tuple(rules or ()),
        builtin=not no_builtin,
        organisation=organisation,
        trusted=trusted,
        rule_ids=tuple(rule or ()),
        since=start,
        until=end,
        min_severity=settings.scan.min_severity,
        jobs=settings.scan.jobs,
        check=check,
        settings=settings,
    )
    problems = messages.Problems()
    try:
        with open_output(output, force=force) as out:
            with watching(wanted=not quiet) as observe:
                result = run(request, observe=observe, report=problems.add)
            if problems.unreached and not result.stats.objects:
                # No result is not an empty result: no file is left that looks like one.
                raise typer.Exit(ExitCode.SOURCE)
            if form in (AlertFormat.HTML, AlertFormat.MARKDOWN):
                write_report(result, form, out)
            else:
                investigated = settings.investigate.enabled
                write_alerts(result.alerts, form, out, colour=wanted(out), investigated=investigated)
    finally:
        problems.tell()
    if not quiet:
        for text in result.notes:
            messages.note(text)
        if not no_summary:
            if form is AlertFormat.TABLE and to_stdout(output) and result.alerts:
                messages.plain("")
            messages.plain(summary(result.stats, colour=wanted(sys.stderr)))
            if output is not None and not to_stdout(output):
                messages.plain(for_terminal(f"Wrote {count(len(result.alerts), 'alert')} to {output}"))
    fail = FailOn(settings.scan.fail_on)
    loud = any(fail.fails(severity) for severity, number in result.stats.by_severity.items() if number)
    raise typer.Exit(finished(alert=loud, unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))
