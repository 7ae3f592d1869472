"""What a row says about an alert or an event: the columns of the tables and of CSV, read from ECS documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keytrail.cli.table import Column
from keytrail.fields import INVESTIGATION, value_at
from keytrail.names import short_identity, short_resource
from keytrail.phrases import VERDICTS

Json = Mapping[str, object]
Facts = dict[str, str]

# The columns of CSV. Published: names and order stay, new ones go to the end (docs/cli.md).
EVENT_COLUMNS = (
    "time", "action", "provider", "outcome", "error_code", "resource", "actor", "actor_type", "actor_arn",
    "actor_account", "account", "region", "source", "user_agent", "event_id",
)  # fmt: skip
ALERT_COLUMNS = (
    "time", "severity", "risk_score", "rule", "rule_id", "attack", *EVENT_COLUMNS[1:], "alert_id", "verdict", "score",
    "summary",
)  # fmt: skip

EVENT_TABLE = (
    Column("clock", "TIME (UTC)", usual=19, rigid=True),
    Column("outcome", "OUTCOME", usual=7, rigid=True, styled=True),
    Column("action", "ACTION", usual=20, share=16),
    Column("key", "KEY / RESOURCE", usual=36, share=9),
    Column("actor", "WHO", usual=24, share=14, middle=True),
    Column("origin", "FROM", usual=15, share=24),
)
ALERT_TABLE = (
    Column("clock", "TIME (UTC)", usual=19, rigid=True),
    Column("severity", "SEVERITY", usual=8, rigid=True, styled=True),
    Column("verdict", "VERDICT", usual=9, rigid=True, styled=True),
    Column("rule", "RULE", usual=30, share=20, middle=True),
    Column("key", "KEY / RESOURCE", usual=36, share=9),
    Column("actor", "WHO", usual=24, share=14, middle=True),
    Column("origin", "FROM", usual=15, share=24),
)

# Where a request names what it acts on, when the event lists no resources.
_TARGETS = ("keyId", "aliasName", "secretId", "bucketName", "functionName", "roleName", "userName", "groupName", "name")


def event_facts(document: Json) -> Facts:
    """Return the values of EVENT_COLUMNS and EVENT_TABLE for an ECS document; "" where there is none."""
    resource = _resource(document)
    time = text_at(document, "@timestamp")
    source = text_at(document, "source.address")
    return {
        "time": time,
        "clock": _clock(time),
        "action": text_at(document, "event.action"),
        "provider": text_at(document, "event.provider"),
        "outcome": text_at(document, "event.outcome"),
        "error_code": text_at(document, "aws.cloudtrail.error_code"),
        "resource": resource,
        "key": short_resource(resource),
        "actor": _actor(document),
        "actor_type": text_at(document, "aws.cloudtrail.user_identity.type"),
        "actor_arn": text_at(document, "aws.cloudtrail.user_identity.arn"),
        "actor_account": text_at(document, "cloud.account.id"),
        "account": text_at(document, "aws.cloudtrail.recipient_account_id"),
        "region": text_at(document, "cloud.region"),
        "source": source,
        "origin": source.removesuffix(".amazonaws.com"),
        "user_agent": text_at(document, "user_agent.original"),
        "event_id": text_at(document, "event.id"),
    }


def alert_facts(alert: Json) -> Facts:
    """Return the values of ALERT_COLUMNS and ALERT_TABLE for an alert; the time is the event's."""
    facts = event_facts(alert)
    time = text_at(alert, "kibana.alert.original_time")
    return facts | {
        "time": time,
        "clock": _clock(time),
        "severity": text_at(alert, "kibana.alert.severity"),
        "risk_score": text_at(alert, "kibana.alert.risk_score"),
        "rule": text_at(alert, "kibana.alert.rule.name"),
        "rule_id": text_at(alert, "kibana.alert.rule.rule_id"),
        "attack": " ".join(attack_ids(value_at(alert, "kibana.alert.rule.threat"))),
        "alert_id": text_at(alert, "kibana.alert.uuid"),
        **_investigation_facts(alert.get(INVESTIGATION)),
    }


def _investigation_facts(found: object) -> Facts:
    told = found if isinstance(found, Mapping) else {}
    verdict = _text(told.get("verdict"))
    aliases = [_text(one.get("name")) for one in _objects(value_at(told, "key.aliases")) if one.get("current") is True]
    return {
        **({"key": aliases[-1]} if aliases else {}),  # what people know the key by
        "verdict": VERDICTS.get(verdict, verdict),
        "score": _text(told.get("score")),
        "summary": _text(told.get("summary")),
    }


def text_at(document: Json, name: str) -> str:
    """Return the value of a field as one text: lists joined by commas, JSON's words for truth values.

    >>> text_at({"event": {"type": ["user", "change"]}}, "event.type")
    'user, change'
    """
    return _text(value_at(document, name))


def attack_ids(threat: object) -> Iterator[str]:
    """Yield the ids of ATT&CK techniques of a rule's `threat`, the most precise ones, each once.

    >>> list(attack_ids([{"technique": [{"id": "T1548", "subtechnique": [{"id": "T1548.005"}]}, {"id": "T1562"}]}]))
    ['T1548.005', 'T1562']
    """
    seen: set[str] = set()
    for entry in _objects(threat):
        for technique in _objects(entry.get("technique")):
            for item in _objects(technique.get("subtechnique")) or [technique]:
                identifier = _text(item.get("id"))
                if identifier and identifier not in seen:
                    seen.add(identifier)
                    yield identifier


def _actor(document: Json) -> str:
    if arn := text_at(document, "aws.cloudtrail.user_identity.arn"):
        return short_identity(arn)
    names = ("service.name", "aws.cloudtrail.user_identity.invoked_by", "user.name", "user.id")
    return next((name for name in (text_at(document, name) for name in names) if name), "")


def _resource(document: Json) -> str:
    # A key first: events about aliases and data keys list other resources beside it.
    listed = [item for item in _objects(value_at(document, "aws.cloudtrail.resources")) if _text(item.get("arn"))]
    keys = [item for item in listed if item.get("type") == "AWS::KMS::Key"]
    if found := keys or listed:
        return _text(found[0]["arn"])
    parameters = value_at(document, "aws.cloudtrail.flattened.request_parameters")
    if isinstance(parameters, Mapping):
        for name in _TARGETS:
            if isinstance(value := parameters.get(name), str) and value:
                return value
    targets = value_at(document, "target.entity.id")
    return _text(targets[0]) if isinstance(targets, (list, tuple)) and targets else _text(targets)


def _clock(time: str) -> str:
    # "2026-03-01T08:00:12.000Z": seconds are all that CloudTrail has.
    return time[:19].replace("T", " ") if time[19:20] in (".", "Z") else time


def _objects(value: object) -> list[Mapping[str, object]]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item for item in items if isinstance(item, Mapping)]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    return str(value)
