"""Sinks over AWS's APIs, against moto's server; faults by a server in between or by Stubber's answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from keytrail.aws import AwsSettings, client
from keytrail.notify import DeliveryError, Message, digest_of
from keytrail.notify import test_message as message_of_a_test
from keytrail.notify.documents import SHORTENED
from tests.notify.conftest import HOSTILE, KEY, NOW, Reply, Request, WebServer, hostile, message, opened

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's


@pytest.fixture
def aws(endpoint: str) -> AwsSettings:
    return AwsSettings(region=REGION, endpoint_url=endpoint, max_attempts=1)


@pytest.fixture
def queue(aws: AwsSettings) -> str:
    """The URL of a new queue."""
    return str(client("sqs", aws).create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"])


def arn_of(queue: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.rpartition('/')[2]}"


def received(aws: AwsSettings, queue: str) -> list[dict[str, Any]]:
    """What lies in the queue, as JSON."""
    found = []
    while batch := client("sqs", aws).receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for one in batch:
            found.append(json.loads(one["Body"]))
            client("sqs", aws).delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
    return found


def stub(service: str, aws: AwsSettings) -> Stubber:
    stubber = Stubber(client(service, aws, REGION))
    stubber.activate()
    return stubber


def big(number: int = 1) -> Message:
    """A message whose alert is larger than AWS takes."""
    made = message(number)
    found = dict(made.alert["keytrail.investigation"])  # type: ignore[call-overload]
    found["timeline"] = {"items": [{"sentence": '"' * 1000}] * 500, "total": 500}
    return Message(made.id, made.alert | {"keytrail.investigation": found, "message": "x" * 100_000}, made.reason)  # type: ignore[operator]


# SNS ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def topic(aws: AwsSettings, queue: str) -> str:
    """A topic whose messages go to the queue, as they are."""
    arn = client("sns", aws).create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
    client("sns", aws).subscribe(TopicArn=arn, Protocol="sqs", Endpoint=arn_of(queue))
    return str(arn)


def test_a_topic_gets_each_message_as_json_with_attributes_to_filter_by(
    aws: AwsSettings, topic: str, queue: str
) -> None:
    opened({"kind": "sns", "topic_arn": topic}, aws).send([message(n) for n in range(25)], NOW)
    got = received(aws, queue)
    assert sorted(json.loads(one["Message"])["id"] for one in got) == sorted(f"message-{n}-new" for n in range(25))
    assert got[0]["Subject"] == "[HIGH] malicious: KMS key policy changed - alias/orders (111122223333)"
    attributes = {name: value["Value"] for name, value in got[0]["MessageAttributes"].items()}
    assert attributes["severity"] == "high"
    assert attributes["verdict"] == "malicious"
    assert json.loads(got[0]["Message"])["alert"]["kibana.alert.severity"] == "high"


def test_a_topic_takes_hostile_and_huge_alerts(aws: AwsSettings, topic: str, queue: str) -> None:
    sink = opened({"kind": "sns", "topic_arn": topic}, aws)
    sink.send([hostile(1), big(2), big(3)], NOW)
    got = {json.loads(one["Message"])["id"]: one for one in received(aws, queue)}
    assert set(got) == {"message-1-new", "message-2-new", "message-3-new"}
    subject = got["message-1-new"]["Subject"]
    assert len(subject) <= 100
    assert subject.isascii()
    assert subject.isprintable()
    told = json.loads(got["message-2-new"]["Message"])
    assert SHORTENED in told["alert"], "shortened visibly"
    assert told["alert"]["keytrail.investigation"]["verdict"] == "malicious"
    assert len(got["message-2-new"]["Message"]) <= 256 * 1024


def test_a_topic_gets_digests(aws: AwsSettings, topic: str, queue: str) -> None:
    sink = opened({"kind": "sns", "topic_arn": topic}, aws)
    assert sink.send_digest is not None
    sink.send_digest(digest_of([message(1), hostile(2)]), NOW)
    [one] = received(aws, queue)
    assert json.loads(one["Message"])["total"] == 2


def test_a_digest_that_sns_does_not_take_is_not_delivered(endpoint: str) -> None:
    aws = AwsSettings(region=REGION, endpoint_url=f"{endpoint}/////", max_attempts=1)
    sink = opened({"kind": "sns", "topic_arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"}, aws)
    assert sink.send_digest is not None
    with stub("sns", aws) as stubber:
        stubber.add_response("publish_batch", {"Successful": [], "Failed": []})
        with pytest.raises(DeliveryError) as caught:
            sink.send_digest(digest_of([message(1)]), NOW)
    assert caught.value.retry


def test_a_fifo_topic_can_drop_repeats(aws: AwsSettings) -> None:
    arn = client("sns", aws).create_topic(Name=f"t-{uuid.uuid4()}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    sent: list[dict[str, Any]] = []
    events = client("sns", aws, REGION).meta.events

    def note(params: dict[str, Any], **_: object) -> None:
        sent.extend(params["PublishBatchRequestEntries"])

    events.register("provide-client-params.sns.PublishBatch", note)
    sink = opened({"kind": "sns", "topic_arn": arn}, aws)
    sink.send([message(1), message(1, "raised")], NOW)
    sink.send([message(1)], NOW + timedelta(minutes=1))
    events.unregister("provide-client-params.sns.PublishBatch", note)
    new, raised, again = sent
    assert new["MessageGroupId"] == raised["MessageGroupId"], "what is told of one alert stays in order"
    assert new["MessageDeduplicationId"] == again["MessageDeduplicationId"] != raised["MessageDeduplicationId"]


def test_sns_tells_exactly_what_failed(endpoint: str) -> None:
    aws = AwsSettings(region=REGION, endpoint_url=f"{endpoint}/", max_attempts=1)
    sink = opened({"kind": "sns", "topic_arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"}, aws)
    ids: dict[str, str] = {}
    stubber = stub("sns", aws)

    def note(params: dict[str, Any], **_: object) -> None:
        ids.update(
            {
                one["Id"]: json.loads(json.loads(one["Message"])["default"])["id"]
                for one in params["PublishBatchRequestEntries"]
            }
        )

    client("sns", aws, REGION).meta.events.register("provide-client-params.sns.PublishBatch", note)
    stubber.add_response("publish_batch", {"Successful": [], "Failed": []})
    with pytest.raises(DeliveryError) as caught:
        sink.send([message(1), message(2), message(3), message(4)], NOW)
    assert caught.value.retry, "SNS said nothing of any of them"
    by_message = {name: id for id, name in ids.items()}
    stubber.add_response(
        "publish_batch",
        {
            "Successful": [{"Id": by_message["message-1-new"], "MessageId": "m"}],
            "Failed": [
                {
                    "Id": by_message["message-2-new"],
                    "Code": "InternalError",
                    "Message": HOSTILE[:50],
                    "SenderFault": False,
                },
                {"Id": by_message["message-3-new"], "Code": "InvalidParameter", "Message": "no", "SenderFault": True},
                {"Id": by_message["message-4-new"], "Code": "Throttled", "Message": "no", "SenderFault": True},
            ],
        },
    )
    with pytest.raises(DeliveryError) as caught:
        sink.send([message(1), message(2), message(3), message(4)], NOW)
    told = [caught.value.of(message(n)) for n in (1, 2, 3, 4)]
    assert [None if one is None else one.retry for one in told] == [None, True, False, True]
    stubber.deactivate()


# EventBridge --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bus(aws: AwsSettings, queue: str) -> str:
    """A bus whose events of keytrail go to the queue."""
    events = client("events", aws)
    name = f"b-{uuid.uuid4()}"
    arn = events.create_event_bus(Name=name)["EventBusArn"]
    events.put_rule(Name="r", EventBusName=name, EventPattern='{"source":["keytrail"]}')
    events.put_targets(Rule="r", EventBusName=name, Targets=[{"Id": "q", "Arn": arn_of(queue)}])
    return str(arn)


def test_a_bus_gets_an_event_for_each_message(aws: AwsSettings, bus: str, queue: str) -> None:
    sink = opened({"kind": "eventbridge", "bus_arn": bus}, aws)
    assert sink.send_digest is None, "machines count them all"
    told = [*(message(n) for n in range(12)), message(50, "raised"), hostile(51), big(52), message_of_a_test(NOW)]
    sink.send(told, NOW)
    got = {one["detail"]["id"]: one for one in received(aws, queue)}
    assert set(got) == {one.id for one in told}
    assert got["message-50-raised"]["detail-type"] == "Keytrail Alert Verdict Raised"
    assert got["message-1-new"]["detail-type"] == "Keytrail Alert"
    assert got["message-1-new"]["resources"] == [KEY]
    assert got["message-51-new"]["resources"] == []
    assert got["message-51-new"]["detail"]["alert"]["kibana.alert.rule.name"].startswith("@here")
    assert SHORTENED in got["message-52-new"]["detail"]["alert"]


def test_eventbridge_tells_exactly_what_failed(endpoint: str) -> None:
    aws = AwsSettings(region=REGION, endpoint_url=f"{endpoint}//", max_attempts=1)
    sink = opened({"kind": "eventbridge", "bus_arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"}, aws)
    with stub("events", aws) as stubber:
        stubber.add_response(
            "put_events",
            {
                "FailedEntryCount": 2,
                "Entries": [
                    {"EventId": "e"},
                    {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow"},
                    {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no"},
                ],
            },
        )
        with pytest.raises(DeliveryError) as caught:
            sink.send([message(1), message(2), message(3)], NOW)
    told = [caught.value.of(message(n)) for n in (1, 2, 3)]
    assert [None if one is None else one.retry for one in told] == [None, True, False]


# Security Hub -------------------------------------------------------------------------------------------------------


def findings(aws: AwsSettings) -> dict[str, dict[str, Any]]:
    pages = client("securityhub", aws).get_paginator("get_findings").paginate()
    return {one["Id"]: one for page in pages for one in page["Findings"]}


def test_security_hub_gets_one_finding_for_an_alert_updated_when_its_verdict_is_raised(aws: AwsSettings) -> None:
    sink = opened({"kind": "securityhub"}, aws)
    sink.send([message(101, verdict="review"), hostile(102)], NOW)
    id = f"keytrail/{101:064x}"
    before = findings(aws)[id]
    assert before["Title"] == "[HIGH] review: KMS key policy changed - alias/orders (111122223333)"
    assert before["ProductArn"] == f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default"
    assert before["AwsAccountId"] == ACCOUNT
    assert before["Resources"] == [{"Type": "AwsKmsKey", "Id": KEY, "Partition": "aws", "Region": "eu-west-1"}]
    assert before["FindingProviderFields"] == {
        "Severity": {"Label": "HIGH", "Original": "high"}, "Types": ["TTPs/Persistence"],
    }  # fmt: skip
    sink.send([message(101, "raised")], NOW + timedelta(minutes=15))
    after = findings(aws)[id]
    assert after["Title"].startswith("[HIGH] verdict raised to malicious")
    assert after["ProductFields"]["keytrail/verdict"] == "malicious"
    assert after["UpdatedAt"] > before["UpdatedAt"]
    assert after["CreatedAt"] == before["CreatedAt"] == "2026-03-06T22:28:00.000Z"
    odd = findings(aws)[f"keytrail/{102:064x}"]
    limits = {"Title": 256, "Description": 1024, "GeneratorId": 512, "Id": 512}
    assert all(len(odd[name]) <= limit for name, limit in limits.items())
    assert len(odd["Resources"][0]["Id"]) <= 512
    assert odd["FindingProviderFields"]["Types"] == ["Unusual Behaviors/User"]
    assert json.dumps(odd).isascii()
    assert "://" not in json.dumps(odd)


def test_an_alert_that_is_new_and_raised_at_once_is_one_finding(endpoint: str) -> None:
    aws = AwsSettings(region=REGION, endpoint_url=f"{endpoint}///", max_attempts=1)
    sink = opened({"kind": "securityhub"}, aws)
    sent: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: object) -> None:
        sent.extend(params["Findings"])

    client("securityhub", aws, REGION).meta.events.register("provide-client-params.securityhub.*", note)
    sink.send([message(1), message(2), message(1, "raised")], NOW)
    assert [one["Title"][:30] for one in sent] == ["[HIGH] verdict raised to malic", "[HIGH] malicious: KMS key poli"]


def test_security_hub_tells_exactly_what_failed(endpoint: str) -> None:
    aws = AwsSettings(region=REGION, endpoint_url=f"{endpoint}////", max_attempts=1)
    sink = opened({"kind": "securityhub"}, aws)
    with stub("securityhub", aws) as stubber:
        failed = [
            {"Id": f"keytrail/{2:064x}", "ErrorCode": "InvalidInput", "ErrorMessage": "no"},
            {"Id": f"keytrail/{3:064x}", "ErrorCode": "InternalException", "ErrorMessage": "later"},
        ]
        stubber.add_response("batch_import_findings", {"FailedCount": 2, "SuccessCount": 1, "FailedFindings": failed})
        with pytest.raises(DeliveryError) as caught:
            sink.send([message(1), message(2), message(3)], NOW)
    told = [caught.value.of(message(n)) for n in (1, 2, 3)]
    assert [None if one is None else one.retry for one in told] == [None, False, True]


# OCSF to S3 ---------------------------------------------------------------------------------------------------------


def test_a_bucket_gets_one_object_for_a_message_however_often_it_is_sent(aws: AwsSettings) -> None:
    s3 = client("s3", aws)
    bucket = f"ocsf-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    sink = opened({"kind": "ocsf", "path": f"s3://{bucket}/findings/"}, aws)
    sink.send([message(1), hostile(2)], NOW)
    sink.send([message(1), message(1, "raised")], NOW + timedelta(days=2))
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) == 3
    assert all(key.startswith("findings/2026/03/06/") for key in keys)
    bodies = [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]
    assert {one["metadata"]["uid"] for one in bodies} == {"message-1-new", "message-2-new", "message-1-raised"}


def test_a_bucket_that_is_not_there_says_so(aws: AwsSettings) -> None:
    with pytest.raises(DeliveryError) as caught:
        opened({"kind": "ocsf", "path": "s3://no-such-bucket-here"}, aws).send([message(1)], NOW)
    assert not caught.value.retry
    assert "no bucket" in caught.value.what
    assert caught.value.advice


# Faults of AWS as a whole -------------------------------------------------------------------------------------------

TABLES: list[dict[str, object]] = [
    {"kind": "sns", "topic_arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t"},
    {"kind": "eventbridge", "bus_arn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"},
    {"kind": "securityhub"},
    {"kind": "ocsf", "path": "s3://bucket-of-ours/x"},
]


@pytest.fixture(scope="module")
def faulty() -> Iterator[WebServer]:
    """One server for all faults: a client of AWS for each would take long to make."""
    server = WebServer()
    yield server
    server.close()


def says(status: int, code: str, **headers: str) -> Callable[[Request], Reply]:
    """A server that refuses as AWS does, whichever protocol the service speaks."""

    def answer(request: Request) -> Reply:
        kind = request.headers.get("Content-Type", "")
        error = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>" if "urlencoded" in kind else error
        if "x-amz-json" in kind:
            body = json.dumps({"__type": code, "message": "no"})
        return Reply(status, body.encode(), headers)

    return answer


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table["kind"]))
@pytest.mark.parametrize(
    ("reply", "retry", "after"),
    [
        (says(503, "ServiceUnavailable", **{"Retry-After": "9"}), True, 9.0),
        (says(429, "Whatever"), True, None),
        (says(400, "ThrottlingException"), True, None),
        (says(400, "ExpiredToken"), True, None),
        (says(403, "AccessDenied"), False, None),
        (lambda request: Reply(broken=True), True, None),
        (lambda request: Reply(500, b"<html>proxy</html>"), True, None),
    ],
    ids=["unavailable", "429", "throttled", "expired", "denied", "broken", "proxy"],
)
def test_what_is_worth_another_time(
    table: dict[str, object],
    reply: Callable[[Request], Reply],
    retry: bool,
    after: float | None,
    faulty: WebServer,
) -> None:
    faulty.reply = reply
    aws = AwsSettings(region=REGION, endpoint_url=faulty.url, max_attempts=1)
    with pytest.raises(DeliveryError) as caught:
        opened(table, aws).send([message(1), message(2)], NOW)
    assert (caught.value.retry, caught.value.after_seconds) == (retry, after)
    assert caught.value.of(message(1)) is not None
    assert caught.value.of(message(2)) is not None
    assert "not-a-secret" not in str(caught.value)


def test_what_is_no_answer_of_aws_is_tried_again(faulty: WebServer) -> None:
    faulty.reply = lambda request: Reply()
    aws = AwsSettings(region=REGION, endpoint_url=faulty.url, max_attempts=1)
    with pytest.raises(DeliveryError, match="is not AWS") as caught:
        opened(TABLES[0], aws).send([message()], NOW)
    assert caught.value.retry


def test_a_profile_that_is_not_there_is_tried_again_once_somebody_made_it() -> None:
    with pytest.raises(DeliveryError, match="profile 'nobody'") as caught:
        opened(TABLES[0], AwsSettings(profile="nobody")).send([message()], NOW)
    assert caught.value.retry
