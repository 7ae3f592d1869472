"""`keytrail rules enable|disable|snooze|import|export|log`, and what `rules list` knows of the service's rules."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.commands.rules import STANDING_COLUMNS
from keytrail.cli.commands.rules_admin import LOG_COLUMNS
from keytrail.rules import RuleSet, builtin, load, of_service
from keytrail.service.exceptions import exceptions_for
from keytrail.service.rule_admin import all_rules
from keytrail.store.state.catalog import add_segment
from keytrail.store.state.rule_states import (
    Execution,
    RuleState,
    add_stretch,
    begin_stretch,
    choices,
    log_executions,
    put_state,
)
from keytrail.store.state.triage import history
from tests.cli.service_state import NOW, here
from tests.store.state.made import segment_file

Keytrail = Any
RULE = builtin().rules[0]
MINUTE = timedelta(minutes=1)


def a_rule(rule_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "rule_id": rule_id,
        "name": f"Rule {rule_id}",
        "description": "A rule of a test.",
        "type": "query",
        "language": "kuery",
        "severity": "high",
        "risk_score": 73,
        "query": "event.action: DisableKey",
        "enabled": True,
    } | changes


def ndjson(name: str, *lines: object) -> Path:
    path = Path(name)
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return path


@pytest.fixture
def _state() -> None:
    with here():
        pass


def rules_of_the_service() -> RuleSet:
    with here() as state, state.database.read() as connection:
        return all_rules(state.settings, connection)


def listed(keytrail: Keytrail, rule_id: str, *options: str) -> dict[str, Any]:
    result = keytrail("rules", "list", "--format", "ndjson", *options)
    assert result.exit_code == 0, result.stderr
    [found] = [row for row in map(json.loads, result.stdout.splitlines()) if row["rule_id"] == rule_id]
    return dict(found)


@pytest.mark.parametrize(
    "arguments", [("enable", "x"), ("disable", "x"), ("import", "x"), ("export",), ("log",), ("snooze", "x", "--wake")]
)
def test_without_a_state_it_says_what_makes_one(keytrail: Keytrail, arguments: tuple[str, ...]) -> None:
    result = keytrail("rules", *arguments)
    assert result.exit_code == 4
    assert "is not set up" in result.stderr


# -- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_state")
def test_a_decision_counts_whatever_the_file_says(keytrail: Keytrail) -> None:
    result = keytrail("rules", "disable", RULE.rule_id[:8], RULE.name, "--as", "ada")
    assert (result.exit_code, result.stderr) == (0, "note: disabled: 1 rule\n")
    [found] = [one for one in rules_of_the_service().rules if one.rule_id == RULE.rule_id]
    assert not found.enabled
    row = listed(keytrail, RULE.rule_id)
    assert (row["state"], row["decided_by"]) == ("disabled by ada", "ada")
    assert keytrail("rules", "disable", RULE.rule_id).stderr == "note: disabled: 0 rules; 1 was so already\n"
    assert keytrail("rules", "enable", RULE.rule_id, "--catch-up", "--as", "grace").exit_code == 0
    with here() as state, state.database.read() as connection:
        choice = choices(connection)[RULE.rule_id]
        lines = history(connection, "rule", RULE.rule_id)
    assert (choice.enabled, choice.catch_up) == (True, True)
    assert [(line.who, line.action) for line in lines] == [("ada", "disable"), ("grace", "enable")]
    assert lines[1].detail == {"before": {"enabled": False}, "after": {"enabled": True, "catch_up": True}}
    assert listed(keytrail, RULE.rule_id)["state"] == "runs"


@pytest.mark.usefixtures("_state")
def test_a_rule_is_snoozed_and_woken(keytrail: Keytrail) -> None:
    assert keytrail("rules", "snooze", RULE.rule_id, "--until", "2099-01-01").exit_code == 0
    row = listed(keytrail, RULE.rule_id)
    assert row["state"] == "runs, snoozed until 2099-01-01 00:00:00"
    keytrail("rules", "disable", RULE.rule_id)  # which leaves that as it is
    assert listed(keytrail, RULE.rule_id)["snoozed_until"] == "2099-01-01T00:00:00+00:00"
    keytrail("rules", "snooze", RULE.rule_id, "--wake")
    assert listed(keytrail, RULE.rule_id)["snoozed_until"] == ""


@pytest.mark.usefixtures("_state")
def test_a_rule_that_is_not_there_changes_nothing(keytrail: Keytrail) -> None:
    result = keytrail("rules", "disable", RULE.rule_id, "no\x1bsuch")
    assert result.exit_code == 2
    assert "no rule 'no\\x1bsuch'" in result.stderr
    with here() as state, state.database.read() as connection:
        assert choices(connection) == {}


# -- import and export ------------------------------------------------------------------------------------------------

LIST = {"list_id": "l1", "type": "rule_default", "name": "Own", "description": "d", "namespace_type": "single"}
ITEM = {
    "item_id": "i1", "list_id": "l1", "name": "Ada", "type": "simple", "namespace_type": "single",
    "entries": [{"field": "user.name", "type": "match", "value": "ada", "operator": "included"}],
}  # fmt: skip
REFERENCE = {"id": "x", "list_id": "l1", "type": "rule_default", "namespace_type": "single"}


@pytest.mark.usefixtures("_state")
def test_rules_are_imported_with_their_exceptions_whatever_their_order(keytrail: Keytrail) -> None:
    path = ndjson("in.ndjson", a_rule("a", exceptions_list=[REFERENCE], enabled=False), ITEM, a_rule("b"), LIST,
                  {"exported_count": 4})  # fmt: skip
    result = keytrail("rules", "import", path, "--as", "ada")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith("note: imported 2 rules, 1 exception list, 1 exception\n")
    rules = {rule.rule_id: rule for rule in rules_of_the_service().rules}
    assert (rules["a"].enabled, rules["b"].enabled, rules["a"].origin.file) == (False, True, "imported")
    with here() as state, state.database.read() as connection:
        items, _ = exceptions_for(connection, rules["a"])
        assert [item.item_id for item in items] == ["i1"]
        assert [(line.who, line.action) for line in history(connection, "rule", "a")] == [("ada", "import")]
    # One that is added on the command line goes to the list that the rule names as its own.
    keytrail("exceptions", "add", "a", "--field", "user.name", "--value", "grace")
    assert len(keytrail("exceptions", "list", "--list", "l1").stdout.splitlines()) == 2
    assert listed(keytrail, "b")["origin"] == "imported"


@pytest.mark.usefixtures("_state")
def test_what_is_wrong_is_told_by_line_and_the_rest_goes_on(keytrail: Keytrail) -> None:
    keytrail("rules", "import", ndjson("first.ndjson", a_rule("a", name="First")))
    path = ndjson(
        "in.ndjson",
        a_rule("a"),
        "{not json",
        a_rule("b", severity="fatal"),
        a_rule("c", query="event.action: ("),
        a_rule("d"),
        a_rule("d"),
        a_rule(RULE.rule_id),
        a_rule("e", exceptions_list=[REFERENCE]),
    )
    result = keytrail("rules", "import", path)
    assert result.exit_code == 2
    told = {int(line) for line in re.findall(r"^  at in\.ndjson:(\d)", result.stderr, re.MULTILINE)}
    assert told == {1, 2, 3, 4, 6, 7, 8}
    assert 'references a non existent exception list (list_id: "l1")' in result.stderr
    assert "note: imported 2 rules; 7 errors\n" in result.stderr
    rules = {rule.rule_id: rule for rule in rules_of_the_service().rules}
    assert rules["a"].name == "First"
    assert rules["e"].exceptions_list == ()
    assert rules[RULE.rule_id].name == RULE.name
    assert "d" in rules
    assert {"b", "c"}.isdisjoint(rules)


@pytest.mark.usefixtures("_state")
def test_overwrite_replaces_imported_and_built_in_rules_but_not_files(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text('[watch]\nrules = ["mine.ndjson"]\n')
    ndjson("mine.ndjson", a_rule("mine", name="Mine"))
    path = ndjson("in.ndjson", a_rule("mine"), a_rule("a"), a_rule(RULE.rule_id, name="Own instead"))
    assert keytrail("rules", "import", path).exit_code == 2
    result = keytrail("rules", "import", path, "--overwrite")
    assert result.exit_code == 2
    assert "is that of a rule in a file" in result.stderr
    assert "note: imported 2 rules; 1 error\n" in result.stderr
    rules = {rule.rule_id: rule for rule in rules_of_the_service().rules}
    assert (rules["mine"].name, rules[RULE.rule_id].name) == ("Mine", "Own instead")
    assert len(rules) == len(builtin().rules) + len(of_service().rules) + 2


@pytest.mark.usefixtures("_state")
def test_an_export_is_imported_again_as_it_was(keytrail: Keytrail) -> None:
    keytrail("rules", "import", ndjson("in.ndjson", a_rule("a", exceptions_list=[REFERENCE]), LIST, ITEM, a_rule("b")))
    keytrail("rules", "disable", "b")
    keytrail("exceptions", "add", "b", "--field", "user.name", "--value", "grace")
    assert keytrail("rules", "export", "-o", "out.ndjson").exit_code == 0
    again = load(["out.ndjson"])
    assert again.errors == ()
    assert {rule.rule_id: rule.enabled for rule in again.rules} == {"a": True, "b": False}
    assert {item.list_id for item in again.exception_items} == {"l1", "keytrail-rule-b"}
    details = json.loads(Path("out.ndjson").read_text().splitlines()[-1])
    assert (details["exported_rules_count"], details["missing_exception_lists_count"]) == (2, 0)
    one = keytrail("rules", "export", RULE.rule_id).stdout.splitlines()
    assert [json.loads(line).get("rule_id") for line in one] == [RULE.rule_id, None]
    assert keytrail("rules", "export", "no-such").exit_code == 2
    # And into a state with nothing in it.
    exported = Path("out.ndjson").read_text()
    shutil.rmtree("keytrail-lake")
    with here():
        pass
    assert keytrail("rules", "import", "out.ndjson").exit_code == 0
    assert keytrail("rules", "export").stdout == exported


# -- how far each is --------------------------------------------------------------------------------------------------


@pytest.fixture
def ran() -> None:
    """A service that ran a rule, with an hour in which it was disabled, and is not through."""
    with here() as state, state.database.write() as connection:
        for number in range(5):
            add_segment(connection, segment_file(number, 10), ingested=NOW + number * MINUTE)
        failing = RuleState(RULE.rule_id, RULE.name, "f" * 64, 40, last_run=NOW, status="failed", message="no \x1broom",
                            failures=2)  # fmt: skip
        put_state(connection, failing)
        put_state(connection, RuleState("gone", "A rule that was", "f" * 64, 20, running=False, status="gone"))
        begin_stretch(connection, RULE.rule_id, "searched", 0, NOW)
        begin_stretch(connection, RULE.rule_id, "disabled", 10, NOW)
        add_stretch(connection, RULE.rule_id, "disabled", 10, 30, NOW)
        begin_stretch(connection, RULE.rule_id, "searched", 30, NOW)
        log_executions(
            connection,
            [
                Execution(RULE.rule_id, NOW, NOW, 0.25, first=0, end=10, runs=3),
                Execution(RULE.rule_id, NOW, NOW + MINUTE, 1.5, status="failed", first=30, end=40, matched=9, created=2,
                          duplicate=3, deferred=4, message="no \x1broom"),
                Execution("gone", NOW, NOW, 0.5, kind="manual", since=NOW, until=NOW + MINUTE),
            ],
        )  # fmt: skip


@pytest.mark.usefixtures("ran")
def test_the_list_says_how_far_each_rule_is(keytrail: Keytrail) -> None:
    row = listed(keytrail, RULE.rule_id)
    assert tuple(row) == STANDING_COLUMNS
    assert row["state"] == "failed: no \x1broom"
    assert (row["status"], row["behind"], row["failures"], row["last_run"]) == ("failed", "10", "2", NOW.isoformat())
    other = listed(keytrail, builtin().rules[1].rule_id)
    assert (other["state"], other["status"], other["behind"]) == ("runs", "", "")
    table = keytrail("rules", "list", "--format", "table").stdout
    assert table.splitlines()[0].split()[-2:] == ["(UTC)", "BEHIND"]
    assert "\x1b" not in table


@pytest.mark.usefixtures("ran")
def test_the_log_says_what_rules_did(keytrail: Keytrail) -> None:
    rows = [json.loads(line) for line in keytrail("rules", "log").stdout.splitlines()]
    assert [(row["rule_id"], row["kind"]) for row in rows] == [
        ("gone", "manual"), (RULE.rule_id, "scheduled"), (RULE.rule_id, "scheduled"),
    ]  # fmt: skip
    assert tuple(rows[0]) == LOG_COLUMNS
    assert (rows[1]["matched"], rows[1]["created"], rows[1]["deferred"], rows[1]["seconds"]) == (9, 2, 4, 1.5)
    assert (rows[0]["first"], rows[0]["since"]) == (None, NOW.isoformat())
    table = keytrail("rules", "log", RULE.rule_id[:8], "--format", "table").stdout
    assert "3 duplicate, 4 deferred" in table
    assert "\x1b" not in table
    assert len(table.splitlines()) == 3
    assert len(keytrail("rules", "log", "gone").stdout.splitlines()) == 1  # though there is no such rule any more
    assert len(keytrail("rules", "log", "--limit", "1").stdout.splitlines()) == 1
    text = keytrail("rules", "log", "--format", "csv").stdout_bytes.decode()
    assert [row["runs"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["1", "1", "3"]


@pytest.mark.usefixtures("ran")
def test_coverage_says_what_was_examined_and_what_was_not(keytrail: Keytrail) -> None:
    rows = [json.loads(line) for line in keytrail("rules", "log", RULE.rule_id, "--coverage").stdout.splitlines()]
    assert [(row["kind"], row["first"], row["end"]) for row in rows] == [
        ("searched", 0, 10),
        ("disabled", 10, 30),
        ("searched", 30, 40),
        ("waiting", 40, 50),
    ]
    assert (rows[1]["since"], rows[1]["until"]) == ((NOW + MINUTE).isoformat(), (NOW + 2 * MINUTE).isoformat())
    assert "10" in keytrail("rules", "log", RULE.rule_id, "--coverage", "--format", "table").stdout
    assert keytrail("rules", "log", "--coverage").exit_code == 2
    assert keytrail("rules", "log", "no-such").exit_code == 2


def test_a_hole_in_the_coverage_is_shown_as_one(keytrail: Keytrail) -> None:
    with here() as state, state.database.write() as connection:
        add_segment(connection, segment_file(0, 50), ingested=NOW)
        put_state(connection, RuleState(RULE.rule_id, RULE.name, "f" * 64, 50))
        add_stretch(connection, RULE.rule_id, "searched", 0, 10, NOW)
        add_stretch(connection, RULE.rule_id, "searched", 5, 20, NOW)  # again, after a change
        begin_stretch(connection, RULE.rule_id, "searched", 30, NOW)
    rows = [json.loads(line) for line in keytrail("rules", "log", RULE.rule_id, "--coverage").stdout.splitlines()]
    assert [(row["kind"], row["first"], row["end"]) for row in rows] == [
        ("searched", 0, 20), ("gap", 20, 30), ("searched", 30, 50),
    ]  # fmt: skip


def test_a_state_that_cannot_be_read_hides_no_rules(keytrail: Keytrail) -> None:
    Path("keytrail-lake").mkdir()
    (Path("keytrail-lake") / "state.db").write_bytes(b"this is no database, and long enough to be looked at" * 100)
    result = keytrail("rules", "list", "--format", "ndjson")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(builtin().rules)
    assert "warning: the state in sqlite" in result.stderr
