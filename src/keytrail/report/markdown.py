"""The report as Markdown for a ticket (GitHub, GitLab, Jira): the same facts in short, every text shown literally."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from keytrail.investigate.reading import Json, investigation_of
from keytrail.phrases import count
from keytrail.report import access, data, people, story
from keytrail.report.alerts import AlertRow, ReportItem
from keytrail.report.blocks import (
    Block,
    Bounds,
    Cell,
    Code,
    Diff,
    Facts,
    Folded,
    Inline,
    Items,
    Opening,
    Paragraph,
    Section,
    Strong,
    Table,
)
from keytrail.report.case import case_facts
from keytrail.text import for_markdown, for_terminal, shorten

BOUNDS = Bounds(gains=15, data=10, acts=10, timeline=30, findings=15, others=10, diff_lines=80)
_ALERTS = 100  # rows of the list of alerts
_CHARACTERS = 50_000  # GitHub takes 65,536 for an issue
_LONGEST = 600

# What stands in a code span as it is, in a table too: everything else is escaped instead.
_PLAIN = re.compile(r"[A-Za-z0-9_:/.,@=+*?$ -]*[A-Za-z0-9_:/.,@=+*?$-]")

# Escapes that readers of the source can do without: hyphens within a word, points and colons within a number or at the
# end of a word, and parentheses, which mean nothing where every bracket before them is escaped.
_NEEDLESS = re.compile(
    r"(?<=[A-Za-z0-9])\\-(?=[A-Za-z0-9])|(?<=[0-9])(?:\\\.|&#58;)(?=[0-9])|(?<=[A-Za-z)])(?:\\\.|&#58;)(?=\s|$)|\\[()]"
)


def markdown_report(
    items: Sequence[ReportItem],
    *,
    title: str,
    generated: str | None,
    notes: Sequence[str] = (),
    opening: Opening | None = None,
) -> str:
    """The alerts and their investigations, the gravest first; see `html_report` for what the arguments are."""
    ranked = sorted(((AlertRow.of(item.alert), item) for item in items), key=lambda pair: pair[0].rank)
    parts = [f"# {literal(title)}", *([literal(generated)] if generated else []), *(literal(note) for note in notes)]
    if opening is not None:
        parts += [f"## {literal(opening.title)}", *_sections(opening.sections)]
    if len(ranked) != 1 or not ranked[0][0].investigated:
        parts.append(_overview([row for row, _ in ranked]))
    # One event that several rules reported is told once.
    events: dict[object, tuple[AlertRow, ReportItem, Json]] = {}
    for row, item in ranked:
        if found := investigation_of(item.alert):
            events.setdefault(row.event, (row, item, found))
    investigated = list(events.values())
    for number, (row, item, found) in enumerate(investigated):
        case = list(_case(row, item, found))
        if number and sum(map(len, parts)) + sum(map(len, case)) > _CHARACTERS:
            left = count(len(investigated) - number, "more investigation")
            parts.append(f"{left} left out: too long for a ticket.")
            break
        parts += case
    return "\n\n".join(parts) + "\n"


def _overview(rows: Sequence[AlertRow]) -> str:
    if not rows:
        return "No alerts."
    table = Table(
        ("Verdict", "Time (UTC)", "Alert", "Key or resource", "Who", "Severity"),
        tuple(
            (f"{row.verdict_words} {row.score}" if row.investigated else "–", row.clock, row.rule, Code(row.key),
             row.who, row.severity)
            for row in rows[:_ALERTS]
        ),
        len(rows),
        "alert",
        (),
    )  # fmt: skip
    return "\n\n".join(_table(table))


def _case(row: AlertRow, item: ReportItem, found: Json) -> Iterator[str]:
    yield f"## {literal(row.verdict_words)} ({row.score} of 100): {literal(row.rule)}"
    if row.summary:
        yield f"**{literal(row.summary)}**"
    yield from _facts(case_facts(item, row, found))
    listed: tuple[Section | None, ...] = (
        access.gained(found, BOUNDS),
        access.lost(found, BOUNDS),
        story.verdict(found),
        story.findings(found, BOUNDS),
        access.policy(found, BOUNDS),
        access.accounts(found, BOUNDS),
        data.data_at_stake(found, BOUNDS),
        people.since(found, BOUNDS),
        people.actor(found, BOUNDS),
        story.timeline(found, BOUNDS),
        story.unknown(found),
    )
    yield from _sections(one for one in listed if one is not None)
    yield f"Event {_inline(Code(row.event_id))}, alert {_inline(Code(row.alert_id))}"


def _sections(listed: Iterable[Section]) -> Iterator[str]:
    for one in listed:
        shown = [text for block in one.blocks for text in _block(block)]
        if shown:
            yield f"### {literal(one.title)}"
            yield from shown


# Blocks -------------------------------------------------------------------------------------------------------------


def _block(block: Block | Folded) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Facts():
            yield from _facts(block)
        case Items():
            yield from _items(block)
        case Paragraph(text=text, warning=warning):
            yield f"**{_cell(text)}**" if warning else _cell(text)
        case Diff():
            yield _fenced(block)
        case Folded(blocks=blocks, essential=True):
            for inside in blocks:
                yield from _block(inside)
        case _:
            return  # a picture, and what one opens a page for


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield literal(table.caption)
    lines = [_row([literal(column) for column in table.columns]), _row(["---"] * len(table.columns))]
    yield "\n".join([*lines, *(_row([_cell(value) for value in row]) for row in table.rows)])
    if table.left_out:
        yield f"{count(table.left_out, 'more ' + table.noun)} not shown."


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell or ' ' for cell in cells)} |"


def _facts(facts: Facts) -> Iterator[str]:
    if facts.pairs:
        yield "\n".join(f"- {literal(name)}: {_cell(value)}" for name, value in facts.pairs)


def _items(items: Items) -> Iterator[str]:
    lines = []
    for front, text, details in items.rows:
        lines.append(f"- {_inline(front)} {_cell(text)}" if front else f"- {_cell(text)}")
        lines += [f"  - {_cell(one)}" for one in details]
    yield "\n".join(lines)
    if items.left_out:
        yield f"{count(items.left_out, 'more finding')} not shown."


def _fenced(diff: Diff) -> str:
    """The difference as a code block whose fence is longer than any run of backticks in it."""
    body = [
        f"@@ {for_terminal(shorten(line.text, _LONGEST))} @@"
        if line.sign == "@"
        else f"{line.sign}{for_terminal(shorten(line.text, _LONGEST))}"
        for line in diff.lines
    ]
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}diff", *body, fence])


# Texts --------------------------------------------------------------------------------------------------------------


def literal(text: str) -> str:
    """A text of anybody's, shown as it is and on one line.

    >>> literal("a | <b>"), literal("seen 2026-03-06 22:27 (twice).")
    ('a \\\\| &lt;b&gt;', 'seen 2026-03-06 22:27 (twice).')
    """
    return _NEEDLESS.sub(_unescaped, for_markdown(shorten(text.strip(), _LONGEST)))


def _unescaped(found: re.Match[str]) -> str:
    return ":" if found[0] == "&#58;" else found[0][1:]


def _cell(value: Cell) -> str:
    pieces = value if isinstance(value, tuple) else (value,)
    return " · ".join(shown for one in pieces if (shown := _inline(one)))


def _inline(value: Inline) -> str:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, Code):
        return code(value.text)
    shown = literal(value.text)
    return f"**{shown}**" if isinstance(value, Strong) and shown else shown


def code(text: str) -> str:
    """A name as a code span where nothing in it could end one, else escaped.

    >>> code("arn:aws:iam::111122223333:role/app"), code("a`b")
    ('`arn:aws:iam::111122223333:role/app`', 'a\\\\`b')
    """
    shown = shorten(text.strip(), _LONGEST)
    return f"`{shown}`" if _PLAIN.fullmatch(shown) else for_markdown(shown)
