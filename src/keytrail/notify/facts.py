"""What a message says of an alert, as values: read from its document, not yet made safe for any reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from keytrail.fields import value_at
from keytrail.names import short_identity, short_resource
from keytrail.notify.model import Message, Reason
from keytrail.notify.reading import Json, inner, investigation_of, moment, objects, text, text_at

SEVERITIES = ("critical", "high", "medium", "low")
"""Gravest first."""

_RANKS = {"malicious": 0, "review": 1, "": 2, "expected": 3, "no_effect": 4}
_NAMES = ("user.name", "aws.cloudtrail.user_identity.invoked_by", "user.id")  # of a caller without an ARN


@dataclass(frozen=True, slots=True)
class Facts:
    """An alert in short. Every text may be hostile, and "" where nothing is known; `time` is the event's.

    `verdict` is the code of the investigation's verdict, "" without one; `key` what people know the key by, else its
    id or the resource; `tactics` and `techniques` are those of ATT&CK that the rule names.
    """

    reason: Reason
    alert_id: str
    severity: str
    risk_score: str
    verdict: str
    score: str
    summary: str
    rule: str
    rule_id: str
    description: str
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
    provider: str
    time: datetime | None
    made: datetime | None
    tactics: tuple[tuple[str, str], ...]
    techniques: tuple[tuple[str, str], ...]

    @property
    def rank(self) -> tuple[int, int, int, datetime, str]:
        """Sorts the gravest first: by verdict, severity and score, then by time."""
        severity = SEVERITIES.index(self.severity) if self.severity in SEVERITIES else len(SEVERITIES)
        score = int(self.score) if self.score.isascii() and self.score.isdigit() and len(self.score) < 5 else 0
        return _RANKS.get(self.verdict, 2), severity, -score, self.time or _LATEST, self.alert_id


_LATEST = datetime.max.replace(tzinfo=UTC)


def facts_of(message: Message) -> Facts:
    """What is told of the alert of a message."""
    alert = message.alert
    found = investigation_of(alert)
    key = inner(found.get("key"))
    resource = text(key.get("arn")) or _resource(alert)
    arn = text_at(alert, "aws.cloudtrail.user_identity.arn")
    threats = objects(value_at(alert, "kibana.alert.rule.threat"))
    return Facts(
        reason=message.reason,
        alert_id=text_at(alert, "kibana.alert.uuid"),
        severity=text_at(alert, "kibana.alert.severity"),
        risk_score=text_at(alert, "kibana.alert.risk_score"),
        verdict=text(found.get("verdict")),
        score=text(found.get("score")),
        summary=text(found.get("summary")) or text_at(alert, "kibana.alert.reason"),
        rule=text_at(alert, "kibana.alert.rule.name"),
        rule_id=text_at(alert, "kibana.alert.rule.rule_id"),
        description=text_at(alert, "kibana.alert.rule.description"),
        action=text_at(alert, "event.action"),
        outcome=text_at(alert, "event.outcome"),
        key=_alias(key) or short_resource(resource),
        resource=resource,
        who=_person(arn) or next((name for name in (text_at(alert, one) for one in _NAMES) if name), ""),
        arn=arn or text_at(alert, "aws.cloudtrail.user_identity.invoked_by"),
        address=text_at(alert, "source.address"),
        agent=text_at(alert, "user_agent.original"),
        account=text_at(alert, "aws.cloudtrail.recipient_account_id") or text_at(alert, "cloud.account.id"),
        region=text_at(alert, "cloud.region"),
        event_id=text_at(alert, "event.id"),
        provider=text_at(alert, "event.provider"),
        time=moment(text_at(alert, "kibana.alert.original_time")),
        made=moment(text_at(alert, "@timestamp")),
        tactics=_named(inner(threat.get("tactic")) for threat in threats),
        techniques=_named(
            one
            for threat in threats
            for technique in objects(threat.get("technique"))
            for one in objects(technique.get("subtechnique")) or (technique,)
        ),
    )


def _alias(key: Json) -> str:
    """The alias that named the key when its policy was changed, else the last it had, "" when none is known."""
    aliases = objects(key.get("aliases"))
    names = [text(one.get("name")) for one in aliases if one.get("current") is True]
    return (names or [text(one.get("name")) for one in aliases] or [""])[-1]


def _person(arn: str) -> str:
    """Who an ARN names, in short; anything else as it is."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return arn
    return f"root of {parts[4]}" if parts[5] == "root" else short_identity(arn)


def _resource(alert: Json) -> str:
    listed = objects(value_at(alert, "aws.cloudtrail.resources"))
    keys = [one for one in listed if one.get("type") == "AWS::KMS::Key"]
    asked = inner(value_at(alert, "aws.cloudtrail.flattened.request_parameters"))
    named = [text(one.get("arn")) for one in [*keys, *listed]] + [
        text(asked.get(one)) for one in ("keyId", "aliasName")
    ]
    return next((one for one in named if one), "")


def _named(items: Iterable[Json]) -> tuple[tuple[str, str], ...]:
    """Ids and names of ATT&CK, each once."""
    pairs = [(text(one.get("id")), text(one.get("name"))) for one in items]
    return tuple(dict.fromkeys(pair for pair in pairs if any(pair)))
