"""`keytrail query` and `keytrail ecs`: events out of archives."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.facts import EVENT_COLUMNS

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any


@pytest.fixture
def archive(keytrail: Keytrail, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    denied = keytrail.record(2, errorCode="AccessDenied", errorMessage="no", sourceIPAddress="198.51.100.9")
    keytrail.archive(folder / "1.json.gz", [keytrail.record(1), denied])
    keytrail.archive(folder / "2.json", [keytrail.record(3, eventName="ListKeys", eventTime="2026-03-02T00:00:00Z")])
    return folder


def found(text: str) -> list[str]:
    return sorted(json.loads(line)["event"]["id"][-1] for line in text.splitlines())


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("event.action: PutKeyPolicy", ["1", "2"]),
        ("event.action: PutKeyPolicy and event.outcome: failure", ["2"]),
        ("source.ip: 203.0.113.0/24", ["1", "3"]),
        ("not event.action: *Policy", ["3"]),
        ("event.action: Nothing", []),
    ],
)
def test_prints_what_matches(keytrail: Keytrail, archive: Path, query: str, ids: list[str]) -> None:
    result = keytrail("query", query, archive)
    assert result.exit_code == 0
    assert found(result.stdout) == ids
    assert result.stderr == ""


def test_raw_prints_the_records_as_they_were_stored(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("query", "event.action: ListKeys", archive, "--raw")
    assert json.loads(result.stdout) == keytrail.record(3, eventName="ListKeys", eventTime="2026-03-02T00:00:00Z")


def test_raw_is_json_on_a_terminal_too(keytrail: Keytrail, archive: Path) -> None:
    shown = keytrail.terminal("query", "event.action: ListKeys", archive, "--raw")
    assert json.loads(shown.text)["eventName"] == "ListKeys"


@pytest.mark.parametrize("form", ["table", "csv"])
def test_raw_is_json_only(keytrail: Keytrail, archive: Path, form: str) -> None:
    result = keytrail("query", "event.action: *", archive, "--raw", "--format", form)
    assert result.exit_code == 2
    assert "--raw" in result.stderr


def test_raw_keeps_what_a_parser_would_lose(keytrail: Keytrail, tmp_path: Path) -> None:
    text = json.dumps(keytrail.record(1, eventName="ListKeys"))
    odd = text[:-1] + ', "number": 1.00, "big": 123456789012345678901234567890, "twice": 1, "twice": 2}'
    (tmp_path / "a.json").write_text(odd + "\n")
    printed = keytrail("query", "event.action: ListKeys", tmp_path / "a.json", "--raw").stdout
    for part in ('"number": 1.00', "123456789012345678901234567890", '"twice": 1', '"twice": 2'):
        assert part in printed


def test_formats(keytrail: Keytrail, archive: Path) -> None:
    arguments = ("query", "event.action: ListKeys", archive, "--format")
    [document] = json.loads(keytrail(*arguments, "json").stdout)
    assert document["cloud"]["region"] == "eu-west-1"
    [row] = csv.DictReader(io.StringIO(keytrail(*arguments, "csv").stdout_bytes.decode(), newline=""))
    assert tuple(row) == EVENT_COLUMNS
    assert (row["action"], row["actor"], row["account"]) == ("ListKeys", "Admin/mallory", "111122223333")
    header, line = keytrail(*arguments, "table").stdout.splitlines()
    assert header.split()[:4] == ["TIME", "(UTC)", "OUTCOME", "ACTION"]
    assert line.split()[:4] == ["2026-03-02", "00:00:00", "success", "ListKeys"]


def test_a_terminal_gets_a_table_that_fits(keytrail: Keytrail, archive: Path) -> None:
    shown = keytrail.terminal("query", "event.action: *", archive, "--color", "never", columns=80)
    assert shown.code == 0
    lines = shown.text.splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 80


def test_times_are_event_times(keytrail: Keytrail, archive: Path) -> None:
    assert found(keytrail("query", "event.action: *", archive, "--since", "2026-03-02").stdout) == ["3"]
    assert found(keytrail("query", "event.action: *", archive, "--until", "2026-03-02").stdout) == ["1", "2"]


def test_a_query_that_is_wrong_shows_where(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("query", "event.action: (PutKeyPolicy or", archive)
    assert (result.exit_code, result.stdout) == (2, "")
    first, query, caret = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert query == "  event.action: (PutKeyPolicy or"
    assert query[len(caret) - 1] == "("


def test_a_query_that_does_not_fit_the_type_shows_where(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("query", "source.ip: 999.1.1.1", archive)
    assert result.exit_code == 2
    assert "  source.ip: 999.1.1.1\n             ^" in result.stderr


def test_unreadable_input_is_listed_and_the_rest_is_read(keytrail: Keytrail, archive: Path) -> None:
    (archive / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    result = keytrail("query", "event.action: *", archive)
    assert result.exit_code == 3
    assert found(result.stdout) == ["1", "2", "3"]
    assert "broken.json.gz" in result.stderr


def test_one_source_of_two_is_not_there(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    result = keytrail("query", "event.action: *", archive, tmp_path / "no-such", "--format", "json")
    assert result.exit_code == 4
    assert len(json.loads(result.stdout)) == 3
    assert result.stderr.count("no-such") == 1


def test_no_source_at_all_leaves_no_file(keytrail: Keytrail, tmp_path: Path) -> None:
    result = keytrail("query", "event.action: *", tmp_path / "no-such", "-o", tmp_path / "a.json")
    assert result.exit_code == 4
    assert not (tmp_path / "a.json").exists()


def test_strict_is_the_meaning_that_kibana_gives(keytrail: Keytrail, archive: Path) -> None:
    assert keytrail("query", "event.action: PutKeyPolicy", archive, "--strict").exit_code == 0


# -- ecs ------------------------------------------------------------------------------------------------------------


def test_ecs_prints_every_event(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail("ecs", archive)
    assert (result.exit_code, result.stderr) == (0, "")
    assert found(result.stdout) == ["1", "2", "3"]
    document = json.loads(result.stdout.splitlines()[0])
    assert document["event"]["dataset"] == "aws.cloudtrail"
    assert document["aws"]["cloudtrail"]["user_identity"]["type"] == "AssumedRole"


def test_ecs_into_a_file(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    assert keytrail("ecs", archive, "-o", tmp_path / "events.txt").exit_code == 0
    assert found((tmp_path / "events.txt").read_text()) == ["1", "2", "3"]


def test_ecs_of_hostile_records_is_ascii(keytrail: Keytrail, tmp_path: Path) -> None:
    records = [keytrail.record(n, userAgent=text, eventName=text) for n, text in enumerate(keytrail.hostile)]
    result = keytrail("ecs", keytrail.archive(tmp_path / "a.json", records))
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isascii()
    assert result.stdout.replace("\n", "").isprintable()
    assert {json.loads(line)["event"]["action"] for line in result.stdout.splitlines()} == set(keytrail.hostile)
    raw = keytrail("query", "event.action: *", tmp_path / "a.json", "--raw")
    assert raw.stdout.replace("\n", "").isprintable()
    assert {json.loads(line)["eventName"] for line in raw.stdout.splitlines()} == set(keytrail.hostile)


# -- endings --------------------------------------------------------------------------------------------------------


def test_a_reader_that_has_enough_ends_the_run_quietly(keytrail: Keytrail, tmp_path: Path) -> None:
    archive = keytrail.archive(tmp_path / "a.json", [keytrail.record(number) for number in range(2000)])
    process = subprocess.Popen(keytrail.command("ecs", archive), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["event"]["kind"] == "event"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141
    process.stderr.close()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_the_reader_did_not_take_is_not_taken_for_done(
    keytrail: Keytrail, tmp_path: Path, unbuffered: str
) -> None:
    # One line that is more than a pipe holds: a write of which a part is done.
    archive = keytrail.archive(tmp_path / "a.json", [keytrail.record(1, requestParameters={"x": "x" * 500_000})])
    process = subprocess.Popen(
        keytrail.command("query", "event.action: *", archive, "--raw"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141
    process.stderr.close()


def test_an_interrupt_ends_the_run_with_one_line(keytrail: Keytrail, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    process = subprocess.Popen(
        keytrail.command("query", "event.action: *", "-", "-o", target),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    # The file in the making says that the run has begun; stdin stays open, so it waits for events.
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".out.json.*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    assert process.stderr.read() == b"error: interrupted\n"
    process.communicate()
    assert not target.exists()
    assert list(tmp_path.glob(".out.json.*.part")) == []
