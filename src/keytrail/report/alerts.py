"""What a report says of an alert in one row, and the sections of one that was not investigated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from keytrail.investigate.glance import Glance
from keytrail.investigate.reading import text
from keytrail.phrases import start
from keytrail.report import words
from keytrail.report.blocks import Block, Code, Facts, Folded, Paragraph, Raw, Section, Tone
from keytrail.report.drift import drift_sections

_RAW_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class ReportItem:
    """An alert document, with its investigation under `keytrail.investigation`, and the event as it was stored."""

    alert: Mapping[str, object]
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRow(Glance):
    """An alert in one row, in the words of a report."""

    @property
    def clock(self) -> str:
        """When it happened, else when the alert was made, in UTC without saying so."""
        time = self.time or self.made
        return f"{time:%Y-%m-%d %H:%M:%S}" if time else ""

    @property
    def investigated(self) -> bool:
        return bool(self.verdict)

    @property
    def verdict_words(self) -> str:
        """The verdict as people read it, "" when there is none."""
        return words.VERDICTS.get(self.verdict, (self.verdict, "plain"))[0]

    @property
    def verdict_tone(self) -> Tone:
        return words.VERDICTS.get(self.verdict, ("", "plain"))[1]

    @property
    def severity_tone(self) -> Tone:
        return words.SEVERITIES.get(self.severity, "plain")

    @property
    def gist(self) -> str:
        """The summary without its opening, which names who and which key: the row has both already."""
        return start(self.summary.partition(": ")[2] or self.summary)

    @property
    def event(self) -> tuple[str, str, str]:
        """What tells events apart: several rules may have reported one."""
        return self.event_id, self.account, self.region

    @property
    def attack(self) -> str:
        """The ATT&CK techniques that the rule names."""
        return ", ".join(f"{id} {name}".strip() for id, name in self.techniques)


# An alert by itself -------------------------------------------------------------------------------------------------


def alert_sections(item: ReportItem, row: AlertRow) -> tuple[Section, ...]:
    """What keytrail itself found, where it did; the facts of the alert and the event as it was stored."""
    error = text(item.alert, "aws.cloudtrail.error_code")
    facts = Facts.of(
        ("What", (Code(row.action), f"{row.outcome}{', ' + error if error else ''}")),
        ("Key or resource", Code(row.resource)),
        ("Who", Code(row.arn)),
        ("From", row.address),
        ("User agent", row.agent),
        ("Account and Region", f"{row.account} {row.region}".strip()),
        ("ATT&CK", row.attack),
        ("Event", Code(row.event_id)),
    )
    return *drift_sections(item.alert), Section("Facts", (facts,)), raw_section(item, row)


def raw_section(item: ReportItem, row: AlertRow) -> Section:
    """The alert's rule and the event as it was stored, folded."""
    facts = Facts.of(
        ("Rule", row.rule),
        ("What it looks for", " ".join(row.description.split())),
        ("Its severity", f"{row.severity}, risk score {row.risk_score}" if row.severity else ""),
        ("Alert", Code(row.alert_id)),
        ("Event", Code(row.event_id)),
    )
    blocks: list[Block | Folded] = [facts]
    if item.raw is not None:
        shown, cut = pretty(item.raw)
        blocks.append(Folded("The event as CloudTrail recorded it", (Raw("JSON", shown),)))
        if cut:
            blocks.append(Paragraph(f"Only the first {_RAW_CHARACTERS:,} characters of the event are shown."))
    return Section("Alert and event", tuple(blocks))


def pretty(raw: str) -> tuple[str, bool]:
    """A record as indented JSON, as it is where it is none, and whether it had to be cut."""
    shown = raw
    if len(raw) <= 10 * _RAW_CHARACTERS:
        try:
            shown = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            shown = raw
    return shown[:_RAW_CHARACTERS], len(shown) > _RAW_CHARACTERS
