"""One rule as a page of text for a person."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.rules import Rule

_WIDTH = 100


def rule_text(rule: Rule, *, state: str, origin: str, colour: bool = False) -> str:
    """Return the page: the facts, then description, query, false positives, guide and references; safe to show."""
    lines = [paint(for_terminal(rule.name), "header", on=colour)]
    for name, value in _facts(rule, state, origin):
        shown = for_terminal(value)
        lines.append(f"  {name:<14}{paint(shown, value, on=colour) if name == 'severity' else shown}".rstrip())
    for title, body in _sections(rule):
        lines += ["", paint(title, "header", on=colour), *body]
    return "\n".join(lines)


def _facts(rule: Rule, state: str, origin: str) -> Iterator[tuple[str, str]]:
    yield "id", rule.rule_id
    yield "severity", rule.severity
    yield "risk score", str(rule.risk_score)
    yield "type", f"{rule.type}, {rule.language}" if rule.language else rule.type
    yield "state", state
    yield "origin", origin
    yield "version", str(rule.version)
    yield "schedule", f"every {rule.interval}, looks at {rule.from_} to {rule.to}"
    if rule.index:
        yield "indices", ", ".join(rule.index)
    if rule.author:
        yield "author", ", ".join(rule.author)
    if rule.license:
        yield "licence", rule.license
    if rule.tags:
        yield "tags", ", ".join(rule.tags)
    for tactic in rule.threat:
        yield "ATT&CK", _attack(tactic)


def _sections(rule: Rule) -> Iterator[tuple[str, list[str]]]:
    yield "Description", _wrapped(rule.description)
    if rule.query:
        yield "Query", [f"  {for_terminal(line, lines=True)}" for line in rule.query.strip().split("\n")]
    if rule.false_positives:
        yield "False positives", [line for text in rule.false_positives for line in _wrapped(text, "- ")]
    if rule.setup:
        yield "Setup", _as_written(rule.setup)
    if rule.note:
        yield "Investigation guide", _as_written(rule.note)
    if rule.references:
        yield "References", [f"  - {for_terminal(link)}" for link in rule.references]


def _attack(tactic: Mapping[str, object]) -> str:
    def named(item: object) -> str:
        return f"{item.get('id')} {item.get('name')}" if isinstance(item, Mapping) else ""

    techniques = []
    for technique in _objects(tactic.get("technique")):
        techniques.append(named(technique))
        techniques += [named(sub) for sub in _objects(technique.get("subtechnique"))]
    return f"{named(tactic.get('tactic'))}: {', '.join(techniques)}" if techniques else named(tactic.get("tactic"))


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def _wrapped(text: str, bullet: str = "") -> list[str]:
    """Return text as paragraphs of lines that a person reads with ease."""
    result: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        shown = for_terminal(" ".join(paragraph.split()))
        indent = "  " + " " * len(bullet)
        result += textwrap.wrap(shown, _WIDTH, initial_indent=f"  {bullet}", subsequent_indent=indent)
    return result


# Where Markdown begins something of its own: a heading, a list item, a table row, a quotation.
_OPENS = re.compile(r" *(?:#{1,6} |[-*+] |\d{1,3}[.)] |\||>)")
_ITEM = re.compile(r" *(?:[-*+]|\d{1,3}[.)]) +")


def _as_written(text: str) -> list[str]:
    """Return Markdown as text: paragraphs and list items flow, everything else stays as it was written.

    >>> _as_written("1. one\\n   more\\n   - two")
    ['  1. one more', '     - two']
    """
    blocks: list[str] = []
    fenced = flows = False
    for line in for_terminal(text.strip(), lines=True).expandtabs(4).split("\n"):
        line = line.rstrip()
        if line.lstrip().startswith("```"):
            fenced = not fenced
            flows = False
        elif flows and line and not fenced and not _OPENS.match(line):
            blocks[-1] += f" {line.lstrip()}"
            continue
        else:
            flows = bool(line) and not fenced and not line.lstrip().startswith(("#", "|"))
        blocks.append(line)
    return [line for block in blocks for line in _flowed(block)]


def _flowed(block: str) -> list[str]:
    item = _ITEM.match(block)
    margin = len(item[0]) if item else len(block) - len(block.lstrip(" "))
    first = len(block) - len(block.lstrip(" "))
    return textwrap.wrap(
        block.strip(" "), _WIDTH, initial_indent="  " + " " * first, subsequent_indent="  " + " " * margin
    ) or [""]
