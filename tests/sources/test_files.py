"""Files: which are taken, in which order, what is passed over and said, and that nothing loops or blocks."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from keytrail.errors import ObjectError, SourceError, UsageError
from keytrail.sources import Source, SourceSettings, TimeWindow, open_source

SETTINGS = SourceSettings()
ALL = TimeWindow()
LAYOUT = "AWSLogs/111122223333/CloudTrail/us-east-1"


def make(root: Path, *names: str) -> None:
    """Make files with these paths below `root`, each holding its path."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def keys(source: Source, window: TimeWindow = ALL) -> list[str]:
    return [item.key for item in source.objects(window)]


def below(root: Path, text: str = "", window: TimeWindow = ALL) -> list[str]:
    """The keys of a source below `root`, relative to it."""
    return [key.removeprefix(f"{root}/") for key in keys(open_source(f"{root}/{text}", SETTINGS), window)]


def days(since: str, until: str | None = None) -> TimeWindow:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    return TimeWindow(at(since), at(until) if until else None)


# -- folders -------------------------------------------------------------------------------------------------------


def test_a_folder_gives_the_files_whose_names_fit_in_order(tmp_path: Path) -> None:
    taken = ["a.json", "b.JSON.GZ", "c.jsonl", "d.ndjson", "e.ndjson.gz", "f.jsonl.gz", "sub/a.json.gz", "sub2/z.json"]
    make(tmp_path, *taken, "notes.txt", "trail.gz", ".hidden.json", ".git/config.json", "sub/.x.json", "json")
    source = open_source(str(tmp_path), SETTINGS)
    assert below(tmp_path) == taken
    assert keys(source) == [f"{tmp_path}/{name}" for name in taken]
    assert source.skipped.other == 3
    assert sorted(source.skipped.examples["other"]) == [f"{tmp_path}/{n}" for n in ("json", "notes.txt", "trail.gz")]
    assert source.problems == []


def test_an_object_has_its_size_and_its_bytes(tmp_path: Path) -> None:
    make(tmp_path, "a.json")
    source = open_source(str(tmp_path), SETTINGS)
    (item,) = source.objects(ALL)
    assert item.size == len("a.json")
    assert source.name(item.key) == item.key == f"{tmp_path}/a.json"
    assert list(pickle.loads(pickle.dumps(source)).read(item.key)) == [b"a.json"]


def test_paths_are_shown_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "logs/a.json")
    monkeypatch.chdir(tmp_path)
    assert keys(open_source("logs", SETTINGS)) == ["logs/a.json"]
    assert keys(open_source("./logs/", SETTINGS)) == ["./logs/a.json"]
    assert keys(open_source(".", SETTINGS)) == ["./logs/a.json"]
    assert keys(open_source("logs/*", SETTINGS)) == ["logs/a.json"]
    assert keys(open_source("*/a.json", SETTINGS)) == ["logs/a.json"]
    assert keys(open_source(f"file://{tmp_path}/logs", SETTINGS)) == [f"{tmp_path}/logs/a.json"]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, "evidence.bin", ".hidden", "what[1].txt")
    for name in ("evidence.bin", ".hidden", "what[1].txt"):
        assert below(tmp_path, name) == [name]


def test_digests_insights_and_other_services_are_passed_over_and_counted(tmp_path: Path) -> None:
    account = "AWSLogs/o-abc1234567/111122223333"
    event = f"{account}/CloudTrail/us-east-1/2024/02/01/111122223333_CloudTrail_us-east-1_20240201T0000Z_x.json.gz"
    make(
        tmp_path,
        event,
        f"{account}/CloudTrail-Digest/us-east-1/2024/02/01/d.json.gz",
        f"{account}/CloudTrail-Insight/us-east-1/2024/02/01/i.json.gz",
        f"{account}/Config/us-east-1/2024/2/1/ConfigSnapshot/c.json.gz",
        f"{account}/CloudTrail/us-east-1/2024/02/01/1_CloudTrail-Digest_us-east-1_t_us-east-1_20240201T000000Z.json.gz",
    )
    source = open_source(str(tmp_path), SETTINGS)
    assert keys(source) == [f"{tmp_path}/{event}"]
    assert (source.skipped.digest, source.skipped.insight, source.skipped.other) == (2, 1, 1)
    assert source.skipped.total == 4
    assert "2 digest files or folders" in str(source.skipped)


# -- the window ----------------------------------------------------------------------------------------------------


