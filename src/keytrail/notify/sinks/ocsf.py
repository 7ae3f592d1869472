"""Sink: OCSF Detection Findings (class 2004 of OCSF 1.3), as lines of a file or as objects of a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from keytrail import __version__
from keytrail.aws import AwsSettings, client
from keytrail.investigate.glance import Glance
from keytrail.notify.batches import Prepared, send_in_batches
from keytrail.notify.cloud import delivering
from keytrail.notify.documents import json_bytes
from keytrail.notify.files import append_lines
from keytrail.notify.model import DeliveryError, Json, Message
from keytrail.notify.sinks.base import Means
from keytrail.notify.words import score_words, text_of, verdict_words
from keytrail.settings.notify import OcsfSettings

_CLASS = 2004
_CATEGORY = 2  # Findings
_ACTIVITIES = {"new": (1, "Create"), "raised": (2, "Update"), "test": (1, "Create")}
_SEVERITIES = {"low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}


class OcsfSink:
    """Writes one finding for each message. An object is named by the message's id, so that a repeat replaces it."""

    kind = "ocsf"
    most = 1000
    send_digest = None

    def __init__(self, settings: OcsfSettings, means: Means) -> None:
        self.name = settings.name
        self._settings = settings
        self._aws: AwsSettings = means.aws

    def __repr__(self) -> str:
        return f"OcsfSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Write the findings of all messages."""
        path = self._settings.path
        if not path.startswith("s3://"):
            append_lines(Path(path), [json_bytes(detection_finding(message, now)) for message in messages])
            return
        entries = [Prepared(one, json_bytes(detection_finding(one, now)) + b"\n", 0) for one in messages]
        send_in_batches(entries, self._put, most=1, most_bytes=0)

    def close(self) -> None:
        """Clients of AWS are shared, and stay open."""

    def _put(self, batch: Sequence[Prepared[bytes]]) -> Mapping[str, DeliveryError]:
        [one] = batch
        bucket, _, prefix = self._settings.path.removeprefix("s3://").partition("/")
        key = f"{prefix.rstrip('/')}/{object_name(one.message)}".lstrip("/")
        with delivering(action="s3:PutObject", resource=f"s3://{bucket}/{key}"):
            client("s3", self._aws, self._settings.region).put_object(
                Bucket=bucket, Key=key, Body=one.entry, ContentType="application/json"
            )
        return {}


def object_name(message: Message) -> str:
    """Where the finding of a message lies below the prefix; by the day of the alert, so that it never moves."""
    made = Glance.of(message.alert).made
    day = f"{made:%Y/%m/%d}" if made else "undated"
    return f"{day}/{hashlib.sha256(message.id.encode('utf-8', 'surrogatepass')).hexdigest()}.json"


def detection_finding(message: Message, now: datetime) -> Json:
    """The Detection Finding of a message; times are milliseconds since 1970."""
    facts, text = Glance.of(message.alert), text_of(message)
    activity, activity_name = _ACTIVITIES[message.reason]
    severity, severity_name = _SEVERITIES.get(facts.severity, (99, facts.severity or "Other"))
    happened = facts.time or facts.made or now
    return {
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": _CLASS * 100 + activity,
        "type_name": f"Detection Finding: {activity_name}",
        "severity_id": severity,
        "severity": severity_name,
        "status_id": 1,
        "status": "New",
        "time": _milliseconds(happened),
        "message": text.subject,
        "metadata": {
            "version": "1.3.0",
            "uid": message.id,
            "profiles": ["cloud"],
            "logged_time": _milliseconds(now),
            "product": {"name": "keytrail", "vendor_name": "keytrail", "version": __version__},
        },
        "finding_info": {
            "uid": facts.alert_id or message.id,
            "title": text.subject,
            "desc": text.summary,
            "created_time": _milliseconds(facts.made or now),
            "modified_time": _milliseconds(now),
            "first_seen_time": _milliseconds(happened),
            "types": ["Threat detection"],
            "analytic": {
                "type_id": 1, "type": "Rule", "uid": facts.rule_id, "name": facts.rule, "desc": facts.description,
            },
            "attacks": [{"technique": {"uid": uid, "name": name}} for uid, name in facts.techniques],
        },
        "cloud": {"provider": "AWS", "account": {"uid": facts.account, "type_id": 10}, "region": facts.region},
        "resources": [{"uid": facts.resource, "name": facts.key, "region": facts.region}] if facts.resource else [],
        "evidences": [_evidence(facts)],
        "unmapped": {
            "verdict": facts.verdict or "none",
            "verdict_words": verdict_words(facts.verdict),
            "score": score_words(facts),
            "reason": message.reason,
        },
    }  # fmt: skip


def _evidence(facts: Glance) -> Json:
    return {
        "actor": {"user": {"uid": facts.arn, "name": facts.who}},
        "api": {
            "operation": facts.action,
            "service": {"name": facts.provider},
            "request": {"uid": facts.event_id},
            "response": {"message": facts.outcome},
        },
        "src_endpoint": {"ip": facts.address} if _is_address(facts.address) else {"svc_name": facts.address},
        "data": {"user_agent": facts.agent},
    }


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)
