"""The kinds of sinks, and how they are opened: one visible dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from keytrail.aws import AwsSettings
from keytrail.notify.model import Message, Sink
from keytrail.notify.sinks.base import Means
from keytrail.notify.sinks.bulk import BulkSink
from keytrail.notify.sinks.email import EmailSink
from keytrail.notify.sinks.eventbridge import EventBridgeSink
from keytrail.notify.sinks.ndjson import NdjsonSink
from keytrail.notify.sinks.ocsf import OcsfSink
from keytrail.notify.sinks.securityhub import SecurityHubSink
from keytrail.notify.sinks.slack import SlackSink
from keytrail.notify.sinks.sns import SnsSink
from keytrail.notify.sinks.teams import TeamsSink
from keytrail.notify.sinks.webhook import WebhookSink
from keytrail.notify.web import WebLimits
from keytrail.settings import NotifySettings

# Each takes the settings of its own kind, which the kind in the file has chosen (settings.notify.SINKS).
SINKS: Mapping[str, Callable[[Any, Means], Sink]] = {
    "webhook": WebhookSink,
    "slack": SlackSink,
    "teams": TeamsSink,
    "email": EmailSink,
    "sns": SnsSink,
    "eventbridge": EventBridgeSink,
    "securityhub": SecurityHubSink,
    "ocsf": OcsfSink,
    "ndjson": NdjsonSink,
    "bulk": BulkSink,
}


def open_sinks(settings: NotifySettings, aws: AwsSettings) -> tuple[Sink, ...]:
    """The sinks of [[notify.sinks]], in their order. Nothing is connected, read or written yet."""
    web = WebLimits(
        settings.connect_timeout_seconds, settings.read_timeout_seconds, settings.max_answer_bytes, settings.ca_file
    )
    means = Means(web, aws)
    return tuple(SINKS[one.kind](one, means) for one in settings.sinks)


def test_message(now: datetime) -> Message:
    """A message that tries a sink out and says that it does; `now` is aware."""
    time = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    id = f"test-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    alert: dict[str, object] = {
        "@timestamp": time,
        "event": {"kind": "signal", "action": "Test", "outcome": "success"},
        "kibana.alert.uuid": id,
        "kibana.alert.original_time": time,
        "kibana.alert.severity": "low",
        "kibana.alert.risk_score": 0,
        "kibana.alert.rule.rule_id": "keytrail-test",
        "kibana.alert.rule.name": "Test of keytrail",
        "kibana.alert.reason": "This is a test of keytrail.",
    }
    return Message(id, alert, "test")
