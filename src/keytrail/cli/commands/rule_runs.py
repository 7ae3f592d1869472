"""`keytrail rules preview` and `keytrail rules run`: a rule over what is in the lake already."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.output import AlertFormat, Format, choose_format
from keytrail.errors import UsageError
from keytrail.phrases import count
from keytrail.text import for_json, for_terminal

if TYPE_CHECKING:
    from keytrail.service.watch.backfill import Backfill, Span

_PREVIEW_DAYS = 7
_BAR_CELLS = 40

From = Annotated[
    str,
    typer.Option("--from", metavar="TIME", help="Events from this time on: RFC 3339, a date, or an age (7d, 24h)."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Events before it; default: now.")]


def preview(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="A rule's id, or a file with one rule.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"Events from this time on; default: {_PREVIEW_DAYS} days ago."),
    ] = None,
    until: options.Until = None,
    examples: Annotated[int, typer.Option("--examples", min=0, max=100, help="Alerts to show.")] = 5,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    output_format: Annotated[Format | None, typer.Option("--format", help="table or json.", show_default=False)] = None,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Say how many alerts a day a rule would have made of what is in the lake, and show some. Makes none.

    Exceptions and suppression count as they are now; an alert that was made before counts again.

    \b
    Examples:
      keytrail rules preview f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c
      keytrail rules preview my-rule.toml --since 30d
    """
    from keytrail.cli.progress import watching
    from keytrail.service.installation import installation
    from keytrail.service.watch.backfill import preview as over
    from keytrail.service.watch.backfill import rule_named
    from keytrail.service.watch.clock import system_clock

    form = choose_format(output_format, None, Format)
    if form is Format.CSV:
        raise UsageError("a preview is a table or JSON", advice="use --format table or json")
    span = _span(since or f"{_PREVIEW_DAYS}d", until)
    settings = options.settings(config, options.lake_flags(lake, state))
    with installation(settings) as home, watching(wanted=not quiet) as observe:
        found = over(home, rule_named(home, rule), span, system_clock, examples=examples, observe=observe)
    if form is Format.TABLE:
        _print_preview(found, span)
    else:
        typer.echo(for_json(_as_json(found, span)))


def run(
    rules: Annotated[list[str], typer.Argument(metavar="ID...", help="The rules to run: ids, or files with one rule.")],
    since: From,
    until: To = None,
    notify: Annotated[bool, typer.Option("--notify", help="Tell people of the alerts that it makes.")] = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Run rules over events that are in the lake, as if they had run when these arrived. Works beside `keytrail watch`.

    Alerts that are there stay as they are: repeating it is harmless. The service investigates the others.

    \b
    Examples:
      keytrail rules run f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c --from 30d
      keytrail rules run my-rule --from 2026-03-01 --to 2026-03-08 --notify
    """
    from keytrail.cli.progress import watching
    from keytrail.service.installation import installation
    from keytrail.service.watch.backfill import rule_named, run_over
    from keytrail.service.watch.clock import system_clock

    span = _span(since, until, names=("--from", "--to"))
    settings = options.settings(config, options.lake_flags(lake, state))
    with installation(settings) as home, watching(wanted=not quiet) as observe:
        chosen = [rule_named(home, one) for one in dict.fromkeys(rules)]
        found = run_over(home, chosen, span, system_clock, notify=notify, observe=observe)
    for one in found:
        for problem in one.problems:
            messages.warning(problem)
        if not quiet:
            counts = one.counts
            rest = [
                f"{number:,} {what}"
                for number, what in (
                    (counts.duplicate, "there already"),
                    (counts.suppressed, "suppressed"),
                    (counts.excluded, "excluded by exceptions"),
                )
                if number
            ]
            messages.plain(
                for_terminal(f"{one.rule_name}: {count(counts.created, 'alert')}")
                + (f" ({', '.join(rest)})" if rest else "")
            )


def _span(since: str, until: str | None, names: tuple[str, str] = ("--since", "--until")) -> Span:
    from keytrail.service.times import parse_time
    from keytrail.service.watch.backfill import Span

    now = datetime.now(UTC)
    end = parse_time(until, now, name=names[1]) if until is not None else now + timedelta(seconds=1)
    return Span(parse_time(since, now, name=names[0]), end)


def _print_preview(found: Backfill, span: Span) -> None:
    """A bar for each day, the counts, and what the first alerts would say."""
    from keytrail.cli.results import write_alerts

    for problem in found.problems:
        messages.warning(problem)
    days = [day for day in found.by_day if day is not None]
    most = max(found.by_day.values(), default=1)
    day = min(days, default=None)
    while day is not None and day <= max(days):
        number = found.by_day[day]
        bar = "#" * -(-number * _BAR_CELLS // most)
        typer.echo(f"{day}  {number:>8,}  {bar}".rstrip())
        day += timedelta(days=1)
    counts = found.counts
    length = max((span.until - span.since) / timedelta(days=1), 1.0)
    typer.echo(
        for_terminal(f"{found.rule_name}: {count(counts.created, 'alert')}, {counts.created / length:,.1f} a day")
        + f"; {counts.matched:,} of {count(found.rows, 'record')} match"
        + "".join(
            f", {number:,} {what}"
            for number, what in ((counts.suppressed, "suppressed"), (counts.excluded, "excluded"))
            if number
        )
    )
    if found.examples:
        typer.echo("")
        write_alerts(found.examples, AlertFormat.TABLE, sys.stdout, colour=wanted(sys.stdout), investigated=False)


def _as_json(found: Backfill, span: Span) -> dict[str, object]:
    return {
        "rule_id": found.rule_id,
        "rule_name": found.rule_name,
        "since": span.since.isoformat(),
        "until": span.until.isoformat(),
        "records": found.rows,
        "counts": asdict(found.counts),
        "alerts_by_day": {str(day): number for day, number in sorted(found.by_day.items(), key=str)},
        "problems": list(found.problems),
        "examples": found.examples,
    }
