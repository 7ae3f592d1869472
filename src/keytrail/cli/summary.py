"""What a scan found and read, in a few lines for stderr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.numbers import duration, size
from keytrail.phrases import VERDICTS, count
from keytrail.text import for_terminal, shorten

if TYPE_CHECKING:
    from keytrail.service.requests import Stats

# Rules listed one by one, those with most alerts first.
LISTED = 10
# The kinds of `Stats.skipped` that are whole files.
_FILES = ("digest", "insight", "other")


def summary(stats: Stats, *, colour: bool = False) -> str:
    """Return the summary of a scan, safe to show."""
    return "\n".join([*_alerts(stats, colour), *_reading(stats)])


def _alerts(stats: Stats, colour: bool) -> Iterator[str]:
    levels = ", ".join(
        paint(f"{number:,} {for_terminal(level)}", level, on=colour) for level, number in stats.by_severity.items()
    )
    yield f"{count(sum(stats.by_rule.values()), 'alert')}: {levels}" if levels else "No alerts"
    ranked = sorted(stats.by_rule.items(), key=lambda item: (-item[1], item[0]))
    digits = max((len(f"{number:,}") for _, number in ranked), default=1)
    for name, number in ranked[:LISTED]:
        yield f"  {number:>{digits},}  {for_terminal(shorten(name, 100))}"
    if len(ranked) > LISTED:
        yield f"  and {count(len(ranked) - LISTED, 'more rule')}"
    if stats.by_verdict:
        verdicts = (
            paint(f"{number:,} {VERDICTS[one]}", VERDICTS[one], on=colour) for one, number in stats.by_verdict.items()
        )
        took = duration(stats.investigating_seconds)
        yield f"Investigated {count(sum(stats.by_verdict.values()), 'alert')} in {took}: {', '.join(verdicts)}"


def _reading(stats: Stats) -> Iterator[str]:
    volume = f"{size(stats.stored_bytes)} stored, {size(stats.inflated_bytes)} inflated"
    seconds = stats.elapsed_seconds - stats.investigating_seconds
    took = f"{count(stats.objects, 'file')} ({volume}) in {duration(seconds)}"
    rate = f": {size(stats.inflated_bytes / seconds)}/s" if seconds > 0 and stats.objects else ""
    # The others were ruled out by their bytes, without being parsed or counted.
    yield f"Scanned {took}{rate}; {count(stats.records_read, 'event')} looked at closely"
    left_out = [
        count(number, f"{kind} file") if kind in _FILES else f"{number:,} {for_terminal(kind)}"
        for kind, number in stats.skipped.items()
    ]
    if stats.duplicates:
        left_out.append(count(stats.duplicates, "duplicate alert"))
    if left_out:
        yield f"Left out: {', '.join(left_out)}"
    if stats.problems:
        yield f"Could not read {count(stats.problems, 'input')}; see the warnings above"
