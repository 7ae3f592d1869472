"""What commands on the service's state share: opening it, who works, how rows and errors are written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.facts import Facts
from keytrail.cli.output import Format, write_csv, write_json, write_ndjson, write_table
from keytrail.cli.table import Column
from keytrail.errors import UsageError
from keytrail.text import for_json

if TYPE_CHECKING:
    from keytrail.service.exceptions import Author
    from keytrail.service.installation import Installation

# Ids from stdin, in characters: a hundred thousand of them.
_STDIN_CHARACTERS = 10_000_000


@contextmanager
def opened(config: str | None, lake: str | None, state: str | None, color: object = None) -> Iterator[Installation]:
    """Give the state and the lake that the settings name. Raises StoreError where there is none yet."""
    from keytrail.service.installation import installation

    with installation(options.settings(config, {"output.color": color} | options.lake_flags(lake, state))) as here:
        yield here


def author(user: str | None) -> Author:
    """Who works (--as), and when: now."""
    from keytrail.service.exceptions import Author
    from keytrail.service.state import who_works

    return Author(who_works(user), datetime.now(UTC))


def ids_given(given: Sequence[str]) -> list[str]:
    """The ids of the command line, `-` standing for those on stdin, between blanks."""
    found: list[str] = []
    for one in given:
        if one == "-":
            text = sys.stdin.read(_STDIN_CHARACTERS + 1)
            if len(text) > _STDIN_CHARACTERS:
                raise UsageError("stdin names too many alerts", advice="do it in parts of a hundred thousand")
            found += text.split()
        else:
            found.append(one.strip())
    return found


def write_rows(
    form: Format,
    out: TextIO,
    rows: Iterable[Facts],
    documents: Iterable[object],
    *,
    table: Sequence[Column],
    columns: Sequence[str],
) -> None:
    """Write rows for people and as CSV, `documents` as JSON; of the two only the one that is needed is read."""
    if form is Format.TABLE:
        write_table(rows, table, out, colour=wanted(out))
    elif form is Format.CSV:
        write_csv(rows, columns, out)
    else:
        (write_json if form is Format.JSON else write_ndjson)(map(for_json, documents), out)


def tell(errors: Iterable[UsageError], notes: Iterable[str] = ()) -> None:
    """Print errors that did not end the run, and notes."""
    for error in errors:
        messages.error(error)
    for text in notes:
        messages.note(text)


def so_already(number: int) -> str:
    """What a message adds when things were so before.

    >>> so_already(0), so_already(1), so_already(2)
    ('', '; 1 was so already', '; 2 were so already')
    """
    return f"; {number:,} {'was' if number == 1 else 'were'} so already" if number else ""
