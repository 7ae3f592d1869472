"""`keytrail rules`: what is there, what one says, and what is wrong with a file, at its line."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.options import FailOn, Severity
from keytrail.cli.rule_text import rule_text
from keytrail.rules import SEVERITIES, builtin

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
FLAGSHIP = "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"

GOOD = """[rule]
rule_id = "good"
name = "Good"
description = "A rule of a test."
type = "query"
severity = "high"
risk_score = 73
query = "event.action: DisableKey"
"""
EQL = """[rule]
rule_id = "sequence"
name = "A sequence"
description = "A rule of a test."
type = "eql"
language = "eql"
severity = "low"
risk_score = 21
query = "any where true"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "good.toml").write_text(GOOD)
    (folder / "sequence.toml").write_text(EQL)
    (folder / "off.toml").write_text(GOOD.replace("good", "off").replace("Good", "Off") + "enabled = false\n")
    return folder


def test_the_severities_are_those_of_rules() -> None:
    assert tuple(Severity) == SEVERITIES
    assert tuple(FailOn) == ("never", *SEVERITIES)


def test_list_has_the_pack_and_ones_own(keytrail: Keytrail, mine: Path) -> None:
    rows = [json.loads(line) for line in keytrail("rules", "list", "--rules", mine).stdout.splitlines()]
    states = {row["rule_id"]: (row["origin"], row["state"].partition(":")[0]) for row in rows}
    assert states[FLAGSHIP] == ("built-in", "runs")
    assert states["good"] == (str(mine / "good.toml"), "runs")
    assert states["off"] == (str(mine / "off.toml"), "disabled")
    assert states["sequence"] == (str(mine / "sequence.toml"), "not run")
    assert len(rows) > 4


def test_list_without_the_pack_in_every_format(keytrail: Keytrail, mine: Path) -> None:
    arguments = ("rules", "list", "--rules", mine, "--no-builtin", "--format")
    assert [row["rule_id"] for row in json.loads(keytrail(*arguments, "json").stdout)] == ["sequence", "good", "off"]
    rows = list(csv.DictReader(io.StringIO(keytrail(*arguments, "csv").stdout_bytes.decode(), newline="")))
    assert [(row["rule_id"], row["severity"]) for row in rows] == [
        ("sequence", "low"),
        ("good", "high"),
        ("off", "high"),
    ]
    table = keytrail(*arguments, "table").stdout.splitlines()
    assert table[0].split() == ["SEVERITY", "NAME", "ID", "TYPE", "ORIGIN", "STATE"]
    assert len(table) == 4


def test_list_on_a_terminal_fits(keytrail: Keytrail) -> None:
    shown = keytrail.terminal("rules", "list", "--color", "never", columns=80)
    assert shown.code == 0
    assert max(map(len, shown.text.splitlines())) <= 80


def test_list_shows_the_good_ones_beside_the_broken(keytrail: Keytrail, mine: Path) -> None:
    (mine / "bad.toml").write_text(GOOD.replace('"high"', '"dreadful"'))
    result = keytrail("rules", "list", "--rules", mine, "--no-builtin")
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 3
    assert "bad.toml:6" in result.stderr


