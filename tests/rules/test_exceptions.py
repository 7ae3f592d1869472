"""Exceptions in files: exports go out and come back, and whatever stands in a file is an item or an error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keytrail.errors import Place, RuleError
from keytrail.rules import (
    builtin,
    export_ndjson,
    item_from_dict,
    items_for,
    list_from_dict,
    load,
    merge,
    references,
)
from keytrail.rules.notes import about_exceptions

CASES = Path(__file__).parent / "cases"
HERE = Place("here")
EXPORT = load([CASES / "exceptions.ndjson"])


def details(text: str) -> dict[str, object]:
    found = json.loads(text.splitlines()[-1])
    assert isinstance(found, dict)
    return found


# Out and back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exceptions.ndjson", "kibana_export.ndjson"])
def test_what_is_exported_loads_as_the_same(name: str, tmp_path: Path) -> None:
    before = load([CASES / name])
    path = tmp_path / "export.ndjson"
    orphans = tuple(item for item in before.exception_items if item.list_id == "nowhere")
    path.write_text(export_ndjson(before.rules, before.exception_lists, before.exception_items))
    after = load([path])
    assert after.errors == ()
    # `immutable` is told and, on the way in, not believed.
    assert [rule.to_dict() for rule in after.rules] == [rule.to_dict() for rule in before.rules]
    assert after.exception_lists == before.exception_lists
    assert (*after.exception_items, *orphans) == before.exception_items


def test_the_lines_of_an_export_are_rules_then_lists_with_their_items_then_the_details() -> None:
    lists = (*EXPORT.exception_lists, list_from_dict({"list_id": "empty"}, HERE))
    text = export_ndjson(EXPORT.rules, lists, EXPORT.exception_items, missing_rule_ids=["lost"])
    lines = [json.loads(line) for line in text.splitlines()]
    assert [one.get("rule_id") or one.get("item_id") or one.get("list_id") for one in lines] == [
        "two", "other", "host", "known", "every", "empty", None
    ]  # fmt: skip
    assert lines[-1] == {
        "exported_count": 6,
        "exported_rules_count": 3,
        "missing_rules": [{"rule_id": "lost"}],
        "missing_rules_count": 1,
        "exported_exception_list_count": 2,
        "exported_exception_list_item_count": 1,
        "missing_exception_list_item_count": 1,
        "missing_exception_list_items": [{"item_id": "orphan"}],
        "missing_exception_lists": [{"list_id": "gone"}, {"list_id": "known"}],
        "missing_exception_lists_count": 2,
        "exported_action_connector_count": 0,
        "missing_action_connection_count": 0,
        "missing_action_connections": [],
        "excluded_action_connection_count": 0,
        "excluded_action_connections": [],
    }


def test_an_export_without_details_is_the_rules_alone() -> None:
    text = export_ndjson(EXPORT.rules, EXPORT.exception_lists, EXPORT.exception_items, details=False)
    assert [json.loads(line)["rule_id"] for line in text.splitlines()] == ["two", "other", "host"]


def test_an_export_of_nothing_still_counts() -> None:
    assert details(export_ndjson([]))["exported_count"] == 0


def test_hostile_names_stay_on_their_line() -> None:
    item = replace(EXPORT.exception_items[0], name="a\u2028\x1b[2J\x85")
    text = export_ndjson([], EXPORT.exception_lists, [item])
    assert text.isascii()
    assert len(text.splitlines()) == 3


def test_the_order_in_a_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "turned.ndjson"
    path.write_text("\n".join(reversed((CASES / "exceptions.ndjson").read_text().splitlines())))
    turned = load([path])
    assert turned.errors == ()
    assert sorted(item.item_id for item in turned.exception_items) == ["every", "orphan"]
    assert len(turned.notes) == len(EXPORT.notes)


def test_lists_and_rules_may_lie_in_different_files(tmp_path: Path) -> None:
    lines = (CASES / "exceptions.ndjson").read_text().splitlines()
    (tmp_path / "rules.ndjson").write_text("\n".join(lines[:3]))
    (tmp_path / "item.json").write_text(lines[4])
    (tmp_path / "list.json").write_text(json.dumps([json.loads(lines[3])], indent=2))
    found = load([tmp_path])
    assert found.errors == ()
    assert [one.list_id for one in found.exception_lists] == ["known"]
    assert [one.item_id for one in found.exception_items] == ["every"]


def test_a_file_of_other_entries_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "har.json").write_text('{"entries": [{"request": {}}]}')
    (tmp_path / "tool.toml").write_text('[exceptions]\nlicence = "GPL"\n')
    (tmp_path / "rule.toml").write_text((CASES / "threshold.toml").read_text())
    found = load([tmp_path])
    assert found.errors == ()
    assert found.exception_items == ()


# Which items count for a rule ----------------------------------------------------------------------------------------


def test_a_rule_has_the_items_of_the_lists_it_names_in_their_namespace() -> None:
    two, other, host = EXPORT.rules
    assert references(two) == (("known", "single"), ("gone", "single"))
    assert [item.item_id for item in items_for(two, EXPORT.exception_items)] == ["every"]
    assert items_for(other, EXPORT.exception_items) == ()
    assert references(host) == ()


def test_many_rules_without_their_list_are_told_once() -> None:
    rules = [replace(EXPORT.rules[0], rule_id=str(number)) for number in range(5)]
    notes = about_exceptions(rules, [], [])
    assert notes[0] == (
        '5 rules, each of which references a non existent exception list (list_id: "known"), '
        "expect alerts on what it excepts: 'Two lists', 'Two lists', 'Two lists' and 2 more"
    )
    assert len(notes) == 2


def test_merging_with_the_pack_keeps_the_exceptions() -> None:
    merged = merge(EXPORT, builtin())
    assert merged.exception_lists == EXPORT.exception_lists
    assert merged.exception_items == EXPORT.exception_items


# One at a time -------------------------------------------------------------------------------------------------------


def test_the_api_form_reads_back_as_the_same() -> None:
    for item in EXPORT.exception_items:
        assert item_from_dict(item.to_dict(), HERE) == item
    for one in EXPORT.exception_lists:
        assert list_from_dict(one.to_dict(), HERE) == one


def test_all_that_is_wrong_with_one_is_told_at_once() -> None:
    with pytest.raises(RuleError) as caught:
        item_from_dict({"item_id": "a", "entries": [{"type": "exists", "field": ""}]}, HERE)
    assert str(caught.value) == (
        "here: exception item 'a': list_id: is missing\n"
        "exception item 'a': entries[0].field: must not be empty\n"
        "exception item 'a': entries[0].operator: is missing"
    )
    with pytest.raises(RuleError, match="here: exception list without a name: list_id: is missing"):
        list_from_dict({}, HERE)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["match", "match_any", "exists", "wildcard", "list", "nested"]) | VALUES,
        "operator": st.sampled_from(["included", "excluded"]) | VALUES,
        "field": st.just("user.name") | VALUES,
        "value": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2) | VALUES,
        "list": st.just({"id": "l", "type": "ip"}) | VALUES,
        "entries": st.just([{"field": "f", "type": "exists", "operator": "included"}]) | VALUES,
    },
)
ITEM = st.fixed_dictionaries(
    {"item_id": st.just("i") | VALUES, "list_id": st.just("l"), "entries": st.lists(ENTRY, max_size=2) | VALUES},
    optional=dict.fromkeys(
        ["name", "type", "os_types", "tags", "comments", "expire_time", "namespace_type", "description", "x"], VALUES
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ITEM)
def test_any_json_item_is_an_item_that_goes_round_or_an_error(tmp_path: Path, data: dict[str, object]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    found = load([path])
    assert bool(found.exception_items) != bool(found.errors)
    assert all(error.place is not None and len(str(error)) < 1000 for error in found.errors)
    for item in found.exception_items:
        assert item_from_dict(json.loads(json.dumps(item.to_dict(), allow_nan=False)), HERE) == item
