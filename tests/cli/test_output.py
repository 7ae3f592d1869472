"""Results in files and pipes: formats, names that choose them, files that are whole or absent."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cli.output import (
    Format,
    choose_format,
    open_output,
    write_csv,
    write_json,
    write_ndjson,
)
from keytrail.errors import OutputError


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", Format.CSV),
        ("a.json", Format.JSON),
        ("a.ndjson", Format.NDJSON),
        ("a.jsonl", Format.NDJSON),
        ("A.CSV", Format.CSV),
        ("folder.csv/a.json", Format.JSON),
    ],
)
def test_the_name_chooses_the_format(name: str, form: Format) -> None:
    assert choose_format(None, name, Format) is form
    assert choose_format(Format.TABLE, name, Format) is Format.TABLE


@pytest.mark.parametrize("name", ["alerts", "alerts.txt", "alerts.json.gz", ".csv"])
def test_a_name_that_says_nothing_is_asked_about(name: str) -> None:
    with pytest.raises(OutputError, match="does not say which format") as caught:
        choose_format(None, name, Format)
    assert "--format" in caught.value.advice


def test_a_pipe_gets_ndjson(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_format(None, None, Format) is Format.NDJSON
    assert choose_format(None, "-", Format) is Format.NDJSON
    assert choose_format(Format.TABLE, None, Format) is Format.TABLE


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with open_output(str(target)) as out:
        out.write("[]\n")
        out.flush()
        assert not target.exists()
    assert target.read_text() == "[]\n"
    assert os.listdir(tmp_path) == ["a.json"]


def _run_into(target: Path, text: str, error: BaseException, *, force: bool = False) -> None:
    with open_output(str(target), force=force) as out:
        out.write(text)
        raise error


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with pytest.raises(RuntimeError):
        _run_into(target, "[", RuntimeError())
    assert os.listdir(tmp_path) == []


def test_a_run_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _run_into(target, "new", KeyboardInterrupt(), force=True)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(OutputError, match="exists already") as caught, open_output(str(target)):
        pytest.fail("the run must not start")
    assert "--force" in caught.value.advice
    assert target.read_text() == "old"
    with open_output(str(target), force=True) as out:
        out.write("new")
    assert target.read_text() == "new"


def test_a_file_that_appears_during_the_run_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.json"

    def run() -> None:
        with open_output(str(target)) as out:
            out.write("new")
            target.write_text("someone else's")

    with pytest.raises(OutputError, match="exists already"):
        run()
    assert target.read_text() == "someone else's"
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_file_is_as_readable_as_others(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with open_output(str(tmp_path / "a.json")) as out:
        out.write("[]")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "a.json")}
    assert len(modes) == 1


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    with open_output(str(tmp_path / "link.json"), force=True) as out:
        out.write("new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_full_disk_is_an_error_with_a_name(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OutputError, match="cannot write '/dev/full': No space left"), open_output("/dev/full") as out:
        out.write("something")


def test_a_device_is_written_to() -> None:
    with open_output("/dev/null") as out:
        out.write("nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["missing/a.json", "file/a.json", "", "x" * 300 + ".json"])
def test_where_nothing_can_be_written_is_told_before_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), open_output(str(tmp_path / name)):
        pytest.fail("the run must not start")


def test_an_error_of_the_run_is_not_taken_for_one_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing-input"), open_output(str(tmp_path / "a.json")):
        Path("missing-input").read_text()


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=20), min_size=2), max_size=5))
def test_csv_reads_back_row_by_row_and_starts_no_formula(rows: list[dict[str, str]]) -> None:
    out = io.StringIO(newline="")
    write_csv(rows, ("a", "b"), out)
    text = out.getvalue()
    assert text.startswith("a,b\r\n")
    assert text.endswith("\r\n")
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(read) == len(rows)
    for cell in (cell for row in read for cell in row.values()):
        assert cell.isprintable()
        assert not cell.lstrip(' "').startswith(("=", "+", "-", "@"))


def test_json_is_an_array_and_ndjson_is_lines() -> None:
    texts = ['{"a":1}', '{"a":2}']
    whole, lines = io.StringIO(), io.StringIO()
    write_json(iter(texts), whole)
    write_ndjson(iter(texts), lines)
    assert json.loads(whole.getvalue()) == [{"a": 1}, {"a": 2}]
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == [{"a": 1}, {"a": 2}]


def test_nothing_found_is_still_valid() -> None:
    whole, lines, table = io.StringIO(), io.StringIO(), io.StringIO(newline="")
    nothing: Iterator[str] = iter(())
    write_json(nothing, whole)
    write_ndjson(nothing, lines)
    write_csv([], ("a", "b"), table)
    assert (json.loads(whole.getvalue()), lines.getvalue(), table.getvalue()) == ([], "", "a,b\r\n")
