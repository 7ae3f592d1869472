"""The alert document of an event that a rule matched: the event's ECS copy and flat `kibana.alert.*` keys.

Fields, names and order of overriding follow the reference engine's alerts (elastic-engine.md, section 4), but for the
id, which comes from the rule's and the event's own identity and never from where the record was stored.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from keytrail import __version__
from keytrail.rules import SEVERITIES, Rule
from keytrail.search import match_id

Json = dict[str, object]

_INDEX = "logs-aws.cloudtrail-default"
# Installations name a rule by an id of their own; without one it is derived, so that it is the same everywhere.
_RULE_NAMESPACE = uuid.UUID("7a0a4f6e-3a0b-5c5e-9d57-6b6579747261")


alert_id = match_id
"""The id of the alert that a rule (by its rule_id) raises for a record: that of the rule's match."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """How bad a match is, and under which name it is told, after the rule's mappings were applied to the event."""

    severity: str
    risk_score: float
    name: str


def assess(rule: Rule, document: Mapping[str, object]) -> Assessment:
    """Apply the severity and risk mappings and the name override of `rule` to an event's ECS document."""
    severity = rule.severity
    # From low to critical, the last that applies wins: the highest.
    for mapping in sorted(rule.severity_mapping, key=lambda m: SEVERITIES.index(m.severity)):
        if mapping.value in _texts(document, mapping.field):
            severity = mapping.severity
    risk_score: float = rule.risk_score
    for risk in rule.risk_score_mapping[:1]:
        scores = [score for value in leaves(document, risk.field) if (score := _score(value)) is not None]
        risk_score = max(scores, default=risk_score)
    name = rule.name
    if rule.rule_name_override:
        name = next((v for v in leaves(document, rule.rule_name_override) if isinstance(v, str) and v), name)
    return Assessment(severity, risk_score, name)


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of rules: its id and the instant at which its alerts are made."""

    id: str
    at: datetime


def build_alert(rule: Rule, document: Json, *, id: str, execution: Execution) -> Json:
    """The alert document for an event's ECS `document`, which is not changed."""
    assessment = assess(rule, document)
    event = document.get("event")
    event = dict(event) if isinstance(event, dict) else {}
    now = _instant(execution.at)
    alert = {name: value for name, value in document.items() if name not in ("kibana", "signal")}
    original = _flat("kibana.alert.original_event", event)
    data_stream = document.get("data_stream")
    if isinstance(data_stream, dict):
        original |= _flat("kibana.alert.original_data_stream", data_stream)
    alert |= {
        "@timestamp": now,
        "event": event | {"kind": "signal"},
        "keytrail.version": __version__,
        "kibana.space_ids": ["default"],
        "kibana.alert.uuid": id,
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.workflow_tags": [],
        "kibana.alert.workflow_assignee_ids": [],
        "kibana.alert.start": now,
        "kibana.alert.last_detected": now,
        "kibana.alert.original_time": document.get("@timestamp"),
        "kibana.alert.intended_timestamp": now,
        "kibana.alert.ancestors": [{"id": event.get("id"), "type": "event", "index": _INDEX, "depth": 0}],
        "kibana.alert.depth": 1,
        "kibana.alert.reason": reason(document, assessment),
        "kibana.alert.severity": assessment.severity,
        "kibana.alert.risk_score": assessment.risk_score,
        "kibana.alert.building_block_type": rule.building_block_type,
        **original,
        **_snapshot(rule, assessment.name),
        "kibana.alert.rule.execution.uuid": execution.id,
        "kibana.alert.rule.execution.timestamp": now,
        "kibana.alert.rule.execution.type": "manual",
    }
    return {name: value for name, value in alert.items() if value is not None}


