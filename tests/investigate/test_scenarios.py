"""Scenarios: what an investigation must say of a story, in whatever order and however often its events arrive."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from keytrail.investigate import Event, change_of, investigate
from keytrail.store import MemoryStore
from keytrail.text import for_json
from tests.investigate.scenarios import load

Json = dict[str, Any]

_EVERY = pytest.mark.parametrize("name", load.names())


@_EVERY
def test_investigation_says_what_the_scenario_expects(name: str) -> None:
    wrong = load.problems(load.document(name), load.scenario(name).expect)

    assert not wrong, "\n".join((load.scenario(name).about, *wrong))


@_EVERY
def test_neither_the_order_of_arrival_nor_a_second_delivery_changes_the_answer(name: str) -> None:
    told = load.scenario(name)
    shuffled = random.Random(name).sample(told.records, len(told.records))

    for delivered in (told.records[::-1], shuffled + shuffled[::-1]):
        found = told.document(delivered)

        assert found | {"as_of": None} == load.document(name) | {"as_of": None}


@_EVERY
def test_a_change_is_told_the_same_alone_and_beside_all_others(name: str) -> None:
    told = load.scenario(name)
    events = (event for data in told.records if (event := Event.of(data)) is not None)
    changes = [change for event in events if (change := change_of(event)) is not None]

    found = {
        change.event.id: one.to_dict()
        for change, one in investigate(changes, MemoryStore(told.records), told.knowledge)
    }

    assert found[told.event_id] == load.document(name)


@_EVERY
def test_whatever_event_is_missing_there_is_an_answer_and_no_false_proof(
    name: str, valid: Draft202012Validator
) -> None:
    told = load.scenario(name)
    for missing in told.records:
        if missing["eventID"] == told.event_id:
            continue
        found = told.document([one for one in told.records if one is not missing])

        assert valid.is_valid(_plain(found)), missing["eventID"]
        certain = found["before"]["status"] in ("known", "default") and found["after"]["status"] == "known"
        assert found["verdict"] != "no_effect" or certain, missing["eventID"]


DAMAGE: tuple[Json, ...] = (
    {"userIdentity": "somebody", "sourceIPAddress": 7, "userAgent": ["curl"]},
    {"userIdentity": {"type": ["IAMUser"], "arn": {}, "accountId": 111122223333, "sessionContext": "none"}},
    {"userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::x:assumed-role", "accessKeyId": None}},
    {"resources": {"ARN": "arn:aws:kms:::key/"}, "responseElements": [], "requestParameters": "?"},
    {"resources": [None, {"ARN": 7}, {"accountId": "111122223333"}], "sharedEventID": {}, "additionalEventData": "?"},
    {"eventVersion": 1, "managementEvent": "yes", "readOnly": "true", "recipientAccountId": None},
    {"errorCode": 403, "errorMessage": {}, "vpcEndpointId": 1, "tlsDetails": None},
)
"""Members that a record may have in a damaged or hostile archive."""


@_EVERY
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: "+".join(damage))
def test_a_damaged_record_is_not_the_end_of_an_investigation(
    name: str, damage: Json, valid: Draft202012Validator
) -> None:
    told = load.scenario(name)
    # Of the change itself only the caller is spoiled: the rest is what makes it the change of a key's policy.
    spoilt = [
        one | damage if "userIdentity" in damage or one["eventID"] != told.event_id else one for one in told.records
    ]

    assert valid.is_valid(_plain(told.document(spoilt)))


def test_hostile_texts_are_printed_as_safe_json_and_lose_nothing() -> None:
    found = load.document("hostile_texts")

    printed = for_json(found)

    assert re.fullmatch(r"[ -~]+", printed)
    assert json.loads(printed) == found


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("verdict", "expected"),
        ("score", {"at_most": 40}),
        ("findings[*].id", {"contains": ["KMS-P02", "KMS-P03"]}),
        ("findings[*].id", {"lacks": "KMS-P02"}),
        ("accounts[account=999988887777].actions", {"count": 2}),
        ("reverted_by", {"none": True}),
        ("findings", {"none": True}),
    ],
)
def test_an_expectation_that_is_not_met_is_a_problem(path: str, wanted: object) -> None:
    found = {
        "verdict": "review",
        "score": 41,
        "findings": [{"id": "KMS-P02"}, {"id": "KMS-P00"}],
        "accounts": [{"account": "*", "actions": []}, {"account": "999988887777", "actions": ["kms:Decrypt"]}],
        "reverted_by": "put-2",
    }

    assert len(load.problems(found, {path: wanted})) == 1


def test_a_misspelt_path_of_an_expectation_is_an_error() -> None:
    with pytest.raises(KeyError, match="verdikt"):
        load.problems({"verdict": "review"}, {"verdikt": {"none": True}})


def _plain(found: Json) -> Json:
    """As JSON gives it back."""
    plain: Json = json.loads(json.dumps(found))
    return plain
