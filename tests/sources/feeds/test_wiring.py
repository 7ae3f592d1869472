"""A bucket that tells a queue by itself, by each of the ways there are: what the services send is understood."""

from __future__ import annotations

import json

import pytest

from keytrail.aws import client
from keytrail.sources import SourceSettings
from tests.sources.feeds.conftest import Open
from tests.sources.feeds.ledger import MemoryLedger

KEY = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/10/111122223333_CloudTrail_eu-west-1_a b+c.json.gz"
EVENTS = ["s3:ObjectCreated:*"]


class Wiring:
    """A bucket and a queue, to be connected."""

    def __init__(self, settings: SourceSettings, bucket: str) -> None:
        self.aws, self.bucket = settings.aws, bucket
        self.s3, self.sqs = client("s3", self.aws), client("sqs", self.aws)
        self.queue = f"{bucket}-queue"
        self.url = self.sqs.create_queue(QueueName=self.queue)["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.queue_arn = attributes["Attributes"]["QueueArn"]

    def notify(self, **configuration: object) -> None:
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration=configuration,  # type: ignore[arg-type]
        )

    def topic(self, *, raw: bool) -> str:
        sns = client("sns", self.aws)
        arn: str = sns.create_topic(Name=f"{self.bucket}-topic")["TopicArn"]
        sns.subscribe(
            TopicArn=arn,
            Protocol="sqs",
            Endpoint=self.queue_arn,
            Attributes={"RawMessageDelivery": str(raw).lower()},
        )
        return arn

    def rule(self, pattern: dict[str, object]) -> None:
        events = client("events", self.aws)
        events.put_rule(Name=self.queue, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=self.queue, Targets=[{"Id": "1", "Arn": self.queue_arn}])

    def straight(self) -> None:
        self.notify(QueueConfigurations=[{"QueueArn": self.queue_arn, "Events": EVENTS}])

    def through_sns(self) -> None:
        self.notify(TopicConfigurations=[{"TopicArn": self.topic(raw=False), "Events": EVENTS}])

    def through_sns_raw(self) -> None:
        self.notify(TopicConfigurations=[{"TopicArn": self.topic(raw=True), "Events": EVENTS}])

    def through_eventbridge(self) -> None:
        self.rule({"source": ["aws.s3"], "detail-type": ["Object Created"]})
        self.notify(EventBridgeConfiguration={})


@pytest.mark.parametrize("way", ["straight", "through_sns", "through_sns_raw", "through_eventbridge"])
def test_a_written_object_is_read(
    opened: Open, ledger: MemoryLedger, settings: SourceSettings, bucket: str, way: str
) -> None:
    wiring = Wiring(settings, bucket)
    getattr(wiring, way)()
    etag = wiring.s3.put_object(Bucket=bucket, Key=KEY, Body=b"records")["ETag"].strip('"')
    feed = opened(f"sqs://{wiring.queue}")
    (delivery,) = feed.receive(0)
    assert delivery.identity == f"{bucket}\0{KEY}\0{etag}"
    assert ledger.commit(feed, [delivery]) == [b"records"]
    assert feed.receive(0) == []
    status = feed.status()
    assert (status.problem, status.set_aside) == (None, 0)


def test_a_record_through_eventbridge(
    opened: Open, ledger: MemoryLedger, settings: SourceSettings, bucket: str
) -> None:
    wiring = Wiring(settings, bucket)
    wiring.rule({"detail-type": ["AWS API Call via CloudTrail"]})
    record = {"eventVersion": "1.11", "eventID": "e1", "eventName": "PutKeyPolicy", "eventSource": "kms.amazonaws.com"}
    entry = {"Source": "my.kms", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(record)}
    client("events", settings.aws).put_events(Entries=[entry])
    feed = opened(f"sqs://{wiring.queue}")
    (data,) = ledger.commit(feed, feed.receive(0))
    assert json.loads(data) == record


def test_a_bucket_that_is_listed_and_one_that_tells_are_the_same_objects(
    opened: Open, ledger: MemoryLedger, settings: SourceSettings, bucket: str
) -> None:
    wiring = Wiring(settings, bucket)
    wiring.straight()
    wiring.s3.put_object(Bucket=bucket, Key=KEY, Body=b"records")
    listed = opened(f"s3://{bucket}")
    assert ledger.commit(listed, listed.receive(0)) == [b"records"]
    told = opened(f"sqs://{wiring.queue}")
    assert told.receive(0) == []
    assert told.status().set_aside == 0
