"""The calls to one queue of SQS: every failure a SourceError that says what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client, source_error
from keytrail.aws.failures import error_code, not_whole
from keytrail.errors import SourceError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10
LONGEST_POLL_SECONDS = 20
LONGEST_VISIBILITY_SECONDS = 12 * 3600

_NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "QueueDeletedRecently"})
_STALE_HANDLE = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "InvalidReceiptHandle",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "InvalidParameterValueException",
    }
)
_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?"
    r"|([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?",
    re.ASCII,
)


def region_of_host(host: str) -> str | None:
    """The Region of a queue's URL by its host, None when it is no host of SQS.

    >>> region_of_host("sqs.eu-west-1.amazonaws.com"), region_of_host("example.com")
    ('eu-west-1', None)
    """
    return (found[1] or found[2]) if (found := _HOST.fullmatch(host)) else None


@dataclass(slots=True)
class Queue:
    """One queue, by its name or its URL; `label` is what the user wrote. Its methods raise SourceError."""

    label: str
    aws: AwsSettings
    name: str = ""
    url: str = ""
    region: str = ""

    def find(self) -> str:
        """Its URL, asked for once."""
        if not self.url:
            with self._explained("sqs:GetQueueUrl"):
                self.url = self._client().get_queue_url(QueueName=self.name)["QueueUrl"]
        return self.url

    def receive(self, wait_seconds: int, visibility_seconds: int) -> list[MessageTypeDef]:
        """Up to ten messages, waited for."""
        url = self.find()
        with self._explained("sqs:ReceiveMessage"):
            answer = self._client().receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return answer.get("Messages", [])

    def delete(self, handles: Sequence[str]) -> list[str]:
        """Delete up to ten messages; those of them that are to be tried again."""
        url = self.find()
        with self._explained("sqs:DeleteMessage"):
            answer = self._client().delete_message_batch(
                QueueUrl=url,
                Entries=[{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles)],
            )
        # One whose handle is no longer valid comes again, and is deleted then.
        return [handles[int(one["Id"])] for one in answer.get("Failed", ()) if one.get("Code") not in _STALE_HANDLE]

    def hide(self, handles: Sequence[str], seconds: int) -> None:
        """Keep up to ten messages from others for so long from now; those that others have by now are left alone."""
        url = self.find()
        with self._explained("sqs:ChangeMessageVisibility"):
            self._client().change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for at, handle in enumerate(handles)
                ],
            )

    def attributes(self) -> dict[str, str]:
        """How many messages wait, about, and where those go that were received too often."""
        url = self.find()
        with self._explained("sqs:GetQueueAttributes"):
            answer = self._client().get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "RedrivePolicy"]
            )
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}

    def _client(self) -> SQSClient:
        made: SQSClient = client("sqs", self.aws, self.region or None)
        # botocore takes an answer that is no JSON, a cut one too, for one without messages.
        made.meta.events.register("response-received.sqs", _check_whole, unique_id="keytrail-whole")
        return made

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise _queue_error(error, action, self.label) from error


def _check_whole(response_dict: dict[str, object] | None, **_: object) -> None:
    """Refuse an answer that did not come whole, or from somebody else than SQS."""
    from botocore.exceptions import IncompleteReadError

    body = response_dict["body"] if response_dict else b"{}"
    assert isinstance(body, bytes)
    try:
        json.loads(body or b"{}")
    except ValueError:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=len(body) + 1) from None


def _queue_error(error: Exception, action: str, label: str) -> SourceError:
    from botocore.exceptions import IncompleteReadError

    if isinstance(error, IncompleteReadError):
        return not_whole(action, label)
    code = error_code(error)
    if code in _NO_QUEUE:
        return SourceError(
            f"there is no queue for {label}",
            advice="check its name, the account and the region (`aws sqs list-queues`); a queue of another account is "
            "named by its URL",
        )
    said = source_error(error, action=action, resource=label)
    if code.lower().startswith("kms"):
        said.advice = "allow kms:Decrypt on the key that encrypts the queue"
    return said
