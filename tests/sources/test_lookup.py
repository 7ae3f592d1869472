"""aws://: KMS first, each event once, paced to the quota, within the window; the server speaks LookupEvents."""

from __future__ import annotations

import json
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keytrail.aws import AwsSettings
from keytrail.errors import ObjectError, SourceError, UsageError
from keytrail.sources import SourceSettings, TimeWindow, open_source
from keytrail.sources.lookup import LookupSource
from keytrail.sources.pacing import Pacer

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ALL = TimeWindow()


def event(identity: str, source: str = "ec2.amazonaws.com", age_days: float = 1) -> dict[str, object]:
    """An event as LookupEvents gives it."""
    time = NOW - timedelta(days=age_days)
    record = {"eventID": identity, "eventSource": source, "eventTime": f"{time:%Y-%m-%dT%H:%M:%SZ}", "text": "é\u2028"}
    return {
        "EventId": identity,
        "EventSource": source,
        "EventTime": time.timestamp(),
        "CloudTrailEvent": json.dumps(record, ensure_ascii=False),
    }


KMS = "kms.amazonaws.com"


@dataclass
class FakeCloudTrail:
    """LookupEvents as AWS documents it: newest first, at most 50 a page, one attribute, inclusive times."""

    events: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    between: Callable[[], None] | None = None
    url: str = ""

    def answer(self, region: str, request: dict[str, object]) -> tuple[int, dict[str, object]]:
        self.calls.append((region, request))
        if self.errors:
            status, code = self.errors.pop(0)
            return status, {"__type": code, "message": "as the test wants it"}
        if not request.get("LookupAttributes") and self.between:
            self.between()
            self.between = None
        wanted = {item["AttributeValue"] for item in request.get("LookupAttributes", ())}  # type: ignore[attr-defined]
        found = [
            item
            for item in self.events.get(region, [])
            if request["StartTime"] <= item["EventTime"] <= request["EndTime"]  # type: ignore[operator]
            and (not wanted or item["EventSource"] in wanted)
        ]
        found.sort(key=lambda item: -float(str(item["EventTime"])))
        start, size = int(str(request.get("NextToken", "0"))), int(str(request["MaxResults"]))
        body: dict[str, object] = {"Events": found[start : start + size]}
        if start + size < len(found):
            body["NextToken"] = str(start + size)
        return 200, body


@pytest.fixture(scope="module")
def server() -> Iterator[FakeCloudTrail]:
    fake = FakeCloudTrail()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", self.headers["Authorization"])
            assert scope is not None
            if scope[2] == "ec2":
                names = "".join(f"<item><regionName>{name}</regionName></item>" for name in fake.events)
                status, data = 200, f"<R><regionInfo>{names}</regionInfo></R>".encode()
            else:
                assert self.headers["X-Amz-Target"].endswith(".LookupEvents")
                status, answer = fake.answer(scope[1], json.loads(body))
                data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        fake.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        http.shutdown()
        thread.join()


@pytest.fixture
def cloud(server: FakeCloudTrail) -> FakeCloudTrail:
    """The server, with no events and no calls yet."""
    server.events, server.errors, server.calls, server.between = {}, [], [], None
    return server


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def account(
    cloud: FakeCloudTrail, text: str = "aws://", clock: Clock | None = None, region: str = "eu-west-1"
) -> LookupSource:
    settings = SourceSettings(aws=AwsSettings(region=region, endpoint_url=cloud.url, max_attempts=1))
    source = open_source(text, settings)
    assert isinstance(source, LookupSource)
    clock = clock or Clock()
    return replace(source, now=lambda: NOW, clock=clock, sleep=clock.sleep)


def identities(source: LookupSource, window: TimeWindow = ALL) -> list[str]:
    """The ids of all events, in the order in which they come."""
    found = []
    for item in source.objects(window):
        data = b"".join(source.read(item.key))
        assert len(data) == item.size
        found += [json.loads(line)["eventID"] for line in data.split(b"\n") if line]
    return found


def test_kms_comes_first_and_each_event_once(cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event("e1"), event("k1", KMS, 3), event("e2", age_days=2), event("k2", KMS, 2)]
    source = account(cloud)
    assert identities(source) == ["k2", "k1", "e1", "e2"]
    assert not source.parallel
    assert "90 days" in source.notes[0]


def test_a_kms_event_delivered_in_between_is_not_lost(cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event("k1", KMS)]
    cloud.between = lambda: cloud.events["eu-west-1"].append(event("late", KMS))
    assert identities(account(cloud)) == ["k1", "late"]


def test_pages_are_followed_and_are_objects(cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event(f"e{number:03}", age_days=1 + number / 1000) for number in range(120)]
    source = account(cloud)
    listed = list(source.objects(ALL))
    assert [item.key for item in listed] == [f"eu-west-1/all/{number}" for number in (1, 2, 3)]
    assert source.name(listed[0].key) == "aws://eu-west-1/all/1"
    assert all(request["MaxResults"] == 50 for _, request in cloud.calls)
    assert list(source.read(listed[2].key))
    with pytest.raises(ObjectError, match="read before"):
        list(source.read(listed[2].key))


