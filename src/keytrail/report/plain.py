"""The report of one alert as plain text for a terminal: the blocks of the page, with headings, bullets and columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from keytrail.investigate.reading import Json, investigation_of
from keytrail.phrases import count
from keytrail.report import access, data, people, story
from keytrail.report.alerts import AlertRow, ReportItem, alert_sections, raw_section
from keytrail.report.blocks import Block, Bounds, Cell, Diff, Facts, Folded, Inline, Items, Paragraph, Section, Table
from keytrail.report.case import case_facts
from keytrail.text import for_terminal, shorten

BOUNDS = Bounds(gains=15, data=15, acts=15, timeline=40, findings=15, others=10, diff_lines=200)
_WIDTH = 110
_LONGEST = 400
_SHORT = 20  # characters of a cell that leaves room beside it


def plain_report(item: ReportItem) -> Iterator[tuple[str, list[str]]]:
    """The sections of an alert, each with its heading and its lines, safe to show; the first has the facts.

    Of an alert without an investigation there are the facts of the alert and of the rule.
    """
    row, found = AlertRow.of(item.alert), investigation_of(item.alert)
    if not found:
        sections: tuple[Section, ...] = alert_sections(item, row)
        heading, first = row.rule, []
    else:
        heading = f"{row.verdict_words} ({row.score} of 100): {row.rule}"
        first = [*_wrapped(row.summary), "", *_facts(case_facts(item, row, found))]
        sections = _case(item, row, found)
    yield for_terminal(heading), first
    yield from plain_sections(sections)


def plain_sections(sections: Iterable[Section]) -> Iterator[tuple[str, list[str]]]:
    """Sections, each with its heading and its lines, safe to show; those without any are left out."""
    for one in sections:
        if lines := [line for block in one.blocks for line in _block(block)]:
            yield for_terminal(one.title), lines


def _case(item: ReportItem, row: AlertRow, found: Json) -> tuple[Section, ...]:
    """The sections of an investigation, why it came to its verdict before what happened when."""
    listed = (
        access.gained(found, BOUNDS),
        access.lost(found, BOUNDS),
        story.verdict(found),
        story.findings(found, BOUNDS),
        access.accounts(found, BOUNDS),
        data.data_at_stake(found, BOUNDS),
        people.since(found, BOUNDS),
        people.actor(found, BOUNDS),
        story.timeline(found, BOUNDS),
        data.key(found),
        access.policy(found, BOUNDS),
        story.unknown(found),
        raw_section(item, row),
    )
    return tuple(one for one in listed if one is not None)


def _block(block: Block | Folded) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Facts():
            yield from _facts(block)
        case Items():
            yield from _items(block)
        case Paragraph(text=text, warning=warning):
            yield from _wrapped(("! " if warning else "") + _cell(text))
        case Diff():
            for line in block.lines:
                text = for_terminal(shorten(line.text, _LONGEST))
                yield f"  @@ {text} @@" if line.sign == "@" else f"  {line.sign}{text}"
        case Folded(blocks=blocks, essential=True):
            for inside in blocks:
                yield from _block(inside)
        case _:
            return  # a picture, and what one opens a page for


def _table(table: Table) -> Iterator[str]:
    """Each row as its first cell with the others below it: a terminal has no room for columns of sentences.

    A short first cell, such as a time, has the second one beside it, and what else there is on one line.
    """
    if table.caption:
        yield from _wrapped(table.caption)
    for row in table.rows:
        first, *others = map(_cell, row)
        named = [(title, text) for title, text in zip(table.columns[1:], others, strict=True) if text]
        if len(first) <= _SHORT and others:
            yield from _wrapped(others[0], f"- {first}  ")
            if rest := ", ".join(f"{title}: {text}" for title, text in named[1:]):
                yield from _wrapped(rest, "    ")
            continue
        yield from _wrapped(first or "-", "- ")
        for title, text in named:
            yield from _wrapped(f"{title}: {text}", "    ")
    if table.left_out:
        yield f"  {count(table.left_out, 'more ' + table.noun)} not shown"


def _facts(facts: Facts) -> Iterator[str]:
    width = max((len(name) for name, _ in facts.pairs), default=0)
    for name, value in facts.pairs:
        yield from _wrapped(_cell(value), f"{name:<{width}}  ")


def _items(items: Items) -> Iterator[str]:
    for front, text, details in items.rows:
        yield from _wrapped(" ".join(part for part in (_inline(front), _cell(text)) if part), "- ")
        for one in details:
            yield from _wrapped(_cell(one), "    ")
    if items.left_out:
        yield f"  {count(items.left_out, 'more finding')} not shown"


def _wrapped(text: str, front: str = "") -> list[str]:
    """A text on as many lines as it needs, `front` before the first one and blanks as wide before the others."""
    safe = for_terminal(text)
    return textwrap.wrap(
        safe, _WIDTH, initial_indent=f"  {for_terminal(front)}", subsequent_indent="  " + " " * len(front),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _cell(value: Cell) -> str:
    pieces = value if isinstance(value, tuple) else (value,)
    shown = [text for one in pieces if (text := _inline(one))]
    # Sentences stand by themselves; the rest is an enumeration.
    return "".join(
        text + ("" if n == len(shown) else " " if text.endswith(".") else ", ") for n, text in enumerate(shown, 1)
    )


def _inline(value: Inline) -> str:
    return shorten((value if isinstance(value, str) else value.text).strip(), _LONGEST)
