"""`keytrail alerts`, as people who triage meet it."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.alert_text import TRIAGE_COLUMNS
from keytrail.cli.commands.alerts import Reason
from keytrail.rules import builtin
from keytrail.service.triage import CLOSE_REASONS, change, document_of
from keytrail.simulation import simulate
from keytrail.store.state.alerts import alert
from keytrail.store.state.triage import AddNote, Assign, Tag
from tests.cli.service_state import NOW, add, add_investigated, alert_of, here

Keytrail = Any
RULE = builtin().rules[0]


@pytest.fixture
def ids(keytrail: Keytrail) -> list[str]:
    """Three alerts in the state, made one after the other."""
    made = []
    for number in range(3):
        made += add([alert_of(keytrail.record(number), RULE)], NOW + timedelta(minutes=number))
    return made


def shown(keytrail: Keytrail, id: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(keytrail("alerts", "show", id, "--format", "json").stdout)
    return document


def listed(keytrail: Keytrail, *options: str) -> list[str]:
    result = keytrail("alerts", "list", "--format", "ndjson", *options)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["kibana.alert.uuid"] for line in result.stdout.splitlines()]


def test_the_reasons_are_those_of_the_service() -> None:
    assert tuple(Reason) == CLOSE_REASONS


# -- before there is anything -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("list",), ("show", "12345678"), ("ack", "12345678"), ("history", "12345678")])
def test_without_a_state_it_says_what_makes_one(keytrail: Keytrail, command: tuple[str, ...]) -> None:
    result = keytrail("alerts", *command)
    assert result.exit_code == 4
    assert "is not set up" in result.stderr
    assert "keytrail watch" in result.stderr
    assert not Path("keytrail-lake").exists()


def test_an_empty_list_is_a_result(keytrail: Keytrail) -> None:
    with here():
        pass
    assert keytrail("alerts", "list", "--format", "json").stdout == "[]\n"
    assert keytrail("alerts", "list", "--format", "csv").stdout.splitlines() == [",".join(TRIAGE_COLUMNS)]


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_has_the_latest_first_and_no_more_than_asked_for(keytrail: Keytrail, ids: list[str]) -> None:
    assert listed(keytrail) == ids[::-1]
    result = keytrail("alerts", "list", "--limit", "2", "--format", "ndjson")
    assert [json.loads(line)["kibana.alert.uuid"] for line in result.stdout.splitlines()] == ids[:0:-1]
    assert "1 more alert not shown" in result.stderr
    assert listed(keytrail, "--since", "2026-03-01T09:01:00Z", "--until", "2026-03-01T09:02:00Z") == [ids[1]]


def test_many_alerts_are_all_listed_once(keytrail: Keytrail) -> None:
    made = add([alert_of(keytrail.record(number), RULE) for number in range(250)])
    assert listed(keytrail, "--all") == made[::-1]
    assert listed(keytrail, "--limit", "200") == made[:49:-1]
    assert len(listed(keytrail)) == 100


def test_closed_snoozed_and_building_blocks_are_left_out_unless_asked_for(keytrail: Keytrail, ids: list[str]) -> None:
    [block] = add([alert_of(keytrail.record(9), RULE, building_block=True)])
    keytrail("alerts", "close", ids[0], "--reason", "duplicate")
    keytrail("alerts", "snooze", ids[1], "--for", "4h")
    assert listed(keytrail) == [ids[2]]
    assert listed(keytrail, "--building-blocks") == [block, ids[2]]
    assert listed(keytrail, "--status", "closed") == [ids[0]]
    assert listed(keytrail, "--all") == [block, *ids[::-1]]
    keytrail("alerts", "snooze", ids[1], "--wake")
    assert listed(keytrail) == [ids[2], ids[1]]


def test_a_table_has_an_id_to_act_upon_and_where_it_stands(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("alerts", "ack", ids[0])
    keytrail("alerts", "assign", ids[0], "--to", "ada")
    rows = keytrail("alerts", "list", "--format", "table").stdout.splitlines()
    assert rows[0].split()[:3] == ["ID", "TIME", "(UTC)"]
    assert rows[-1].startswith(ids[0][:12])
    assert "acknowledged, ada" in rows[-1]
    assert keytrail("alerts", "show", ids[0][:12]).exit_code == 0


def test_csv_has_the_documented_columns(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("alerts", "close", ids[0], "--reason", "false_positive", "--as", "ada")
    text = keytrail("alerts", "list", "--all", "--format", "csv").stdout_bytes.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == TRIAGE_COLUMNS
    assert (rows[-1]["status"], rows[-1]["reason"], rows[-1]["user"]) == ("closed", "false_positive", "ada")
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for column in TRIAGE_COLUMNS:
        assert f"`{column}`" in page


def test_filters_reach_the_state(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("alerts", "assign", *ids[:2], "--to", "ada")
    assert listed(keytrail, "--assignee", "ada") == ids[1::-1]
    assert listed(keytrail, "--rule", RULE.rule_id, "--severity", RULE.severity, "--verdict", "none") == ids[::-1]
    assert listed(keytrail, "--verdict", "malicious") == listed(keytrail, "--rule", "other") == []


# -- changes ----------------------------------------------------------------------------------------------------------


def test_what_people_do_shows_in_the_document_and_not_in_what_is_stored(keytrail: Keytrail, ids: list[str]) -> None:
    before = shown(keytrail, ids[0])
    assert before["kibana.alert.workflow_status"] == "open"
    assert "kibana.alert.workflow_user" not in before
    started = datetime.now(UTC) - timedelta(seconds=1)
    keytrail("alerts", "close", ids[0], "--reason", "acceptable_risk", "--as", "ada")
    keytrail("alerts", "assign", ids[0], "--to", "grace", "--to", "ada", "--as", "ada")
    keytrail("alerts", "tag", ids[0], "--add", "incident-42", env={"KEYTRAIL_USER": "linus"})
    after = shown(keytrail, ids[0])
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    moment = datetime.fromisoformat(changed.pop("kibana.alert.workflow_status_updated_at"))
    assert started <= moment <= datetime.now(UTC)
    assert changed == {
        "kibana.alert.workflow_status": "closed",
        "kibana.alert.workflow_reason": "acceptable_risk",
        "kibana.alert.workflow_user": "ada",
        "kibana.alert.workflow_assignee_ids": ["grace", "ada"],
        "kibana.alert.workflow_tags": ["incident-42"],
    }
    with here() as state, state.database.read() as connection:
        assert alert(connection, ids[0]).document == before
    keytrail("alerts", "reopen", ids[0])
    again = shown(keytrail, ids[0])
    assert again["kibana.alert.workflow_status"] == "open"
    assert "kibana.alert.workflow_reason" not in again


def test_many_are_changed_at_once_also_from_stdin(keytrail: Keytrail, ids: list[str]) -> None:
    result = keytrail("alerts", "ack", ids[0], ids[0][:10])
    assert (result.exit_code, result.stderr) == (0, "note: acknowledged: 1 alert\n")
    result = keytrail("alerts", "ack", "-", stdin="\n".join(ids).encode())
    assert result.stderr == "note: acknowledged: 2 alerts; 1 was so already\n"
    assert [shown(keytrail, one)["kibana.alert.workflow_status"] for one in ids] == ["acknowledged"] * 3
    result = keytrail("alerts", "ack", "-", stdin=b"\n")
    assert (result.exit_code, result.stderr) == (0, "note: stdin named no alert: nothing to do\n")


def test_one_wrong_id_changes_nothing(keytrail: Keytrail, ids: list[str]) -> None:
    result = keytrail("alerts", "ack", ids[0], "ffffffff", "no\x1bsuch")
    assert result.exit_code == 2
    assert "no alert has the id 'ffffffff'" in result.stderr
    assert "Nothing was changed" in result.stderr
    assert "\x1b" not in result.stderr
    assert shown(keytrail, ids[0])["kibana.alert.workflow_status"] == "open"


@pytest.mark.parametrize(
    "arguments",
    [
        ("close", "ID"),
        ("close", "ID", "--reason", "benign"),
        ("assign", "ID"),
        ("assign", "ID", "--to", " "),
        ("tag", "ID"),
        ("note", "ID"),
        ("note", "ID", "-m", " "),
        ("snooze", "ID"),
        ("snooze", "ID", "--for", "soon"),
        ("snooze", "ID", "--for", "0h"),
        ("snooze", "ID", "--for", "999999w"),
        ("snooze", "ID", "--until", "2020-01-01"),
        ("snooze", "ID", "--for", "4h", "--until", "2099-01-01"),
        ("snooze", "ID", "--for", "4h", "--wake"),
        ("ack", "ID", "--as", " "),
        ("ack",),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_and_changes_nothing(
    keytrail: Keytrail, ids: list[str], arguments: tuple[str, ...]
) -> None:
    result = keytrail("alerts", *(ids[0] if one == "ID" else one for one in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert keytrail("alerts", "history", ids[0], "--format", "json").stdout == "[]\n"


def test_history_says_who_did_what_and_what_was_before(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("alerts", "ack", ids[0], "--as", "ada")
    keytrail("alerts", "close", ids[0], "--reason", "duplicate", "--as", "grace\x1b[2J")
    keytrail("alerts", "note", ids[0], "-m", "as ever", "--as", "ada")
    lines = [json.loads(line) for line in keytrail("alerts", "history", ids[0]).stdout.splitlines()]
    assert [(line["who"], line["action"]) for line in lines] == [
        ("ada", "acknowledge"),
        ("grace\x1b[2J", "close"),
        ("ada", "note"),
    ]
    assert lines[1]["before"] == {"status": "acknowledged", "close_reason": ""}
    assert lines[1]["after"] == {"status": "closed", "close_reason": "duplicate"}
    table = keytrail("alerts", "history", ids[0], "--format", "table").stdout
    assert "status: acknowledged -> closed; close reason: none -> duplicate" in table
    assert "\x1b" not in table


def test_a_snoozed_alert_says_until_when(keytrail: Keytrail, ids: list[str]) -> None:
    keytrail("alerts", "snooze", ids[0], "--until", "2099-01-01T00:00:00Z")
    assert shown(keytrail, ids[0])["keytrail.snoozed_until"] == "2099-01-01T00:00:00.000Z"
    assert "until 2099-01-01 00:00:00" in keytrail("alerts", "show", ids[0], "--format", "text").stdout


# -- one alert --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def takeover(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The alert of a scan about the attacker's change of a key policy, with its investigation."""
    from keytrail.service.requests import ScanRequest
    from keytrail.service.scan import scan

    folder = tmp_path_factory.mktemp("story") / "archive"
    simulate(folder, events=500, seed=7)
    result = scan(ScanRequest(sources=(str(folder),), jobs=1))
    found = [one for one in result.alerts if _verdict(one) == "malicious"]
    return dict(found[0])


