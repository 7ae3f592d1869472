"""The few things that the lake does with files, so that a test can stand in for the disk and let it fail or crash.

Paths are relative to the lake's folder, with "/" between their parts; "" is that folder. A failure is an OSError, as
`os` raises it; `explained` makes a StoreError of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from keytrail.errors import Place, StoreError


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder holds: a file of `size` bytes last `modified` then (UTC), or something that is no plain file."""

    name: str
    is_folder: bool
    is_file: bool
    size: int
    modified: datetime


class NewFile(Protocol):
    """A file being written, from its beginning to its end."""

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        ...

    def sync(self) -> None:
        """Return when what was written would outlast a loss of power."""
        ...

    def close(self) -> None:
        """Let go of it; does not sync."""
        ...


class Files(Protocol):
    """The files below one folder."""

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it, unless they are there. It lasts once the one above it is synced."""
        ...

    def create(self, path: str) -> NewFile:
        """Begin a file that does not exist."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in one step; a file of that name is replaced."""
        ...

    def sync_folder(self, path: str) -> None:
        """Return when the names in a folder, and what was removed, would outlast a loss of power."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def list(self, path: str) -> list[Entry]:
        """What is in a folder, by name."""
        ...

    def open(self, path: str) -> pa.NativeFile:
        """A file for reading at any place in it."""
        ...


class OsFiles:
    """The files of this machine, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make_folder(self, path: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / path).mkdir(parents=True, exist_ok=True)

    def create(self, path: str) -> NewFile:
        # The records of a trail are not for everyone on the machine; tools of the same group may read them.
        return _OsFile(os.open(self.root / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))

    def rename(self, old: str, new: str) -> None:
        os.replace(self.root / old, self.root / new)

    def sync_folder(self, path: str) -> None:
        folder = os.open(self.root / path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, path: str) -> None:
        os.unlink(self.root / path)

    def list(self, path: str) -> list[Entry]:
        found = []
        with os.scandir(self.root / path) as entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed since the folder was read
                    continue
                is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
                modified = datetime.fromtimestamp(about.st_mtime, UTC)
                found.append(Entry(entry.name, is_folder, is_file, about.st_size, modified))
        return sorted(found, key=lambda entry: entry.name)

    def open(self, path: str) -> pa.NativeFile:
        # Not mapped into memory: a file that shrinks under a mapping ends the process.
        return pa.OSFile(str(self.root / path))


class _OsFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


_ADVICE = {
    errno.ENOSPC: "The disk is full. Free some space, or keep fewer days. What was committed is safe.",
    errno.EDQUOT: "The quota is used up. Raise it, or keep fewer days. What was committed is safe.",
    errno.EACCES: "Give the account that keytrail runs under the right to read and write in the lake's folder.",
    errno.EPERM: "Give the account that keytrail runs under the right to read and write in the lake's folder.",
    errno.EROFS: "The file system is mounted read-only. Has it failed? See the system's log.",
    errno.EIO: "The disk failed. See the system's log, and copy the lake to another disk while it can be read.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENOENT: "Was it moved or removed? Put it back from a backup; `keytrail lake verify` says what is missing.",
}


@contextmanager
def explained(doing: str, path: str) -> Iterator[None]:
    """Raise an OSError as the StoreError that says what to do; `doing` is what was tried, as in "write a segment"."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        advice = _ADVICE.get(error.errno or 0, "See the system's log, and try again.")
        raise StoreError(f"cannot {doing}: {why}", place=Place(path), advice=advice) from error


__all__ = ["Entry", "Files", "NewFile", "OsFiles", "explained"]