def test_records_come_byte_for_byte(cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [made := event("e1")]
    source = account(cloud)
    (item,) = source.objects(ALL)
    assert b"".join(source.read(item.key)) == str(made["CloudTrailEvent"]).encode() + b"\n"


def test_calls_keep_to_two_a_second_in_each_region(cloud: FakeCloudTrail) -> None:
    for region in ("eu-west-1", "us-east-1"):
        cloud.events[region] = [event(f"{region}{number}") for number in range(150)]
    clock = Clock()
    identities(account(cloud, "aws://eu-west-1,us-east-1", clock))
    # One page of KMS and three of all, in each region: seven times half a second would be one region's alone.
    assert len(cloud.calls) == 8
    assert clock.now == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("window", "days"),
    [
        (ALL, (7, 0)),
        (TimeWindow(NOW - timedelta(days=2)), (2, 0)),
        (TimeWindow(None, NOW - timedelta(days=2)), (9, 2)),
        (TimeWindow(NOW - timedelta(days=3), NOW - timedelta(days=1)), (3, 1)),
        (TimeWindow(NOW - timedelta(days=400), NOW + timedelta(days=5)), (90, 0)),
    ],
)
def test_the_window_is_asked_for(cloud: FakeCloudTrail, window: TimeWindow, days: tuple[int, int]) -> None:
    cloud.events["eu-west-1"] = [event(str(number), age_days=number + 0.5) for number in range(120)]
    source = account(cloud)
    assert set(identities(source, window)) == {str(number) for number in range(days[1], days[0])}
    assert any("no longer kept" in note for note in source.notes) == (days[0] == 90)


def test_a_time_that_is_no_longer_kept_is_an_error(cloud: FakeCloudTrail) -> None:
    with pytest.raises(SourceError, match="nothing is kept there"):
        identities(account(cloud), TimeWindow(NOW - timedelta(days=400), NOW - timedelta(days=300)))
    assert cloud.calls == []


def test_regions(cloud: FakeCloudTrail) -> None:
    cloud.events = {region: [event(region)] for region in ("eu-west-1", "us-east-1", "ap-south-1")}
    assert identities(account(cloud)) == ["eu-west-1"]
    assert identities(account(cloud, "aws://us-east-1")) == ["us-east-1"]
    assert identities(account(cloud, "aws://us-east-1,ap-south-1")) == ["us-east-1", "ap-south-1"]
    assert identities(account(cloud, "aws://all")) == ["ap-south-1", "eu-west-1", "us-east-1"]
    with pytest.raises(SourceError, match="no AWS region is set"):
        identities(account(cloud, region=""))
    for text in ("aws://eu west", "aws://eu-west-1/x", "aws://" + "a" * 50):
        with pytest.raises(UsageError, match="names no region"):
            open_source(text, SourceSettings())


def test_no_events_is_an_error_that_says_where_and_when(cloud: FakeCloudTrail) -> None:
    with pytest.raises(SourceError, match="no events in eu-west-1 from 2026-03-03 12:00 UTC to 2026-03-10 12:00 UTC"):
        identities(account(cloud))


def test_throttling_is_waited_out(cloud: FakeCloudTrail) -> None:
    cloud.events["eu-west-1"] = [event("e1")]
    cloud.errors = [(400, "ThrottlingException")] * 3
    clock = Clock()
    assert identities(account(cloud, clock=clock)) == ["e1"]
    assert clock.now >= 2 + 4 + 8
    cloud.errors = [(400, "ThrottlingException")] * 20
    with pytest.raises(SourceError, match="AWS keeps throttling cloudtrail:LookupEvents"):
        identities(account(cloud))
    assert len(cloud.errors) == 14  # Six tries, then no more.


def test_a_denied_call_names_the_action(cloud: FakeCloudTrail) -> None:
    cloud.errors = [(400, "AccessDeniedException")]
    with pytest.raises(SourceError, match=r"AWS denies cloudtrail:LookupEvents on aws://eu-west-1"):
        identities(account(cloud))


def test_an_event_without_its_record_is_a_problem(cloud: FakeCloudTrail) -> None:
    bad = event("bad")
    del bad["CloudTrailEvent"]
    cloud.events["eu-west-1"] = [bad, event("good")]
    source = account(cloud)
    assert identities(source) == ["good"]
    assert [str(problem) for problem in source.problems] == ["aws://eu-west-1/all/1: event bad came without its record"]


def test_the_source_can_be_sent_to_another_process() -> None:
    source = open_source("aws://eu-west-1", SourceSettings())
    assert pickle.loads(pickle.dumps(source)) == source


def test_a_pacer_makes_up_for_no_lost_time() -> None:
    clock = Clock()
    pacer = Pacer(2.0, clock=clock, sleep=clock.sleep)
    times = []
    for pause in (0, 0, 10, 0, 0):
        clock.now += pause
        pacer.wait()
        times.append(clock.now)
    assert times == [0, 0.5, 10.5, 11.0, 11.5]
