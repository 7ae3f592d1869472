"""Sink: an event bus of Amazon EventBridge, one event for each message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client
from keytrail.investigate.glance import Glance
from keytrail.notify.batches import Prepared, send_in_batches
from keytrail.notify.cloud import delivering, refused
from keytrail.notify.documents import envelope, json_bytes
from keytrail.notify.model import DeliveryError, Message, Reason
from keytrail.notify.sinks.base import Means
from keytrail.settings.notify import EventBridgeSettings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

# Of the API reference of PutEvents.
_MOST = 10
_MOST_BYTES = 256 * 1024 - 1
_FRAME_BYTES = 4096  # for time, source, type and resources of an entry
_MOST_ARN = 2048

DETAIL_TYPES: Mapping[Reason, str] = {
    "new": "Keytrail Alert",
    "raised": "Keytrail Alert Verdict Raised",
    "test": "Keytrail Test",
}


class EventBridgeSink:
    """Puts messages as events; the detail holds the message's id, by which a target can drop repeats."""

    kind = "eventbridge"
    most = _MOST
    send_digest = None

    def __init__(self, settings: EventBridgeSettings, means: Means) -> None:
        self.name = settings.name
        self._settings = settings
        self._aws: AwsSettings = means.aws

    def __repr__(self) -> str:
        return f"EventBridgeSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Put messages as events; those that EventBridge says have failed are told one by one."""
        send_in_batches(map(partial(self._prepared, now), messages), self._put, most=_MOST, most_bytes=_MOST_BYTES)

    def close(self) -> None:
        """Clients of AWS are shared, and stay open."""

    def _prepared(self, now: datetime, message: Message) -> Prepared[PutEventsRequestEntryTypeDef]:
        facts = Glance.of(message.alert)
        detail = json_bytes(envelope(message, _MOST_BYTES - _FRAME_BYTES)).decode()
        is_arn = facts.resource.startswith("arn:") and facts.resource.isascii() and facts.resource.isprintable()
        entry: PutEventsRequestEntryTypeDef = {
            "Time": facts.made or now,
            "Source": self._settings.source,
            "DetailType": DETAIL_TYPES[message.reason],
            "Detail": detail,
            "Resources": [facts.resource] if is_arn and len(facts.resource) <= _MOST_ARN else [],
            "EventBusName": self._settings.bus_arn,
        }
        return Prepared(message, entry, len(detail) + _FRAME_BYTES)

    def _put(self, batch: Sequence[Prepared[PutEventsRequestEntryTypeDef]]) -> Mapping[str, DeliveryError]:
        with delivering(action="events:PutEvents", resource=self._settings.bus_arn):
            events: EventBridgeClient = client("events", self._aws, self._settings.bus_arn.split(":")[3])
            answer = events.put_events(Entries=[one.entry for one in batch])
        told = answer["Entries"]
        if len(told) != len(batch):
            raise DeliveryError("EventBridge says nothing of some events", retry=True, advice="They are tried again.")
        return {
            one.message.id: refused(self.name, result["ErrorCode"], result.get("ErrorMessage", ""))
            for one, result in zip(batch, told, strict=True)
            if result.get("ErrorCode")
        }
