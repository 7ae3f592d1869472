"""`keytrail config`: the settings file written, checked and shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import Format, choose_format, open_output, write_csv, write_json, write_ndjson, write_table
from keytrail.cli.table import Column
from keytrail.text import for_json, for_terminal

_COLUMNS = (Column("name", "NAME"), Column("value", "VALUE"), Column("origin", "ORIGIN"))


def init(
    path: Annotated[str, typer.Argument(help="Where to write it.", show_default=True)] = "keytrail.toml",
    force: options.Force = False,
) -> None:
    """Write a settings file that explains every setting and changes none.

    \b
    Examples:
      keytrail config init
      keytrail config init ~/.config/keytrail/keytrail.toml
    """
    from keytrail.settings import template

    with open_output(path, force=force) as out:
        out.write(template())
    if path != "-":
        messages.note(f"wrote {path}; every setting in it is commented out and stands at its default")


def check(
    path: Annotated[
        str | None, typer.Argument(help="The file to check; default: the one in force.", show_default=False)
    ] = None,
) -> None:
    """Check a settings file and print every problem with its line.

    Without PATH the environment is checked as well.

    \b
    Examples:
      keytrail config check
      keytrail config check ./keytrail.toml
    """
    from keytrail.settings import check as problems_of
    from keytrail.settings import find_config, load_settings

    file = Path(path) if path else find_config(None)
    problems = problems_of(file) if file else []
    for problem in problems:
        messages.error(problem)
    if problems:
        raise typer.Exit(ExitCode.USAGE)
    if path is None:
        load_settings(config=file)
    typer.echo(f"{for_terminal(str(file))}: good" if file else "no settings file: the defaults are in force")


def show(
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Show every setting: name, value, and where the value comes from.

    Flags win over the environment (KEYTRAIL_SECTION__KEY), that over the file, the file over defaults.

    \b
    Examples:
      keytrail config show
      KEYTRAIL_SCAN__JOBS=2 keytrail config show --format json
    """
    from keytrail.settings import describe

    form = choose_format(output_format, None, Format)
    rows = [row._asdict() for row in describe(options.settings(config, {"output.color": color}))]
    with open_output(None) as out:
        if form is Format.TABLE:
            write_table(rows, _COLUMNS, out, colour=wanted(sys.stdout))
        elif form is Format.CSV:
            write_csv(rows, ("name", "value", "origin", "description"), out)
        else:
            (write_json if form is Format.JSON else write_ndjson)(map(for_json, rows), out)


def iam_policy(
    role: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="The policy of this role that the settings name, instead of that of what keytrail is started with.",
            show_default=False,
        ),
    ] = None,
    config: options.Config = None,
) -> None:
    """Print the least IAM policy that these settings need: for sources of [watch], looks of [policies], and sinks.

    AWS is not asked. What a policy cannot say of itself, such as KMS keys, is told on stderr.

    \b
    Examples:
      keytrail config iam-policy > policy.json
      keytrail config iam-policy --role arn:aws:iam::111122223333:role/lookup
    """
    from keytrail.service.iam_policy import iam_policies, policy_for
    from keytrail.service.running import feed_settings

    settings = options.settings(config, {})
    found = policy_for(iam_policies(settings, feed_settings(settings)), role or "")
    if found.document is not None:
        with open_output(None) as out:
            out.write(json.dumps(found.document, indent=2) + "\n")
    else:
        messages.note("no source of [watch], no look of [policies] and no sink needs AWS")
    for text in found.notes:
        messages.note(text)
