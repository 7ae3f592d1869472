"""LookupEvents: every event comes, KMS first, at the pace AWS allows; marks never pass what is not committed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from botocore.stub import Stubber

from keytrail.aws import client
from keytrail.errors import SourceError, UsageError
from keytrail.sources.feeds import Delivery, Feed, FeedSettings, iam_needs, open_feed
from tests.servers.proxy import Answer, Proxy, Request, cut, edited, error
from tests.sources.feeds.conftest import Open
from tests.sources.feeds.ledger import NOW, HandClock, MemoryLedger
from tests.sources.test_lookup import KMS, FakeCloudTrail

ACCOUNT = "123456789012"
"""Whose credentials moto's STS says they are."""


@pytest.fixture
def cloud(proxy: Proxy) -> FakeCloudTrail:
    """LookupEvents, which the AWS server lacks, in front of it."""
    fake = FakeCloudTrail()

    def look_up(request: Request, ask: Callable[[], Answer]) -> Answer:
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", request.headers["Authorization"])
        assert scope is not None
        status, answer = fake.answer(scope[2], json.loads(request.body))
        return Answer(status, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps(answer).encode())

    proxy.plan("LookupEvents", look_up, times=1_000_000)
    return fake


def event(identity: str, time: datetime, source: str = "ec2.amazonaws.com") -> dict[str, object]:
    record = {"eventID": identity, "eventSource": source, "eventTime": f"{time:%Y-%m-%dT%H:%M:%SZ}"}
    return {
        "EventId": identity,
        "EventSource": source,
        "EventTime": time.timestamp(),
        "CloudTrailEvent": json.dumps(record),
    }


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def ids(deliveries: list[Delivery]) -> list[str]:
    return [
        json.loads(line)["eventID"]
        for delivery in deliveries
        for line in b"".join(delivery.read()).split(b"\n")
        if line
    ]


def drain(feed: Feed, ledger: MemoryLedger, seconds: float = 30.0) -> list[str]:
    """The ids that come within so long, settled."""
    found: list[str] = []
    for _ in range(round(seconds)):
        deliveries = list(feed.receive(1))
        found += ids(deliveries)
        ledger.keep(feed, deliveries)
    return found


def test_kms_comes_first_and_each_event_once(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [
        event("e1", ago(hours=1)),
        event("k1", ago(hours=2), KMS),
        event("e2", ago(days=2)),
        event("k2", ago(days=3), KMS),
    ]
    feed = opened("aws://eu-west-1")
    feed.receive(0)
    assert feed.status().waiting == 2  # nothing may be taken for all there is
    # KMS's whole week, oldest stretch first; then the others.
    assert drain(feed, ledger, 120) == ["k2", "k1", "e2", "e1"]
    status = feed.status()
    assert (status.problem, status.waiting) == (None, 0)
    assert "no data events" in status.notes[0]
    assert "global services" in status.notes[1]
    assert status.lag_seconds is not None
    assert status.lag_seconds < 60


def test_new_events_come_and_late_ones_are_found(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, clock: HandClock
) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number}", ago(minutes=number)) for number in range(15)]
    feed = opened("aws://eu-west-1")
    assert len(drain(feed, ledger, 100)) == 15
    now = NOW + timedelta(seconds=clock.seconds - 1000)
    cloud.events["eu-west-1"] += [event("new", now), event("new-kms", now, KMS)]
    assert drain(feed, ledger, 70) == ["new-kms", "new"]
    # AWS shows it a quarter of an hour after it happened, below others that came before.
    cloud.events["eu-west-1"].append(event("late", now - timedelta(minutes=14)))
    assert drain(feed, ledger, 700) == ["late"]
    assert drain(feed, ledger, 3000) == []


def test_a_quiet_account_costs_few_calls_and_a_busy_overlap_is_not_read_each_time(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail
) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number}", ago(seconds=number)) for number in range(600)]
    feed = opened("aws://eu-west-1")
    assert len(drain(feed, ledger, 200)) == 600
    cloud.calls.clear()
    assert drain(feed, ledger, 300) == []
    # Ten polls of KMS and of all, a page each; a whole look at the 600 events, at most once in that time.
    assert len(cloud.calls) <= 2 * 10 + 12 + 4


