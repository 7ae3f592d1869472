"""`keytrail events`: hunts in the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.output import Format, choose_format, open_output, to_stdout
from keytrail.errors import UsageError
from keytrail.phrases import count

_LIMIT = 1_000


def events(
    kql: Annotated[
        str, typer.Argument(metavar="[KQL]", help="What to look for, in the Kibana Query Language; all if left out.")
    ] = "",
    containing: Annotated[
        str, typer.Option("--containing", metavar="TEXT", help="Only events with this text in one of their values.")
    ] = "",
    since: options.Since = None,
    until: options.Until = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first, not the newest.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="At most N events; 0: all.")] = _LIMIT,
    only_count: Annotated[bool, typer.Option("--count", help="Print how many there are, and nothing else.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the records as stored, not their ECS documents.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Match exactly as Kibana translates a query, its known oddities included.")
    ] = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    geoip: options.GeoIp = None,
    config: options.Config = None,
) -> None:
    """Print the events in the lake that match a KQL query, the newest first.

    The lake holds what `keytrail watch` took in, and what `keytrail lake import` brought.

    \b
    Examples:
      keytrail events 'event.action: PutKeyPolicy' --since 7d
      keytrail events 'event.provider: kms.amazonaws.com and event.outcome: failure' --count
      keytrail events --containing 1234abcd-12ab-34cd-56ef-1234567890ab --raw | jq .eventName
    """
    from keytrail.cli.results import write_events
    from keytrail.service.lake import HuntRequest, count_lake, hunt_lake
    from keytrail.service.times import parse_window

    raw_format = Format.NDJSON if raw and to_stdout(output) else None
    form = choose_format(output_format or raw_format, output, Format)
    if raw and form in (Format.TABLE, Format.CSV):
        raise UsageError("--raw prints JSON", advice="use --format ndjson or json with it, or leave it out")
    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.lake_flags(lake, state) | {
        "output.color": color,
        "geoip.databases": tuple(geoip) if geoip else None,
    }
    request = HuntRequest(
        query=kql,
        since=start,
        until=end,
        containing=containing,
        strict=strict,
        newest=not oldest,
        limit=limit or None,
        settings=options.settings(config, flags),
    )
    if only_count:
        typer.echo(count_lake(request))
        return
    shown = 0
    with open_output(output, force=force) as out:

        def counted() -> object:
            nonlocal shown
            for one in hunt_lake(request):
                shown += 1
                yield one

        write_events(counted(), form, out, raw=raw, colour=wanted(out))  # type: ignore[arg-type]
    if not quiet:
        more = "; there may be more: --limit 0 shows all, --count how many" if limit and shown >= limit else ""
        messages.plain(f"{count(shown, 'event')}{more}")
