"""An investigated alert as sections, the most telling first."""

from __future__ import annotations

from keytrail.investigate.glance import alias_of
from keytrail.investigate.reading import Json, text
from keytrail.report import access, data, people, story
from keytrail.report.alerts import AlertRow, ReportItem, raw_section
from keytrail.report.blocks import Bounds, Code, Facts, Section


def case_facts(item: ReportItem, row: AlertRow, found: Json) -> Facts:
    """What one must know of the change before all else: which key, when, who, from where."""
    alias = alias_of(found)
    where = f"{text(found, 'key.account') or row.account} {text(found, 'key.region') or row.region}"
    return Facts.of(
        ("Key", (*((Code(alias),) if alias else ()), Code(row.resource))),
        ("Account", where.strip()),
        ("Change", f"{row.action}, {row.clock} UTC"),
        ("Who", Code(row.arn)),
        ("From", row.address),
        ("ATT&CK", row.attack),
    )


def case_sections(item: ReportItem, row: AlertRow, found: Json, bounds: Bounds) -> tuple[Section, ...]:
    """All sections of an investigation that have something to say."""
    listed = (
        access.gained(found, bounds),
        access.lost(found, bounds),
        story.timeline(found, bounds),
        story.verdict(found),
        story.findings(found, bounds),
        access.policy(found, bounds),
        access.accounts(found, bounds),
        data.data_at_stake(found, bounds),
        people.since(found, bounds),
        people.actor(found, bounds),
        data.key(found),
        story.unknown(found),
        raw_section(item, row),
    )
    return tuple(one for one in listed if one is not None)