def test_date_folders_outside_the_window_are_not_listed(tmp_path: Path) -> None:
    dates = ["2023/12/31", "2024/01/30", "2024/01/31", "2024/02/01", "2024/02/02", "2025/01/01"]
    make(tmp_path, *(f"{LAYOUT}/{date}/x.json.gz" for date in dates), "flat.json", "2020/01/01/other.json")
    for date in ("2023/12", "2025", "2024/01/30", "2024/02/02"):
        (tmp_path / LAYOUT / date).chmod(0)  # Listing one of these would be a problem (or, for root, find its files).
    source = open_source(str(tmp_path), SETTINGS)
    try:
        found = keys(source, days("2024-01-31", "2024-02-01"))
    finally:
        for date in ("2023/12", "2025", "2024/01/30", "2024/02/02"):
            (tmp_path / LAYOUT / date).chmod(0o755)
    assert [key.removeprefix(f"{tmp_path}/") for key in found] == [
        "flat.json",  # Nothing tells when these are from.
        "2020/01/01/other.json",
        f"{LAYOUT}/2024/01/31/x.json.gz",
        f"{LAYOUT}/2024/02/01/x.json.gz",  # Delivery may cross midnight.
    ]
    assert source.problems == []
    assert source.skipped.days_outside == 4
    assert source.skipped.total == 0


def test_dates_are_told_by_the_folders_above_the_start_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, f"{LAYOUT}/2024/01/30/x.json", f"{LAYOUT}/2024/02/01/x.json")
    monkeypatch.chdir(tmp_path / LAYOUT)
    assert keys(open_source("2024", SETTINGS), days("2024-02-01")) == ["2024/02/01/x.json"]
    assert keys(open_source(".", SETTINGS), days("2024-02-01")) == ["./2024/02/01/x.json"]


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2024-02-28T23:59:59", "2024-02-29T00:00:00", "2024/02/28", "2024/02/29"),
        ("2024-02-28T00:00:00", "2024-02-29T00:00:01", "2024/02/28", "2024/03/01"),
        ("2024-02-28T23:30:00-01:00", None, "2024/02/29", "9999/99/99"),
        (None, "2024-12-31T12:00:00", "0000/00/00", "2025/01/01"),
        (None, "9999-12-31T12:00:00", "0000/00/00", "9999/99/99"),
        ("0001-01-01T00:00:00", None, "0001/01/01", "9999/99/99"),
    ],
)
def test_a_window_in_days(since: str | None, until: str | None, first: str, last: str) -> None:
    def at(text: str | None) -> datetime | None:
        if text is None:
            return None
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    window = TimeWindow(at(since), at(until)).days()
    assert window is not None
    assert (window.first, window.last) == (first, last)


@given(st.dates(), st.dates(), st.dates())
@hypothesis_settings(max_examples=200)
def test_a_day_is_listed_exactly_when_its_year_and_month_are(first: object, last: object, day: object) -> None:
    from keytrail.sources.model import Days

    span = Days(f"{first:%Y/%m/%d}".zfill(10), f"{last:%Y/%m/%d}".zfill(10))
    text = f"{day:%Y/%m/%d}".zfill(10)
    inside = span.first <= text <= span.last
    assert span.touches(text) == inside
    if inside:
        assert span.touches(text[:4])
        assert span.touches(text[:7])


# -- patterns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.json", ["a.json"]),
        ("*", ["a.json", "x/b.json", "x/y/c.json", "x/y/d.json"]),  # Folders that match are walked.
        ("x/*", ["x/b.json", "x/y/c.json", "x/y/d.json"]),
        ("*/*.json", ["x/b.json"]),
        ("**/*.json", ["a.json", "x/b.json", "x/y/c.json", "x/y/d.json"]),
        ("**", ["a.json", "x/b.json", "x/y/c.json", "x/y/d.json"]),
        ("**/y", ["x/y/c.json", "x/y/d.json"]),
        ("x/**/c.*", ["x/y/c.json"]),
        ("x/?/[cd].json", ["x/y/c.json", "x/y/d.json"]),
        ("x/y/[!c]*.json", ["x/y/d.json"]),
        ("**/*.log", ["x/e.log"]),  # A name that is spelled out is meant.
        (".*/*.json", [".h/i.json"]),
    ],
)
def test_a_pattern(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(tmp_path, "a.json", "x/b.json", "x/y/c.json", "x/y/d.json", "x/e.log", "notes.txt", ".h/i.json")
    assert below(tmp_path, pattern) == expected


def test_a_pattern_that_matches_nothing_says_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, *(f"f{number}.txt" for number in range(7)))
    with pytest.raises(SourceError, match=r"no file matches; found .* f0\.txt, .*f4\.txt and 2 more"):
        below(tmp_path, "*.json")
    with pytest.raises(SourceError, match="No such file"):
        below(tmp_path, "missing/*.json")


# -- what a walk meets ---------------------------------------------------------------------------------------------


