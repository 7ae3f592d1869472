"""The built-in pack: the flagship has exactly its facts, every rule is complete, and each matches what it says."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from keytrail import query
from keytrail.cloudtrail import CATALOGUE, Document
from keytrail.rules import Rule, builtin, of_service

RULES = {Path(rule.origin.file).stem: rule for rule in builtin().rules}
OF_SERVICE = {Path(rule.origin.file).stem: rule for rule in of_service().rules}
EVERY = RULES | OF_SERVICE
FLAGSHIP = RULES["kms_key_policy_updated"]
EVENTS = json.loads((Path(__file__).parent / "pack_events.json").read_text())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "AWS KMS Key Policy Updated via PutKeyPolicy"),
        ("rule_id", "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"),
        ("type", "query"),
        ("language", "kuery"),
        ("index", ["filebeat-*", "logs-aws.cloudtrail-*"]),
        ("severity", "medium"),
        ("risk_score", 47),
        ("interval", "5m"),
        ("from", "now-6m"),
        ("to", "now"),
        ("max_signals", 100),
        ("timestamp_override", "event.ingested"),
        ("version", 1),
        ("author", ["Elastic"]),
        ("license", "Elastic License v2"),
        ("enabled", True),
        ("immutable", True),
        (
            "references",
            [
                "https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html",
                "https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html",
            ],
        ),
        (
            "tags",
            [
                "Domain: Cloud",
                "Data Source: AWS",
                "Data Source: Amazon Web Services",
                "Data Source: AWS KMS",
                "Use Case: Threat Detection",
                "Tactic: Defense Evasion",
                "Tactic: Privilege Escalation",
                "Resources: Investigation Guide",
            ],
        ),
        (
            "query",
            'event.dataset: "aws.cloudtrail" and event.provider: "kms.amazonaws.com" and event.action: "PutKeyPolicy" '
            'and event.outcome: "success" and not aws.cloudtrail.user_identity.type: "AWSService"',
        ),
    ],
)
def test_flagship_fact(field: str, value: object) -> None:
    assert FLAGSHIP.to_dict()[field] == value


def attack_ids(rule: Rule) -> set[tuple[str, str]]:
    """Pairs of tactic and technique (or sub-technique, beside its technique)."""
    found = set()
    for threat in rule.to_dict()["threat"]:  # type: ignore[attr-defined]
        for technique in threat["technique"]:
            found.add((threat["tactic"]["id"], technique["id"]))
            found |= {(threat["tactic"]["id"], sub["id"]) for sub in technique.get("subtechnique", [])}
    return found


def test_flagship_attack() -> None:
    assert attack_ids(FLAGSHIP) == {("TA0004", "T1548"), ("TA0004", "T1548.005"), ("TA0005", "T1562")}


def test_flagship_texts_say_what_an_analyst_needs() -> None:
    for word in ("who may", "administer", "accounts outside", "decrypt", "rotated", "disabling nor deleting"):
        assert word in FLAGSHIP.description
    said = " ".join(FLAGSHIP.false_positives).lower()
    assert all(word in said for word in ("onboarding", "rotation", "cross-account"))
    assert FLAGSHIP.note
    for word in ("bypassPolicyLockoutSafetyCheck", "RevokeGrant", "replica", "`Decrypt`", "user_identity.arn"):
        assert word in FLAGSHIP.note


@pytest.mark.parametrize("rule", EVERY.values(), ids=EVERY)
def test_rule_is_complete(rule: Rule) -> None:
    assert uuid.UUID(rule.rule_id).version == 4
    assert rule.supported
    assert rule.enabled
    assert rule.immutable
    assert len(rule.description) > 200
    assert rule.false_positives
    assert rule.references
    assert rule.timestamp_override == "event.ingested"
    assert {"Domain: Cloud", "Data Source: AWS KMS", "Resources: Investigation Guide"} <= set(rule.tags)
    assert {"low": 21, "medium": 47, "high": 73, "critical": 99}[rule.severity] == rule.risk_score
    assert re.findall(r"(?m)^## (.*)", rule.note or "") == ["Triage", "False positive analysis", "Response"]
    if rule is not FLAGSHIP:
        assert (rule.author, rule.license) == (("keytrail",), "Apache-2.0")
        assert rule.setup


@pytest.mark.parametrize("rule", EVERY.values(), ids=EVERY)
def test_attack_names_and_addresses_agree(rule: Rule) -> None:
    tactics = set()
    for threat in rule.to_dict()["threat"]:  # type: ignore[attr-defined]
        tactic = threat["tactic"]
        tactics.add(f"Tactic: {tactic['name']}")
        assert tactic["reference"] == f"https://attack.mitre.org/tactics/{tactic['id']}/"
        assert threat["technique"]
        for technique in threat["technique"]:
            for one in (technique, *technique.get("subtechnique", [])):
                assert one["id"].startswith(technique["id"])
                assert one["reference"] == f"https://attack.mitre.org/techniques/{one['id'].replace('.', '/')}/"
    assert tactics == {tag for tag in rule.tags if tag.startswith("Tactic: ")}


def test_ids_names_and_the_pack_itself() -> None:
    assert len({rule.rule_id for rule in EVERY.values()}) == len({rule.name for rule in EVERY.values()}) == len(EVERY)
    assert not builtin().errors
    assert not builtin().notes
    assert builtin() is builtin()


@cache
def compiled(name: str) -> query.Query:
    return query.compile(RULES[name].query, CATALOGUE, now=datetime(2026, 3, 2, tzinfo=UTC))


def matching(record: dict[str, object]) -> list[str]:
    document = Document(record)
    return sorted(name for name in RULES if compiled(name).matches(document))


@pytest.mark.parametrize("event", EVENTS["events"], ids=lambda event: event["what"])
def test_event_is_matched_by(event: dict[str, dict[str, object]]) -> None:
    assert matching(EVENTS["base"] | event["record"]) == event["rules"]


@pytest.mark.parametrize("rule", OF_SERVICE.values(), ids=OF_SERVICE)
def test_a_rule_of_the_service_matches_no_event_of_aws(rule: Rule) -> None:
    """An event's provider is the address of a service of AWS; what keytrail itself observes has another name."""
    one = query.compile(rule.query, CATALOGUE, now=datetime(2026, 3, 2, tzinfo=UTC))
    assert all(CATALOGUE.type_of(field) for field in one.fields)
    assert frozenset({("event.provider", "keytrail")}) in one.necessary
    assert not any(one.matches(Document(EVENTS["base"] | event["record"])) for event in EVENTS["events"])


def test_every_rule_has_an_event() -> None:
    assert {name for event in EVENTS["events"] for name in event["rules"]} == set(RULES)


@pytest.mark.parametrize("name", ["kms_lockout_check_bypassed", "kms_replica_created_with_own_policy"])
def test_padding_the_policy_hides_nothing(name: str) -> None:
    """A request of 32 KB has no flattened form in the ECS document; blanks in a policy cost an attacker nothing."""
    request = {"keyId": "k", "policy": "{" + " " * 32_760 + "}", "bypassPolicyLockoutSafetyCheck": True}
    record = EVENTS["base"] | {"eventName": "ReplicateKey", "requestParameters": request}
    assert not Document(record).values("aws.cloudtrail.flattened.request_parameters.keyId")
    assert name in matching(record)


@pytest.mark.parametrize("name", RULES)
def test_query_names_known_fields_and_narrows_to_the_service(name: str) -> None:
    one = compiled(name)
    assert all(CATALOGUE.type_of(field) for field in one.fields)
    assert frozenset({("event.provider", "kms.amazonaws.com")}) in one.necessary
