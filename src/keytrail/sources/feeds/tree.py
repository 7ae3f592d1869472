"""Folders on a disk, listed a piece at a time: what in them could hold events."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from keytrail.sources.layout import kind_of_folder, kind_of_name


class FileAt(NamedTuple):
    """A file as it was seen: its path, its size in bytes, when its content and its inode last changed (ns)."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def identity(self) -> str:
        """What the ledger knows it by. A file that is completed or replaced is another one."""
        # A name need not be text; what is not is written as an escape, since databases take only text.
        path = self.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return f"{path}\0{self.size}\0{self.mtime_ns}"


def entries(root: str, folder: str) -> Iterator[FileAt | str]:
    """Yield the files in a folder whose names fit, and the paths of its folders, in no order.

    Hidden names are passed over, and folders of digests, Insights and other services; links are followed unless they
    lead to a folder above. What vanishes meanwhile is left out. Raises OSError when the folder cannot be listed.
    """
    with os.scandir(folder) as listing:
        for entry in listing:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    wanted = kind_of_folder(f"{entry.path}/") == "events"
                    if wanted and not (entry.is_symlink() and _leads_back(root, entry.path)):
                        yield entry.path
                elif kind_of_name(entry.name) == "events" and (found := file_at(entry.path)) is not None:
                    yield found
            except OSError:
                continue


def file_at(path: str) -> FileAt | None:
    """The regular file at a path, None when there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileAt(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_hidden(root: str, path: str) -> bool:
    """Whether the path, which lies below the root, or a folder between them has a hidden name.

    >>> is_hidden("/logs", "/logs/.tmp/a.json"), is_hidden("/.logs", "/.logs/a.json")
    (True, False)
    """
    return any(part.startswith(".") for part in path[len(root) :].split("/") if part)


def _leads_back(root: str, path: str) -> bool:
    """Whether a link is to a folder that it lies in, by whatever way."""
    target = _inode(path)
    while len(path) > len(root):
        path = os.path.dirname(path)
        if _inode(path) == target:
            return True
    return False


def _inode(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
