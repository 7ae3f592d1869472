"""The lake's files in memory: a disk that can be full, can fail, and forgets at a crash what was not synced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from keytrail.store.lake.files import Entry, NewFile


@dataclass
class _Content:
    data: bytes
    synced: int  # bytes of it that outlast a crash
    modified: datetime


class MemoryFiles:
    """Files in memory. A folder outlasts a crash at once, a name when its folder was synced, bytes when their file was.

    `fail_at` is the number of calls to come that still succeed (those that read do not count), after which every call
    raises `failure`, an errno; None for never. `now` is the time that files are modified at. `calls` counts.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now
        self.fail_at: int | None = None
        self.failure = errno.ENOSPC
        self.calls = 0
        self._folders = {""}
        self._files: dict[str, _Content] = {}
        self._lasting: dict[str, _Content] = {}  # the names as they would be after a crash

    # -- Files ----------------------------------------------------------------------------------------------------

    def make_folder(self, path: str) -> None:
        self._call()
        parts = path.split("/")
        self._folders |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}

    def create(self, path: str) -> NewFile:
        self._call()
        self._folder_of(path)
        if path in self._files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._files[path] = content = _Content(b"", 0, self.now)
        return _MemoryFile(self, content)

    def rename(self, old: str, new: str) -> None:
        self._call()
        self._folder_of(new)
        self._known(old)
        self._files[new] = self._files.pop(old)

    def sync_folder(self, path: str) -> None:
        self._call()
        if path not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        for name in {*self._files, *self._lasting}:
            if name.rpartition("/")[0] == path:
                self._settle(name)

    def remove(self, path: str) -> None:
        self._call()
        self._known(path)
        del self._files[path]

    def list(self, path: str) -> list[Entry]:
        if path not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        found = [
            Entry(name.rpartition("/")[2], False, True, len(content.data), content.modified)
            for name, content in self._files.items()
            if name.rpartition("/")[0] == path
        ]
        below = {name for name in self._folders if name and name.rpartition("/")[0] == path}
        found += [Entry(name.rpartition("/")[2], True, False, 0, self.now) for name in below]
        return sorted(found, key=lambda entry: entry.name)

    def open(self, path: str) -> pa.NativeFile:
        return pa.BufferReader(self._known(path).data)

    # -- for tests ------------------------------------------------------------------------------------------------

    def crash(self, survives: Callable[[], bool] = lambda: False) -> None:
        """Lose power: names and bytes that were not synced are gone, but for those of which `survives()` says yes."""
        self.fail_at = None
        for name in sorted({*self._files, *self._lasting}):
            if self._files.get(name) is not self._lasting.get(name) and survives():
                self._settle(name)
        self._files = dict(self._lasting)
        for content in self._files.values():
            if len(content.data) > content.synced and not survives():
                content.data = content.data[: content.synced]

    def paths(self) -> frozenset[str]:
        """The files that there are."""
        return frozenset(self._files)

    def put(self, path: str, data: bytes) -> None:
        """Lay a file down, as something else might."""
        self._folders.add(path.rpartition("/")[0])
        self._files[path] = self._lasting[path] = _Content(data, len(data), self.now)

    def data(self, path: str) -> bytes:
        """The bytes of a file."""
        return self._known(path).data

    def _call(self) -> None:
        self.calls += 1
        if self.fail_at is not None:
            if self.fail_at <= 0:
                raise OSError(self.failure, os.strerror(self.failure))
            self.fail_at -= 1

    def _settle(self, name: str) -> None:
        if name in self._files:
            self._lasting[name] = self._files[name]
        else:
            self._lasting.pop(name, None)

    def _known(self, path: str) -> _Content:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._files[path]

    def _folder_of(self, path: str) -> None:
        if path.rpartition("/")[0] not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


class _MemoryFile:
    def __init__(self, files: MemoryFiles, content: _Content) -> None:
        self._files = files
        self._content = content

    def write(self, data: bytes) -> None:
        self._files._call()
        self._content.data += data
        self._content.modified = self._files.now

    def sync(self) -> None:
        self._files._call()
        self._content.synced = len(self._content.data)

    def close(self) -> None:
        pass