def test_calls_keep_to_the_pace_of_each_account_and_region(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, clock: HandClock
) -> None:
    times: dict[str, list[float]] = {"eu-west-1": [], "us-east-1": []}
    answer = cloud.answer

    def timed(region: str, request: dict[str, object]) -> tuple[int, dict[str, object]]:
        times[region].append(clock.seconds)
        return answer(region, request)

    cloud.answer = timed  # type: ignore[method-assign]
    for region in times:
        cloud.events[region] = [event(f"{region}{number}", ago(minutes=1)) for number in range(300)]
    feed = opened("aws://eu-west-1,us-east-1")
    assert len(drain(feed, ledger, 100)) == 600
    for called in times.values():
        assert len(called) > 50
        assert all(later - earlier >= 0.499 for earlier, later in pairwise(called))
    # Neither waits for the other.
    assert max(called[20] for called in times.values()) < 1000 + 20


def test_every_page_is_followed(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number}", ago(minutes=5, seconds=number)) for number in range(1234)]
    found = drain(opened("aws://eu-west-1"), ledger, 200)
    assert Counter(found) == Counter({f"e{number}": 1 for number in range(1234)})


# -- marks and restarts ------------------------------------------------------------------------------------------------


def test_what_was_not_settled_comes_again_after_a_restart(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail
) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number}", ago(hours=30, seconds=number)) for number in range(120)]
    feed = opened("aws://eu-west-1")
    received: list[Delivery] = []
    for _ in range(100):
        received += feed.receive(1)
    # The last page, which carries the mark, waits for the others.
    assert len(ids(received)) == 100
    assert all(not delivery.marks for delivery in received)
    ledger.keep(feed, received[:1])
    for _ in range(20):
        assert list(feed.receive(1)) == []
    feed.close()
    assert ledger.marks == {}
    again = opened("aws://eu-west-1")
    assert len(drain(again, ledger, 100)) == 120
    again.close()
    assert drain(opened("aws://eu-west-1"), ledger, 60) == []


def test_the_mark_says_how_far_all_is_complete(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event("e1", ago(minutes=10)), event("k1", ago(days=6, hours=23), KMS)]
    feed = opened("aws://eu-west-1", lookup_overlap_minutes=20.0, lookup_slice_hours=6.0)
    drain(feed, ledger, 100)
    # Nothing younger than the overlap is complete, of old stretches everything is.
    all_mark = datetime.fromisoformat(ledger.marks[f"lookup {ACCOUNT} eu-west-1 all"])
    assert timedelta(0) <= all_mark - ago(minutes=20) < timedelta(minutes=2)
    kms_mark = datetime.fromisoformat(ledger.marks[f"lookup {ACCOUNT} eu-west-1 kms"])
    assert kms_mark == ago(days=6, hours=18)


def test_a_restart_catches_up_the_gap_as_far_as_aws_keeps_events(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail
) -> None:
    for part in ("kms", "all"):
        ledger.marks[f"lookup {ACCOUNT} eu-west-1 {part}"] = ago(days=120).isoformat()
    cloud.events["eu-west-1"] = [event(f"d{days}", ago(days=days)) for days in (1, 30, 60, 89, 95)]
    feed = opened("aws://eu-west-1")
    assert drain(feed, ledger, 600) == ["d89", "d60", "d30", "d1"]
    assert any(
        "2025-11-10 12:00 UTC to 2025-12-10 12:00 UTC are no longer kept" in note for note in feed.status().notes
    )
    spans = {request["EndTime"] - request["StartTime"] for _, request in cloud.calls}  # type: ignore[operator]
    assert max(spans) <= 7 * 3600


def test_a_mark_of_nonsense_is_no_mark(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail) -> None:
    ledger.marks[f"lookup {ACCOUNT} eu-west-1 all"] = "\x1b[2J"
    cloud.events["eu-west-1"] = [event("e1", ago(hours=1))]
    assert drain(opened("aws://eu-west-1"), ledger, 100) == ["e1"]


def test_what_is_given_back_comes_again_and_holds_the_mark(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, clock: HandClock
) -> None:
    cloud.events["eu-west-1"] = [event("e1", ago(hours=1))]
    feed = opened("aws://eu-west-1")
    delivery: Delivery | None = None
    while delivery is None:
        delivery = next(iter(feed.receive(1)), None)
    feed.give_back(delivery, SourceError("the lake is full"))
    assert ids(list(feed.receive(60))) == ["e1"]
    assert ledger.marks == {}
    ledger.keep(feed, [delivery])
    assert set(ledger.marks) == {f"lookup {ACCOUNT} eu-west-1 all"}


# -- accounts and Regions ----------------------------------------------------------------------------------------------


