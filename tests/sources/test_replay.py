"""A source that can be read once is read again from its copy."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from keytrail.errors import ObjectError
from keytrail.sources import ReplaySource, Skipped, SourceObject, SourceSettings, TimeWindow
from keytrail.sources.files import StreamSource


@dataclass
class Once:
    """Two objects, each of which can be read once."""

    label: str = "once"
    parallel: bool = False
    read_ahead: int = 1
    skipped: Skipped = field(default_factory=Skipped)
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    content: dict[str, list[bytes]] = field(default_factory=lambda: {"a": [b"one", b"two"], "b": [b""]})

    def name(self, key: str) -> str:
        return f"once:{key}"

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        for key in list(self.content):
            yield SourceObject(key, None)

    def read(self, key: str) -> Iterator[bytes]:
        yield from self.content.pop(key)


class Full:
    """A file on a disk without room."""

    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def seek(self, at: int) -> int:
        return at

    def truncate(self) -> None:
        pass


def read_all(source: ReplaySource) -> dict[str, bytes]:
    return {item.key: b"".join(source.read(item.key)) for item in source.objects(TimeWindow())}


def test_what_was_read_once_is_read_again() -> None:
    source = ReplaySource(Once())
    first = read_all(source)
    assert first == {"a": b"onetwo", "b": b""}
    assert read_all(source) == first
    assert read_all(source) == first


def test_without_room_for_a_copy_the_first_reading_is_whole_and_the_second_says_why_not() -> None:
    source = ReplaySource(Once())
    source._file = Full()  # type: ignore[assignment]
    assert read_all(source) == {"a": b"onetwo", "b": b""}
    with pytest.raises(ObjectError, match="no room to keep a copy"):
        read_all(source)


def test_worker_processes_get_the_source_itself() -> None:
    source = ReplaySource(StreamSource("-", SourceSettings()))
    again = pickle.loads(pickle.dumps(source))
    assert (again.label, again.inner) == ("-", source.inner)
