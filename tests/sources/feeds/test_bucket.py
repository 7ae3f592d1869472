"""A bucket by listing: what is new and what is late is found, each object once, and a failing listing loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from keytrail.aws import client
from keytrail.errors import SourceError, UsageError
from keytrail.sources import SourceSettings
from keytrail.sources.feeds import Delivery, Feed, FeedSettings, iam_needs, open_feed
from tests.servers.proxy import Answer, Proxy, Request, cut, edited, error, stale
from tests.sources.feeds.conftest import Open
from tests.sources.feeds.ledger import HandClock, MemoryLedger

Fill = Callable[[list[str]], None]
ACCOUNT, MEMBER, ORGANIZATION = "111122223333", "444455556666", "o-abc123xyz0"


def log(day: str, number: int = 0, account: str = ACCOUNT, region: str = "eu-west-1", above: str = "") -> str:
    """The key of a delivered object; `day` as yyyy/mm/dd. The feed's today is 2026/03/10."""
    name = f"{account}_CloudTrail_{region}_{day.replace('/', '')}T{number:04}Z_abcdefghijklmnop.json.gz"
    return f"{above}AWSLogs/{account}/CloudTrail/{region}/{day}/{name}"


def drain(feed: Feed, ledger: MemoryLedger | None = None) -> list[str]:
    """The keys that come until nothing more does, settled if there is a ledger."""
    found: list[str] = []
    for _ in range(50):
        deliveries = feed.receive(0)
        found += [delivery.name.split("/", 3)[3] for delivery in deliveries]
        if ledger is not None:
            ledger.keep(feed, deliveries)
    return found


