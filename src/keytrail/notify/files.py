"""Whole lines appended to a file, safe on the disk when the call returns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from keytrail.notify.model import DeliveryError


def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Append each of `lines` and a line feed, and sync them; the file is made, for its owner alone, if it is missing.

    Other processes that append in this way wait for each other. A line that was left half-written by a crash gets its
    line feed first. Raises DeliveryError, and then the file is as long as it was.
    """
    data = b"".join(line + b"\n" for line in lines)
    try:
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append(handle, data)
        finally:
            os.close(handle)
        if new:
            _sync_folder(path.parent)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a name of a file"
        raise DeliveryError(
            f"{path} cannot be written: {reason}", retry=True, advice="Check the folder, its permissions and the disk."
        ) from None


def _append(handle: int, data: bytes) -> None:
    length = os.fstat(handle).st_size
    try:
        if length and os.pread(handle, 1, length - 1) != b"\n":
            data = b"\n" + data
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, length)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
