"""What a row says: the facts of records as they are, and of records that someone bent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cli.facts import (
    ALERT_COLUMNS,
    ALERT_TABLE,
    EVENT_COLUMNS,
    EVENT_TABLE,
    alert_facts,
    event_facts,
)
from keytrail.names import short_identity, short_resource

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def document(**cloudtrail: Any) -> dict[str, Any]:
    return {
        "@timestamp": "2026-03-01T08:00:12.000Z",
        "event": {"action": "PutKeyPolicy", "provider": "kms.amazonaws.com", "outcome": "success", "id": "e-1"},
        "source": {"address": "203.0.113.7", "ip": "203.0.113.7"},
        "cloud": {"account": {"id": "111122223333"}, "region": "eu-west-1"},
        "user": {"name": "Admin", "id": "AROAEXAMPLE:mallory"},
        "user_agent": {"original": "aws-cli/2.15.0"},
        "aws": {
            "cloudtrail": {
                "user_identity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/Admin/mallory"},
                "recipient_account_id": "444455556666",
            }
            | cloudtrail
        },
    }


def test_an_event() -> None:
    resources = [
        {"arn": "arn:aws:kms:eu-west-1:111122223333:alias/orders", "type": "AWS::KMS::Alias"},
        {"arn": KEY, "type": "AWS::KMS::Key", "account_id": "111122223333"},
    ]
    assert event_facts(document(resources=resources)) == {
        "time": "2026-03-01T08:00:12.000Z",
        "clock": "2026-03-01 08:00:12",
        "action": "PutKeyPolicy",
        "provider": "kms.amazonaws.com",
        "outcome": "success",
        "error_code": "",
        "resource": KEY,
        "key": "1234abcd-12ab-34cd-56ef-1234567890ab",
        "actor": "Admin/mallory",
        "actor_type": "AssumedRole",
        "actor_arn": "arn:aws:sts::111122223333:assumed-role/Admin/mallory",
        "actor_account": "111122223333",
        "account": "444455556666",
        "region": "eu-west-1",
        "source": "203.0.113.7",
        "origin": "203.0.113.7",
        "user_agent": "aws-cli/2.15.0",
        "event_id": "e-1",
    }


def test_an_alert_adds_its_rule_and_keeps_the_time_of_the_event() -> None:
    alert = document() | {
        "@timestamp": "2026-11-24T00:00:00.000Z",
        "kibana.alert.original_time": "2026-03-01T08:00:12.000Z",
        "kibana.alert.severity": "medium",
        "kibana.alert.risk_score": 47,
        "kibana.alert.rule.name": "Key policy updated",
        "kibana.alert.rule.rule_id": "r-1",
        "kibana.alert.rule.threat": [
            {"technique": [{"id": "T1548", "subtechnique": [{"id": "T1548.005"}]}]},
            {"technique": [{"id": "T1562"}]},
        ],
        "kibana.alert.uuid": "a-1",
    }
    facts = alert_facts(alert)
    assert {name: facts[name] for name in ALERT_COLUMNS if name not in EVENT_COLUMNS} == {
        "severity": "medium",
        "risk_score": "47",
        "rule": "Key policy updated",
        "rule_id": "r-1",
        "attack": "T1548.005 T1562",
        "alert_id": "a-1",
        "verdict": "",
        "score": "",
        "summary": "",
    }
    assert facts["time"] == "2026-03-01T08:00:12.000Z"
    assert facts["clock"] == "2026-03-01 08:00:12"


@pytest.mark.parametrize(
    ("cloudtrail", "resource", "key"),
    [
        ({"flattened": {"request_parameters": {"keyId": "alias/orders"}}}, "alias/orders", "alias/orders"),
        ({"flattened": {"request_parameters": {"bucketName": "invoices"}}}, "invoices", "invoices"),
        ({"resources": [{"arn": "arn:aws:s3:::invoices/1.pdf"}]}, "arn:aws:s3:::invoices/1.pdf", "invoices/1.pdf"),
        ({"resources": [{"arn_prefix": "x"}], "flattened": {"request_parameters": {"keyId": KEY}}}, KEY, KEY[-36:]),
        ({}, "", ""),
    ],
)  # fmt: skip
def test_what_was_acted_on(cloudtrail: dict[str, Any], resource: str, key: str) -> None:
    facts = event_facts(document(**cloudtrail))
    assert (facts["resource"], facts["key"]) == (resource, key)


def test_the_target_entity_is_the_last_resort() -> None:
    assert event_facts(document() | {"target": {"entity": {"id": ["i-0abc", "i-0def"]}}})["key"] == "i-0abc"


@pytest.mark.parametrize(
    ("identity", "others", "actor"),
    [
        ({"arn": "arn:aws:iam::111122223333:user/alice"}, {}, "alice"),
        ({"arn": "arn:aws:iam::111122223333:root"}, {}, "root"),
        (
            {"arn": "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Key_Admin_0123456789abcdef/eve@example.com"},
            {},
            "Key_Admin/eve@example.com",
        ),
        ({"arn": "arn:aws:sts::111122223333:federated-user/bob"}, {}, "bob"),
        ({"type": "AWSService", "invoked_by": "s3.amazonaws.com"}, {"user": None}, "s3.amazonaws.com"),
        ({"type": "AWSService"}, {"service": {"name": "s3.amazonaws.com"}, "user": None}, "s3.amazonaws.com"),
        ({"type": "AWSAccount"}, {"user": {"id": "AIDAEXAMPLE"}}, "AIDAEXAMPLE"),
        ({}, {"user": None}, ""),
    ],
)
def test_who_acted(identity: dict[str, str], others: dict[str, Any], actor: str) -> None:
    assert event_facts(document(user_identity=identity) | others)["actor"] == actor


@pytest.mark.parametrize("text", ["", ":", "arn", "arn:", "arn:::::", "arn:aws:iam::1", "/", "user/", "a/b/c"])
def test_what_is_no_arn_is_taken_as_it_is(text: str) -> None:
    assert isinstance(short_identity(text), str)
    assert isinstance(short_resource(text), str)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["event", "aws", "cloudtrail", "resources", "arn", "threat", "technique", "id", "entity", "action"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "event",
                "aws",
                "user",
                "source",
                "@timestamp",
                "target",
                "aws.cloudtrail.resources",
                "kibana.alert.rule.threat",
            ]
        ),
        VALUES,
    )
)
def test_any_document_has_facts(bent: dict[str, Any]) -> None:
    events, alerts = event_facts(bent), alert_facts(bent)
    assert set(EVENT_COLUMNS) | {column.key for column in EVENT_TABLE} <= set(events)
    assert set(ALERT_COLUMNS) | {column.key for column in ALERT_TABLE} <= set(alerts)
    assert all(isinstance(value, str) for value in (*events.values(), *alerts.values()))
