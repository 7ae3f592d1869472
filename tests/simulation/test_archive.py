"""What the archive looks like on disk, and that the ledger tells of it exactly."""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.errors import OutputError, UsageError
from keytrail.simulation import DEFAULT_START, EVENT_MIX, Summary, event_mix, simulate

EVENTS = 6000
LOG_KEY = re.compile(
    r"AWSLogs/o-[a-z0-9]{10,32}/(?P<account>\d{12})/CloudTrail/(?P<region>[a-z0-9-]+)/(?P<day>\d{4}/\d\d/\d\d)/"
    r"(?P=account)_CloudTrail_(?P=region)_(?P<time>\d{8}T\d{4}Z)_[A-Za-z0-9]{16}\.json\.gz"
)
EXAMPLE_NETWORKS = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
# The key order of AWS: whatever a record has of these comes in this order.
ORDER = (
    "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
    "userAgent", "errorCode", "errorMessage", "requestParameters", "responseElements", "additionalEventData",
    "requestID", "eventID", "readOnly", "resources", "eventType", "managementEvent", "recipientAccountId",
    "sharedEventID", "eventCategory", "tlsDetails", "sessionCredentialFromConsole",
)  # fmt: skip


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return simulate(tmp_path_factory.mktemp("delivery"), events=EVENTS, seed=3)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return simulate(tmp_path_factory.mktemp("large"), events=12_000, seed=3, layout="large")


@pytest.fixture(scope="module", params=["delivery", "large"])
def archive(request: pytest.FixtureRequest) -> Summary:
    summary: Summary = request.getfixturevalue(request.param)
    return summary


def objects(summary: Summary) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, parsed content) of every object, digests and insights included."""
    for path in sorted(summary.logs.rglob("*.json.gz")):
        yield path.relative_to(summary.out).as_posix(), json.loads(gzip.decompress(path.read_bytes()))


def logs(summary: Summary) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return (key, records) of every object that holds events."""
    return [
        (key, content["Records"])
        for key, content in objects(summary)
        if "/CloudTrail-Digest/" not in key and "/CloudTrail-Insight/" not in key
    ]


def ledger(summary: Summary) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(summary.ledger.read_bytes())
    return content


def moment(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["eventTime"])


def test_the_ledger_counts_what_is_there(archive: Summary) -> None:
    counts = ledger(archive)["counts"]
    found = logs(archive)
    ids = Counter(record["eventID"] for _, records in found for record in records)
    once = {record["eventID"]: record["eventName"] for _, records in found for record in records}
    assert counts["events"] == archive.events == len(ids)
    assert counts["by_event_name"] == dict(Counter(once.values()))
    assert counts["objects"] == archive.objects == len(found)
    assert counts["duplicates"]["events"] == archive.duplicate_events == ids.total() - len(ids)
    assert counts["story_events"] == archive.story_events == len(ledger(archive)["events"])


def test_every_planted_event_lies_where_the_ledger_says(archive: Summary) -> None:
    holders: dict[str, list[str]] = {}
    records = {}
    for key, content in logs(archive):
        for record in content:
            holders.setdefault(record["eventID"], []).append(key)
            records[record["eventID"]] = record
    for event in ledger(archive)["events"]:
        record = records[event["event_id"]]
        assert sorted(event["objects"]) == holders[event["event_id"]]
        assert event["time"] == record["eventTime"]
        assert event["account"] == record["recipientAccountId"]
        assert event["region"] == record["awsRegion"]
        assert (event["provider"], event["event_name"]) == (record["eventSource"], record["eventName"])
        assert event["error"] == record.get("errorCode")
        assert (event["address"], event["agent"]) == (record["sourceIPAddress"], record["userAgent"])
        assert event["context"] in (
            None,
            (record["requestParameters"] or {}).get("encryptionContext"),
            (record["requestParameters"] or {}).get("constraints", {}).get("encryptionContextSubset"),
        )


def test_the_ledger_explains_itself(archive: Summary) -> None:
    content = ledger(archive)
    assert set(content["about"]) == set(content)
    assert content["archive"] == {
        "layout": archive.layout,
        "seed": 3,
        "start": "2026-03-02T00:00:00Z",
        "days": 7,
    }


def test_delivered_objects_hold_one_account_and_region_under_the_key_of_an_organisation_trail(
    delivery: Summary,
) -> None:
    for key, records in logs(delivery):
        match = LOG_KEY.fullmatch(key)
        assert match, key
        assert match["day"].replace("/", "") == match["time"][:8]
        assert {(record["recipientAccountId"], record["awsRegion"]) for record in records} == {
            (match["account"], match["region"])
        }


