"""Sink: a topic of Amazon SNS: mail and SMS subscribers get text, all others the message as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client
from keytrail.investigate.glance import Glance
from keytrail.notify.batches import Prepared, send_in_batches
from keytrail.notify.cloud import delivering, refused
from keytrail.notify.documents import digest_envelope, envelope, json_bytes
from keytrail.notify.model import DeliveryError, Digest, Json, Message
from keytrail.notify.safe import ascii_only, inert
from keytrail.notify.sinks.base import Means
from keytrail.notify.words import Text, digest_text, text_of
from keytrail.settings.notify import SnsSettings

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import PublishBatchRequestEntryTypeDef

# Of the API reference of Publish and PublishBatch.
_MOST = 10
_MOST_BYTES = 256 * 1024 - 1024  # of a batch, some left for what frames it
_MOST_SUBJECT = 100
_MOST_SMS = 140


class SnsSink:
    """Publishes messages in batches; a FIFO topic drops repeats by itself for five minutes."""

    kind = "sns"
    most = _MOST

    def __init__(self, settings: SnsSettings, means: Means) -> None:
        self.name = settings.name
        self._settings = settings
        self._aws: AwsSettings = means.aws

    def __repr__(self) -> str:
        return f"SnsSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Publish messages; those that SNS says have failed are told one by one."""
        send_in_batches(map(self._prepared, messages), self._publish, most=_MOST, most_bytes=_MOST_BYTES)

    @property
    def send_digest(self) -> Callable[[Digest, datetime], None] | None:
        """Publishes a digest, unless the settings ask for every alert."""
        return self._send_digest if self._settings.digest else None

    def close(self) -> None:
        """Clients of AWS are shared, and stay open."""

    def _send_digest(self, digest: Digest, now: datetime) -> None:
        body = _structured(digest_text(digest), digest_envelope(digest))
        entry = self._entry(digest.id, digest.id, digest_text(digest).subject, body, {"reason": "digest"})
        if failed := self._call([entry]):
            raise failed[entry["Id"]]

    def _prepared(self, message: Message) -> Prepared[PublishBatchRequestEntryTypeDef]:
        facts, text = Glance.of(message.alert), text_of(message)
        room = _MOST_BYTES - 2048
        body = _structured(text, envelope(message, room))
        while len(body) > _MOST_BYTES - 2048:  # JSON within JSON: each quote costs a byte more
            room -= len(body) - _MOST_BYTES + 2048 + 1024
            body = _structured(text, envelope(message, room))
        attributes = {
            "reason": message.reason,
            "severity": facts.severity,
            "verdict": facts.verdict or "none",
            "rule_id": facts.rule_id,
            "account": facts.account,
            "message_id": message.id,
        }
        entry = self._entry(message.id, facts.alert_id or message.id, text.subject, body, attributes)
        return Prepared(message, entry, len(body) + 2048)

    def _entry(
        self, id: str, group: str, subject: str, body: str, attributes: Mapping[str, str]
    ) -> PublishBatchRequestEntryTypeDef:
        entry: PublishBatchRequestEntryTypeDef = {
            "Id": _digest(id),
            "Subject": ascii_only(subject, _MOST_SUBJECT),
            "Message": body,
            "MessageStructure": "json",
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": inert(value, 256)}
                for name, value in attributes.items()
                if value
            },
        }
        if self._settings.topic_arn.endswith(".fifo"):
            entry["MessageGroupId"] = _digest(group)
            entry["MessageDeduplicationId"] = _digest(id)
        return entry

    def _publish(self, batch: Sequence[Prepared[PublishBatchRequestEntryTypeDef]]) -> Mapping[str, DeliveryError]:
        entries = {one.entry["Id"]: one for one in batch}  # a message that is there twice is told once
        failed = self._call([one.entry for one in entries.values()])
        return {one.message.id: failed[id] for id, one in entries.items() if id in failed}

    def _call(self, entries: Sequence[PublishBatchRequestEntryTypeDef]) -> Mapping[str, DeliveryError]:
        """What SNS did not take, by the id of the entry; what it does not mention may be lost."""
        topic = self._settings.topic_arn
        with delivering(action="sns:Publish", resource=topic):
            sns: SNSClient = client("sns", self._aws, topic.split(":")[3])
            answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        taken = {one["Id"] for one in answer.get("Successful", ())}
        failed = {
            one["Id"]: refused(self.name, one["Code"], one.get("Message", ""), retry=not one["SenderFault"] or None)
            for one in answer.get("Failed", ())
        }
        silent = DeliveryError("SNS says nothing of a message", retry=True, advice="It is tried again.")
        return {entry["Id"]: failed.get(entry["Id"], silent) for entry in entries if entry["Id"] not in taken}


def _structured(text: Text, told: Json) -> str:
    """One text for each protocol, as `MessageStructure` json has it."""
    return json_bytes(
        {
            "default": json_bytes(told).decode(),
            "email": text.plain(),
            "sms": ascii_only(text.subject, _MOST_SMS),
        }
    ).decode()


def _digest(id: str) -> str:
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()