def test_objects_are_read_and_come_once(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/10", 1), log("2026/03/09")])
    feed = opened(f"s3://{bucket}")
    assert feed.status().waiting == 1
    deliveries = feed.receive(0)
    assert sorted(ledger.commit(feed, deliveries)) == [log("2026/03/09").encode(), log("2026/03/10", 1).encode()]
    clock.pass_by(60)
    assert drain(feed, ledger) == []
    # Keys come in no order of time: this one lies before what was seen.
    fill([log("2026/03/10", 0)])
    assert drain(feed, ledger) == []
    clock.pass_by(60)
    assert drain(feed, ledger) == [log("2026/03/10", 0)]
    assert (feed.status().problem, feed.status().waiting) == (None, 0)


def test_an_object_is_known_by_bucket_key_and_etag(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill, settings: SourceSettings
) -> None:
    key = log("2026/03/10")
    fill([key])
    feed = opened(f"s3://{bucket}")
    (delivery,) = feed.receive(0)
    etag = client("s3", settings.aws).head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    assert delivery.identity == f"{bucket}\0{key}\0{etag}"
    ledger.keep(feed, [delivery])
    client("s3", settings.aws).put_object(Bucket=bucket, Key=key, Body=b"completed")
    clock.pass_by(60)
    assert ledger.commit(feed, feed.receive(0)) == [b"completed"]


def test_late_keys_of_older_days_are_found_at_the_slow_beat(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}", s3_since=date(2026, 3, 1), s3_full_seconds=3600.0)
    drain(feed, ledger)
    fill([log("2026/03/05"), log("2026/02/27")])
    clock.pass_by(600)
    assert drain(feed, ledger) == []
    clock.pass_by(3000)
    assert drain(feed, ledger) == [log("2026/03/05")]


def test_the_start_date_bounds_what_is_listed(
    opened: Open, ledger: MemoryLedger, bucket: str, fill: Fill, proxy: Proxy
) -> None:
    fill([log("2026/03/10"), log("2026/03/09"), log("2026/03/08"), log("2026/02/01")])
    assert sorted(drain(opened(f"s3://{bucket}"))) == [log("2026/03/09"), log("2026/03/10")]
    assert len(drain(opened(f"s3://{bucket}", s3_since=date(2026, 3, 8)))) == 3
    assert len(drain(opened(f"s3://{bucket}", s3_since=date(2020, 1, 1)))) == 4


def test_new_accounts_and_regions_appear_by_themselves(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    below = f"security/AWSLogs/{ORGANIZATION}/"

    def delivered(account: str, region: str) -> str:
        return log("2026/03/10", account=account, region=region).replace("AWSLogs/", below)

    fill([delivered(ACCOUNT, "eu-west-1")])
    feed = opened(f"s3://{bucket}/security")
    assert drain(feed, ledger) == [delivered(ACCOUNT, "eu-west-1")]
    new = [delivered(ACCOUNT, "us-east-1"), delivered(MEMBER, "eu-west-1")]
    fill([*new, f"{below}{ACCOUNT}/CloudTrail-Digest/eu-west-1/2026/03/10/x.json.gz"])
    clock.pass_by(60)
    assert drain(feed, ledger) == new


def test_a_prefix_without_date_folders(
    opened: Open, ledger: MemoryLedger, bucket: str, fill: Fill, proxy: Proxy
) -> None:
    fill(["export/a.json", "export/readme.md"])
    feed = opened(f"s3://{bucket}/export")
    assert drain(feed, ledger) == ["export/a.json"]
    # Written long before the start date, by the feed's clock.
    late = opened(f"s3://{bucket}/export", s3_since=date(2990, 1, 1))
    ledger.identities.clear()
    assert drain(late) == ["export/a.json"]  # by the quick listing, which goes back to yesterday


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_an_old_bucket_is_gone_through_a_page_at_a_time(
    opened: Open, ledger: MemoryLedger, bucket: str, fill: Fill, feeds: FeedSettings
) -> None:
    fill([log("2026/03/05", number) for number in range(25)])
    source = replace(feeds.source, list_page_keys=10)
    feed = opened(f"s3://{bucket}", s3_since=date(2026, 3, 1), source=source, max_under_way=10)
    drain_one = [len(feed.receive(0)) for _ in range(5)]
    assert sum(drain_one) == 10  # No more is listed while these are under way.
    assert max(ledger.asked) <= 10


def test_what_is_under_way_is_not_handed_out_again(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}")
    assert len(drain(feed)) == 1
    clock.pass_by(7 * 3600)
    assert drain(feed) == []


# -- restarts ----------------------------------------------------------------------------------------------------------


def test_what_was_not_settled_comes_again_after_a_restart(
    opened: Open, ledger: MemoryLedger, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}")
    assert len(drain(feed)) == 1
    feed.close()
    assert len(drain(opened(f"s3://{bucket}"), ledger)) == 1
    assert drain(opened(f"s3://{bucket}"), ledger) == []


def test_a_restart_after_a_long_time_goes_on_where_it_was(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}")
    drain(feed, ledger)
    feed.close()
    clock.pass_by(30 * 86_400)
    fill([log("2026/03/11"), log("2026/03/25"), log("2026/03/01")])
    assert sorted(drain(opened(f"s3://{bucket}"), ledger)) == [log("2026/03/11"), log("2026/03/25")]


def test_the_start_moves_on_when_all_was_found_and_not_before(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    fill([log("2026/03/01", number) for number in range(2)])
    feed = opened(f"s3://{bucket}", s3_since=date(2026, 2, 1), s3_full_days=3)
    (first, second) = feed.receive(0) or feed.receive(0)
    ledger.keep(feed, [first])
    clock.pass_by(6 * 3600)
    drain(feed)
    fill([log("2026/03/10")])
    clock.pass_by(60)
    (new,) = feed.receive(0)
    assert set(new.marks.values()) == {"2026-02-01"}  # `second` is still to be settled
    ledger.keep(feed, [second, new])
    clock.pass_by(6 * 3600)
    drain(feed, ledger)
    fill([log("2026/03/10", 7)])
    clock.pass_by(60)
    (last,) = feed.receive(0)
    assert set(last.marks.values()) == {"2026-03-08"}  # It is the 11th by now.


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (error("AccessDenied", 403), "s3:ListBucket"),
        (error("SlowDown", 503), "throttling s3:ListBucket"),
        (error("ExpiredToken"), "the AWS session has expired"),
        (error("NoSuchBucket", 404), "there is no bucket"),
        (cut(40), "s3:ListBucket"),
        (cut(0), "s3:ListBucket"),
        (edited(lambda body: body[:60]), "s3:ListBucket"),
        (edited(lambda body: b""), "did not arrive whole"),
        (edited(lambda body: b"<html><body>sign in to the hotel</body></html>"), "s3:ListBucket"),
    ],
    ids=range(9),
)
def test_a_failure_is_told_and_tried_again_after_growing_pauses(
    opened: Open,
    ledger: MemoryLedger,
    clock: HandClock,
    bucket: str,
    fill: Fill,
    proxy: Proxy,
    fault: object,
    told: str,
) -> None:
    fill([log("2026/03/10")])
    proxy.plan("ListObjectsV2", fault, times=2)  # type: ignore[arg-type]
    feed = opened(f"s3://{bucket}", first_pause_seconds=4.0)
    for pause in (4, 8):
        assert list(feed.receive(0)) == []
        problem = feed.status().problem
        assert isinstance(problem, SourceError)
        assert told in str(problem)
        asked = len(proxy.requests)
        clock.pass_by(pause - 0.5)
        assert list(feed.receive(0)) == []
        assert len(proxy.requests) == asked
        clock.pass_by(0.5)
    assert drain(feed, ledger) == [log("2026/03/10")]
    assert feed.status().problem is None


def test_a_bucket_that_is_made_later(
    opened: Open, ledger: MemoryLedger, clock: HandClock, settings: SourceSettings
) -> None:
    feed = opened("s3://made-later-on")
    assert list(feed.receive(0)) == []
    assert "no bucket" in str(feed.status().problem)
    client("s3", settings.aws).create_bucket(Bucket="made-later-on")
    clock.pass_by(60)
    assert drain(feed, ledger) == []
    status = feed.status()
    assert status.problem is None
    assert "no CloudTrail object lies there yet" in status.notes[0]


def test_a_listing_that_breaks_in_the_middle_skips_nothing(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill, proxy: Proxy, feeds: FeedSettings
) -> None:
    keys = [log("2026/03/05", number) for number in range(25)]
    fill(keys)
    source = replace(feeds.source, list_page_keys=10)
    proxy.plan("ListObjectsV2 .*continuation-token", error("InternalError", 500), times=1)
    feed = opened(f"s3://{bucket}", s3_since=date(2026, 3, 1), source=source)
    found = drain(feed, ledger)
    assert feed.status().problem is not None
    clock.pass_by(60)
    found += drain(feed, ledger)
    assert sorted(found) == keys


def test_a_stale_listing_only_delays(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill, proxy: Proxy
) -> None:
    fill([log("2026/03/10", 1)])
    feed = opened(f"s3://{bucket}")
    drain(feed, ledger)
    (old,) = [
        answer for request, answer in proxy.answers if "start-after" in request.target and "03%2F09" in request.target
    ][:1]
    fill([log("2026/03/10", 2)])
    proxy.plan("ListObjectsV2 .*start-after=A", stale(old), times=1)
    clock.pass_by(60)
    assert drain(feed, ledger) == []
    clock.pass_by(60)
    assert drain(feed, ledger) == [log("2026/03/10", 2)]


def test_a_stale_read_is_not_taken_for_the_new_object(
    opened: Open,
    ledger: MemoryLedger,
    clock: HandClock,
    bucket: str,
    fill: Fill,
    proxy: Proxy,
    settings: SourceSettings,
) -> None:
    key = log("2026/03/10")
    client("s3", settings.aws).put_object(Bucket=bucket, Key=key, Body=b"half")
    feed = opened(f"s3://{bucket}")
    ledger.commit(feed, feed.receive(0))
    client("s3", settings.aws).put_object(Bucket=bucket, Key=key, Body=b"whole")
    # A replica that is behind has another object under the key than was listed, and keeps to If-Match.
    proxy.plan("GetObject", lambda request, ask: error("PreconditionFailed", 412)(request, ask))
    clock.pass_by(60)
    assert ledger.try_to_commit(feed, feed.receive(0)) == []
    clock.pass_by(60)
    assert ledger.try_to_commit(feed, feed.receive(0)) == [b"whole"]
    asked = [request.headers.get("If-Match") for request in proxy.requests if request.operation == "GetObject"]
    assert None not in asked


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "SlowDown"])
def test_an_object_that_cannot_be_read_now_comes_again(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill, proxy: Proxy, code: str
) -> None:
    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}", max_tries=2)
    proxy.plan("GetObject", error(code, 403), times=4)
    for _ in range(4):
        assert ledger.try_to_commit(feed, feed.receive(0)) == []
        assert feed.status().problem is not None
        clock.pass_by(3600)
    assert len(ledger.try_to_commit(feed, feed.receive(0))) == 1
    status = feed.status()
    assert (status.problem, status.set_aside) == (None, 0)


