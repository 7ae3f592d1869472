"""What a report says of an alert in one row, and the sections of one that was not investigated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from keytrail.fields import INVESTIGATION, value_at
from keytrail.names import short_identity, short_resource
from keytrail.phrases import start
from keytrail.report import words
from keytrail.report.blocks import Block, Code, Facts, Folded, Paragraph, Raw, Section, Tone
from keytrail.report.reading import Json, inner, number, objects, text, text_at

_RAW_CHARACTERS = 100_000
_SEVERITY_ORDER = tuple(words.SEVERITIES)
_NAMES = ("user.name", "aws.cloudtrail.user_identity.invoked_by", "user.id")  # of a caller without an ARN
_VERDICT_ORDER = {"malicious": 0, "review": 1, "": 2, "expected": 3, "no_effect": 4}


@dataclass(frozen=True, slots=True)
class ReportItem:
    """An alert document, with its investigation under `keytrail.investigation`, and the event as it was stored."""

    alert: Mapping[str, object]
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert in one row. `key` is the name people know the key by, else its id or the resource."""

    time: str
    severity: str
    risk_score: str
    rule: str
    action: str
    outcome: str
    key: str
    resource: str
    who: str
    arn: str
    address: str
    agent: str
    account: str
    region: str
    event_id: str
    alert_id: str
    verdict: str
    score: int
    summary: str

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
    def rank(self) -> tuple[int, int, int, str, str]:
        """Sorts the gravest first: by verdict and score, then by severity, then by time."""
        severity = _SEVERITY_ORDER.index(self.severity) if self.severity in _SEVERITY_ORDER else len(_SEVERITY_ORDER)
        return _VERDICT_ORDER.get(self.verdict, 2), -self.score, severity, self.time, self.alert_id


def investigation_of(item: ReportItem) -> Json | None:
    """The investigation that an alert document carries, None when it has none."""
    found = value_at(item.alert, INVESTIGATION)
    return found if isinstance(found, Mapping) and found else None


def row_of(item: ReportItem) -> AlertRow:
    """The row of an alert."""
    alert = item.alert
    found = investigation_of(item) or {}
    key = inner(found, "key")
    resource = text(key, "arn") or _resource(alert)
    arn = text_at(alert, "aws.cloudtrail.user_identity.arn")
    return AlertRow(
        time=words.clock(text_at(alert, "kibana.alert.original_time") or text_at(alert, "@timestamp")),
        severity=text_at(alert, "kibana.alert.severity"),
        risk_score=text_at(alert, "kibana.alert.risk_score"),
        rule=text_at(alert, "kibana.alert.rule.name"),
        action=text_at(alert, "event.action"),
        outcome=text_at(alert, "event.outcome"),
        key=alias_of(found) or short_resource(resource),
        resource=resource,
        who=person(arn) or next((name for name in (text_at(alert, one) for one in _NAMES) if name), ""),
        arn=arn or text_at(alert, "aws.cloudtrail.user_identity.invoked_by"),
        address=text_at(alert, "source.address"),
        agent=text_at(alert, "user_agent.original"),
        account=text_at(alert, "aws.cloudtrail.recipient_account_id") or text_at(alert, "cloud.account.id"),
        region=text_at(alert, "cloud.region"),
        event_id=text_at(alert, "event.id"),
        alert_id=text_at(alert, "kibana.alert.uuid"),
        verdict=text(found, "verdict"),
        score=number(found, "score"),
        summary=text(found, "summary"),
    )


def alias_of(found: Json) -> str:
    """The alias that named the key when its policy was changed, else the last it had, "" when none is known."""
    aliases = objects(inner(found, "key"), "aliases")
    current = [text(one, "name") for one in aliases if one.get("current")] or [text(one, "name") for one in aliases]
    return current[-1] if current else ""


def person(arn: str) -> str:
    """Who an ARN names, in short; anything else as it is.

    >>> person("arn:aws:sts::111122223333:assumed-role/KeyAdministrator/i-0abc"), person("backup.amazonaws.com")
    ('KeyAdministrator/i-0abc', 'backup.amazonaws.com')
    >>> person("arn:aws:iam::111122223333:root")
    'root of 111122223333'
    """
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return arn
    return f"root of {parts[4]}" if parts[5] == "root" else short_identity(arn)


def _resource(alert: Json) -> str:
    listed = value_at(alert, "aws.cloudtrail.resources")
    resources = listed if isinstance(listed, (list, tuple)) else [listed]
    arns = [text(one, "arn") for one in resources if isinstance(one, Mapping)]
    asked = value_at(alert, "aws.cloudtrail.flattened.request_parameters")
    named = [text(asked, name) for name in ("keyId", "aliasName")] if isinstance(asked, Mapping) else []
    return next((one for one in [*arns, *named] if one), "")


# An alert by itself -------------------------------------------------------------------------------------------------


def alert_sections(item: ReportItem, row: AlertRow) -> tuple[Section, ...]:
    """The facts of the alert and the event as it was stored."""
    error = text_at(item.alert, "aws.cloudtrail.error_code")
    facts = Facts.of(
        ("What", (Code(row.action), f"{row.outcome}{', ' + error if error else ''}")),
        ("Key or resource", Code(row.resource)),
        ("Who", Code(row.arn)),
        ("From", row.address),
        ("User agent", row.agent),
        ("Account and Region", f"{row.account} {row.region}".strip()),
        ("ATT&CK", attack(item.alert)),
        ("Event", Code(row.event_id)),
    )
    return Section("Facts", (facts,)), raw_section(item, row)


def raw_section(item: ReportItem, row: AlertRow) -> Section:
    """The alert's rule and the event as it was stored, folded."""
    description = text_at(item.alert, "kibana.alert.rule.description")
    facts = Facts.of(
        ("Rule", row.rule),
        ("What it looks for", " ".join(description.split())),
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


def attack(alert: Json) -> str:
    """The ATT&CK techniques that the rule names."""
    threats = value_at(alert, "kibana.alert.rule.threat")
    found: dict[str, None] = {}
    for threat in threats if isinstance(threats, (list, tuple)) else ():
        for technique in objects(threat, "technique") if isinstance(threat, Mapping) else ():
            for one in objects(technique, "subtechnique") or (technique,):
                found[f"{text(one, 'id')} {text(one, 'name')}".strip()] = None
    return ", ".join(found)
