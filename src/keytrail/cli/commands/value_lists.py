"""`keytrail exceptions value-lists`: long lists of values, which exceptions refer to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.exception_text import VALUE_COLUMNS, VALUE_TABLE, value_list_facts
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import Format, choose_format, open_output
from keytrail.cli.service_tools import author, opened, tell, write_rows
from keytrail.errors import Place, UsageError
from keytrail.phrases import count
from keytrail.text import for_terminal

# A file of values: some million addresses.
_MAX_BYTES = 64_000_000

ListId = Annotated[str, typer.Argument(metavar="ID", help="The id of the value list.", show_default=False)]


def list_value_lists(
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """List the value lists.

    \b
    Examples:
      keytrail exceptions value-lists list
    """
    from keytrail.store.state.value_lists import value_list_heads

    form = choose_format(output_format, None, Format)
    with opened(config, lake, state, color) as here, here.database.read() as connection:
        rows = [value_list_facts(one) for one in value_list_heads(connection).values()]
    with open_output(None) as out:
        documents = ({name: row[name] for name in VALUE_COLUMNS} for row in rows)
        write_rows(form, out, rows, documents, table=VALUE_TABLE, columns=VALUE_COLUMNS)


def show(
    list_id: ListId, lake: options.LakeFolder = None, state: options.StateUrl = None, config: options.Config = None
) -> None:
    """Print the values of a list, one a line.

    \b
    Examples:
      keytrail exceptions value-lists show offices
    """
    from keytrail.service.exceptions import value_list_head
    from keytrail.store.state.value_lists import values_of

    with opened(config, lake, state) as here, here.database.read() as connection:
        value_list_head(connection, list_id)
        values = values_of(connection, list_id)
    with open_output(None) as out:
        out.writelines(f"{for_terminal(one)}\n" for one in values)


def import_file(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A value on each line; - for stdin.", show_default=False)],
    kind: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="keyword, ip, ip_range, text, date, …", show_default=False),
    ],
    list_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The id of the list. Default: the file's name.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What to call it.", show_default=False)] = None,
    append: Annotated[bool, typer.Option("--append", help="Keep the values that the list has.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Make a value list of a file, or replace the values of one.

    Where a line does not fit the type, all such lines are told and nothing is changed.

    \b
    Examples:
      keytrail exceptions value-lists import offices.txt --type ip_range --id offices
      keytrail exceptions value-lists import - --type keyword --id deployers --append < names.txt
    """
    from keytrail.detect import read_value_list
    from keytrail.service.exceptions import put_value_list

    by = author(user)
    id = list_id or (Path(path).stem if path != "-" else "")
    if not id.strip():
        raise UsageError("say what the list is to be called: --id ID")
    made, errors = read_value_list(_text(path), id=id, type=kind, name=name or id, file=path)
    tell(errors)
    if errors:
        messages.note("nothing was changed")
        raise typer.Exit(ExitCode.USAGE)
    with opened(config, lake, state) as here, here.database.write() as connection:
        size = put_value_list(connection, made, by, append=append)
    messages.note(f"the value list {id!r} has {count(size, 'value')}")


def remove(
    list_id: ListId,
    force: Annotated[bool, typer.Option("--force", help="Also where exceptions name it: they except nothing then.")] = (
        False
    ),
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Remove a value list.

    \b
    Examples:
      keytrail exceptions value-lists remove offices
    """
    from keytrail.service.exceptions import remove_value_list

    by = author(user)
    with opened(config, lake, state) as here, here.database.write() as connection:
        remove_value_list(connection, list_id, by, force=force)
    messages.note(f"removed the value list {list_id!r}")


def _text(path: str) -> str:
    """The text of a file. Raises UsageError if it cannot be read, is too large, or is not UTF-8."""
    place = Place(path)
    try:
        if path == "-":
            stored = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as stream:
                stored = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", place=place) from error
    if len(stored) > _MAX_BYTES:
        raise UsageError(f"is larger than {_MAX_BYTES:,} bytes", place=place, advice="Give it in parts, with --append.")
    try:
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8", place=place) from error