def _snapshot(rule: Rule, name: str) -> Json:
    """The rule as it was when the alert was made."""
    prefix = "kibana.alert.rule."
    told: Json = {
        "uuid": rule.id or str(uuid.uuid5(_RULE_NAMESPACE, rule.rule_id)),
        "rule_id": rule.rule_id,
        "name": name,
        "type": rule.type,
        "rule_type_id": "siem.savedQueryRule" if rule.type == "saved_query" else "siem.queryRule",
        "category": "Custom Query Rule",
        "producer": "siem",
        "consumer": "siem",
        "revision": rule.revision,
        "version": rule.version,
        "enabled": rule.enabled,
        "immutable": rule.immutable,
        "risk_score": rule.risk_score,
        "severity": rule.severity,
        "building_block_type": rule.building_block_type,
        "indices": list(rule.index),
        "from": rule.from_,
        "parameters": rule.parameters(),
    }
    api = rule.to_dict()
    told |= {name: api[name] for name in _TOLD if name in api}
    meta = api.get("meta")
    if isinstance(meta, Mapping):
        told |= {key.removeprefix(prefix): value for key, value in _flat(f"{prefix}meta", meta).items()}
    return {prefix + name: value for name, value in told.items()}


_TOLD = (
    "description", "note", "license", "author", "references", "false_positives", "tags", "threat", "to", "interval",
    "max_signals", "namespace", "timeline_id", "timeline_title", "timestamp_override", "rule_name_override",
    "risk_score_mapping", "severity_mapping", "exceptions_list", "actions", "throttle", "created_at", "created_by",
    "updated_at", "updated_by",
)  # fmt: skip


def reason(document: Mapping[str, object], assessment: Assessment) -> str:
    """One line that says what happened, where it came from and who did it.

    >>> reason({"source": {"ip": "192.0.2.1"}, "user": {"name": "ada"}}, Assessment("low", 21, "R"))
    'event with source 192.0.2.1 by ada created low alert R.'
    """
    category = _joined(document, "event.category")
    text = f"{category} event" if category else "event"
    parts = []
    for label, field in (("process", "process.name"), ("parent process", "process.parent.name"), ("file", "file.name")):
        if value := _joined(document, field):
            parts.append(f"{label} {value}")
    for label in ("source", "destination"):
        if value := _joined(document, f"{label}.ip"):
            port = _joined(document, f"{label}.port")
            parts.append(f"{label} {value}:{port}" if port else f"{label} {value}")
    if parts:
        text += f" with {', '.join(parts)}"
    if user := _joined(document, "user.name"):
        text += f" by {user}"
    if host := _joined(document, "host.name"):
        text += f" on {host}"
    return f"{text} created {assessment.severity} alert {assessment.name}."


def leaves(document: Mapping[str, object], field: str) -> Iterator[object]:
    """The values of a dotted field in a nested document, through lists of values and of objects."""
    yield from _descend(document, field)


def _descend(value: object, path: str) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _descend(item, path)
    elif not path:
        if value is not None and not isinstance(value, Mapping):
            yield value
    elif isinstance(value, Mapping):
        # A key may itself hold dots, as those of flattened objects and of alerts do.
        for key, below in value.items():
            if path == key:
                yield from _descend(below, "")
            elif path.startswith(f"{key}."):
                yield from _descend(below, path[len(key) + 1 :])


def _texts(document: Mapping[str, object], field: str) -> Sequence[str]:
    return [_text(value) for value in leaves(document, field)]


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _joined(document: Mapping[str, object], field: str) -> str:
    text = ", ".join(_texts(document, field))
    return "" if text == "-" else text


def _score(value: object) -> float | None:
    """`value` as a risk score if it is one: a number, or a text of one, from 0 to 100."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        return None
    if not 0 <= number <= 100:
        return None
    return int(number) if number.is_integer() else number


def _flat(prefix: str, value: Mapping[str, object]) -> Json:
    """The leaves of nested mappings under dotted keys; lists stay whole."""
    result: Json = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            result |= _flat(f"{prefix}.{key}", item)
        else:
            result[f"{prefix}.{key}"] = item
    return result


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
