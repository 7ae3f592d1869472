"""The rule object: its API form goes out and comes back, and it travels to other processes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from keytrail.errors import Place
from keytrail.rules import Rule, RuleSet, TextPlace, builtin, load, merge

CASES = Path(__file__).parent / "cases"
RULES = [
    rule for path in sorted(CASES.iterdir()) if not path.name.endswith(".expected.json") for rule in load([path]).rules
]


def reloaded(rule: Rule, folder: Path) -> Rule:
    path = folder / "rule.json"
    path.write_text(json.dumps(rule.to_dict()))
    result = load([path])
    assert not result.errors
    return result.rules[0]


@pytest.mark.parametrize("rule", [*RULES, *builtin().rules], ids=lambda rule: rule.rule_id)
def test_api_form_reads_back_as_the_same_rule(rule: Rule, tmp_path: Path) -> None:
    again = reloaded(rule, tmp_path)
    assert again.to_dict() == {**rule.to_dict(), "immutable": False}
    assert again.unsupported_reason == rule.unsupported_reason


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule_id)
def test_rule_travels_to_a_worker(rule: Rule) -> None:
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule
    assert again.query_text == rule.query_text


def test_parameters_leave_out_what_the_alert_says_elsewhere() -> None:
    rule = next(rule for rule in RULES if rule.rule_id == "exported")
    parameters = rule.parameters()
    assert parameters["query"] == rule.query
    assert parameters["rule_id"] == "exported"
    left_out = set(rule.to_dict()) - set(parameters)
    assert left_out == {
        "id", "name", "tags", "enabled", "interval", "actions", "throttle", "revision", "created_at", "created_by"
    }  # fmt: skip


def test_runnable_rules_are_enabled_and_supported() -> None:
    result = load([CASES / "kibana_export.ndjson", CASES / "smallest.json"])
    assert [rule.rule_id for rule in result.rules] == ["exported", "sequence", "smallest"]
    assert [rule.rule_id for rule in result.runnable] == ["smallest"]


def test_users_rule_replaces_the_built_in_one_and_that_is_said_once() -> None:
    own, other, pack_rule, kept = (
        Rule(
            rule_id=rule_id, name=name, description="d", type="query", severity="low", risk_score=1,
            origin=Place(file, line=3), enabled=name != "Mine",
        )
        for rule_id, name, file in (
            ("a", "Mine", "my.toml"), ("b", "Other", "my.toml"), ("a", "Theirs", "built-in/a.toml"),
            ("c", "Kept", "built-in/c.toml"),
        )
    )  # fmt: skip
    merged = merge(RuleSet((own, other), (), ("own note",)), RuleSet((pack_rule, kept)))
    assert merged.rules == (own, other, kept)
    assert merged.notes == (
        "own note",
        "rule 'Mine' (my.toml:3) replaces the built-in rule 'Theirs' and is disabled",
    )


def test_copied_built_in_rule_wins(tmp_path: Path) -> None:
    rule = builtin().rules[0]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(rule.to_dict() | {"severity": "critical"}))
    merged = merge(load([path]), builtin())
    assert len(merged.rules) == len(builtin().rules)
    assert [one.severity for one in merged.rules if one.rule_id == rule.rule_id] == ["critical"]
    assert len(merged.notes) == 1


def test_places_of_text_reach_beyond_its_last_character() -> None:
    place = TextPlace("f", ((0, 1, 5), (3, 2, 1)))
    assert [str(place.at(offset)) for offset in (0, 2, 3, 7)] == ["f:1:5", "f:1:7", "f:2:1", "f:2:5"]