def _verdict(document: Any) -> str:
    return str(document.get("keytrail.investigation", {}).get("verdict"))


def test_an_alert_is_shown_with_its_latest_investigation(keytrail: Keytrail, takeover: dict[str, Any]) -> None:
    id = add_investigated(takeover, b'{"eventName": "PutKeyPolicy"}')
    found = shown(keytrail, id)
    assert found["keytrail.investigation"] == takeover["keytrail.investigation"]
    assert json.loads(keytrail("alerts", "list").stdout) == found
    assert found == takeover | {"kibana.alert.workflow_status": "open"}


def test_the_page_has_the_verdict_and_what_people_said(keytrail: Keytrail, takeover: dict[str, Any]) -> None:
    id = add_investigated(takeover)
    keytrail("alerts", "note", id, "-m", "Called the team.\nNo answer.", "--as", "ada")
    keytrail("alerts", "ack", id, "--as", "ada")
    text = keytrail("alerts", "show", id, "--format", "text").stdout
    found = takeover["keytrail.investigation"]
    assert text.splitlines()[0].lower().startswith("malicious")
    assert " ".join(found["summary"].split()[:8]) in " ".join(text.split())
    assert "acknowledged, by ada" in text
    assert "    No answer." in text
    assert "revision 1, 2026-03-01 09:00:00" in text
    for reason in found["reasons"]:
        assert " ".join(str(reason["sentence"]).split()[:4]) in " ".join(text.split())
    assert max(map(len, text.splitlines())) < 200