def test_links_are_followed_each_folder_once(tmp_path: Path) -> None:
    make(tmp_path, "archive/a.json", "archive/sub/b.json", "elsewhere/c.json")
    (tmp_path / "archive/sub/loop").symlink_to(tmp_path / "archive")
    (tmp_path / "archive/sub/self").symlink_to(".")
    (tmp_path / "archive/there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "archive/d.json").symlink_to(tmp_path / "elsewhere/c.json")
    (tmp_path / "archive/dangling.json").symlink_to("nowhere")
    assert below(tmp_path, "archive") == [
        f"archive/{name}" for name in ("a.json", "d.json", "sub/b.json", "there/c.json")
    ]
    assert below(tmp_path, "archive/**/*.json") == below(tmp_path, "archive")


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    make(tmp_path, "a.json")
    os.mkfifo(tmp_path / "pipe.json")
    source = open_source(str(tmp_path), SETTINGS)
    assert keys(source) == [f"{tmp_path}/a.json"]
    assert source.skipped.examples["other"] == [f"{tmp_path}/pipe.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; run the tests as another user")
def test_an_unreadable_folder_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    make(tmp_path, "a/x.json", "b/y.json")
    (tmp_path / "a").chmod(0)
    source = open_source(str(tmp_path), SETTINGS)
    try:
        assert keys(source) == [f"{tmp_path}/b/y.json"]
    finally:
        (tmp_path / "a").chmod(0o755)
    assert [str(problem) for problem in source.problems] == [f"{tmp_path}/a/: cannot be listed: Permission denied"]


def test_a_folder_that_vanishes_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    make(tmp_path, "0.json", "a/x.json", "b/y.json")
    source = open_source(str(tmp_path), SETTINGS)
    listing = source.objects(ALL)
    assert next(listing).key == f"{tmp_path}/0.json"
    (tmp_path / "a/x.json").unlink()
    (tmp_path / "a").rmdir()
    assert [item.key for item in listing] == [f"{tmp_path}/b/y.json"]
    assert [problem.place.file for problem in source.problems if problem.place] == [f"{tmp_path}/a/"]


def test_names_that_are_not_text_and_names_that_attack(tmp_path: Path) -> None:
    for name in (b"caf\xe9.json", b"\x1b[2J.json", b"new\nline.json"):
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).write_bytes(name)
    source = open_source(str(tmp_path), SETTINGS)
    assert sorted(b"".join(source.read(key)) for key in keys(source)) == sorted(
        [b"caf\xe9.json", b"\x1b[2J.json", b"new\nline.json"]
    )


def test_nothing_found_says_what_was_expected_and_what_lay_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds nothing") as empty:
        below(tmp_path)
    assert "AWSLogs/" in empty.value.advice
    assert ".ndjson" in empty.value.advice
    make(tmp_path, "a.txt", "b.csv")
    with pytest.raises(SourceError, match=r"found 2 other files or folders \(.*a\.txt, .*b\.csv\)"):
        below(tmp_path)
    make(tmp_path, f"{LAYOUT}/2024/01/30/x.json")
    with pytest.raises(SourceError, match=r"for the days from 2025/01/01 on; .*1 date folder outside the window"):
        below(tmp_path, "", days("2025-01-01"))
    with pytest.raises(SourceError, match="No such file or directory"):
        below(tmp_path, "missing")


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 99_999, 100_000, 100_001, 250_000])
def test_what_is_read_is_what_is_stored(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    source = open_source(f"{tmp_path}/x", replace(SETTINGS, chunk_bytes=100_000))
    chunks = list(source.read(f"{tmp_path}/x"))
    assert b"".join(chunks) == content
    assert len(chunks) == -(-size // 100_000)
    assert all(chunks)


def test_a_file_that_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "a.json")
    source = open_source(str(tmp_path), SETTINGS)
    (key,) = keys(source)
    (tmp_path / "a.json").unlink()
    with pytest.raises(ObjectError, match=r"a\.json: cannot be read: No such file"):
        list(source.read(key))
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ObjectError, match="cannot be read: Is a directory"):
        list(source.read(key))


# -- streams -------------------------------------------------------------------------------------------------------

READ_STDIN = """
from keytrail.sources import SourceSettings, TimeWindow, open_source
source = open_source("-", SourceSettings(stdin_max_bytes=20))
(item,) = source.objects(TimeWindow())
print(item.key, item.size, source.parallel, source.name(item.key), b"".join(source.read(item.key)))
"""


def read_stdin(data: bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ_STDIN], input=data.decode(), capture_output=True, text=True, check=False
    )


def test_standard_input_is_read_by_this_process_up_to_the_limit() -> None:
    assert read_stdin(b'{"a": 1}').stdout == "- None False standard input b'{\"a\": 1}'\n"
    assert "standard input: more than 20 bytes" in read_stdin(b"x" * 21).stderr


def test_a_terminal_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(SourceError, match="standard input is a terminal"):
        keys(open_source("-", SETTINGS))


def test_a_named_pipe_is_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = open_source(str(path), SETTINGS)
    assert not source.parallel
    assert keys(source) == [str(path)]
    writer = threading.Thread(target=path.write_bytes, args=(b"piped",))
    writer.start()
    assert b"".join(source.read(str(path))) == b"piped"
    writer.join()


# -- the registry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "gs://bucket", "https://example.com/x.json", "a\0b"])
def test_a_text_that_names_no_source(text: str) -> None:
    with pytest.raises(UsageError, match="source"):
        open_source(text, SETTINGS)
