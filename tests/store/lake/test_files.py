"""The files of the machine, and those in memory that the tests of the lake stand on, do the same; and the crash."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail.errors import StoreError
from keytrail.store.lake.files import Files, OsFiles, explained
from tests.store.lake.memory_files import MemoryFiles

KINDS: dict[str, Callable[[Path], Files]] = {
    "machine": lambda folder: OsFiles(folder / "some" / "lake"),
    "memory": lambda _: MemoryFiles(),
}


@pytest.fixture(params=sorted(KINDS))
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    made = KINDS[request.param](tmp_path)
    made.make_folder("day")
    return made


def write(files: Files, path: str, data: bytes) -> None:
    file = files.create(path)
    file.write(data)
    file.sync()
    file.close()


def read(files: Files, path: str) -> bytes:
    with files.open(path) as source:
        return bytes(source.read())


def test_what_is_written_is_read(files: Files) -> None:
    file = files.create("day/a")
    file.write(b"one, ")
    file.write(b"two")
    file.sync()
    file.close()
    files.rename("day/a", "day/b")
    files.sync_folder("day")
    files.sync_folder("")
    assert read(files, "day/b") == b"one, two"
    [entry] = files.list("day")
    assert (entry.name, entry.size, entry.is_file, entry.is_folder) == ("b", 8, True, False)
    assert entry.modified.tzinfo is not None
    assert [(one.name, one.is_folder) for one in files.list("")] == [("day", True)]


def test_a_name_that_is_taken(files: Files) -> None:
    write(files, "day/a", b"1")
    write(files, "day/b", b"2")
    with pytest.raises(FileExistsError):
        files.create("day/a")
    files.make_folder("day")  # once more is no error
    files.rename("day/a", "day/b")
    assert [entry.name for entry in files.list("day")] == ["b"]
    assert read(files, "day/b") == b"1"


def test_what_is_not_there(files: Files) -> None:
    for action in (
        lambda: files.open("day/x"),
        lambda: files.remove("day/x"),
        lambda: files.rename("day/x", "day/y"),
        lambda: files.list("x"),
        lambda: files.sync_folder("x"),
        lambda: files.create("x/y"),
    ):
        with pytest.raises(FileNotFoundError):
            action()


def test_what_was_removed_is_gone(files: Files) -> None:
    write(files, "day/a", b"1")
    files.remove("day/a")
    assert files.list("day") == []


def test_links_are_neither_files_nor_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for name in ("folder", "file"):
        (tmp_path / f"to {name}").symlink_to(tmp_path / name)
    found = {entry.name: (entry.is_file, entry.is_folder) for entry in OsFiles(tmp_path).list("")}
    assert found == {
        "file": (True, False),
        "folder": (False, True),
        "to file": (False, False),
        "to folder": (False, False),
    }


def test_records_are_not_for_everyone_on_the_machine(tmp_path: Path) -> None:
    files = OsFiles(tmp_path)
    write(files, "a", b"1")
    assert not stat.S_IMODE((tmp_path / "a").stat().st_mode) & stat.S_IRWXO


@pytest.mark.parametrize(
    ("failure", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "right to read and write"), (errno.EIO, "disk failed")],
)
def test_a_failure_says_what_to_do(failure: int, said: str) -> None:
    files = MemoryFiles()
    files.fail_at, files.failure = 0, failure
    with pytest.raises(StoreError) as caught, explained("write a segment of the lake", "day=2026-03-01/a.parquet"):
        files.create("a")
    assert caught.value.what.startswith("cannot write a segment of the lake: ")
    assert str(caught.value.place) == "day=2026-03-01/a.parquet"
    assert said in caught.value.advice


# -- the disk in memory -------------------------------------------------------------------------------------------


def test_a_crash_forgets_what_was_not_synced() -> None:
    files = MemoryFiles()
    write(files, "named", b"1")
    files.sync_folder("")
    half = files.create("half")
    half.write(b"3")
    half.sync()
    files.sync_folder("")
    half.write(b"4")
    write(files, "nameless", b"2")
    files.remove("named")
    files.crash()
    assert files.paths() == {"named", "half"}
    assert files.data("half") == b"3"


def test_a_crash_may_keep_what_was_not_synced() -> None:
    files = MemoryFiles()
    file = files.create("a")
    file.write(b"1")
    files.crash(lambda: True)
    assert files.data("a") == b"1"
    # A name may outlast the crash, and the bytes not: so files are synced before they are named.
    files = MemoryFiles()
    files.create("a").write(b"1")
    answers = iter([True, False])
    files.crash(lambda: next(answers))
    assert files.data("a") == b""


def test_a_disk_fails_from_the_call_on_that_was_named() -> None:
    files = MemoryFiles(datetime(2026, 1, 1, tzinfo=UTC))
    files.fail_at = 1
    files.create("a")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            files.create("b")
    assert files.calls == 3
