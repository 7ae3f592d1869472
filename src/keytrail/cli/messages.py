"""What keytrail tells a person on stderr: errors, warnings and notes, with everything made safe."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from keytrail.cli.colour import paint, wanted
from keytrail.cli.table import cell_width
from keytrail.errors import InputError, KeytrailError, QueryError, SourceError
from keytrail.phrases import count
from keytrail.text import for_terminal

# How many unreadable inputs are listed one by one.
LISTED = 10


def error(problem: KeytrailError) -> None:
    """Print an error that ended the run."""
    _tell("error", describe(problem))


def warning(text: str) -> None:
    """Print a warning; `text` may hold anything."""
    _tell("warning", [text])


def note(text: str) -> None:
    """Print something worth knowing; `text` may hold anything."""
    _tell("note", [text])


def plain(text: str) -> None:
    """Print lines that are safe already, a summary for example."""
    print(text, file=sys.stderr)  # noqa: T201


def describe(problem: KeytrailError) -> list[str]:
    """Return the lines that say what is wrong, where, how the text looks there and what to do; not yet safe.

    >>> from keytrail.errors import Place
    >>> describe(InputError("not JSON", place=Place("a.json", record=3), advice="look at it"))
    ['not JSON', '  at a.json record 3', '  look at it']
    """
    what, *more = problem.what.split("\n")
    lines = [what]
    if problem.place is not None:
        lines.append(f"  at {problem.place}")
    # A rule's error carries the lines of its query and the caret below its words.
    lines.extend(f"  {line}" for line in more)
    if isinstance(problem, QueryError):
        lines.extend(_excerpt(problem.text, problem.offset))
    lines.extend(f"  {line}" for line in problem.advice.split("\n") if line)
    return lines


class Problems:
    """Collects what a run could not read or reach: the first few to list, and a count. Give `add` as its `report`."""

    def __init__(self) -> None:
        self.unreadable = 0
        self.first: list[InputError] = []
        self.unreached: list[SourceError] = []

    def add(self, problem: InputError | SourceError) -> None:
        if isinstance(problem, SourceError):
            self.unreached.append(problem)
            return
        self.unreadable += 1
        if len(self.first) < LISTED:
            self.first.append(problem)

    def tell(self) -> None:
        """Print them, when there are any."""
        for problem in self.first:
            place = f"{problem.place}: " if problem.place else ""
            advice = f" ({problem.advice})" if problem.advice else ""
            warning(f"{place}{problem.what}{advice}")
        if self.unreadable > len(self.first):
            warning(f"and {count(self.unreadable - len(self.first), 'more unreadable input')}")
        for failure in self.unreached:
            error(failure)


def _excerpt(text: str, offset: int) -> list[str]:
    """Return the line of `text` at `offset` and one with a caret below that place."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)]
    # Escapes are longer than what they stand for, some characters wider; the caret counts what is shown.
    shown = for_terminal(text[start:offset], lines=True)
    pad = "\t".join(" " * cell_width(part) for part in shown.split("\t"))
    return [f"  {line}", f"  {pad}^"]


def _tell(kind: str, lines: Iterable[str]) -> None:
    # The lines below the first may hold a query with tabs, and a caret that stands under them.
    first, *rest = (for_terminal(line, lines=number > 0) for number, line in enumerate(lines))
    label = paint(f"{kind}:", kind, on=wanted(sys.stderr))
    print("\n".join([f"{label} {first}", *rest]), file=sys.stderr)  # noqa: T201
