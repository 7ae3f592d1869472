"""Bytes put aside on disk while memory holds only where they lie."""

from __future__ import annotations

import tempfile
import weakref

from keytrail.errors import OutputError


class Spool:
    """An append-only file of byte strings. Not shared between processes. Raises OutputError when it has no room."""

    def __init__(self) -> None:
        # The file has no name, so nothing is left behind however this process ends. It has no buffer, for that would
        # be written once more, and fail again, when the file is closed.
        try:
            self._file = tempfile.TemporaryFile(prefix="keytrail-", buffering=0)  # noqa: SIM115 - it lives as long
        except OSError as error:
            raise _no_room(error) from error
        weakref.finalize(self, self._file.close)
        self._size = 0

    def add(self, data: bytes) -> int:
        """Keep `data`; returns the offset that `read` takes."""
        offset = self._size
        left = memoryview(data)
        try:
            self._file.seek(offset)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _no_room(error) from error
        self._size += len(data)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """What was kept at an offset."""
        self._file.seek(offset)
        return self._file.read(length)


def _no_room(error: OSError) -> OutputError:
    return OutputError(
        f"cannot keep what was found in a temporary file: {error.strerror or error}",
        advice="Make room in the folder for temporary files, or point TMPDIR to another one.",
    )
