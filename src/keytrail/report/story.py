"""Why the verdict is what it is, the findings with their remedies, the time line, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from keytrail.investigate.reading import Json, flag, inner, moment, number, objects, text, texts, total
from keytrail.names import person
from keytrail.phrases import count, joined, start
from keytrail.report import words
from keytrail.report.blocks import (
    Block,
    Bounds,
    Cell,
    Code,
    Folded,
    Inline,
    Items,
    Mark,
    Paragraph,
    Point,
    Section,
    Strong,
    Table,
    Timeline,
)

_EVENTS = 3


def verdict(found: Json) -> Section | None:
    """The reasons by weight, and what would change the verdict."""
    rows: list[tuple[Inline, Cell, tuple[Cell, ...]]] = []
    for one in objects(found, "reasons"):
        points = number(one, "points")
        front = Mark(f"{points:+d}".replace("-", "−"), "high" if points > 0 else "good" if points < 0 else "plain")
        events = texts(one, "event_ids")
        evidence = ", ".join([*texts(one, "findings"), *events[:_EVENTS]])
        evidence += f" and {len(events) - _EVENTS:,} more" if len(events) > _EVENTS else ""
        rows.append((front, text(one, "sentence"), (Code(evidence),) if evidence else ()))
    blocks: list[Block] = [Items(tuple(rows))] if rows else []
    if would := texts(found, "would_change"):
        blocks += [Paragraph(Strong("What would change it")), Items(tuple(("", one, ()) for one in would))]
    return Section("Why this verdict", tuple(blocks)) if blocks else None


def findings(found: Json, bounds: Bounds) -> Section | None:
    """The findings, gravest first, with their techniques and remedies."""
    listed = objects(found, "findings")
    rows: list[tuple[Inline, Cell, tuple[Cell, ...]]] = []
    for one in listed[: bounds.findings]:
        severity = text(one, "severity")
        techniques = ", ".join(f"{text(each, 'id')} {text(each, 'name')}" for each in objects(one, "techniques"))
        standing = ", standing" if flag(one, "standing") else ""
        possible = ", possible" if text(one, "proof") == "possible" else ""
        remedy = text(one, "remedy")
        details: list[Cell] = [text(one, "sentence")]
        details += [f"Remedy: {remedy}"] if remedy else []
        details += [f"ATT&CK: {techniques}"] if techniques else []
        title = f"{text(one, 'id')}  {text(one, 'title')}{standing}{possible}"
        rows.append((Mark(severity, words.SEVERITIES.get(severity, "plain")), Strong(title), tuple(details)))
    left = total(found, "findings") - len(rows)
    return Section("Findings and remedies", (Items(tuple(rows), max(left, 0)),)) if rows else None


def timeline(found: Json, bounds: Bounds) -> Section | None:
    """The time line as a picture and as a table."""
    listed = objects(found, "timeline")
    if not listed:
        return None
    end = moment(found, "reverted_at") or moment(found, "in_force_until")
    points = [point for one in listed if (point := _point(one, text(found, "event_id"))) is not None]
    rows = tuple(_line(one) for one in _around(listed, text(found, "event_id"), bounds.timeline))
    table = Table(("Time (UTC)", "What", "Who", "Event"), rows, total(found, "timeline"), "event", (18, 42, 19, 21))
    title = f"All of it as a table: {count(total(found, 'timeline'), 'event')}"
    picture: tuple[Block, ...] = (Timeline(tuple(points), end),) if points else ()
    return Section("Time line", (*picture, Folded(title, (table,), essential=True)))


def _around(listed: Sequence[Json], change: str, most: int) -> Sequence[Json]:
    """At most so many lines, those around the change: a third of them before it."""
    at = next((number for number, one in enumerate(listed) if text(one, "event_id") == change), 0)
    first = max(min(at - most // 3, len(listed) - most), 0)
    return listed[first : first + most]


def _point(one: Json, change: str) -> Point | None:
    time = moment(one, "time")
    if time is None:
        return None
    name, times = text(one, "event_name"), max(number(one, "count"), 1)
    who = person(text(one, "who"))
    lane = text(one, "lane")
    return Point(
        time=time,
        lane=lane if lane in words.LANES else "actor",
        label=name,
        title=f"{words.clock(text(one, 'time'))} {who}: {text(one, 'sentence')}, event {text(one, 'event_id')}",
        failed=flag(one, "failed") is True,
        count=times,
        is_change=bool(change) and text(one, "event_id") == change,
    )


def _line(one: Json) -> tuple[Cell, ...]:
    times = number(one, "count")
    lane = words.LANES.get(text(one, "lane"), text(one, "lane"))
    said: list[Inline] = [start(text(one, "sentence")) + (f" ({times:,} times)" if times > 1 else "")]
    said += [Mark("failed", "medium")] if flag(one, "failed") else []
    return (words.clock(text(one, "time")), (*said, lane), person(text(one, "who")), Code(text(one, "event_id")))


def unknown(found: Json) -> Section:
    """What the answer rests on, and what is missing."""
    coverage, comparison = inner(found, "coverage"), inner(found, "comparison")
    reasons = (text(inner(found, side), "reason") for side in ("before", "after"))
    rows: list[str] = []
    for said in (*texts(coverage, "gaps"), *texts(found, "notes"), *texts(comparison, "incomplete"), *reasons):
        if said and not any(said.rstrip(".") in row for row in rows):
            rows.append(words.sentence(said))
    if unreadable := number(coverage, "unreadable"):
        rows.append(f"{unreadable:,} of the objects and records could not be read.")
    for one in objects(found, "truncated"):
        name = start(text(one, "section").replace("_", " ").replace(".", ", "))
        rows.append(f"{name}: the first {text(one, 'shown')} of {text(one, 'total')} are kept.")
    first, last = words.clock(text(coverage, "first")), words.clock(text(coverage, "last"))
    where = f"account {text(coverage, 'account')}, {text(coverage, 'region')}".strip(", ")
    seen = f"Seen of {where}: from {first} to {last}." if first else f"Nothing else was seen of {where}."
    accounts = texts(coverage, "accounts_seen")
    blocks: list[Block] = [Paragraph(seen + (f" Accounts seen: {joined(accounts)}." if accounts else ""))]
    blocks.append(Items(tuple(("", row, ()) for row in rows)) if rows else Paragraph("Nothing is known to be missing."))
    return Section("What is not known", tuple(blocks))
