"""`keytrail case`, as people who handle an incident meet it."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.case_text import CASE_COLUMNS
from keytrail.rules import builtin
from keytrail.store.state.alerts import log
from keytrail.store.state.plans import PlanStep, ShownPlan, add_step, put_plans
from tests.cli.service_state import NOW, add, alert_of, here

Keytrail = Any
RULE = builtin().rules[0]


@pytest.fixture
def ids(keytrail: Keytrail) -> list[str]:
    """Three alerts in the state."""
    return add([alert_of(keytrail.record(number), RULE) for number in range(3)])


def document(keytrail: Keytrail, case: str = "C-1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(keytrail("case", "show", case, "--format", "json").stdout)
    return found


def begin_plan(alert_id: str) -> None:
    """A plan of two calls, of which the first was begun."""
    shown = ShownPlan("a" * 12, alert_id, "arn:key", "restore", {"title": "Put back", "calls": [{}, {}]}, NOW, "ada")
    with here() as state, state.database.write() as connection:
        put_plans(connection, [shown])
        log(connection, who="ada", kind="plan", subject=shown.id, action="shown", detail={}, now=NOW)
        add_step(connection, PlanStep(shown.id, 0, "begun", NOW, "ada", "arn:role", {}))


def test_the_life_of_a_case(keytrail: Keytrail, ids: list[str]) -> None:
    result = keytrail("case", "open", ids[0][:8], "--title", "A stranger", "--note", "first", "--as", "ada")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "C-1\n", "note: opened: C-1, A stranger\n")
    result = keytrail("case", "add", "c1", *ids[:2], "--as", "bo")
    assert (result.exit_code, result.stderr) == (0, "note: added: 1 alert; 1 was so already\n")
    result = keytrail("case", "remove", "1", ids[0], ids[2])
    assert (result.exit_code, result.stderr) == (0, "note: removed: 1 alert; 1 alert not in it\n")
    assert keytrail("case", "note", "C-1", "-m", "asked them", "--as", "cy").exit_code == 0
    result = keytrail("case", "close", "C-1", "--outcome", "Put back", "--close-alerts", "issue_resolved")
    assert (result.exit_code, result.stderr) == (0, "note: closed: C-1, and 1 alert\n")
    assert keytrail("case", "close", "C-1", "--outcome", "Put back").stderr == "note: C-1 was closed so already\n"
    found = document(keytrail)
    assert (found["case"]["status"], found["case"]["outcome"]) == ("closed", "Put back")
    assert [(one["id"], one["added_by"]) for one in found["alerts"]] == [(ids[1], "bo")]
    assert found["alerts"][0]["document"]["kibana.alert.workflow_reason"] == "issue_resolved"
    assert [(one["who"], one["text"]) for one in found["notes"]] == [("ada", "first"), ("cy", "asked them")]
    result = keytrail("case", "add", "C-1", ids[2])
    assert result.exit_code == 2
    assert "keytrail case reopen C-1" in result.stderr
    assert keytrail("case", "reopen", "C-1").stderr == "note: opened: C-1\n"
    assert keytrail("case", "reopen", "C-1").stderr == "note: C-1 was open already\n"
    assert keytrail("case", "add", "C-1", ids[2]).exit_code == 0
    actions = [one["action"] for one in document(keytrail)["audit"] if one["kind"] == "case"]
    assert actions == ["open", "note", "add", "remove", "note", "close", "reopen", "add"]


def test_alerts_come_from_stdin_and_tell_which_cases_they_are_in(keytrail: Keytrail, ids: list[str]) -> None:
    assert keytrail("case", "open", "-", "--title", "One", stdin="\n".join(ids).encode()).stdout == "C-1\n"
    assert keytrail("case", "open", ids[0], "--title", "Two\x1b[2J").stdout == "C-2\n"
    keytrail("case", "close", "1", "--outcome", "x")
    text = keytrail("alerts", "show", ids[0], "--format", "text").stdout
    assert "cases         C-1 (closed): One; C-2 (open): Two\\x1b[2J\n" in text
    assert "cases  " not in keytrail("alerts", "show", add([alert_of(keytrail.record(7), RULE)])[0]).stdout


def test_lists_say_what_is_open(keytrail: Keytrail, ids: list[str]) -> None:
    for number, id in enumerate(ids):
        keytrail("case", "open", id, "--title", f"Case {number}", "--as", "ada")
    keytrail("case", "close", "C-2", "--outcome", "=1+1")
    listed = json.loads(keytrail("case", "list", "--format", "json").stdout)
    assert [(one["id"], one["alerts"], one["verdict"]) for one in listed] == [("C-3", 1, None), ("C-1", 1, None)]
    table = keytrail("case", "list", "--format", "table").stdout.splitlines()
    assert table[0].split() == ["ID", "OPENED", "(UTC)", "BY", "STATUS", "VERDICT", "ALERTS", "TITLE", "OUTCOME"]
    assert [line.split()[0] for line in table[1:]] == ["C-3", "C-1"]
    result = keytrail("case", "list", "--status", "open", "--status", "closed", "--limit", "2", "--format", "ndjson")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["C-3", "C-2"]
    assert result.stderr == "note: 1 more case not shown: --limit N shows more\n"
    text = keytrail("case", "list", "--status", "closed", "--format", "csv").stdout_bytes.decode()
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert tuple(row) == CASE_COLUMNS
    assert (row["id"], row["outcome"], row["opened_by"], row["alerts"]) == ("C-2", "'=1+1", "ada", "1")
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert all(f"`{column}`" in page for column in CASE_COLUMNS)


def test_the_page_tells_the_story(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("case", "open", ids[0], "--title", "A stranger", "--note", "one\ntwo", "--as", "ada")
    begin_plan(ids[0])
    text = keytrail("case", "show", "C-1", "--format", "text").stdout
    assert text.startswith("Case C-1 – A stranger\n")
    assert "! Half applied: 1 plan." in text
    parts = ["Status  Open", "raised by the rule", "shown: Put back", "opened with 1 alert", "one, two", "\nPlans\n"]
    places = [text.index(part) for part in (*parts, "\nAlerts\n", f"  {ids[0][:12]}  ")]
    assert places == sorted(places)
    markdown = keytrail("case", "show", "C-1", "--format", "markdown").stdout
    assert markdown.startswith("# Case C-1 – A stranger\n")


def test_a_half_applied_plan_keeps_a_case_open(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("case", "open", *ids, "--title", "A stranger")
    begin_plan(ids[1])
    result = keytrail("case", "close", "1", "--outcome", "x", "--close-alerts", "duplicate")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"1 plan half applied ({'a' * 12})" in result.stderr
    assert document(keytrail)["case"]["status"] == "open"
    assert keytrail("case", "close", "1", "--outcome", "x", "--force").exit_code == 0
    assert document(keytrail)["case"]["status"] == "closed"


WRONG = (
    ("open",),
    ("open", "ffffffff"),
    ("open", "ID", "--title", " "),
    ("open", "ID", "--title", "x" * 201),
    ("open", "ID", "--note", " "),
    ("show", "C-9"),
    ("show", "../1"),
    ("add", "C-9", "ID"),
    ("add", "C-1", "ffffffff"),
    ("remove", "C-1", "ID", "no\x1bsuch"),
    ("note", "C-1"),
    ("note", "C-1", "-m", " "),
    ("close", "C-1"),
    ("close", "C-1", "--outcome", " "),
    ("close", "C-1", "--outcome", "x", "--close-alerts", "boredom"),
    ("reopen", "C-9"),
    ("export", "C-9", "-o", "case.html"),
    ("export", "C-1", "-o", "case.pdf"),
    ("list", "--status", "ajar"),
)


def test_a_wrong_command_line_is_told_and_changes_nothing(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("case", "open", ids[0], "--title", "A stranger")
    before = document(keytrail)
    for arguments in WRONG:
        result = keytrail("case", *(ids[0] if one == "ID" else one for one in arguments))
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert "\x1b" not in result.stderr
    assert document(keytrail) | {"exported_at": ""} == before | {"exported_at": ""}
    assert keytrail("case", "list", "--format", "ndjson").stdout.count("\n") == 1
    assert not list(Path().glob("case*"))


@pytest.mark.parametrize("command", [("list",), ("show", "1"), ("open", "12345678"), ("export", "1", "-o", "case.md")])
def test_without_a_state_it_says_what_makes_one(keytrail: Keytrail, command: tuple[str, ...]) -> None:
    result = keytrail("case", *command)
    assert result.exit_code == 4
    assert "is not set up" in result.stderr
    assert not list(Path().iterdir())


# -- handed on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start"),
    [("c.html", "<!doctype html>"), ("c.md", "# Case"), ("c.json", '{"schema"'), ("c.txt", "Case C-1")],
)
def test_a_file_is_written_whole_and_replaces_none(keytrail: Keytrail, ids: list[str], name: str, start: str) -> None:
    keytrail("case", "open", *ids, "--title", "A stranger")
    assert keytrail("case", "export", "1", "-o", name).exit_code == 0
    text = Path(name).read_text()
    assert text.startswith(start)
    assert all(id[:12] in text for id in ids)
    assert keytrail("case", "export", "1", "-o", name).exit_code == 2
    assert keytrail("case", "export", "1", "-o", name, "--force").exit_code == 0


def test_a_folder_gets_every_form_or_the_one_asked_for(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("case", "open", ids[0], "--title", "../../x")
    result = keytrail("case", "export", "1", "--output", "new/incidents/")
    assert (result.exit_code, result.stdout) == (0, "")
    folder = Path("new/incidents")
    assert sorted(path.name for path in folder.iterdir()) == ["C-1.html", "C-1.json", "C-1.md"]
    assert keytrail("case", "export", "1", "--output", folder, "--format", "json").exit_code == 2
    assert keytrail("case", "export", "1", "--output", folder, "--format", "json", "--force").exit_code == 0
    Path("file").write_text("")
    result = keytrail("case", "export", "1", "--output", "file/")
    assert result.exit_code == 2
    assert "cannot make the folder" in result.stderr
    assert "name another one" in result.stderr


def test_what_an_attacker_wrote_does_nothing(keytrail: Keytrail) -> None:
    texts = keytrail.hostile
    records = [keytrail.record(n, userAgent=text, eventName=text) for n, text in enumerate(texts)]
    made = [alert_of(record, RULE, event_id=text) for record, text in zip(records, texts, strict=True)]
    ids = add(made, NOW + timedelta(minutes=1))
    from keytrail.service.case_files import close_case, open_case, write_note

    with here() as state:
        for text in texts:
            open_case(state.database, ids, title=text, note=text, who=text, now=NOW)
            write_note(state.database, "1", text, who=text, now=NOW)
            close_case(state.database, "1", text, close_alerts=None, force=False, who=text, now=NOW)
    shown = [("show", "1", "--format", form) for form in ("text", "json", "html", "markdown")]
    listed = [("list", "--status", "open", "--status", "closed", "--format", form) for form in ("table", "json", "csv")]
    for arguments in (*shown, *listed):
        out = keytrail("case", *arguments).stdout
        assert len(out) > 1000
        assert not {"\x1b", "\x9b", "\u202e", "\u200b", "\r"} & set(out.replace("\r\n", "")), arguments
        assert "<script>" not in out or arguments[-1] in ("text", "json", "table", "csv")
