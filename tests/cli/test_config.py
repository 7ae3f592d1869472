"""`keytrail config`: the settings file written, checked and shown."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any


def test_init_writes_a_file_that_changes_nothing_and_is_good(keytrail: Keytrail) -> None:
    result = keytrail("config", "init")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "keytrail.toml" in result.stderr
    text = Path("keytrail.toml").read_text()
    assert "fail_on" in text
    assert not any(tomllib.loads(text).values())
    assert keytrail("config", "check").stdout == "keytrail.toml: good\n"


def test_init_keeps_an_existing_file_unless_forced(keytrail: Keytrail, tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    target.write_text("[scan]\njobs = 2\n")
    assert keytrail("config", "init", target).exit_code == 2
    assert target.read_text() == "[scan]\njobs = 2\n"
    assert keytrail("config", "init", target, "--force").exit_code == 0
    assert "# " in target.read_text()


def test_init_to_stdout(keytrail: Keytrail) -> None:
    assert "[scan]" in keytrail("config", "init", "-").stdout


def test_check_prints_every_problem_with_its_line(keytrail: Keytrail, tmp_path: Path) -> None:
    file = tmp_path / "k.toml"
    file.write_text('[scan]\njobs = "many"\nfail_on = "sometimes"\n\n[reading]\nmax_depht = 3\n')
    result = keytrail("config", "check", file)
    assert result.exit_code == 2
    for place in (f"{file}:2", f"{file}:3", f"{file}:6"):
        assert place in result.stderr
    assert result.stderr.count("error: ") == 3


def test_check_without_a_file(keytrail: Keytrail, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "defaults" in keytrail("config", "check").stdout
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "many")
    result = keytrail("config", "check")
    assert result.exit_code == 2
    assert "KEYTRAIL_SCAN__JOBS" in result.stderr


def test_check_of_a_file_that_is_not_there(keytrail: Keytrail) -> None:
    assert keytrail("config", "check", "no-such.toml").exit_code == 2


def test_show_says_where_each_value_comes_from(
    keytrail: Keytrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "k.toml"
    file.write_text('[scan]\nfail_on = "high"\n')
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "3")
    rows = {
        row["name"]: row for row in json.loads(keytrail("config", "show", "--config", file, "--format", "json").stdout)
    }
    assert (rows["scan.jobs"]["value"], rows["scan.fail_on"]["value"]) == ("3", '"high"')
    assert "KEYTRAIL_SCAN__JOBS" in rows["scan.jobs"]["origin"]
    assert f"{file}:2" in rows["scan.fail_on"]["origin"]
    assert rows["scan.batch_files"]["origin"] == "default"


def test_show_is_a_table_on_a_terminal(keytrail: Keytrail) -> None:
    shown = keytrail.terminal("config", "show", "--color", "never", columns=80)
    assert shown.text.splitlines()[0].split() == ["NAME", "VALUE", "ORIGIN"]
    assert max(map(len, shown.text.splitlines())) <= 80


def test_colour_can_be_set(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text('[output]\ncolor = "always"\n')
    assert "\x1b[1mNAME" in keytrail("config", "show", "--format", "table").stdout
    assert "\x1b" not in keytrail("config", "show", "--format", "table", "--color", "never").stdout


def test_a_broken_file_stops_every_command(keytrail: Keytrail, tmp_path: Path) -> None:
    Path("keytrail.toml").write_text("[scan]\njobs = -1\n")
    for arguments in (("scan", tmp_path), ("query", "a: b", tmp_path), ("ecs", tmp_path), ("config", "show")):
        result = keytrail(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "keytrail.toml:2" in result.stderr
