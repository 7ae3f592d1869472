"""Messages of a queue: each form is read, and nothing that somebody may send does harm."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.cloudtrail import read_items
from keytrail.cloudtrail.records import DEFAULT_LIMITS, Record
from keytrail.errors import ObjectError
from keytrail.sources.feeds.messages import Announced, Brought, read_message

KEY = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/10/111122223333_CloudTrail_eu-west-1_x.json.gz"
RECORD = {"eventID": "e1", "eventName": "PutKeyPolicy", "eventSource": "kms.amazonaws.com", "note": "é\u2028\ud800"}


def s3_event(key: str = KEY, name: str = "ObjectCreated:Put", **item: object) -> dict[str, object]:
    """S3's event notification of one object; `key` as S3 encodes it."""
    entry = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventName": name,
        "s3": {"bucket": {"name": "trail"}, "object": {"key": key, "size": 7, "eTag": "0123abcd", **item}},
    }
    return {"Records": [entry]}


def bridged(kind: str, detail: object, source: str = "aws.s3") -> dict[str, object]:
    return {"version": "0", "detail-type": kind, "source": source, "region": "eu-west-1", "detail": detail}


CREATED = bridged(
    "Object Created", {"bucket": {"name": "trail"}, "object": {"key": KEY, "size": 7, "etag": "0123abcd"}}
)
EXPECTED = Announced("trail", KEY, "0123abcd", 7, "eu-west-1")


def sns(body: object, **more: object) -> dict[str, object]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:x", "Message": text, **more}


def read(body: object) -> Brought:
    return read_message(body if isinstance(body, str) else json.dumps(body), "queue message m1")


@pytest.mark.parametrize("body", [s3_event(), sns(s3_event()), CREATED, sns(CREATED), sns(sns(s3_event()))])
def test_an_object_is_announced(body: object) -> None:
    assert read(body) == Brought((EXPECTED,))


def test_cloudtrails_own_notification_names_several_objects_and_no_etag() -> None:
    body = sns({"s3Bucket": "trail", "s3ObjectKey": ["a+b.json.gz", "c%20.json.gz"]})
    assert read(body).objects == (Announced("trail", "a+b.json.gz"), Announced("trail", "c%20.json.gz"))


@pytest.mark.parametrize(
    ("encoded", "key"),
    [("a+b.json", "a b.json"), ("a%2Bb%20%D1%8F.json", "a+b я.json"), ("dir%2Fx.json", "dir/x.json")],
)
def test_keys_in_s3s_notifications_are_decoded(encoded: str, key: str) -> None:
    assert read(s3_event(encoded)).objects[0].key == key


@pytest.mark.parametrize(
    "kind",
    ["AWS API Call via CloudTrail", "AWS Console Sign In via CloudTrail", "AWS Service Event via CloudTrail"],
)
@pytest.mark.parametrize("wrap", [lambda body: body, sns])
def test_a_record_comes_as_it_is(kind: str, wrap: object) -> None:
    brought = read(wrap(bridged(kind, RECORD, "aws.kms")))  # type: ignore[operator]
    assert brought.objects == ()
    assert brought.record is not None
    (item,) = read_items([brought.record], "m1", DEFAULT_LIMITS)
    assert isinstance(item, Record)
    assert item.data == RECORD


def test_a_bare_record_is_one_too() -> None:
    assert read(RECORD).record is not None


@pytest.mark.parametrize(
    "body",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-10T12:00:00.000Z", "Bucket": "trail"},
        sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "trail"}),
        sns("CloudTrail validation message."),
        s3_event(name="ObjectRemoved:Delete"),
        bridged("Object Deleted", {"bucket": {"name": "trail"}, "object": {"key": KEY}}),
        bridged("AWS Insight via CloudTrail", {"eventType": "AwsCloudTrailInsight", "insightDetails": {}}),
    ],
)
def test_what_announces_nothing_is_no_error(body: object) -> None:
    assert read(body) == Brought()


HOSTILE = [
    "",
    "{",
    "[]",
    "17",
    '"' + "x" * 3_000_000 + '"',
    "[" * 100_000,
    '{"Records": ' + "9" * 10_000 + "}",
    sns(sns(sns(sns(s3_event())))),
    {"Type": "SubscriptionConfirmation", "SubscribeURL": "http://127.0.0.1/", "Message": "confirm"},
    {"Records": []},
    {"Records": [1]},
    {"Records": [{"s3": 1, "eventName": "ObjectCreated:Put"}]},
    {"Records": s3_event()["Records"] * 2000},  # type: ignore[operator]
    s3_event(""),
    s3_event("%FF.json"),
    s3_event("x" * 2000),
    s3_event("a%00b.json"),
    s3_event("..%2F..%2Fother%2Fx.json"),
    {"s3Bucket": "trail", "s3ObjectKey": ["\ud800.json"]},
    {"s3Bucket": "trail", "s3ObjectKey": {"a": 1}},
    {"s3Bucket": "trail", "s3ObjectKey": [None]},
    {"s3Bucket": "../etc", "s3ObjectKey": ["a.json"]},
    {"s3Bucket": "trail\n", "s3ObjectKey": ["a.json"]},
    {"s3Bucket": ["trail"], "s3ObjectKey": ["a.json"]},
    bridged("Object Created", {"bucket": "trail", "object": []}),
    bridged("AWS API Call via CloudTrail", "no record"),
    bridged("EC2 Instance State-change Notification", {"state": "running"}, "aws.ec2"),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_has_no_known_form_is_an_error_that_names_the_message(body: object) -> None:
    with pytest.raises(ObjectError, match="no known form") as raised:
        read(body)
    assert raised.value.place is not None
    assert raised.value.place.file == "queue message m1"
    assert "point nothing else at this queue" in raised.value.advice


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "7", 1 << 70, [], {"a": 1}])
def test_hints_of_a_wrong_type_are_left_out(value: object) -> None:
    body = s3_event(size=value, eTag=value if value != "7" else "a\nb")
    body["Records"][0]["awsRegion"] = "evil.example.com/"  # type: ignore[index]
    assert read(body).objects == (Announced("trail", KEY, "", None, ""),)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=12,
)
WORDS = ["Records", "s3", "bucket", "object", "key", "name", "detail", "detail-type", "Message", "Type", "s3Bucket"]


@given(st.dictionaries(st.sampled_from([*WORDS, "s3ObjectKey", "eventName", "source", "Event"]), json_values))
def test_no_message_makes_anything_but_an_object_error(body: dict[str, object]) -> None:
    with suppress(ObjectError):
        read(body)
