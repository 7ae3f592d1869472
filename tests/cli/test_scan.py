"""`keytrail scan`: archives in, alerts out, in every format, with exit codes that a pipeline can trust."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.facts import ALERT_COLUMNS

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
FLAGSHIP = "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"
FLAGSHIP_NAME = "AWS KMS Key Policy Updated via PutKeyPolicy"

RULE = """
[rule]
rule_id = "{id}"
name = "{name}"
description = "A rule of a test."
type = "query"
language = "kuery"
severity = "{severity}"
risk_score = 21
query = '''{query}'''
"""


def rule(path: Path, *, id: str = "r-1", name: str = "Mine", severity: str = "critical", query: str) -> Path:
    path.write_text(RULE.format(id=id, name=name, severity=severity, query=query))
    return path


@pytest.fixture
def archive(keytrail: Keytrail, tmp_path: Path) -> Path:
    """Two files as delivered: one policy change, and events that no rule of the pack looks for."""
    folder = tmp_path / "archive"
    decrypt = keytrail.record(2, eventName="Decrypt", eventTime="2026-03-02T00:00:00Z")
    keytrail.archive(folder / "1.json.gz", [keytrail.record(1), decrypt])
    keytrail.archive(folder / "2.json", [keytrail.record(3, eventName="ListKeys", readOnly=True)])
    return folder


# -- formats --------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_one_alert_a_line_and_nothing_else(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("scan", archive)
    assert result.exit_code == 0
    [alert] = [json.loads(line) for line in result.stdout.splitlines()]
    assert alert["kibana.alert.rule.rule_id"] == FLAGSHIP
    assert alert["kibana.alert.severity"] == "medium"
    assert alert["kibana.alert.original_time"] == "2026-03-01T08:00:12.000Z"
    assert alert["event"]["action"] == "PutKeyPolicy"
    assert alert["event"]["kind"] == "signal"


def test_json_is_one_array(keytrail: Keytrail, archive: Path) -> None:
    [alert] = json.loads(keytrail("scan", archive, "--format", "json").stdout)
    assert alert["kibana.alert.rule.name"] == FLAGSHIP_NAME


def test_csv_has_the_documented_columns(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("scan", archive, "--format", "csv")
    text = result.stdout_bytes.decode()
    assert text.split("\r\n")[0] == ",".join(ALERT_COLUMNS)
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert {name: row[name] for name in ("time", "severity", "rule", "resource", "actor", "source", "attack")} == {
        "time": "2026-03-01T08:00:12.000Z",
        "severity": "medium",
        "rule": FLAGSHIP_NAME,
        "resource": keytrail.key,
        "actor": "Admin/mallory",
        "source": "203.0.113.7",
        "attack": "T1548.005 T1562",
    }


def test_a_table_has_a_line_for_each_alert_and_one_for_what_was_found(keytrail: Keytrail, archive: Path) -> None:
    header, line, found = keytrail("scan", archive, "--format", "table").stdout.splitlines()
    assert header.split("  ")[0] == "TIME (UTC)"
    assert "review" in line
    assert found.strip() == "which access that gives is not known, because the policy after it is not."
    header, line = keytrail("scan", archive, "--format", "table", "--no-investigate").stdout.splitlines()
    assert "VERDICT" not in header
    for part in ("2026-03-01 08:00:12", "medium", FLAGSHIP_NAME, keytrail.key[-36:], "Admin/mallory", "203.0.113.7"):
        assert part in line


def test_no_alerts_is_a_good_end(keytrail: Keytrail, tmp_path: Path) -> None:
    archive = keytrail.archive(tmp_path / "1.json", [keytrail.record(eventName="ListKeys")])
    for form, expected in (("ndjson", ""), ("table", ""), ("csv", ",".join(ALERT_COLUMNS) + "\n"), ("json", "[]\n")):
        result = keytrail("scan", archive, "--format", form)
        assert (result.exit_code, result.stdout) == (0, expected)
        assert "No alerts" in result.stderr


# -- on a terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [160, 100, 80, 60])
def test_a_terminal_gets_a_table_that_fits(keytrail: Keytrail, archive: Path, columns: int) -> None:
    shown = keytrail.terminal("scan", archive, "-q", "--color", "never", columns=columns)
    assert shown.code == 0
    lines = shown.text.splitlines()
    assert len(lines) == 3  # the header, the alert, what was found
    assert lines[0].startswith("TIME (UTC)")
    assert max(map(len, lines)) <= columns


def test_a_terminal_sees_colours_and_a_summary_but_no_trace_of_progress(keytrail: Keytrail, archive: Path) -> None:
    shown = keytrail.terminal("scan", archive)
    assert "\x1b[33mmedium\x1b[0m" in shown.text
    assert "1 alert: " in shown.text
    last = shown.text.rsplit("\x1b[2K", 1)[-1]
    assert "files" not in last.split("TIME (UTC)")[0]


@pytest.mark.parametrize("how", [{"env": {"NO_COLOR": "1"}}, {"env": {"TERM": "dumb"}}, {"flag": "never"}])
def test_colour_can_be_refused(keytrail: Keytrail, archive: Path, how: dict[str, object]) -> None:
    flags = ["--color", str(how["flag"])] if "flag" in how else []
    shown = keytrail.terminal("scan", archive, "-q", *flags, env=how.get("env"))  # type: ignore[arg-type]
    assert "medium" in shown.text
    assert "\x1b[" not in shown.text


def test_colour_can_be_asked_for(keytrail: Keytrail, archive: Path) -> None:
    assert "\x1b[33mmedium\x1b[0m" in keytrail("scan", archive, "--format", "table", "--color", "always").stdout
    assert "\x1b" not in keytrail("scan", archive, "--format", "ndjson", "--color", "always").stdout
    assert "\x1b" not in keytrail("scan", archive, "--format", "table").stdout


# -- files ----------------------------------------------------------------------------------------------------------


def test_the_name_of_the_file_chooses_the_format(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "a.json", "a.ndjson", "a.jsonl"):
        result = keytrail("scan", archive, "-o", tmp_path / name)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.splitlines()[-1] == f"Wrote 1 alert to {tmp_path / name}"
    assert (tmp_path / "a.csv").read_bytes().startswith(b"time,severity,")
    assert len(json.loads((tmp_path / "a.json").read_text())) == 1
    assert (tmp_path / "a.ndjson").read_text().count("\n") == 1


def test_a_file_is_not_replaced_without_force(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("mine")
    result = keytrail("scan", archive, "-o", target)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert target.read_text() == "mine"
    assert keytrail("scan", archive, "-o", target, "--force").exit_code == 0
    assert len(json.loads(target.read_text())) == 1


# -- what is scanned, and how ---------------------------------------------------------------------------------------


def test_own_rules_add_to_the_pack(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    mine = rule(tmp_path / "mine.toml", query="event.action: Decrypt")
    names = [
        json.loads(a)["kibana.alert.rule.name"] for a in keytrail("scan", archive, "--rules", mine).stdout.splitlines()
    ]
    assert names == [FLAGSHIP_NAME, "Mine"]
    result = keytrail("scan", archive, "--rules", mine, "--no-builtin")
    assert [json.loads(a)["kibana.alert.rule.name"] for a in result.stdout.splitlines()] == ["Mine"]


def test_one_rule_by_its_id(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    mine = rule(tmp_path / "mine.toml", query="event.action: *")
    result = keytrail("scan", archive, "--rules", mine, "--rule", FLAGSHIP)
    assert [json.loads(a)["kibana.alert.rule.rule_id"] for a in result.stdout.splitlines()] == [FLAGSHIP]
    unknown = keytrail("scan", archive, "--rule", "no-such-rule")
    assert unknown.exit_code == 2
    assert "no-such-rule" in unknown.stderr


def test_ones_own_rule_replaces_the_one_of_the_pack_and_that_is_said(
    keytrail: Keytrail, archive: Path, tmp_path: Path
) -> None:
    mine = rule(tmp_path / "mine.toml", id=FLAGSHIP, name="Replaced", query="event.action: PutKeyPolicy")
    result = keytrail("scan", archive, "--rules", mine)
    assert [json.loads(a)["kibana.alert.rule.name"] for a in result.stdout.splitlines()] == ["Replaced"]
    [note] = [line for line in result.stderr.splitlines() if line.startswith("note:")]
    assert FLAGSHIP in note or FLAGSHIP_NAME in note


def test_times_are_event_times(keytrail: Keytrail, tmp_path: Path) -> None:
    days = [keytrail.record(day, eventTime=f"2026-03-0{day}T12:00:00Z") for day in range(1, 6)]
    archive = keytrail.archive(tmp_path / "1.json", days)
    result = keytrail("scan", archive, "--since", "2026-03-02", "--until", "2026-03-04T12:00:00Z")
    seen = [json.loads(a)["kibana.alert.original_time"][:10] for a in result.stdout.splitlines()]
    assert seen == ["2026-03-02", "2026-03-03"]
    assert keytrail("scan", archive, "--since", "yesterday").exit_code == 2


def test_a_duplicate_event_is_one_alert(keytrail: Keytrail, tmp_path: Path) -> None:
    keytrail.archive(tmp_path / "a" / "1.json.gz", [keytrail.record(1)])
    keytrail.archive(tmp_path / "a" / "2.json.gz", [keytrail.record(1)])
    result = keytrail("scan", tmp_path / "a")
    assert len(result.stdout.splitlines()) == 1
    assert "1 duplicate alert" in result.stderr


def test_stdin(keytrail: Keytrail) -> None:
    data = json.dumps({"Records": [keytrail.record()]}).encode()
    done = subprocess.run(keytrail.command("scan", "-"), input=data, capture_output=True, timeout=60)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


def test_several_processes_find_the_same(keytrail: Keytrail, tmp_path: Path) -> None:
    for number in range(40):
        keytrail.archive(
            tmp_path / "a" / f"{number}.json.gz", [keytrail.record(number, eventTime=f"2026-03-01T08:00:{number:02}Z")]
        )
    outputs = [
        subprocess.run(
            keytrail.command("scan", tmp_path / "a", "-j", jobs), capture_output=True, check=True, timeout=60
        ).stdout
        for jobs in ("1", "2")
    ]
    ids = [[json.loads(line)["kibana.alert.uuid"] for line in output.splitlines()] for output in outputs]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 40


# -- exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("low", "low", 1),
        ("medium", "low", 1),
        ("medium", "high", 0),
        ("high", "high", 1),
        ("critical", "high", 1),
        ("critical", "never", 0),
    ],
)
def test_an_alert_fails_the_run_from_a_severity_on(
    keytrail: Keytrail, archive: Path, tmp_path: Path, severity: str, fail_on: str, code: int
) -> None:
    mine = rule(tmp_path / "mine.toml", severity=severity, query="event.action: PutKeyPolicy")
    result = keytrail("scan", archive, "--rules", mine, "--no-builtin", "--fail-on", fail_on)
    assert result.exit_code == code
    assert len(result.stdout.splitlines()) == 1


def test_what_is_below_the_least_severity_is_left_out_and_fails_nothing(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("scan", archive, "--min-severity", "high", "--fail-on", "low")
    assert (result.exit_code, result.stdout) == (0, "")


def test_unreadable_input_is_listed_and_the_rest_is_read(keytrail: Keytrail, archive: Path) -> None:
    (archive / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    result = keytrail("scan", archive)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("warning:") and "broken.json.gz" in line]


def test_unreadable_input_is_told_even_to_the_quiet(keytrail: Keytrail, archive: Path) -> None:
    (archive / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    result = keytrail("scan", archive, "--quiet")
    assert result.exit_code == 3
    assert result.stderr.startswith("warning:")
    assert len(result.stderr.splitlines()) == 1


def test_an_alert_is_told_before_unreadable_input(keytrail: Keytrail, archive: Path) -> None:
    (archive / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    assert keytrail("scan", archive, "--fail-on", "medium").exit_code == 1
    assert keytrail("scan", archive, "--fail-on", "high").exit_code == 3


def test_a_record_that_no_rule_can_match_is_checked_on_demand(keytrail: Keytrail, tmp_path: Path) -> None:
    lines = [
        json.dumps(keytrail.record(eventName="ListKeys")),
        '{"eventName": "ListKeys", broken}',
        json.dumps(keytrail.record(2)),
    ]
    (tmp_path / "a.json").write_text("\n".join(lines) + "\n")
    result = keytrail("scan", tmp_path / "a.json", "--check")
    assert result.exit_code == 3
    assert "a.json:2" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_a_source_that_is_not_there(keytrail: Keytrail, tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    result = keytrail("scan", tmp_path / "no-such-folder", "-o", target)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no-such-folder" in result.stderr
    assert "No alerts" not in result.stderr
    assert not target.exists()


def test_a_folder_without_an_archive_says_what_lay_there(keytrail: Keytrail, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    result = keytrail("scan", tmp_path / "a")
    assert result.exit_code == 4
    assert "photo.jpg" in result.stderr or "1 other" in result.stderr


def test_one_source_of_two_is_not_there(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    result = keytrail("scan", archive, tmp_path / "no-such-folder")
    assert result.exit_code == 4
    assert len(result.stdout.splitlines()) == 1
    assert keytrail("scan", archive, tmp_path / "no-such-folder", "--fail-on", "low").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-on", "bad"], "--fail-on"),
        (["--min-severity", "bad"], "--min-severity"),
        (["--jobs", "-1"], "jobs"),
        (["--format", "xml"], "--format"),
        (["--since", "soon"], "--since"),
        (["--since", "1h", "--until", "2h"], "is not before --until"),
        (["-o", "alerts.txt"], "--format"),
        (["--no-builtin"], "no rule"),
        (["--rules", "no-such-rules"], "no-such-rules"),
        (["--config", "no-such.toml"], "no-such.toml"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_command_line(keytrail: Keytrail, archive: Path, arguments: list[str], said: str) -> None:
    result = keytrail("scan", archive, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_bad_query_in_a_rule_is_shown_at_its_place(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    mine = rule(tmp_path / "mine.toml", query="event.action: (a or")
    result = keytrail("scan", archive, "--rules", mine)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "mine.toml:10" in result.stderr
    lines = result.stderr.splitlines()
    caret = next(line for line in lines if line.strip() == "^")
    query = lines[lines.index(caret) - 1]
    assert query.strip() == "event.action: (a or"
    assert query[len(caret) - 1] == "("


def test_settings_count_and_flags_win(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    config = tmp_path / "k.toml"
    config.write_text('[scan]\nfail_on = "low"\n')
    assert keytrail("scan", archive, "--config", config).exit_code == 1
    assert keytrail("scan", archive, "--config", config, "--fail-on", "never").exit_code == 0
    assert keytrail("scan", archive, "--config", config, env={"KEYTRAIL_SCAN__FAIL_ON": "high"}).exit_code == 0


# -- what is said beside the data -----------------------------------------------------------------------------------


def test_the_summary_counts(keytrail: Keytrail, archive: Path) -> None:
    lines = keytrail("scan", archive).stderr.splitlines()
    assert lines[0] == "1 alert: 1 medium"
    assert lines[1] == f"  1  {FLAGSHIP_NAME}"
    assert lines[2].startswith("Investigated 1 alert in ")
    assert lines[2].endswith(": 1 review")
    assert lines[3].startswith("Scanned 2 files (")


@pytest.mark.parametrize("flag", ["--quiet", "-q", "--no-summary"])
def test_the_summary_can_be_left_out(keytrail: Keytrail, archive: Path, flag: str) -> None:
    assert keytrail("scan", archive, flag).stderr == ""


# -- hostile records ------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(keytrail: Keytrail, tmp_path: Path) -> Path:
    return keytrail.archive(
        tmp_path / "hostile.json.gz",
        [
            keytrail.record(
                number,
                sourceIPAddress=text,
                userAgent=text,
                resources=[{"ARN": text, "type": text}],
                userIdentity={"type": text, "arn": f"arn:aws:iam::111122223333:user/{text}", "userName": text},
                requestParameters={"keyId": text, "policy": text},
                awsRegion=text,
            )
            for number, text in enumerate(keytrail.hostile)
        ],
    )


def test_nothing_of_a_record_acts_on_a_terminal(keytrail: Keytrail, hostile: Path) -> None:
    for form in ("table", "json", "ndjson", "csv"):
        result = keytrail("scan", hostile, "--format", form)
        assert result.exit_code == 0
        output = result.stdout_bytes.decode().replace("\r\n", "\n") + result.stderr
        assert output.replace("\n", "").isprintable()
        for invisible in ("\u200b", "\u202e", "\x1b"):
            assert invisible not in output
        if form == "table":
            assert len(output.splitlines()) >= len(keytrail.hostile) + 1
            assert not [line for line in output.splitlines() if line.startswith("error:")]


def test_json_keeps_what_was_written(keytrail: Keytrail, hostile: Path) -> None:
    alerts = json.loads(keytrail("scan", hostile, "--format", "json").stdout)
    assert {alert["source"]["address"] for alert in alerts} == set(keytrail.hostile)


def test_no_cell_starts_a_formula(keytrail: Keytrail, hostile: Path) -> None:
    text = keytrail("scan", hostile, "--format", "csv").stdout_bytes.decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(keytrail.hostile) + 1
    assert {len(row) for row in rows} == {len(ALERT_COLUMNS)}
    for cell in (cell for row in rows for cell in row):
        assert not cell.lstrip().startswith(("=", "+", "-", "@"))


def test_hostile_names_of_files_are_shown_as_escapes(keytrail: Keytrail, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    keytrail.archive(folder / "good.json", [keytrail.record()])
    (folder / "\x1b[31mred\nerror: forged.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    (folder / os.fsdecode(b"\xff.json.gz")).write_bytes(b"\x1f\x8b\x08\x00damaged")
    result = keytrail("scan", folder)
    assert result.exit_code == 3
    assert result.stderr.replace("\n", "").isprintable()
    assert "\\x1b[31mred\\nerror: forged.json.gz" in result.stderr
