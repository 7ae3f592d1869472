"""How far a run is, on stderr while it runs: files, bytes, rate, alerts, time left. Only for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keytrail.cli import colour
from keytrail.cli.numbers import size
from keytrail.phrases import count
from keytrail.text import for_terminal, shorten

if TYPE_CHECKING:
    from keytrail.service.requests import Progress


def describe(progress: Progress) -> str:
    """Return the state of a run in one line, safe to show."""
    total = "" if progress.objects_total is None else f"/{progress.objects_total:,}"
    files = f"{progress.objects_done:,}{total} files"
    volume = size(progress.bytes_done)
    rate = f"{size(progress.bytes_done / progress.elapsed_seconds)}/s" if progress.elapsed_seconds > 0 else ""
    alerts = count(progress.alerts, "alert") if progress.alerts else ""
    current = for_terminal(shorten(progress.current.rpartition("/")[2], 40))
    return "  ".join(part for part in (progress.phase, files, volume, rate, alerts, current) if part)


def fraction(progress: Progress) -> tuple[int, int | None]:
    """Return what is done and what there is to do: in bytes when their total is known, else in files."""
    if progress.bytes_total:
        return min(progress.bytes_done, progress.bytes_total), progress.bytes_total
    return progress.objects_done, progress.objects_total


@contextmanager
def watching(*, wanted: bool = True) -> Iterator[Callable[[Progress], None] | None]:
    """Show progress while inside, and nothing of it after; gives the `observe` of a run, None when nobody watches."""
    with drawing(wanted=wanted) as draw:
        yield None if draw is None else lambda progress: draw(*fraction(progress), describe(progress))


@contextmanager
def drawing(*, wanted: bool = True) -> Iterator[Callable[[int, int | None, str], None] | None]:
    """Show a bar while inside; gives what draws it, by what is done, what there is to do, and a line that is safe."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    # Rich takes 30 ms to import: only when there is something to draw.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color=not colour.wanted(sys.stderr))
    bar = Bar(
        BarColumn(bar_width=20),
        TimeRemainingColumn(compact=True),
        # A file name is not markup.
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=5,
    )
    task = bar.add_task("", total=None)

    def draw(done: int, total: int | None, text: str) -> None:
        bar.update(task, completed=done, total=total, description=text)

    with bar:
        yield draw
