"""A scan: every match an alert, each event once, in the order of time, whatever the number of processes."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail.errors import InputError, RuleError, SourceError, UsageError
from keytrail.service.query import run_query
from keytrail.service.requests import Progress, QueryRequest, ScanRequest
from keytrail.service.scan import scan

FLAGSHIP = "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"


def event(name: str = "PutKeyPolicy", number: int = 1, **more: object) -> dict[str, object]:
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "userName": "ada", "accountId": "111122223333"},
        "eventTime": f"2026-03-{number:02}T08:00:00Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "192.0.2.10",
        "eventID": f"{name}-{number}",
        "recipientAccountId": "111122223333",
    } | more


def write(path: Path, records: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps({"Records": records}, separators=(",", ":")).encode()))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    write(folder / "b.json.gz", [event(number=3), event("Decrypt", 3), event(number=1)])
    write(folder / "a.json.gz", [event(number=2), event(number=2), event(number=4, errorCode="AccessDenied")])
    write(folder / "c.json.gz", [event(number=1), event(number=5, userIdentity={"type": "AWSService"})])
    return folder


def flagship(*sources: Path, **more: object) -> ScanRequest:
    return ScanRequest(sources=tuple(map(str, sources)), rule_ids=(FLAGSHIP,), **more)  # type: ignore[arg-type]


def ids(alerts: Sequence[dict[str, object]]) -> list[object]:
    return [alert["kibana.alert.original_event.id"] for alert in alerts]


def test_alerts_come_by_event_time_and_an_event_that_lies_twice_alerts_once(archive: Path) -> None:
    result = scan(flagship(archive))
    assert ids(result.alerts) == ["PutKeyPolicy-1", "PutKeyPolicy-2", "PutKeyPolicy-3"]
    assert (result.stats.matches, result.stats.duplicates, result.stats.objects) == (5, 2, 3)
    assert dict(result.stats.by_severity) == {"medium": 3}
    assert dict(result.stats.by_rule) == {"AWS KMS Key Policy Updated via PutKeyPolicy": 3}
    assert not result.errors
    assert not result.failures


def test_in_a_scan_an_event_counts_as_ingested_when_it_happened(archive: Path) -> None:
    first = scan(flagship(archive)).alerts[0]
    assert first["event"]["ingested"] == "2026-03-01T08:00:00.000Z"  # type: ignore[index]


@pytest.mark.parametrize("check", [False, True])
def test_the_number_of_processes_and_a_check_change_nothing(archive: Path, check: bool) -> None:
    one, many = (scan(flagship(archive, jobs=jobs, check=check)).alerts for jobs in (1, 3))
    assert ids(one) == ids(many) == ["PutKeyPolicy-1", "PutKeyPolicy-2", "PutKeyPolicy-3"]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-03-02T08:00:00Z", None, ["PutKeyPolicy-2", "PutKeyPolicy-3"]),
        (None, "2026-03-02T08:00:00Z", ["PutKeyPolicy-1"]),
        ("2026-03-02T08:00:00Z", "2026-03-02T08:00:01Z", ["PutKeyPolicy-2"]),
    ],
)
def test_the_window_is_of_event_times_and_its_end_is_exclusive(
    archive: Path, since: str | None, until: str | None, expected: list[str]
) -> None:
    start, end = (datetime.fromisoformat(text) if text else None for text in (since, until))
    assert ids(scan(flagship(archive, since=start, until=end)).alerts) == expected


def test_an_event_without_a_readable_time_lies_in_no_window(tmp_path: Path) -> None:
    source = write(tmp_path / "a.json.gz", [event(eventTime="yesterday")])
    assert len(scan(flagship(source)).alerts) == 1
    assert not scan(flagship(source, since=datetime(1970, 1, 1, tzinfo=UTC))).alerts


def test_what_cannot_be_read_is_told_and_the_rest_is_scanned(archive: Path, tmp_path: Path) -> None:
    (archive / "0.json.gz").write_bytes(gzip.compress(b'{"Records":[' + json.dumps(event(number=9)).encode())[:-20])
    (archive / "d.json").write_text("PutKeyPolicy")
    told: list[InputError | SourceError] = []
    result = scan(flagship(archive, check=True), report=told.append)
    assert ids(result.alerts)[:3] == ["PutKeyPolicy-1", "PutKeyPolicy-2", "PutKeyPolicy-3"]
    assert result.stats.problems == len(result.errors) == len(told) >= 2
    assert {Path(error.place.file).name for error in told if error.place} == {"0.json.gz", "d.json"}


def test_a_source_that_is_not_there_is_a_failure_and_the_others_are_scanned(archive: Path, tmp_path: Path) -> None:
    result = scan(flagship(tmp_path / "nowhere", archive))
    assert len(result.alerts) == 3
    assert len(result.failures) == 1
    assert "nowhere" in str(result.failures[0])


def test_progress_counts_up_to_all_objects(archive: Path) -> None:
    seen: list[Progress] = []
    scan(flagship(archive), observe=seen.append)
    assert [one.objects_done for one in seen] == sorted(one.objects_done for one in seen)
    assert (seen[-1].objects_done, seen[-1].alerts) == (3, 3)
    assert seen[-1].bytes_done == sum(path.stat().st_size for path in archive.iterdir())


@pytest.mark.filterwarnings("error")
def test_a_room_that_cannot_be_loaded_is_told_where_it_is_needed(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keytrail.service.knowledge", None)
    with pytest.raises(ImportError, match="knowledge"):
        scan(flagship(archive))


def rule(**more: object) -> dict[str, object]:
    return {
        "rule_id": "mine",
        "name": "Mine",
        "description": "d",
        "type": "query",
        "severity": "low",
        "risk_score": 5,
        "query": "event.action: PutKeyPolicy",
    } | more


def with_rules(tmp_path: Path, *rules: dict[str, object]) -> Path:
    path = tmp_path / "rules.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in rules))
    return path


def own(archive: Path, rules: Path, **more: object) -> ScanRequest:
    return ScanRequest((str(archive),), rule_paths=(str(rules),), builtin=False, **more)  # type: ignore[arg-type]


def test_severity_is_judged_after_the_rules_mappings(archive: Path, tmp_path: Path) -> None:
    mapping = {
        "field": "aws.cloudtrail.error_code",
        "operator": "equals",
        "value": "AccessDenied",
        "severity": "critical",
    }
    rules = with_rules(tmp_path, rule(severity_mapping=[mapping]))
    result = scan(own(archive, rules, min_severity="high"))
    assert ids(result.alerts) == ["PutKeyPolicy-4"]
    assert result.alerts[0]["kibana.alert.severity"] == "critical"
    assert dict(result.stats.by_severity) == {"critical": 1}
    assert len(scan(own(archive, rules)).alerts) == 5


def test_a_query_that_does_not_compile_names_its_place_and_stops_the_scan(archive: Path, tmp_path: Path) -> None:
    rules = with_rules(tmp_path, rule(query="event.action: (A or"))
    with pytest.raises(RuleError, match=r"rules\.ndjson:1:"):
        scan(own(archive, rules))


def test_every_wrong_rule_is_told_at_once(archive: Path, tmp_path: Path) -> None:
    rules = with_rules(tmp_path, rule(severity="grave"), rule(rule_id="other", query="a: ("))
    with pytest.raises(RuleError, match=r"(?s)grave.*a: \("):
        scan(own(archive, rules))


def test_a_rule_of_another_type_is_told_and_the_rest_runs(archive: Path, tmp_path: Path) -> None:
    other = rule(rule_id="t", name="Threshold", type="threshold", threshold={"field": "user.id", "value": 3})
    result = scan(own(archive, with_rules(tmp_path, rule(), other)))
    assert len(result.alerts) == 5
    assert any("threshold" in note for note in result.notes)


@pytest.mark.parametrize("builtin", [True, False])
def test_an_unknown_rule_id_is_an_error(archive: Path, builtin: bool) -> None:
    with pytest.raises(UsageError, match="no-such-rule"):
        scan(ScanRequest((str(archive),), builtin=builtin, rule_ids=("no-such-rule",)))


def test_no_rule_left_is_an_error(archive: Path) -> None:
    with pytest.raises(UsageError, match="no rule"):
        scan(ScanRequest((str(archive),), builtin=False))


def test_a_query_prints_each_event_once_in_the_order_of_the_archive(archive: Path) -> None:
    found = list(
        run_query(QueryRequest((str(archive),), "event.action: PutKeyPolicy and event.outcome: success", raw=True))
    )
    names = [json.loads(one.raw)["eventID"] for one in found]
    assert names == ["PutKeyPolicy-2", "PutKeyPolicy-3", "PutKeyPolicy-1", "PutKeyPolicy-5"]
    assert [one.document["event"]["id"] for one in found] == names  # type: ignore[index]


def test_a_query_over_a_source_that_fails_gives_what_there_is_and_then_the_failure(
    archive: Path, tmp_path: Path
) -> None:
    found = run_query(QueryRequest((str(archive), str(tmp_path / "nowhere")), "event.action: Decrypt", raw=True))
    assert json.loads(next(found).raw)["eventName"] == "Decrypt"
    with pytest.raises(SourceError, match="nowhere"):
        next(found)


def test_the_real_archives_scan_clean_and_hold_what_a_plain_count_finds(shared: Path) -> None:
    folder = shared / "cloudtrail"
    records = [record for path in folder.rglob("*.json") for record in _records(json.loads(path.read_text()))]
    once = {(record.get("eventID"), record.get("recipientAccountId")): record["eventName"] for record in records}
    result = scan(ScanRequest((str(folder),), check=True))
    assert not result.errors
    assert result.stats.records_read == len(records)
    found = Counter(one.document["event"]["action"] for one in run_query(QueryRequest((str(folder),))))  # type: ignore[index]
    assert found == Counter(once.values())


def _records(data: object) -> list[dict[str, object]]:
    if isinstance(data, dict):
        return data.get("Records", [data])  # type: ignore[no-any-return]
    return data  # type: ignore[return-value]
