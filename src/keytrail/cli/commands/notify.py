"""`keytrail notify`: the sinks that tell people, tried out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import open_output
from keytrail.errors import KeytrailError


def send_test(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Names of sinks; default: all.", show_default=False),
    ] = None,
    config: options.Config = None,
) -> None:
    """Send a message that says it is a test to the sinks named, or to all, and say what came of each.

    \b
    Examples:
      keytrail notify test
      keytrail notify test on-call --config ./keytrail.toml
    """
    from keytrail.service.sinks import try_sinks

    failed = False
    with open_output(None) as out:
        for tried in try_sinks(options.settings(config, {}), names or [], datetime.now(UTC)):
            if tried.error is None:
                out.write(f"{tried.name} ({tried.kind}): delivered\n")
                out.flush()
                continue
            failed = True
            error = tried.error
            messages.error(
                KeytrailError(f"{tried.name} ({tried.kind}): {error.what}", place=error.place, advice=error.advice)
            )
    if failed:
        raise typer.Exit(ExitCode.SOURCE)
