"""`keytrail health`: whether the service is well, for people and for what supervises it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import options
from keytrail.cli.colour import paint, wanted
from keytrail.cli.exits import HealthExit
from keytrail.cli.numbers import duration, size
from keytrail.cli.output import open_output
from keytrail.phrases import count
from keytrail.text import for_json, for_terminal

if TYPE_CHECKING:
    from keytrail.service.health import Health
    from keytrail.service.watch.keys import Look


class HealthFormat(StrEnum):
    """The values of `--format`."""

    TEXT = "text"
    JSON = "json"


def health(
    output_format: Annotated[HealthFormat, typer.Option("--format", help="How to print it.")] = HealthFormat.TEXT,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Say whether the service is well: whether it runs, keeps up, reaches its feeds and sinks, and has room.

    Only state and disks are read, so it works beside the service. The exit code is the answer.

    \b
    Examples:
      keytrail health
      keytrail health --format json | jq -r '.findings[] | .severity + ": " + .what'
    """
    from keytrail.service.health import Bounds, health_of
    from keytrail.service.health_state import look
    from keytrail.service.installation import installation

    settings = options.settings(config, {"output.color": color} | options.lake_flags(lake, state))
    now = datetime.now(UTC)
    with installation(settings) as home:
        found = health_of(look(home, now), Bounds.of(settings), now)
    with open_output(None) as out:
        if output_format is HealthFormat.JSON:
            out.write(for_json(found.to_dict()) + "\n")
        else:
            out.writelines(f"{line}\n" for line in _lines(found, colour=wanted(out)))
    raise typer.Exit(HealthExit.WELL if found.well else HealthExit.UNWELL)


def _lines(found: Health, *, colour: bool) -> Iterator[str]:
    seen = found.seen
    answer = paint("well", "expected", on=colour) if found.well else paint("unwell", "failure", on=colour)
    if found.running and seen.holder is not None and seen.status is not None:
        up = found.at - datetime.fromisoformat(seen.status.started_at)
        heard = max((found.at - seen.holder.heard_at).total_seconds(), 0)
        running = f"{seen.holder.name}, up for {duration(up.total_seconds())}, heard from {heard:.0f} s ago"
        yield f"{answer}: {for_terminal(running)}"
    else:
        yield answer
    for one in found.findings:
        label = paint(f"{one.severity}:", one.severity, on=colour)
        # What records and rule files say may have lines of its own, which must not look like ours.
        yield f"{label} {for_terminal(one.what)}"
        yield from (f"  {for_terminal(line)}" for line in one.advice.splitlines())
    waiting = sum(one.waiting for one in seen.sinks)
    slowest = max((one.behind for one in seen.rules), default=0)
    feeds = seen.status.feeds if seen.status is not None else ()
    facts = [
        count(len(feeds), "feed"),
        f"{count(len(seen.rules), 'rule')}, the slowest {count(slowest, 'record')} behind",
        f"{count(waiting, 'message')} waiting",
        *(
            [f"{count(seen.look.keys, 'key')}, looked at {_when(seen.look.at)}{_differing(seen.look)}"]
            if seen.look
            else []
        ),
        f"{count(seen.records, 'record')} in {count(seen.segments, 'segment')}, {size(seen.stored_bytes)}",
        *(f"{size(one.free_bytes)} free for {one.folder}" for one in seen.rooms if one.free_bytes is not None),
        f"state {seen.version} in {seen.database}",
    ]
    yield from (paint(for_terminal(one), "dim", on=colour) for one in facts)


def _when(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _differing(look: Look) -> str:
    return f", {look.drifted:,} with a policy that nothing reported" if look.drifted else ""
