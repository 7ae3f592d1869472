"""`keytrail exceptions import|export`: exception lists and items from files, and back into them."""

from __future__ import annotations

from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import open_output
from keytrail.cli.service_tools import author, opened, tell
from keytrail.phrases import count


def import_file(
    path: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON with lists and items.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what has the same id.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Take over exception lists and items from an export of Kibana's or keytrail's; rules in it are left out.

    What is wrong or there already is told with its line, and the rest goes on; the exit code is then 2.

    \b
    Examples:
      keytrail exceptions import exceptions.ndjson --overwrite
    """
    from keytrail import rules as rule_room
    from keytrail.service.exceptions import import_exceptions

    by = author(user)
    loaded = rule_room.load([path])
    with opened(config, lake, state) as here, here.database.write() as connection:
        done = import_exceptions(connection, loaded.exception_lists, loaded.exception_items, by, overwrite=overwrite)
    errors = (*loaded.errors, *done.errors)
    tell(errors)
    stored = f"imported {count(done.lists, 'list')} and {count(done.items, 'exception')}"
    messages.note(f"{stored}; {count(len(errors), 'error')}" if errors else stored)
    if errors:
        raise typer.Exit(ExitCode.USAGE)


def export(
    list_ids: Annotated[
        list[str] | None, typer.Argument(metavar="LIST_ID", help="Ids of lists; all without.", show_default=False)
    ] = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write exception lists with their items as NDJSON that Kibana reads.

    \b
    Examples:
      keytrail exceptions export -o exceptions.ndjson
    """
    from keytrail.rules import export_ndjson
    from keytrail.service.exceptions import find_list
    from keytrail.store.state.exceptions import all_lists, items_of

    with opened(config, lake, state) as here, here.database.read() as connection:
        lists = [find_list(connection, one) for one in list_ids or ()] or all_lists(connection)
        items = items_of(connection, [one.key for one in lists])
    with open_output(output, force=force) as out:
        out.write(export_ndjson((), lists, items))