def test_assumed_roles_each_give_their_own_account(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy
) -> None:
    cloud.events["eu-west-1"] = [event("e1", ago(hours=1))]
    roles = [f"arn:aws:iam::{account}:role/team/keytrail" for account in ("111122223333", "444455556666")]
    feed = opened(f"aws://eu-west-1?role={roles[0]}&role={roles[1]}")
    found = []
    for _ in range(120):
        deliveries = list(feed.receive(1))
        found += [delivery.name for delivery in deliveries]
        ledger.keep(feed, deliveries)
    assert [name.rpartition(" page")[0] for name in found] == [
        "aws://eu-west-1/all of 111122223333",
        "aws://eu-west-1/all of 444455556666",
    ]
    assert proxy.count("AssumeRole") == 2
    assert set(ledger.marks) == {f"lookup {account} eu-west-1 all" for account in ("111122223333", "444455556666")}


def test_roles_of_the_settings(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy) -> None:
    cloud.events["eu-west-1"] = [event("e1", ago(hours=1))]
    feed = opened("aws://eu-west-1", lookup_role_arns=("arn:aws:iam::111122223333:role/keytrail",))
    drain(feed, ledger, 60)
    assert set(ledger.marks) == {"lookup 111122223333 eu-west-1 all"}


def test_all_regions_and_those_enabled_later(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy, clock: HandClock
) -> None:
    regions = ["eu-west-1"]

    def describe(request: Request, ask: Callable[[], Answer]) -> Answer:
        names = "".join(f"<item><regionName>{name}</regionName></item>" for name in regions)
        return Answer(200, (("Content-Type", "text/xml"),), f"<R><regionInfo>{names}</regionInfo></R>".encode())

    proxy.plan("DescribeRegions", describe, times=100)
    cloud.events = {name: [event(f"in-{name}", ago(hours=1))] for name in ("eu-west-1", "ap-south-1")}
    feed = opened("aws://all")
    assert drain(feed, ledger, 60) == ["in-eu-west-1"]
    regions.append("ap-south-1")
    clock.pass_by(3600)
    assert drain(feed, ledger, 60) == ["in-ap-south-1"]


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (error("AccessDeniedException"), "allow cloudtrail:LookupEvents"),
        (error("ThrottlingException"), "throttling cloudtrail:LookupEvents"),
        (error("ExpiredTokenException"), "the AWS session has expired"),
        (edited(lambda body: b'{"Events": [{"EventId"'), "did not arrive whole"),
        (edited(lambda body: b""), "did not arrive whole"),
        (edited(lambda body: b"<html>sign in to the hotel</html>"), "did not arrive whole"),
    ],
    ids=range(6),
)
def test_a_failure_is_told_and_loses_nothing(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy, clock: HandClock, fault: object, told: str
) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number}", ago(hours=1, seconds=number)) for number in range(230)]
    feed = opened("aws://eu-west-1", first_pause_seconds=4.0)
    failing = True
    real = proxy._planned[0].fault
    failed: list[float] = []

    def some(request: Request, ask: Callable[[], Answer]) -> Answer:
        # From the third page of all events on, until it is enough.
        if failing and json.loads(request.body).get("NextToken") == "100":
            failed.append(clock.seconds)
            return fault(request, lambda: real(request, ask))  # type: ignore[operator]
        return real(request, ask)

    proxy._planned[0].fault = some
    found = drain(feed, ledger, 100)
    problem = feed.status().problem
    assert isinstance(problem, SourceError)
    assert told in str(problem)
    assert len(found) == 50
    assert ledger.marks == {}
    # The page is asked for again after growing pauses, and then the stretch from its first page on.
    pauses = [later - earlier for earlier, later in pairwise(failed)]
    assert [round(pause / 4) for pause in pauses[:2]] == [1, 2]
    failing = False
    found += drain(feed, ledger, 300)
    assert Counter(found) == Counter({f"e{number}": 1 for number in range(230)})
    assert feed.status().problem is None


def test_a_region_that_is_denied_stops_no_other(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy
) -> None:
    cloud.events["us-east-1"] = [event("e1", ago(hours=1))]
    real = proxy._planned[0].fault
    denied = error("AccessDeniedException")
    proxy._planned[0].fault = lambda request, ask: (
        denied(request, ask) if "/eu-west-1/" in request.headers["Authorization"] else real(request, ask)
    )
    feed = opened("aws://eu-west-1,us-east-1")
    assert drain(feed, ledger, 60) == ["e1"]
    assert "aws://eu-west-1 of 123456789012" in str(feed.status().problem)


