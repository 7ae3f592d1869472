"""Bytes put aside on disk while memory holds only where they lie."""

from __future__ import annotations

import tempfile
import weakref


class Spool:
    """An append-only file of byte strings. Not shared between processes."""

    def __init__(self) -> None:
        # The file has no name, so nothing is left behind however this process ends.
        self._file = tempfile.TemporaryFile(prefix="keytrail-")  # noqa: SIM115 - it lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._size = 0

    def add(self, data: bytes) -> int:
        """Keep `data`; returns the offset that `read` takes."""
        offset = self._size
        self._file.seek(offset)
        self._file.write(data)
        self._size += len(data)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """What was kept at an offset."""
        self._file.seek(offset)
        return self._file.read(length)
