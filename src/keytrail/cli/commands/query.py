"""`keytrail query` and `keytrail ecs`: events out of archives, some or all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode, finished
from keytrail.cli.output import Format, choose_format, into_file, open_output, to_stdout
from keytrail.errors import SourceError, UsageError

if TYPE_CHECKING:
    from keytrail.service.requests import Found, QueryRequest


def query(
    kql: Annotated[str, typer.Argument(metavar="KQL", help="What to look for, in the Kibana Query Language.")],
    sources: options.Sources,
    raw: Annotated[bool, typer.Option("--raw", help="Print the records as stored, not their ECS documents.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Match exactly as Kibana translates a query, its known oddities included.")
    ] = False,
    since: options.Since = None,
    until: options.Until = None,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    geoip: options.GeoIp = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Print the events that match a KQL query.

    \b
    Examples:
      keytrail query 'event.action: PutKeyPolicy' ./AWSLogs
      keytrail query 'event.provider: kms* and event.outcome: failure' ./AWSLogs --since 24h
      keytrail query 'source.ip: 203.0.113.0/24' ./AWSLogs --raw | jq .eventName
      keytrail query 'user.name: mallory' s3://my-trail-bucket --since 2026-03-01 -o mallory.csv
    """
    from keytrail.service.requests import QueryRequest
    from keytrail.service.times import parse_window

    form = choose_format(output_format or (_raw_format(output) if raw else None), output, Format)
    if raw and form in (Format.TABLE, Format.CSV):
        raise UsageError("--raw prints JSON", advice="use --format ndjson or json with it, or leave it out")
    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.source_flags(geoip, profile, region, role_arn, endpoint_url)
    settings = options.settings(config, flags | {"scan.jobs": jobs, "output.color": color})
    request = QueryRequest(
        sources=tuple(sources),
        query=kql,
        strict=strict,
        raw=raw,
        since=start,
        until=end,
        jobs=settings.scan.jobs,
        settings=settings,
    )
    _print(request, form, output, force=force, raw=raw, quiet=quiet)


def ecs(
    sources: options.Sources,
    since: options.Since = None,
    until: options.Until = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    geoip: options.GeoIp = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Print every event as an ECS document, NDJSON with nested objects.

    The documents are those of Elastic's aws.cloudtrail data stream.

    \b
    Examples:
      keytrail ecs trail.json.gz | jq '{at: ."@timestamp", who: .user.name, what: .event.action}'
      keytrail ecs ./AWSLogs --since 2026-03-01 -o events.ndjson
    """
    from keytrail.service.requests import QueryRequest
    from keytrail.service.times import parse_window

    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.source_flags(geoip, profile, region, role_arn, endpoint_url)
    settings = options.settings(config, flags | {"scan.jobs": jobs})
    request = QueryRequest(
        sources=tuple(sources),
        since=start,
        until=end,
        jobs=settings.scan.jobs,
        settings=settings,
    )
    _print(request, Format.NDJSON, output, force=force, quiet=quiet)


def _raw_format(output: str | None) -> Format | None:
    # A table of records is no table: on a terminal too, they are JSON lines.
    return Format.NDJSON if to_stdout(output) else None


def _print(
    request: QueryRequest,
    form: Format,
    output: str | None,
    *,
    force: bool,
    quiet: bool,
    raw: bool = False,
) -> None:
    from keytrail.cli.progress import watching
    from keytrail.cli.results import write_events
    from keytrail.service.query import run_query

    problems = messages.Problems()
    # Events are printed as they are found; a bar between them, or in what `| jq` prints, would be a mess.
    watched = not quiet and into_file(output)
    try:
        with open_output(output, force=force) as out, watching(wanted=watched) as observe:
            found = run_query(request, observe=observe, report=problems.add)
            write_events(_reported(found, problems), form, out, raw=raw, colour=wanted(out))
    finally:
        problems.tell()
    raise typer.Exit(finished(unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))


def _reported(found: Iterator[Found], problems: messages.Problems) -> Iterator[Found]:
    """Yield `found` to its end; what other sources gave is kept when one, already reported, could not be reached."""
    some = False
    try:
        for item in found:
            some = True
            yield item
    except SourceError as error:
        if error not in problems.unreached:
            raise
        if not some:
            # No result is not an empty result: no file is left that looks like one.
            raise typer.Exit(ExitCode.SOURCE) from error