@pytest.mark.parametrize(
    ("suffix", "start"), [(".html", "<!doctype html>"), (".md", "# "), (".json", "{"), (".txt", "")]
)
def test_the_same_as_a_file(keytrail: Keytrail, takeover: dict[str, Any], suffix: str, start: str) -> None:
    id = add_investigated(takeover, b'{"eventName": "PutKeyPolicy"}')
    path = Path(f"alert{suffix}")
    assert keytrail("alerts", "show", id, "-o", path).exit_code == 0
    assert path.read_text().lower().startswith(start)
    assert keytrail("alerts", "show", id, "-o", path).exit_code == 2  # it is there already


def test_what_an_attacker_wrote_does_nothing(keytrail: Keytrail) -> None:
    texts = keytrail.hostile
    records = [
        keytrail.record(number, userAgent=text, eventName=text, sourceIPAddress=text)
        for number, text in enumerate(texts)
    ]
    ids = add([alert_of(record, RULE, event_id=text) for record, text in zip(records, texts, strict=True)])
    with here() as state:
        for text in texts:
            for what in (AddNote(text), Tag((text,)), Assign((text,))):
                change(state.database, ids[:1], what, who=text, now=NOW)
    shown_as = [("show", ids[0], "--format", form) for form in ("json", "html", "markdown")]
    shown_as += [("show", id, "--format", "text") for id in ids]
    listed_as = [(command, "--format", form) for command in ("list",) for form in ("table", "json", "csv")]
    for arguments in (*shown_as, *listed_as, ("history", ids[0], "--format", "table")):
        out = keytrail("alerts", *arguments).stdout
        assert len(out) > 100
        assert not {"\x1b", "\x9b", "\u202e", "\u200b", "\r"} & set(out.replace("\r\n", "")), arguments
        assert "<script>" not in out or arguments[-1] in ("text", "json", "table", "csv")


def test_a_suppression_is_part_of_the_document(keytrail: Keytrail) -> None:
    told = {"kibana.alert.suppression.docs_count": 3}
    [id] = add([alert_of(keytrail.record(), RULE, suppression=told)])
    assert shown(keytrail, id)["kibana.alert.suppression.docs_count"] == 3
    with here() as state, state.database.read() as connection:
        assert document_of(alert(connection, id))["kibana.alert.suppression.docs_count"] == 3