def test_delivery_is_late_unordered_and_crosses_midnight(delivery: Summary) -> None:
    lateness, unordered, crossing = [], 0, 0
    for key, records in logs(delivery):
        match = LOG_KEY.fullmatch(key)
        assert match
        written = datetime.strptime(match["time"], "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
        times = [moment(record) for record in records]
        unordered += times != sorted(times)
        crossing += any(time.date() < written.date() for time in times)
        lateness += [written - time for time in times]
    assert unordered > 100
    assert crossing > 0
    assert sum(late > timedelta(minutes=20) for late in lateness) > 10
    assert sum(late < timedelta(minutes=20) for late in lateness) > 0.95 * len(lateness)
    # Nothing arrives before it happened; the name is rounded down to five minutes.
    assert min(lateness) > timedelta(minutes=-5)
    locked = next(event for event in ledger(delivery)["events"] if event["step"] == "locked-out")
    assert locked["time"].startswith("2026-03-06T23:5")
    assert "/2026/03/07/" in locked["objects"][0]


def test_delivered_objects_are_small(tmp_path: Path) -> None:
    summary = simulate(tmp_path, events=16_000, seed=9)
    sizes = [len(records) for _, records in logs(summary)]
    assert 7 < sum(sizes) / len(sizes) < 9
    assert max(sizes) < 60


def test_some_objects_are_delivered_twice_one_of_them_with_an_alert(delivery: Summary) -> None:
    contents = Counter(json.dumps(records) for _, records in logs(delivery))
    assert sum(count - 1 for count in contents.values()) == delivery.duplicate_objects > 0
    opened = next(event for event in ledger(delivery)["events"] if event["step"] == "key-opened")
    assert len(opened["objects"]) == 2


def test_digests_and_insights_lie_beside_the_events(delivery: Summary) -> None:
    stored = dict(objects(delivery))
    digests = {key: content for key, content in stored.items() if "/CloudTrail-Digest/" in key}
    insights = {key: content for key, content in stored.items() if "/CloudTrail-Insight/" in key}
    assert digests
    assert len(insights) == 2
    assert len(digests) + len(insights) == delivery.asides
    for key, digest in digests.items():
        assert digest["digestS3Object"] == key
        assert "Records" not in digest
        for file in digest["logFiles"]:
            content = gzip.decompress((delivery.out / file["s3Object"]).read_bytes())
            assert hashlib.sha256(content).hexdigest() == file["hashValue"]
    for content in insights.values():
        assert [record["eventType"] for record in content["Records"]] == ["AwsCloudTrailInsight"]


def test_large_objects_are_few_and_mixed(large: Summary) -> None:
    found = logs(large)
    assert len(found) == 2
    assert all(5000 <= len(records) <= 7000 for _, records in found)
    assert all(len({record["recipientAccountId"] for record in records}) == 6 for _, records in found)
    assert large.duplicate_events == large.asides == 0


def test_records_look_like_records_of_aws(archive: Summary) -> None:
    records = [record for _, content in logs(archive) for record in content]
    known = {name: position for position, name in enumerate(ORDER)}
    for record in records:
        positions = [known[name] for name in record]
        assert positions == sorted(positions)
        assert record["eventVersion"] in ("1.08", "1.09", "1.10", "1.11")
        assert archive.start <= moment(record) < archive.end
        assert record["userIdentity"].get("type")
        if record["eventSource"] == "kms.amazonaws.com" and "keyId" in (record["requestParameters"] or {}):
            assert record["resources"][0]["type"] == "AWS::KMS::Key"
    assert 1100 < archive.inflated_bytes / (archive.events + archive.duplicate_events) < 1450
    kinds = Counter(record["userIdentity"]["type"] for record in records)
    assert {"AssumedRole", "IAMUser", "AWSService", "AWSAccount", "WebIdentityUser"} <= set(kinds)
    errors = sum("errorCode" in record for record in records)
    assert 0.01 < errors / len(records) < 0.08


def test_addresses_are_those_of_documentation_and_keys_are_examples(archive: Summary) -> None:
    for _, records in logs(archive):
        for record in records:
            source = record["sourceIPAddress"]
            try:
                found = ipaddress.ip_address(source)
            except ValueError:
                assert source.endswith((".amazonaws.com", "AWS Internal"))
            else:
                assert any(found in network for network in EXAMPLE_NETWORKS if network.version == found.version)
            assert record["userIdentity"].get("accessKeyId", "EXAMPLE").endswith("EXAMPLE")


def test_gzip_carries_neither_time_nor_name_nor_system(delivery: Summary) -> None:
    for path in delivery.logs.rglob("*.gz"):
        assert path.read_bytes()[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def digest(folder: Path, *, inflate: bool) -> str:
    """Return a digest over the names and bytes of all files, gzip objects inflated if asked."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if inflate and path.suffix == ".gz":
            content = gzip.decompress(content)
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + content + b"\0")
    return total.hexdigest()


@pytest.mark.parametrize("layout", ["delivery", "large"])
def test_one_seed_gives_the_same_bytes(tmp_path: Path, layout: Any) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, events=1500, seed=seed, layout=layout)
    first, again, other = (digest(tmp_path / name, inflate=False) for name in "abc")
    assert first == again != other


RECORDED = {
    "delivery": "bdeb6167499a2aac566e62c86adc83203a9c9e4400f141af2e9a309ad10bd519",
    "large": "1f799d9da1af0478e1c69ab36c0e3325de813fcb065a96421ff232e690f3969b",
}


@pytest.mark.parametrize("layout", ["delivery", "large"])
def test_the_bytes_are_the_same_on_every_machine(tmp_path: Path, layout: str) -> None:
    """The inflated bytes equal those of the machine this was written on, whatever the hash seed and time zone.

    A change of the story or of the background changes these values; then record the new ones.
    """
    code = (
        "import sys; from keytrail.simulation import simulate; "
        "simulate(sys.argv[1], events=1000, seed=1, layout=sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Pacific/Chatham"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out"), layout], env=environment, check=True)
    assert digest(tmp_path / "out", inflate=True) == RECORDED[layout]


def test_the_story_does_not_depend_on_the_number_of_events(delivery: Summary, large: Summary) -> None:
    assert [event["event_id"] for event in ledger(delivery)["events"]] == [
        event["event_id"] for event in ledger(large)["events"]
    ]


def test_the_background_keeps_to_its_table(tmp_path: Path) -> None:
    mix = event_mix()
    assert len({name for name, _, _ in mix}) >= 150
    assert sum(share for _, _, share in mix) == pytest.approx(1)
    assert [share for _, _, share in mix] == sorted((share for _, _, share in mix), reverse=True)
    summary = simulate(tmp_path, events=30_000, seed=2, layout="large")
    planted = {event["event_id"] for event in ledger(summary)["events"]}
    found = Counter(
        (record["eventName"], record["eventSource"])
        for _, records in logs(summary)
        for record in records
        if record["eventID"] not in planted
    )
    background = found.total()
    for name, provider, share in mix:
        # Five standard deviations of a count that is drawn.
        assert abs(found[name, provider] - share * background) < 5 * (share * background) ** 0.5 + 1, name
    assert set(found) <= {(kind.name, kind.provider) for kind in EVENT_MIX}


def test_too_few_events_for_the_story_names_the_least_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"at least \d+ events") as caught:
        simulate(tmp_path / "out", events=10, seed=1)
    assert not (tmp_path / "out").exists()
    least = int(re.findall(r"\d+", caught.value.advice)[0])
    summary = simulate(tmp_path / "out", events=least, seed=1)
    assert summary.events == summary.story_events == least
    assert simulate(tmp_path / "large", events=least, seed=1, layout="large").events == least


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("precious")
    for out in (tmp_path / "there", tmp_path / "there" / "file"):
        with pytest.raises(OutputError, match="not an empty folder"):
            simulate(out, events=1000, seed=1)
    with pytest.raises(OutputError, match="cannot be written"):
        simulate(tmp_path / "there" / "file" / "below", events=1000, seed=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "file"]


def test_the_archive_begins_at_midnight_of_the_day_asked_for(tmp_path: Path) -> None:
    start = datetime(2024, 2, 27, 23, 30, tzinfo=UTC) + timedelta(hours=3)
    summary = simulate(tmp_path, events=400, seed=1, start=start)
    assert (summary.start, summary.end) == (datetime(2024, 2, 28, tzinfo=UTC), datetime(2024, 3, 6, tzinfo=UTC))
    times = [moment(record) for _, records in logs(summary) for record in records]
    assert summary.start <= min(times) <= max(times) < summary.end


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="time zone"):
        simulate(tmp_path / "out", events=400, seed=1, start=datetime(2024, 2, 28))
    with pytest.raises(UsageError, match="unknown layout 'tiny'"):
        simulate(tmp_path / "out", events=400, seed=1, layout="tiny")  # type: ignore[arg-type]
    assert DEFAULT_START.tzinfo is not None