@pytest.mark.parametrize(
    ("operation", "text", "told"),
    [
        ("GetCallerIdentity", "aws://eu-west-1", "sts:GetCallerIdentity"),
        ("AssumeRole", "aws://eu-west-1?role=arn:aws:iam::777788889999:role/keytrail", "sts:AssumeRole"),
        ("DescribeRegions", "aws://all", "ec2:DescribeRegions"),
    ],
)
def test_what_has_to_be_found_out_first_is_tried_again(
    opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail, proxy: Proxy, operation: str, text: str, told: str
) -> None:
    cloud.events["eu-west-1"] = [event("e1", ago(hours=1))]

    def denied(request: Request, ask: Callable[[], Answer]) -> Answer:
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        if operation == "DescribeRegions":
            body = b"<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>"
        return Answer(403, (("Content-Type", "text/xml"),), body)

    proxy.plan(operation, denied, times=2)
    feed = opened(text)
    feed.receive(0)
    assert told in str(feed.status().problem)
    if operation == "DescribeRegions":
        names = b"<R><regionInfo><item><regionName>eu-west-1</regionName></item></regionInfo></R>"
        proxy.plan(operation, lambda request, ask: Answer(200, (("Content-Type", "text/xml"),), names))
    assert drain(feed, ledger, 120) == ["e1"]


def test_a_cut_answer_of_sts_is_a_failure_like_others(opened: Open, proxy: Proxy) -> None:
    proxy.plan("GetCallerIdentity", cut(30))
    feed = opened("aws://eu-west-1")
    assert list(feed.receive(0)) == []
    assert "sts:GetCallerIdentity" in str(feed.status().problem)


def test_an_event_without_its_record_is_set_aside(opened: Open, ledger: MemoryLedger, cloud: FakeCloudTrail) -> None:
    bad = event("bad", ago(hours=1))
    del bad["CloudTrailEvent"]
    cloud.events["eu-west-1"] = [bad, event("good", ago(hours=1))]
    feed = opened("aws://eu-west-1")
    assert drain(feed, ledger, 120) == ["good"]
    assert feed.status().set_aside == 1
    assert any("it came without its record" in note for note in feed.status().notes)


# -- what is asked, as AWS describes it --------------------------------------------------------------------------------


def test_requests_and_answers_are_those_of_the_service(opened: Open, ledger: MemoryLedger, feeds: FeedSettings) -> None:
    week = {"StartTime": ago(days=2), "EndTime": NOW, "MaxResults": 50}
    kms = {"LookupAttributes": [{"AttributeKey": "EventSource", "AttributeValue": KMS}]}
    one = {"EventId": "k1", "EventTime": ago(days=1), "CloudTrailEvent": '{"eventID":\n"k1"}', "EventSource": KMS}
    two = {"EventId": "e1", "EventTime": ago(days=1), "CloudTrailEvent": '{"eventID": "e1"}'}
    source = replace(feeds.source, lookup_days=2)
    with Stubber(client("cloudtrail", feeds.source.aws, "sa-east-1")) as stub:
        stub.add_response("lookup_events", {"Events": [one], "NextToken": "t"}, {**week, **kms})
        stub.add_response("lookup_events", {"Events": []}, {**week, **kms, "NextToken": "t"})
        stub.add_response("lookup_events", {"Events": [one, two]}, week)
        feed = opened("aws://sa-east-1", source=source, lookup_slice_hours=48.0)
        (first,) = next(filter(None, (list(feed.receive(1)) for _ in range(5))))
        assert feed.status().problem is None
        assert list(first.read()) == [b'{"eventID": "k1"}\n']
        assert first.marks == {f"lookup {ACCOUNT} sa-east-1 kms": (NOW - timedelta(minutes=20)).isoformat()}
        second = next(filter(None, (list(feed.receive(1)) for _ in range(5))))
        assert ids(second) == ["e1"]
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "text",
    [
        "aws://eu west",
        "aws://eu-west-1?role=nobody",
        "aws://eu-west-1?rule=arn:aws:iam::111122223333:role/x",
        "aws://a/b",
    ],
)
def test_what_names_no_region_or_role_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        open_feed(text, FeedSettings(), MemoryLedger())


def test_needs() -> None:
    assert iam_needs("aws://eu-west-1") == (("cloudtrail:LookupEvents", "*"),)
    assert iam_needs("aws://all") == (("cloudtrail:LookupEvents", "*"), ("ec2:DescribeRegions", "*"))
    role = "arn:aws:iam::111122223333:role/keytrail"
    assert iam_needs(f"aws://all?role={role}") == (("sts:AssumeRole", role),)
    assert NOW.tzinfo is UTC
