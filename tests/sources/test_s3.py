"""S3: every level of CloudTrail's layout is walked, only the dates asked for are listed, and reads survive drops."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keytrail.errors import ObjectError, SourceError, UsageError
from keytrail.sources import Source, SourceSettings, TimeWindow, open_source

ACCOUNT, MEMBER, ORGANIZATION = "111122223333", "444455556666", "o-abc123xyz0"
ALL = TimeWindow()
Fill = Callable[[list[str]], None]
Listings = list[dict[str, str]]


def log(account: str, region: str, day: str, number: int = 0, prefix: str = "", organization: str = "") -> str:
    """The key of a delivered log object; `day` as yyyy/mm/dd."""
    owner = f"{organization}/{account}" if organization else account
    name = f"{account}_CloudTrail_{region}_{day.replace('/', '')}T{number:04}Z_abcdefghijklmnop.json.gz"
    return f"{prefix}AWSLogs/{owner}/CloudTrail/{region}/{day}/{name}"


def beside(account: str, region: str, day: str, kind: str) -> str:
    """The key of a digest or insight object."""
    name = f"{account}_CloudTrail-{kind}_{region}_trail_{region}_{day.replace('/', '')}T000000Z.json.gz"
    return f"AWSLogs/{account}/CloudTrail-{kind}/{region}/{day}/{name}"


def days(since: str, until: str | None = None) -> TimeWindow:
    """The window from the start of one day to the start of another."""

    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    return TimeWindow(at(since), at(until) if until else None)


def keys(source: Source, window: TimeWindow = ALL) -> list[str]:
    return [item.key for item in source.objects(window)]


TRAIL = [
    log(ACCOUNT, "eu-west-1", "2024/01/30"),
    log(ACCOUNT, "us-east-1", "2023/12/31"),
    log(ACCOUNT, "us-east-1", "2024/01/30"),
    log(ACCOUNT, "us-east-1", "2024/01/31"),
    log(ACCOUNT, "us-east-1", "2024/02/01"),
    log(ACCOUNT, "us-east-1", "2024/02/02"),
]


@pytest.mark.parametrize(
    "prefix",
    ["", "/", "/AWSLogs", "/AWSLogs/", f"/AWSLogs/{ACCOUNT}", f"/AWSLogs/{ACCOUNT}/CloudTrail"],
)
def test_the_prefix_may_end_at_any_level_above_the_region(
    settings: SourceSettings, bucket: str, fill: Fill, prefix: str
) -> None:
    fill(TRAIL)
    assert keys(open_source(f"s3://{bucket}{prefix}", settings)) == TRAIL


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("us-east-1", TRAIL[1:]),
        ("us-east-1/2024/", TRAIL[2:]),
        ("us-east-1/2024/02", TRAIL[4:]),
        ("us-east-1/2024/02/01/", TRAIL[4:5]),
    ],
)
def test_the_prefix_may_end_at_a_region_a_year_a_month_or_a_day(
    settings: SourceSettings, bucket: str, fill: Fill, prefix: str, expected: list[str]
) -> None:
    fill(TRAIL)
    source = open_source(f"s3://{bucket}/AWSLogs/{ACCOUNT}/CloudTrail/{prefix}", settings)
    assert keys(source) == expected
    wanted = [key for key in expected if "/2024/01/31/" in key or "/2024/02/01/" in key]
    if wanted:
        assert keys(source, days("2024-01-31", "2024-02-01")) == wanted
    else:
        with pytest.raises(SourceError, match="2024/02"):
            keys(source, days("2024-01-31", "2024-02-01"))


def test_an_object_is_a_source_whatever_its_name(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    fill(["export/records.txt", "export/records.txt.bak"])
    source = open_source(f"s3://{bucket}/export/records.txt", settings)
    assert list(source.objects(ALL)) == [("export/records.txt", len("export/records.txt"))]
    assert source.name("export/records.txt") == f"s3://{bucket}/export/records.txt"
    assert b"".join(source.read("export/records.txt")) == b"export/records.txt"


def test_the_beginning_of_names_is_a_prefix_too(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    fill(TRAIL)
    name = TRAIL[4][: TRAIL[4].index("T0000Z")]
    assert keys(open_source(f"s3://{bucket}/{name}", settings)) == TRAIL[4:5]


def test_an_organization_trail_below_a_custom_prefix(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    def delivered(account: str, region: str, day: str) -> str:
        return log(account, region, day, prefix="security/trails/", organization=ORGANIZATION)

    expected = [
        delivered(account, region, "2024/03/05")
        for account in (ACCOUNT, MEMBER)
        for region in ("ap-south-1", "eu-west-1")
    ]
    fill([*expected, delivered(MEMBER, "eu-west-1", "2024/03/01")])
    window = days("2024-03-04", "2024-03-05")
    for prefix in ("", "/security", "/security/trails/AWSLogs/", f"/security/trails/AWSLogs/{ORGANIZATION}/"):
        assert keys(open_source(f"s3://{bucket}{prefix}", settings), window) == expected
    member = f"/security/trails/AWSLogs/{ORGANIZATION}/{MEMBER}/"
    assert keys(open_source(f"s3://{bucket}{member}", settings), window) == expected[2:]


def test_only_the_dates_asked_for_and_one_more_are_listed(
    settings: SourceSettings, bucket: str, fill: Fill, listings: Listings
) -> None:
    crowd = [log(ACCOUNT, "us-east-1", "2024/01/29", number) for number in range(30)]
    late = [log(ACCOUNT, "us-east-1", "2024/02/03", number) for number in range(30)]
    fill(TRAIL + crowd + late)
    source = open_source(f"s3://{bucket}/", replace(settings, list_page_keys=10))
    expected = [key for key in TRAIL if "/2024/01/31/" in key or "/2024/02/01/" in key]
    assert keys(source, days("2024-01-31", "2024-02-01")) == expected
    above = [call for call in listings if call.get("delimiter")]
    below = [call for call in listings if not call.get("delimiter")]
    # The bucket, AWSLogs/, the account, CloudTrail/; then one call for each region, from the first day on.
    assert [call["prefix"].count("/") for call in above] == [0, 1, 2, 3]
    trail = f"AWSLogs/{ACCOUNT}/CloudTrail"
    assert [(call["prefix"], call["start-after"]) for call in below] == [
        (f"{trail}/{region}/", f"{trail}/{region}/2024/01/31") for region in ("eu-west-1", "us-east-1")
    ]


def test_a_window_without_end_lists_to_the_last_day(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    fill(TRAIL)
    assert keys(open_source(f"s3://{bucket}", settings), days("2024-02-01")) == TRAIL[4:]


def test_pages_are_followed(settings: SourceSettings, bucket: str, fill: Fill, listings: Listings) -> None:
    expected = [log(ACCOUNT, "us-east-1", "2024/02/01", number) for number in range(25)]
    fill(expected)
    source = open_source(f"s3://{bucket}/AWSLogs/{ACCOUNT}/CloudTrail/", replace(settings, list_page_keys=10))
    assert keys(source) == expected
    assert [call.get("max-keys") for call in listings] == ["10"] * 3


def test_digests_insights_and_other_services_are_passed_over_and_counted(
    settings: SourceSettings, bucket: str, fill: Fill, listings: Listings
) -> None:
    fill(
        [
            *TRAIL,
            beside(ACCOUNT, "us-east-1", "2024/02/01", "Digest"),
            beside(ACCOUNT, "us-east-1", "2024/02/01", "Insight"),
            f"AWSLogs/{ACCOUNT}/Config/us-east-1/2024/2/1/ConfigSnapshot/snapshot.json.gz",
            f"AWSLogs/aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/flow.json.gz",
            f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2024/02/01/notes.txt",
        ]
    )
    source = open_source(f"s3://{bucket}", settings)
    assert keys(source) == TRAIL
    skipped = source.skipped
    assert (skipped.digest, skipped.insight, skipped.other) == (1, 1, 3)
    assert skipped.examples["digest"] == [f"s3://{bucket}/AWSLogs/{ACCOUNT}/CloudTrail-Digest/"]
    assert not any("Digest" in call["prefix"] or "Config" in call["prefix"] for call in listings)


def test_without_the_layout_all_json_is_taken(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    fill(["a/readme.md", "a/trail.json", "b/c/TRAIL.JSON.GZ", "d.ndjson", "empty/"])
    source = open_source(f"s3://{bucket}", settings)
    assert keys(source) == ["a/trail.json", "b/c/TRAIL.JSON.GZ", "d.ndjson"]
    assert source.skipped.other == 1


def test_looking_for_the_layout_is_bounded(
    settings: SourceSettings, bucket: str, fill: Fill, listings: Listings
) -> None:
    hidden = log(ACCOUNT, "us-east-1", "2024/02/01", prefix="zz/yy/")
    fill([*TRAIL, hidden, *(f"a{number}/x.csv" for number in range(20))])
    source = open_source(f"s3://{bucket}", replace(settings, search_listings=5))
    assert keys(source) == TRAIL
    assert len([call for call in listings if call.get("delimiter") and "AWSLogs" not in call["prefix"]]) == 5
    assert "stopped looking for AWSLogs/ after 5 listings" in source.notes[0]


def test_a_listing_cut_short_still_walks_every_account(settings: SourceSettings, bucket: str, fill: Fill) -> None:
    accounts = [f"{number:012}" for number in range(12)]
    expected = [log(account, "us-east-1", "2024/02/01") for account in accounts]
    fill([*expected, "b/x.csv", "c/x.csv"])
    assert keys(open_source(f"s3://{bucket}", replace(settings, search_listings=1, list_page_keys=5))) == expected


@pytest.mark.parametrize(
    "name",
    ["a b+c.json", "ключ 100%.json", "x&y=<z>'\".json", "q?versionId=1#f.json", "tab\there.json", "..%2f.json"],
)
def test_keys_with_odd_characters(settings: SourceSettings, bucket: str, fill: Fill, name: str) -> None:
    fill([f"odd/{name}"])
    (item,) = open_source(f"s3://{bucket}/odd/", settings).objects(ALL)
    assert item.key == f"odd/{name}"
    named = open_source(f"s3://{bucket}/odd/{name}", settings)
    assert keys(named) == [item.key]
    assert b"".join(named.read(item.key)).decode() == item.key


def test_large_objects_come_in_chunks_and_a_copy_in_another_process_reads_too(
    settings: SourceSettings, bucket: str, fill: Fill
) -> None:
    fill(["some.json"])
    source = open_source(f"s3://{bucket}", replace(settings, chunk_bytes=4))
    assert list(source.read("some.json")) == [b"some", b".jso", b"n"]
    assert list(pickle.loads(pickle.dumps(source)).read("some.json")) == [b"some", b".jso", b"n"]


def test_nothing_found_says_what_was_expected_and_what_lay_there(
    settings: SourceSettings, bucket: str, fill: Fill
) -> None:
    with pytest.raises(SourceError, match=r"found in s3://trail-\d+/: nothing") as empty:
        keys(open_source(f"s3://{bucket}", settings))
    assert "AWSLogs/" in empty.value.advice
    fill(["data/a.csv", "data/b.parquet"])
    with pytest.raises(SourceError, match=r"2 other files or folders \(s3://.*a\.csv, s3://.*b\.parquet\)"):
        keys(open_source(f"s3://{bucket}", settings))
    with pytest.raises(SourceError, match=r"found in s3://trail-\d+/: data/"):
        keys(open_source(f"s3://{bucket}/dada/", settings))
    fill(TRAIL)
    with pytest.raises(SourceError, match="for the days 2025/01/01 to 2025/01/02"):
        keys(open_source(f"s3://{bucket}", settings), days("2025-01-01", "2025-01-02"))


def test_a_missing_bucket_and_a_missing_name(settings: SourceSettings) -> None:
    with pytest.raises(SourceError, match="no bucket for s3://not-there-at-all/"):
        keys(open_source("s3://not-there-at-all", settings))
    for text in ("s3://", "s3:///prefix", "s3://b ad/"):
        with pytest.raises(UsageError, match="names no bucket"):
            open_source(text, settings)


def test_an_object_that_went_away_is_a_problem_of_its_own(settings: SourceSettings, bucket: str) -> None:
    source = open_source(f"s3://{bucket}", settings)
    with pytest.raises(ObjectError, match="does not exist") as gone:
        list(source.read("gone.json"))
    assert gone.value.place is not None
    assert gone.value.place.file == f"s3://{bucket}/gone.json"


# -- a server that drops connections -------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 64


class Flaky(BaseHTTPRequestHandler):
    """Serves CONTENT, `piece` bytes a connection, then hangs up; notes the ranges it was asked for."""

    ranges: list[str | None]
    piece = 5000
    etags = ('"one"',)
    resumes = True

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        etag = self.etags[min(len(self.ranges), len(self.etags) - 1)]
        self.ranges.append(asked)
        if self.headers.get("If-Match", etag) != etag:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", etag)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.resumes else 0
        self._answer(206 if start else 200, CONTENT[start:], etag)

    def _answer(self, status: int, body: bytes, etag: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body[: self.piece])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(**changes: object) -> Iterator[tuple[str, list[str | None]]]:
    """Run a flaky server; gives its URL and the ranges asked for."""
    ranges: list[str | None] = []
    handler = type("Handler", (Flaky,), {"ranges": ranges, **changes})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", ranges
        finally:
            server.shutdown()
            thread.join()


def flaky_source(settings: SourceSettings, url: str) -> Source:
    return open_source("s3://flaky", replace(settings, aws=replace(settings.aws, endpoint_url=url), chunk_bytes=1000))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keytrail.sources.s3.time.sleep", lambda seconds: None)


def test_a_dropped_connection_is_resumed_where_it_broke(settings: SourceSettings) -> None:
    with serving() as (url, ranges):
        assert b"".join(flaky_source(settings, url).read("x.json")) == CONTENT
    assert ranges == [None, "bytes=5000-", "bytes=10000-", "bytes=15000-"]


def test_a_server_that_never_gets_further_is_given_up(settings: SourceSettings) -> None:
    with serving(piece=10) as (url, ranges), pytest.raises(ObjectError, match=r"s3://flaky/x\.json"):
        list(flaky_source(settings, url).read("x.json"))
    assert len(ranges) == settings.read_attempts


def test_an_object_replaced_meanwhile_is_not_mixed(settings: SourceSettings) -> None:
    with (
        serving(etags=('"one"', '"two"')) as (url, _),
        pytest.raises(ObjectError, match="was replaced while it was read"),
    ):
        list(flaky_source(settings, url).read("x.json"))


def test_a_server_that_cannot_resume_is_not_believed(settings: SourceSettings) -> None:
    with serving(resumes=False) as (url, _), pytest.raises(ObjectError, match="cannot resume"):
        list(flaky_source(settings, url).read("x.json"))
