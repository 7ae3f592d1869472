"""`keytrail lake`: records imported into the lake and exported from it, the lake checked and merged."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Annotated, BinaryIO

import typer

from keytrail.cli import messages, options
from keytrail.cli.exits import ExitCode, finished
from keytrail.cli.numbers import size
from keytrail.phrases import count
from keytrail.text import for_terminal


def import_(
    sources: options.Sources,
    detect: Annotated[
        bool,
        typer.Option("--detect", help="Run rules over the records, as if they arrived now; else they are history."),
    ] = False,
    notify: Annotated[bool, typer.Option("--notify", help="With --detect: tell people of the alerts.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Read objects that were taken in before, too; records are kept once.")
    ] = False,
    since: options.Since = None,
    until: options.Until = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Take archives into the lake: hunted and investigated over from then on, not detected unless asked for.

    Repeating it is harmless: objects and records that are there are passed over. Not while `keytrail watch` runs.

    \b
    Examples:
      keytrail lake import ./AWSLogs
      keytrail lake import s3://my-trail-bucket --since 90d
      keytrail lake import ./AWSLogs --detect
    """
    from keytrail.cli.progress import watching
    from keytrail.errors import UsageError
    from keytrail.service.lake import ImportRequest, import_archives
    from keytrail.service.times import parse_window

    if notify and not detect:
        raise UsageError("--notify goes with --detect", advice="Without rules that run there is nothing to tell.")
    start, end = parse_window(since, until, datetime.now(UTC))
    flags = options.source_flags(None, profile, region, role_arn, endpoint_url) | options.lake_flags(lake, state)
    settings = options.settings(config, flags | {"watch.jobs": jobs})
    problems = messages.Problems()
    request = ImportRequest(tuple(sources), start, end, detect, notify, again, settings)
    try:
        with watching(wanted=not quiet) as observe:
            result = import_archives(request, observe=observe, report=problems.add)
    finally:
        problems.tell()
    if not quiet:
        known = f", {result.known:,} of them known" if result.known else ""
        repeated = f", {result.repeated:,} were there already" if result.repeated else ""
        messages.plain(
            f"Imported {count(result.records, 'record')} from {count(result.objects, 'object')}{known}{repeated},"
            f" in {result.seconds:.1f} s"
        )
        if detect:
            messages.plain(f"{count(result.alerts, 'alert')}; keytrail alerts list shows them")
    raise typer.Exit(finished(unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))


def export(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="NDJSON; compressed if it ends in .gz; - for stdout.")
    ],
    kql: Annotated[str, typer.Argument(metavar="[KQL]", help="Which events; all if left out.")] = "",
    since: options.Since = None,
    until: options.Until = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Write records of the lake as they were stored, one a line, the oldest first.

    \b
    Examples:
      keytrail lake export --since 2026-03-01 --until 2026-04-01 -o march.ndjson.gz
      keytrail lake export 'event.provider: kms.amazonaws.com' -o - | jq .eventName
    """
    from keytrail.cli.output import open_output
    from keytrail.service.lake import HuntRequest, hunt_lake
    from keytrail.service.times import parse_window
    from keytrail.text import raw_json

    start, end = parse_window(since, until, datetime.now(UTC))
    settings = options.settings(config, options.lake_flags(lake, state))
    request = HuntRequest(kql, start, end, newest=False, settings=settings)
    written = 0
    with open_output(output, force=force) as out:
        lines = _Compressed(out.buffer) if output.endswith(".gz") else out
        for one in hunt_lake(request):
            lines.write(raw_json(one.raw.decode("utf-8", "replace")) + "\n")
            written += 1
        if isinstance(lines, _Compressed):
            lines.close()
    if not quiet:
        messages.plain(for_terminal(f"Wrote {count(written, 'record')} to {output}"))


class _Compressed:
    """Text into a gzip stream, without the time at which it was made: the same records give the same file."""

    def __init__(self, out: BinaryIO) -> None:
        self._stream = gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="")

    def write(self, text: str) -> None:
        self._stream.write(text.encode())

    def close(self) -> None:
        self._stream.close()


def verify(
    drop: Annotated[
        bool,
        typer.Option(
            "--drop-damaged",
            help="Take damaged segments out of the lake; their files stay, as *.damaged. Stop watch first.",
        ),
    ] = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Read every segment of the lake and compare it with what was written. Works while `keytrail watch` runs.

    \b
    Examples:
      keytrail lake verify
      keytrail lake verify --lake /srv/keytrail -q || echo damaged
    """
    from keytrail.cli.progress import watching
    from keytrail.service.lake import drop_damaged, verify_lake

    settings = options.settings(config, options.lake_flags(lake, state))
    with watching(wanted=not quiet) as observe:
        found = drop_damaged(settings) if drop else verify_lake(settings, observe=observe)
    for path, problem in found.damaged:
        messages.warning(f"{path}: {problem}")
    if not quiet:
        messages.plain(f"{count(found.segments, 'segment')} with {count(found.rows, 'record')} in {size(found.size)}")
        if found.left_over:
            messages.note(
                f"{count(len(found.left_over), 'file')} in the folder belong to no segment; the service removes them"
            )
        messages.plain(f"{count(len(found.damaged), 'segment')} damaged" if found.damaged else "All are as written.")
    if found.damaged:
        dropped = f"{count(len(found.damaged), 'segment')} taken out of the lake; "
        first = dropped if drop else "put the files back from a backup, or take them out with --drop-damaged; "
        messages.note(f"{first}what was lost comes back with `keytrail lake import --again` over its days")
    raise typer.Exit(ExitCode.UNREADABLE if found.damaged else ExitCode.DONE)


def compact(
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Merge small segments now, and remove files that were replaced. `keytrail watch` does so by itself.

    \b
    Examples:
      keytrail lake compact
    """
    from keytrail.service.lake import compact_lake

    settings = options.settings(config, options.lake_flags(lake, state))
    merged, removed = compact_lake(settings)
    if not quiet:
        messages.plain(f"{count(merged, 'segment')} fewer; {count(removed, 'file')} removed")
