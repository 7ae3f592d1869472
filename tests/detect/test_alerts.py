"""The alert document: what is copied, what is overlaid, and which mappings apply."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from keytrail.cloudtrail import normalize
from keytrail.detect import Assessment, Execution, alert_id, assess, build_alert, reason
from keytrail.errors import Place
from keytrail.rules import RiskScoreMapping, Rule, SeverityMapping

HERE = Place("rules.toml", line=1)
RULE = Rule(
    rule_id="r-1",
    name="Somebody did something",
    description="d",
    type="query",
    severity="medium",
    risk_score=47,
    origin=HERE,
    query="event.action: PutKeyPolicy",
    index=("logs-aws.cloudtrail-*",),
    note="look",
    meta={"kibana_siem_app_url": "x"},
)
RECORD: dict[str, object] = {
    "eventVersion": "1.09",
    "userIdentity": {"type": "IAMUser", "userName": "ada", "arn": "arn:aws:iam::111122223333:user/ada"},
    "eventTime": "2026-03-01T08:00:00Z",
    "eventSource": "kms.amazonaws.com",
    "eventName": "PutKeyPolicy",
    "awsRegion": "eu-west-1",
    "sourceIPAddress": "192.0.2.10",
    "eventID": "e-1",
    "recipientAccountId": "111122223333",
}
EXECUTION = Execution("run-1", datetime(2026, 4, 1, 12, 0, 0, 123456, tzinfo=UTC))


def alert(rule: Rule = RULE, record: dict[str, object] = RECORD) -> dict[str, object]:
    return build_alert(rule, normalize(record), id=alert_id(rule.rule_id, record), execution=EXECUTION)


def test_the_id_is_the_documented_hash_of_rule_and_event() -> None:
    expected = sha256(b"keytrail/1\0r-1\x00111122223333\0eu-west-1\0e-1").hexdigest()
    assert alert()["kibana.alert.uuid"] == expected


def test_the_id_falls_back_to_the_callers_account_and_to_the_records_digest() -> None:
    caller = {"userIdentity": {"accountId": "9"}, "awsRegion": "r", "eventID": "e"}
    assert alert_id("x", caller) == sha256(b"keytrail/1\0x\x009\0r\0e").hexdigest()
    assert alert_id("x", {"awsRegion": "r", "a": 1, "b": 2}) == alert_id("x", {"b": 2, "a": 1, "awsRegion": "r"})
    assert alert_id("x", {"awsRegion": "r", "a": 1}) != alert_id("x", {"awsRegion": "r", "a": 2})


def test_the_event_is_copied_and_the_alert_says_when_it_was_made() -> None:
    made = alert()
    assert made["@timestamp"] == made["kibana.alert.start"] == "2026-04-01T12:00:00.123Z"
    assert made["kibana.alert.original_time"] == "2026-03-01T08:00:00.000Z"
    assert made["event"]["kind"] == "signal"  # type: ignore[index]
    assert made["kibana.alert.original_event.kind"] == "event"
    assert made["kibana.alert.original_event.action"] == "PutKeyPolicy"
    assert made["kibana.alert.original_data_stream.dataset"] == "aws.cloudtrail"
    assert made["user"]["name"] == "ada"  # type: ignore[index]
    assert made["kibana.alert.rule.rule_id"] == "r-1"
    assert made["kibana.alert.rule.note"] == "look"
    assert made["kibana.alert.rule.meta.kibana_siem_app_url"] == "x"
    assert made["kibana.alert.rule.parameters"]["query"] == RULE.query  # type: ignore[index]
    assert made["kibana.alert.ancestors"] == [
        {"id": "e-1", "type": "event", "index": "logs-aws.cloudtrail-default", "depth": 0}
    ]
    assert None not in made.values()


def test_the_document_is_not_changed() -> None:
    document = normalize(RECORD)
    before = normalize(RECORD)
    build_alert(RULE, document, id="1", execution=EXECUTION)
    assert document == before


def test_a_rule_without_an_installations_id_has_the_same_id_everywhere() -> None:
    assert alert()["kibana.alert.rule.uuid"] == alert()["kibana.alert.rule.uuid"]
    assert alert(replace(RULE, id="abc"))["kibana.alert.rule.uuid"] == "abc"


@pytest.mark.parametrize(
    ("values", "mappings", "expected"),
    [
        (["b"], [("a", "critical"), ("b", "high")], "high"),
        (["a", "b"], [("a", "critical"), ("b", "low")], "critical"),
        (["a"], [("a", "high"), ("a", "low")], "high"),
        (["c"], [("a", "critical")], "medium"),
        ([], [("a", "critical")], "medium"),
        ([True], [("true", "low")], "low"),
        ([7], [("7", "low")], "low"),
    ],
)
def test_the_highest_severity_mapping_that_applies_wins(
    values: list[object], mappings: list[tuple[str, str]], expected: str
) -> None:
    rule = replace(
        RULE, severity_mapping=tuple(SeverityMapping("x.y", "equals", value, severity) for value, severity in mappings)
    )
    assert assess(rule, {"x": {"y": values}}).severity == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (99, 99),
        ("12", 12),
        (["3", 80, "x"], 80),
        (101, 47),
        (-1, 47),
        ("nan", 47),
        (True, 47),
        (None, 47),
        (12.5, 12.5),
    ],
)
def test_the_largest_valid_risk_score_of_the_event_replaces_the_rules(value: object, expected: float) -> None:
    rule = replace(
        RULE, risk_score_mapping=(RiskScoreMapping("x.y", "equals", ""), RiskScoreMapping("z", "equals", ""))
    )
    assert assess(rule, {"x": {"y": value}, "z": 100}).risk_score == expected


def test_a_name_is_overridden_by_text_only() -> None:
    rule = replace(RULE, rule_name_override="x.y")
    assert assess(rule, {"x": {"y": "told"}}).name == "told"
    assert assess(rule, {"x.y": "dotted"}).name == "dotted"
    assert assess(rule, {"x": {"y": 5}}).name == RULE.name
    assert assess(rule, {}).name == RULE.name


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, "event created high alert N."),
        ({"event": {"category": ["iam", "file"]}, "user": {"name": "u"}}, "iam, file event by u created high alert N."),
        ({"source": {"ip": "192.0.2.1", "port": 5}}, "event with source 192.0.2.1:5 created high alert N."),
        ({"source": {"ip": "-"}, "host": {"name": "h"}}, "event on h created high alert N."),
    ],
)
def test_the_reason_says_what_is_known(document: dict[str, object], expected: str) -> None:
    assert reason(document, Assessment("high", 1, "N")) == expected
