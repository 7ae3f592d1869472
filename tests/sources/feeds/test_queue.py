"""A queue: read when told, deleted when everything is settled, and nothing is lost when something fails."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keytrail.aws import client
from keytrail.errors import ObjectError, SourceError, UsageError
from keytrail.sources import SourceSettings
from keytrail.sources.feeds import FeedSettings, iam_needs, open_feed
from keytrail.sources.feeds.sqs import Queue
from keytrail.sources.feeds.visibility import Keeper
from tests.servers.proxy import Answer, Proxy, cut, edited, error, stale
from tests.sources.feeds.conftest import Open
from tests.sources.feeds.ledger import HandClock, MemoryLedger
from tests.sources.feeds.test_messages import RECORD, bridged, sns

TRAIL = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/10"


def key(number: int = 0) -> str:
    return f"{TRAIL}/111122223333_CloudTrail_eu-west-1_20260310T12{number:02}Z_x.json.gz"


@pytest.fixture
def queue(settings: SourceSettings, request: pytest.FixtureRequest) -> str:
    """The name of a new queue."""
    name = f"keytrail-{abs(hash(request.node.nodeid)) % 10**12}"
    client("sqs", settings.aws).create_queue(QueueName=name)
    return name


class Sender:
    """Somebody who writes objects and sends messages, and sees what is in the queue."""

    def __init__(self, settings: SourceSettings, queue: str, bucket: str) -> None:
        self.sqs, self.s3, self.bucket = client("sqs", settings.aws), client("s3", settings.aws), bucket
        self.url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def put(self, key: str, body: bytes = b"content") -> str:
        """Write an object; its ETag."""
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"].strip('"')

    def send(self, body: object) -> str:
        """Send a message; its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        answer = self.sqs.send_message(QueueUrl=self.url, MessageBody=text)
        return str(answer["MessageId"])

    def deliver(self, key: str, body: bytes = b"content", wrap: Callable[[object], object] = lambda x: x) -> str:
        """Write an object, and tell."""
        return self.send(wrap(self.notice([(key, self.put(key, body))])))

    def notice(self, objects: list[tuple[str, str]]) -> dict[str, object]:
        return {
            "Records": [
                {
                    "eventSource": "aws:s3",
                    "awsRegion": "us-east-1",
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": self.bucket}, "object": {"key": key, "size": 7, "eTag": etag}},
                }
                for key, etag in objects
            ]
        }

    def left(self) -> tuple[int, int]:
        """How many messages are in the queue: visible, and hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@pytest.fixture
def sender(settings: SourceSettings, queue: str, bucket: str) -> Sender:
    return Sender(settings, queue, bucket)


def hidden_for(proxy: Proxy) -> list[int]:
    """The visibility time-outs that were asked for, in seconds."""
    return [
        entry["VisibilityTimeout"]
        for request in proxy.requests
        if request.operation == "ChangeMessageVisibilityBatch"
        for entry in json.loads(request.body)["Entries"]
    ]


@pytest.mark.parametrize("wrap", [lambda body: body, sns])
def test_an_announced_object_is_read_and_its_message_deleted_when_it_is_settled(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, wrap: Callable[[object], object]
) -> None:
    sender.deliver(key(), b"hello", wrap)
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    assert (delivery.name, delivery.size) == (f"s3://{sender.bucket}/{key()}", 7)
    assert sender.left() == (0, 1)
    assert ledger.commit(feed, [delivery]) == [b"hello"]
    assert sender.left() == (0, 0)
    assert feed.receive(0) == []
    status = feed.status()
    assert (status.problem, status.set_aside, status.lag_seconds) == (None, 0, 0.0)


def test_a_record_is_handed_on_without_any_object(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    sender.send(bridged("AWS API Call via CloudTrail", RECORD, "aws.kms"))
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    assert delivery.identity == ""
    (data,) = ledger.commit(feed, [delivery])
    assert json.loads(data) == RECORD
    assert sender.left() == (0, 0)


def test_what_needs_no_reading_is_settled_quietly(opened: Open, proxy: Proxy, sender: Sender, queue: str) -> None:
    sender.send({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": sender.bucket})
    beside = [
        "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/10/x.json.gz",
        "AWSLogs/111122223333/CloudTrail-Insight/eu-west-1/2026/03/10/x.json.gz",
        "AWSLogs/111122223333/Config/eu-west-1/2026/3/10/ConfigSnapshot/x.json.gz",
        "readme.txt",
    ]
    sender.send(sender.notice([(name, "aa") for name in beside]))
    feed = opened(f"sqs://{queue}")
    assert feed.receive(0) == []
    assert sender.left() == (0, 0)
    assert proxy.count("GetObject|HeadObject") == 0
    assert feed.status().set_aside == 0


def test_a_message_with_several_objects_is_deleted_when_all_are_settled(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    sender.send(sender.notice([(key(number), sender.put(key(number))) for number in range(3)]))
    feed = opened(f"sqs://{queue}")
    first, *others = feed.receive(0)
    ledger.commit(feed, [first])
    assert sender.left() == (0, 1)
    ledger.commit(feed, others)
    assert sender.left() == (0, 0)


def test_two_messages_for_one_object_are_read_once_and_both_deleted(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    etag = sender.put(key())
    sender.send(sender.notice([(key(), etag)]))
    sender.send(sns(sender.notice([(key(), etag)])))
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    sender.send(bridged("Object Created", {"bucket": {"name": sender.bucket}, "object": {"key": key(), "etag": etag}}))
    assert feed.receive(0) == []
    ledger.commit(feed, [delivery])
    assert sender.left() == (0, 0)
    sender.send(sender.notice([(key(), etag)]))
    assert feed.receive(0) == []
    assert sender.left() == (0, 0)


def test_cloudtrails_notification_is_known_by_the_etag_of_the_object(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    etag = sender.put(key())
    sender.send(sns({"s3Bucket": sender.bucket, "s3ObjectKey": [key()]}))
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    assert delivery.identity == f"{sender.bucket}\0{key()}\0{etag}"


def test_many_messages_are_taken_at_a_time(opened: Open, ledger: MemoryLedger, sender: Sender, queue: str) -> None:
    for number in range(12):
        sender.deliver(key(number))
    feed = opened(f"sqs://{queue}", sqs_batch_messages=100)
    found = feed.receive(0)
    assert len(found) == 12
    ledger.commit(feed, found)
    assert sender.left() == (0, 0)


def test_no_more_is_taken_than_may_be_under_way(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    for number in range(12):
        sender.deliver(key(number))
    feed = opened(f"sqs://{queue}", sqs_batch_messages=10, max_under_way=5)
    found = feed.receive(0)
    asked = proxy.count("ReceiveMessage")
    assert feed.receive(0) == ()
    assert proxy.count("ReceiveMessage") == asked
    ledger.commit(feed, found)
    assert len(feed.receive(0)) == 2


def test_keys_come_encoded_and_are_decoded(opened: Open, ledger: MemoryLedger, sender: Sender, queue: str) -> None:
    etag = sender.put("odd/a b+ключ.json", b"odd")
    sender.send(sender.notice([("odd/a+b%2B%D0%BA%D0%BB%D1%8E%D1%87.json", etag)]))
    feed = opened(f"sqs://{queue}")
    assert ledger.commit(feed, feed.receive(0)) == [b"odd"]


def test_a_bucket_may_lie_in_another_region(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    notice = sender.notice([(key(), sender.put(key()))])
    notice["Records"][0]["awsRegion"] = "eu-central-1"  # type: ignore[index]
    sender.send(notice)
    feed = opened(f"sqs://{queue}")
    ledger.commit(feed, feed.receive(0))
    (read,) = [request for request in proxy.requests if request.operation == "GetObject"]
    assert "/eu-central-1/s3/" in read.headers["Authorization"]


# -- restarts ----------------------------------------------------------------------------------------------------------


def test_what_was_not_settled_comes_again_after_a_restart(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    sender.deliver(key())
    sender.send(bridged("AWS API Call via CloudTrail", RECORD, "aws.kms"))
    feed = opened(f"sqs://{queue}")
    assert len(feed.receive(0)) == 2
    feed.close()
    again = opened(f"sqs://{queue}")
    found = again.receive(0)
    assert len(found) == 2
    ledger.commit(again, found)
    again.close()
    assert opened(f"sqs://{queue}").receive(0) == []
    assert sender.left() == (0, 0)


def test_a_crash_between_commit_and_deletion_reads_nothing_twice(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    ledger.identities.add(delivery.identity)
    feed.close()
    assert opened(f"sqs://{queue}").receive(0) == []
    assert sender.left() == (0, 0)


def test_a_message_that_comes_again_while_it_is_under_way_is_no_second_delivery(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.send(bridged("AWS API Call via CloudTrail", RECORD, "aws.kms"))
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    first = received(proxy)[0]["ReceiptHandle"]
    sender.sqs.change_message_visibility(QueueUrl=sender.url, ReceiptHandle=first, VisibilityTimeout=0)
    assert feed.receive(0) == []
    last = received(proxy)[-1]["ReceiptHandle"]
    assert last != first
    ledger.commit(feed, [delivery])
    assert sender.left() == (0, 0)
    # SQS promises to delete by the last handle only.
    (deleted,) = [request for request in proxy.requests if request.operation == "DeleteMessageBatch"]
    assert [entry["ReceiptHandle"] for entry in json.loads(deleted.body)["Entries"]] == [last]


def test_a_message_that_sqs_sends_twice_is_no_second_delivery(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    (delivery,) = feed.receive(0)
    (answer,) = [answer for request, answer in proxy.answers if request.operation == "ReceiveMessage"]
    proxy.plan("ReceiveMessage", stale(answer), times=2)
    assert feed.receive(0) == []
    ledger.commit(feed, [delivery])
    # Even after it was deleted.
    assert feed.receive(0) == []
    assert sender.left() == (0, 0)
    assert feed.status().problem is None


def received(proxy: Proxy) -> list[dict[str, str]]:
    """The messages that went through the proxy."""
    answers = [answer for request, answer in proxy.answers if request.operation == "ReceiveMessage"]
    return [message for answer in answers for message in json.loads(answer.body).get("Messages", ())]


def test_messages_under_way_are_kept_until_they_are_settled(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}", sqs_visibility_seconds=1)
    (delivery,) = feed.receive(0)
    assert proxy.wait_for("ChangeMessageVisibilityBatch", 2)
    assert sender.left() == (0, 1)
    ledger.commit(feed, [delivery])
    assert sender.left() == (0, 0)


def test_a_keeper_that_may_not_extend_says_so(feeds: FeedSettings, proxy: Proxy, queue: str) -> None:
    keeper = Keeper(Queue(f"sqs://{queue}", feeds.source.aws, queue), lambda: ["handle"], 30)
    proxy.plan("ChangeMessageVisibilityBatch", error("AccessDeniedException"))
    keeper.extend()
    assert keeper.problem is not None
    assert "sqs:ChangeMessageVisibility" in keeper.problem.advice
    keeper.extend()
    assert keeper.problem is None


# -- failures of the way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "fault", "told"),
    [
        ("GetQueueUrl", error("AccessDeniedException"), "sqs:GetQueueUrl"),
        ("ReceiveMessage", error("AccessDeniedException"), "sqs:ReceiveMessage"),
        ("ReceiveMessage", error("ThrottlingException"), "throttling sqs:ReceiveMessage"),
        ("ReceiveMessage", error("ExpiredToken"), "the AWS session has expired"),
        ("ReceiveMessage", error("KMS.AccessDeniedException"), "kms:Decrypt"),
        ("ReceiveMessage", error("AWS.SimpleQueueService.NonExistentQueue"), "there is no queue"),
    ],
)
def test_a_failure_is_told_and_tried_again_after_growing_pauses(
    opened: Open,
    ledger: MemoryLedger,
    sender: Sender,
    queue: str,
    proxy: Proxy,
    clock: HandClock,
    operation: str,
    fault: Any,
    told: str,
) -> None:
    sender.deliver(key())
    proxy.plan(operation, fault, times=3)
    feed = opened(f"sqs://{queue}", first_pause_seconds=4.0)
    for pause in (4, 8, 16):
        assert list(feed.receive(0)) == []
        status = feed.status()
        assert isinstance(status.problem, SourceError)
        assert told in str(status.problem)
        assert status.since is not None
        asked = len(proxy.requests)
        clock.pass_by(pause - 0.5)
        assert list(feed.receive(0)) == []
        assert len(proxy.requests) == asked
        clock.pass_by(0.5)
    assert len(ledger.commit(feed, feed.receive(0))) == 1
    assert feed.status().problem is None


def test_a_cut_answer_loses_no_message(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, clock: HandClock
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    proxy.plan("ReceiveMessage", cut(5))
    assert list(feed.receive(0)) == []
    assert "sqs:ReceiveMessage" in str(feed.status().problem)
    assert sender.left() == (0, 1)
    # What was on its way is hidden until the visibility time-out of the queue.
    (lost,) = [answer for request, answer in proxy.answers if request.operation == "ReceiveMessage"]
    (message,) = json.loads(lost.body)["Messages"]
    sender.sqs.change_message_visibility(
        QueueUrl=sender.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    clock.pass_by(60)
    assert len(ledger.commit(feed, feed.receive(0))) == 1
    assert feed.status().problem is None


def test_a_queue_that_is_not_there_is_a_problem_until_it_is(
    opened: Open, settings: SourceSettings, clock: HandClock
) -> None:
    feed = opened("sqs://made-later")
    assert list(feed.receive(0)) == []
    assert "there is no queue for sqs://made-later" in str(feed.status().problem)
    client("sqs", settings.aws).create_queue(QueueName="made-later")
    clock.pass_by(60)
    assert list(feed.receive(0)) == []
    assert feed.status().problem is None


def test_a_deletion_that_fails_is_made_up_for(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, clock: HandClock
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    proxy.plan("DeleteMessageBatch", error("AccessDeniedException"))
    ledger.commit(feed, feed.receive(0))
    assert "sqs:DeleteMessage" in str(feed.status().problem)
    assert sender.left() == (0, 1)
    clock.pass_by(60)
    assert feed.receive(0) == []
    assert sender.left() == (0, 0)
    assert feed.status().problem is None


def test_a_deletion_that_fails_in_part_is_made_up_for(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, clock: HandClock
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    failed = b'{"Failed": [{"Id": "0", "SenderFault": false, "Code": "InternalError"}]}'
    proxy.plan("DeleteMessageBatch", lambda request, ask: Answer(200, (), failed))
    ledger.commit(feed, feed.receive(0))
    clock.pass_by(60)
    feed.receive(0)
    assert sender.left() == (0, 0)


def test_a_queue_that_may_not_be_looked_at_works_all_the_same(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.deliver(key())
    proxy.plan("GetQueueAttributes", error("AccessDeniedException"), times=100)
    feed = opened(f"sqs://{queue}")
    assert len(ledger.commit(feed, feed.receive(0))) == 1
    status = feed.status()
    assert (status.problem, status.waiting) == (None, None)
    assert "sqs:GetQueueAttributes" in status.notes[0]


# -- failures of objects -----------------------------------------------------------------------------------------------


def test_a_denied_object_is_told_and_comes_again_however_often(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.deliver(key(), b"in the end")
    feed = opened(f"sqs://{queue}", max_tries=2, sqs_delete_poison=True)
    proxy.plan("GetObject", error("AccessDenied", 403), times=4)
    for _ in range(4):
        assert ledger.try_to_commit(feed, feed.receive(0)) == []
        problem = feed.status().problem
        assert isinstance(problem, ObjectError)
        assert "s3:GetObject" in problem.advice
        release(sender, proxy)
    assert hidden_for(proxy) == [15, 30, 60, 120]
    assert ledger.try_to_commit(feed, feed.receive(0)) == [b"in the end"]
    status = feed.status()
    assert (status.problem, status.set_aside) == (None, 0)
    assert sender.left() == (0, 0)


def release(sender: Sender, proxy: Proxy) -> None:
    """Let the message that was hidden last be received now, as if its time had passed."""
    hiding = [request for request in proxy.requests if request.operation == "ChangeMessageVisibilityBatch"][-1]
    for entry in json.loads(hiding.body)["Entries"]:
        sender.sqs.change_message_visibility(
            QueueUrl=sender.url, ReceiptHandle=entry["ReceiptHandle"], VisibilityTimeout=0
        )


def test_an_object_that_is_gone_is_set_aside_after_some_tries(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    identity = sender.send(sender.notice([("gone.json", "aa")]))
    feed = opened(f"sqs://{queue}", max_tries=3)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert ledger.try_to_commit(feed, feed.receive(0)) == []
            release(sender, proxy)
    assert feed.status().set_aside == 1
    assert "does not exist" in feed.status().notes[0]
    assert f"sqs://{queue} message {identity} set aside" in caplog.text
    # Hidden as long as SQS allows.
    assert hidden_for(proxy)[:2] == [15, 30]
    assert 11.9 * 3600 < hidden_for(proxy)[2] <= 12 * 3600


def test_an_object_that_is_gone_may_be_forgotten_if_a_setting_says_so(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str
) -> None:
    sender.send(sender.notice([("gone.json", "aa")]))
    feed = opened(f"sqs://{queue}", max_tries=1, sqs_delete_poison=True)
    assert ledger.try_to_commit(feed, feed.receive(0)) == []
    feed.receive(0)
    assert sender.left() == (0, 0)
    assert feed.status().set_aside == 1


def test_an_object_that_is_not_the_one_announced_is_not_taken_for_it(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    etag = sender.put(key(), b"new")
    sender.put(key(), b"old")
    sender.send(sender.notice([(key(), etag)]))
    feed = opened(f"sqs://{queue}")
    assert ledger.try_to_commit(feed, feed.receive(0)) == []
    sender.put(key(), b"new")
    release(sender, proxy)
    assert ledger.try_to_commit(feed, feed.receive(0)) == [b"new"]


def test_a_read_that_is_cut_goes_on_where_it_was(
    opened: Open,
    ledger: MemoryLedger,
    sender: Sender,
    queue: str,
    proxy: Proxy,
    feeds: FeedSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keytrail.sources.s3.time.sleep", lambda seconds: None)
    body = bytes(range(256)) * 40
    sender.deliver(key(), body)
    feed = opened(f"sqs://{queue}", source=replace(feeds.source, chunk_bytes=1000))
    proxy.plan("GetObject", cut(3000))
    assert ledger.commit(feed, feed.receive(0)) == [body]
    assert proxy.count("GetObject") == 2


def test_of_a_message_with_one_bad_object_the_others_are_read_once(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.send(sender.notice([(key(0), sender.put(key(0), b"good")), (key(1), sender.put(key(1), b"denied"))]))
    feed = opened(f"sqs://{queue}")
    proxy.plan(f"GetObject .*{key(1)[-20:]}", error("AccessDenied", 403))
    assert ledger.try_to_commit(feed, feed.receive(0)) == [b"good"]
    release(sender, proxy)
    assert ledger.try_to_commit(feed, feed.receive(0)) == [b"denied"]
    assert sender.left() == (0, 0)


# -- poison ------------------------------------------------------------------------------------------------------------


def test_a_message_of_no_known_form_is_set_aside_and_stops_nobody(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    poison = sender.send('{"hello": "\x1b[2Jworld"}')
    sender.deliver(key())
    feed = opened(f"sqs://{queue}")
    with caplog.at_level(logging.WARNING):
        assert len(ledger.commit(feed, feed.receive(0))) == 1
    assert sender.left() == (0, 1)
    assert feed.status().set_aside == 1
    assert "no known form" in feed.status().notes[0]
    assert poison in caplog.text
    assert "\x1b" not in caplog.text
    assert hidden_for(proxy)[0] > 11.9 * 3600
    # It comes again once its time has passed, and is not counted twice.
    release(sender, proxy)
    assert feed.receive(0) == []
    assert feed.status().set_aside == 1


def test_poison_is_deleted_if_a_setting_says_so(opened: Open, sender: Sender, queue: str) -> None:
    sender.send("poison")
    feed = opened(f"sqs://{queue}", sqs_delete_poison=True)
    assert feed.receive(0) == []
    assert sender.left() == (0, 0)
    assert feed.status().set_aside == 1


def test_poison_is_left_to_the_redrive_policy(
    opened: Open, settings: SourceSettings, sender: Sender, queue: str, proxy: Proxy
) -> None:
    dead = sender.sqs.create_queue(QueueName=f"{queue}-dead")["QueueUrl"]
    arn = sender.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    sender.sqs.set_queue_attributes(QueueUrl=sender.url, Attributes={"RedrivePolicy": policy})
    sender.send("poison")
    feed = opened(f"sqs://{queue}", sqs_visibility_seconds=30)
    assert feed.receive(0) == []
    assert hidden_for(proxy) == []
    assert feed.status().set_aside == 1


def test_a_message_received_too_often_is_hidden_before_it_is_tried_once_more(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    sender.deliver(key(), b"heavy")
    for _ in range(3):  # Each time the process died.
        sender.sqs.receive_message(QueueUrl=sender.url, VisibilityTimeout=0)
    feed = opened(f"sqs://{queue}", sqs_max_receives=3)
    with caplog.at_level(logging.WARNING):
        found = feed.receive(0)
    assert hidden_for(proxy)[0] > 11.9 * 3600
    assert "was received 4 times" in caplog.text
    assert ledger.commit(feed, found) == [b"heavy"]
    assert sender.left() == (0, 0)


def test_only_buckets_that_are_allowed_are_read(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy
) -> None:
    sender.deliver(key())
    feed = opened(f"sqs://{queue}", sqs_buckets=("another",))
    assert feed.receive(0) == []
    assert proxy.count("GetObject") == 0
    assert feed.status().set_aside == 1
    assert f"it names the bucket {sender.bucket}" in feed.status().notes[0]


def test_an_answer_of_nonsense_is_a_failure_like_others(
    opened: Open, ledger: MemoryLedger, sender: Sender, queue: str, proxy: Proxy, clock: HandClock
) -> None:
    feed = opened(f"sqs://{queue}")
    proxy.plan("ReceiveMessage", edited(lambda body: b"<html>captive portal</html>"))
    assert list(feed.receive(0)) == []
    assert feed.status().problem is not None


# -- names and needs ---------------------------------------------------------------------------------------------------


def test_a_queue_by_its_url(opened: Open, ledger: MemoryLedger, sender: Sender, proxy: Proxy) -> None:
    url = sender.url.replace(proxy.upstream, proxy.url)
    assert url.startswith(proxy.url)
    sender.deliver(key())
    feed = opened(url)
    assert len(ledger.commit(feed, feed.receive(0))) == 1
    assert proxy.count("GetQueueUrl") == 0


@pytest.mark.parametrize(
    "text",
    [
        "sqs://",
        "sqs://a b",
        "sqs://queue/more",
        "https://example.com/111122223333/queue",
        "https://sqs.eu-west-1.amazonaws.com.example.com/111122223333/queue",
        "https://user:pw@sqs.eu-west-1.amazonaws.com/111122223333/queue",
        "https://sqs.eu-west-1.amazonaws.com/queue",
        "http://sqs.eu-west-1.amazonaws.com/111122223333/queue",
        "http://[::1/111122223333/queue",
    ],
)
def test_what_names_no_queue_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_feed(text, FeedSettings(), MemoryLedger())
    assert "sqs://queue-name" in raised.value.advice


def test_needs() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"
    arn = "arn:aws:sqs:eu-west-1:111122223333:trail"
    assert iam_needs(url) == (
        ("sqs:ReceiveMessage", arn),
        ("sqs:DeleteMessage", arn),
        ("sqs:ChangeMessageVisibility", arn),
        ("sqs:GetQueueAttributes", arn),
        ("s3:GetObject", "arn:aws:s3:::*/AWSLogs/*"),
    )
    named = iam_needs("sqs://trail", FeedSettings(sqs_buckets=("a", "b")))
    assert ("sqs:GetQueueUrl", "arn:aws:sqs:*:*:trail") in named
    assert named[-2:] == (("s3:GetObject", "arn:aws:s3:::a/*"), ("s3:GetObject", "arn:aws:s3:::b/*"))


def test_a_long_poll_ends_when_something_comes(opened: Open, ledger: MemoryLedger, sender: Sender, queue: str) -> None:
    feed = opened(f"sqs://{queue}")
    assert feed.receive(0) == []
    timer = threading.Timer(0.3, sender.deliver, (key(),))
    timer.start()
    found = feed.receive(10)
    timer.join()
    assert len(ledger.commit(feed, found)) == 1
