"""Scenarios: what an investigation must say of a story, in whatever order and however often its events arrive."""

from __future__ import annotations

import json
import random
import re

import pytest

from keytrail.text import for_json
from tests.investigate.scenarios import load

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
def test_a_policy_that_is_not_certain_is_never_said_to_have_no_effect(name: str) -> None:
    found = load.document(name)
    certain = {found["before"]["status"], found["after"]["status"]} <= {"known", "default"}

    assert found["verdict"] != "no_effect" or certain


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
