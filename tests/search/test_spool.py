"""What is put aside on disk comes back, and a disk without room is told as such."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from keytrail.errors import OutputError
from keytrail.search import Spool


def full(**_: object) -> object:
    return Path("/dev/full").open("r+b", buffering=0)


def nowhere(**_: object) -> NoReturn:
    raise FileNotFoundError(2, "No usable temporary directory found")


def test_what_was_put_aside_comes_back() -> None:
    spool = Spool()
    places = [spool.add(data) for data in (b"one", b"", b"three")]
    assert [spool.read(at, size) for at, size in zip(places, (3, 0, 5), strict=True)] == [b"one", b"", b"three"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("file", "reason"), [(full, "No space left on device"), (nowhere, "No usable temporary")])
def test_no_room_is_told_once_and_with_a_way_out(
    file: Callable[..., object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", file)
    with pytest.raises(OutputError, match=f"in a temporary file: {reason}") as caught:
        Spool().add(b"x")
    assert "TMPDIR" in caught.value.advice
    gc.collect()  # Closing the file is no second error.
