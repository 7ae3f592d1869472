"""What a report says of a key policy that no record gave the key: what was found, and what it changes, proved."""

from __future__ import annotations

from keytrail.fields import DRIFT
from keytrail.investigate.reading import Json, inner, text, texts
from keytrail.report import access
from keytrail.report.blocks import Block, Bounds, Items, Paragraph, Section

_BOUNDS = Bounds(gains=15, diff_lines=200)


def drift_sections(alert: Json) -> tuple[Section, ...]:
    """The sections about drift of an alert's document, none for an alert that is about something else."""
    found = inner(alert, DRIFT)
    if not found:
        return ()
    blocks: list[Block] = [Paragraph(text(found, "summary"))]
    if notes := texts(found, "notes"):
        blocks.append(Items(tuple(("", note, ()) for note in notes)))
    listed = (
        Section("What was found", tuple(blocks)),
        access.gained(found, _BOUNDS),
        access.lost(found, _BOUNDS),
        access.policy(found, _BOUNDS),
    )
    return tuple(one for one in listed if one is not None)