def test_a_damaged_object_is_set_aside_after_some_tries(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill
) -> None:
    from keytrail.errors import ObjectError

    fill([log("2026/03/10")])
    feed = opened(f"s3://{bucket}", max_tries=3)
    given: list[Delivery] = []
    for _ in range(10):
        for delivery in feed.receive(0):
            given.append(delivery)
            feed.give_back(delivery, ObjectError("damaged gzip"))
        clock.pass_by(1800)
    assert len(given) == 3
    status = feed.status()
    assert status.set_aside == 1
    assert status.notes[0].endswith("damaged gzip")


def test_a_hostile_listing_does_no_harm(
    opened: Open, ledger: MemoryLedger, clock: HandClock, bucket: str, fill: Fill, proxy: Proxy
) -> None:
    fill([log("2026/03/10")])

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        real = ask()
        return replace(real, body=real.body.replace(b"abcdefghijklmnop", b"%00%1b%5b2J%E2%80%AE"))

    proxy.plan("ListObjectsV2", fault, times=20)
    feed = opened(f"s3://{bucket}")
    (delivery,) = feed.receive(0)
    assert delivery.name.endswith("_\0\x1b[2J\u202e.json.gz")
    assert ledger.try_to_commit(feed, [delivery]) == []
    proxy.clear()
    clock.pass_by(60)
    assert log("2026/03/10") in drain(feed, ledger)


def test_names_and_needs() -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        open_feed("s3://b ad", FeedSettings(), MemoryLedger())
    assert iam_needs("s3://trail") == (
        ("s3:ListBucket", "arn:aws:s3:::trail"),
        ("s3:GetObject", "arn:aws:s3:::trail/*"),
    )
    assert iam_needs("s3://trail/a*${b}")[1] == ("s3:GetObject", "arn:aws:s3:::trail/a??{b}*")
    point = "arn:aws:s3:eu-west-1:111122223333:accesspoint/trail"
    assert iam_needs(f"s3://{point}") in (
        (("s3:ListBucket", point), ("s3:GetObject", f"{point}/object/*")),
        (("s3:ListBucket", point.rpartition("/")[0]), ("s3:GetObject", f"{point.rpartition('/')[0]}/object/trail*")),
    )
