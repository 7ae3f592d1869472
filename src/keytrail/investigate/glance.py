"""An alert at a glance: what a message or a report says of it first, read from its document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from keytrail.investigate.reading import Json, inner, investigation_of, moment, number, objects, text
from keytrail.names import person, short_resource

SEVERITIES = ("critical", "high", "medium", "low")
"""Gravest first."""

_VERDICTS = ("malicious", "review", "", "expected", "no_effect")  # gravest first; "" is not investigated
_NAMES = ("user.name", "aws.cloudtrail.user_identity.invoked_by", "user.id")  # of a caller without an ARN
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Glance:
    """An alert in short. Every text may be hostile, and "" where nothing is known.

    `time` is the event's, `made` the alert's. `verdict` is the code of the investigation's verdict, "" without one, and
    `score` its score, 0 without one. `key` is what people know the key by, else its id or the resource; `tactics` and
    `techniques` are ids and names of those of ATT&CK that the rule names.
    """

    alert_id: str
    time: datetime | None
    made: datetime | None
    severity: str
    risk_score: str
    verdict: str
    score: int
    summary: str
    rule: str
    rule_id: str
    description: str
    tactics: tuple[tuple[str, str], ...]
    techniques: tuple[tuple[str, str], ...]
    action: str
    outcome: str
    provider: str
    event_id: str
    key: str
    resource: str
    who: str
    arn: str
    address: str
    agent: str
    account: str
    region: str

    @classmethod
    def of(cls, alert: Json) -> Self:
        """What an alert document says, with its investigation where it has one."""
        found = investigation_of(alert)
        resource = text(found, "key.arn") or _resource(alert)
        arn = text(alert, "aws.cloudtrail.user_identity.arn")
        threats = objects(alert, "kibana.alert.rule.threat")
        return cls(
            alert_id=text(alert, "kibana.alert.uuid"),
            time=moment(alert, "kibana.alert.original_time"),
            made=moment(alert, "@timestamp"),
            severity=text(alert, "kibana.alert.severity"),
            risk_score=text(alert, "kibana.alert.risk_score"),
            verdict=text(found, "verdict"),
            score=number(found, "score"),
            summary=text(found, "summary"),
            rule=text(alert, "kibana.alert.rule.name"),
            rule_id=text(alert, "kibana.alert.rule.rule_id"),
            description=text(alert, "kibana.alert.rule.description"),
            tactics=_named(inner(threat, "tactic") for threat in threats),
            techniques=_named(
                one
                for threat in threats
                for technique in objects(threat, "technique")
                for one in objects(technique, "subtechnique") or (technique,)
            ),
            action=text(alert, "event.action"),
            outcome=text(alert, "event.outcome"),
            provider=text(alert, "event.provider"),
            event_id=text(alert, "event.id"),
            key=alias_of(found) or short_resource(resource),
            resource=resource,
            who=person(arn) or next((name for name in (text(alert, one) for one in _NAMES) if name), ""),
            arn=arn or text(alert, "aws.cloudtrail.user_identity.invoked_by"),
            address=text(alert, "source.address"),
            agent=text(alert, "user_agent.original"),
            account=text(alert, "aws.cloudtrail.recipient_account_id") or text(alert, "cloud.account.id"),
            region=text(alert, "cloud.region"),
        )

    @property
    def rank(self) -> tuple[int, int, int, datetime, str]:
        """Sorts the gravest first: by verdict and score, then by severity, then by time."""
        verdict = _VERDICTS.index(self.verdict if self.verdict in _VERDICTS else "")
        severity = SEVERITIES.index(self.severity) if self.severity in SEVERITIES else len(SEVERITIES)
        return verdict, -self.score, severity, self.time or _LATEST, self.alert_id


def alias_of(investigation: Json) -> str:
    """The alias that named the key when its policy was changed, else the last it had, "" when none is known."""
    aliases = objects(investigation, "key.aliases")
    names = [text(one, "name") for one in aliases if one.get("current") is True]
    return (names or [text(one, "name") for one in aliases] or [""])[-1]


def _resource(alert: Json) -> str:
    # A key first: events about aliases and data keys list other resources beside it.
    listed = objects(alert, "aws.cloudtrail.resources")
    keys = [one for one in listed if one.get("type") == "AWS::KMS::Key"]
    asked = inner(alert, "aws.cloudtrail.flattened.request_parameters")
    named = [text(one, "arn") for one in (*keys, *listed)] + [text(asked, one) for one in ("keyId", "aliasName")]
    return next((one for one in named if one), "")


def _named(items: Iterable[Json]) -> tuple[tuple[str, str], ...]:
    """Ids and names of ATT&CK, each once."""
    pairs = [(text(one, "id"), text(one, "name")) for one in items]
    return tuple(dict.fromkeys(pair for pair in pairs if any(pair)))