@pytest.mark.parametrize("wanted", [FLAGSHIP, FLAGSHIP[:8], "AWS KMS Key Policy Updated via PutKeyPolicy"])
def test_show_tells_all_of_a_rule(keytrail: Keytrail, wanted: str) -> None:
    result = keytrail("rules", "show", wanted)
    assert result.exit_code == 0
    text = result.stdout
    for part in (
        "AWS KMS Key Policy Updated via PutKeyPolicy\n",
        f"  id            {FLAGSHIP}\n",
        "  severity      medium\n",
        "  risk score    47\n",
        "  schedule      every 5m, looks at now-6m to now\n",
        "  indices       filebeat-*, logs-aws.cloudtrail-*\n",
        "T1548.005",
        "TA0005",
        "\nDescription\n",
        "\nQuery\n",
        'event.action: "PutKeyPolicy"',
        "\nFalse positives\n",
        "\nInvestigation guide\n",
        "\nReferences\n",
        "PutKeyPolicy.html",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 250


def test_show_as_json_is_the_rule_of_the_api(keytrail: Keytrail) -> None:
    rule = json.loads(keytrail("rules", "show", FLAGSHIP, "--format", "json").stdout)
    assert (rule["rule_id"], rule["from"], rule["max_signals"]) == (FLAGSHIP, "now-6m", 100)


def test_show_says_what_is_not_there_and_what_is_ambiguous(keytrail: Keytrail, mine: Path) -> None:
    unknown = keytrail("rules", "show", "nothing")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "rules list" in unknown.stderr
    (mine / "twin.toml").write_text(GOOD.replace('"good"', '"good-2"'))
    (mine / "other.toml").write_text(GOOD.replace('"good"', '"good-3"'))
    ambiguous = keytrail("rules", "show", "good-", "--rules", mine)
    assert ambiguous.exit_code == 2
    assert "good-2, good-3" in ambiguous.stderr or "good-3, good-2" in ambiguous.stderr
    assert keytrail("rules", "show", "good", "--rules", mine).exit_code == 0


def test_nothing_of_a_rule_acts_on_a_terminal(keytrail: Keytrail, tmp_path: Path) -> None:
    nasty = "\\u001b[2J\\u202e\\u0007 =1+1"
    fields = [f'{name} = "{nasty}"' for name in ("note", "setup")]
    fields += [f'{name} = ["{nasty}"]' for name in ("references", "false_positives")]
    (tmp_path / "nasty.toml").write_text(GOOD + "\n".join(fields))
    shown = keytrail("rules", "show", "good", "--rules", tmp_path / "nasty.toml")
    assert shown.exit_code == 0
    (tmp_path / "refused.toml").write_text(GOOD.replace('"Good"', f'"{nasty}"'))
    refused = keytrail("rules", "validate", tmp_path / "refused.toml")
    for result in (shown, refused):
        assert result.output.replace("\n", "").isprintable()
        assert "\\x1b[2J\\u202e\\x07" in result.output


def test_the_page_of_a_rule_is_harmless_whatever_the_rule_holds() -> None:
    nasty = "\x1b[2J\u202e\x07\r\n- item"
    texts = dict.fromkeys(("rule_id", "name", "description", "type", "severity", "query", "language", "license"), nasty)
    lists = dict.fromkeys(("tags", "author", "references", "false_positives", "index"), (nasty,))
    threat = ({"tactic": {"id": nasty, "name": nasty}, "technique": [{"id": nasty, "name": nasty}]},)
    rule = replace(builtin().rules[0], **texts, **lists, threat=threat, note=nasty, setup=nasty)
    page = rule_text(rule, state=nasty, origin=nasty)
    assert page.replace("\n", "").isprintable()
    assert "\\x1b[2J" in page


# -- validate -------------------------------------------------------------------------------------------------------


def test_validate_good_rules(keytrail: Keytrail, mine: Path) -> None:
    result = keytrail("rules", "validate", mine)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "3 valid rules (1 of them not run)"
    [line] = result.stdout.splitlines()
    assert line.startswith(f"{mine / 'sequence.toml'}")
    assert "not run: " in line


def test_validate_prints_every_problem_with_its_line(keytrail: Keytrail, mine: Path) -> None:
    (mine / "a.toml").write_text(GOOD.replace('"good"', '"a"').replace('"high"', '"dreadful"').replace("73", "730"))
    (mine / "b.toml").write_text(
        GOOD.replace('"good"', '"b"').replace("event.action: DisableKey", "event.action: (a or")
    )
    (mine / "c.toml").write_text("[rule\n")
    (mine / "d.ndjson").write_text('{"rule_id": "d"\n')
    result = keytrail("rules", "validate", mine)
    assert result.exit_code == 2
    problems = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    for place in ("a.toml:6", "a.toml:7", "b.toml:8", "c.toml:1", "d.ndjson"):
        assert [line for line in problems if f"{mine / place}" in line], place
    assert "3 valid rules" in result.stderr
    assert "5 problems" in result.stderr


def test_validate_shows_a_query_with_its_caret(keytrail: Keytrail, mine: Path) -> None:
    (mine / "b.toml").write_text(GOOD.replace("event.action: DisableKey", "event.action: (a or"))
    lines = keytrail("rules", "validate", mine / "b.toml").stdout.splitlines()
    caret = next(line for line in lines if line.strip() == "^")
    query = lines[lines.index(caret) - 1]
    assert query[len(caret) - 1] == "("


@pytest.mark.parametrize("name", ["no-such-file.toml", "empty"])
def test_validate_nothing_is_an_error(keytrail: Keytrail, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    result = keytrail("rules", "validate", tmp_path / name)
    assert result.exit_code == 2
    assert result.stdout + result.stderr != ""
