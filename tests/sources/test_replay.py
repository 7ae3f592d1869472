"""A source that can be read once is read again from its copy."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from keytrail.errors import ObjectError, SourceError
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

    def truncate(self, size: int) -> None:
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


def test_without_a_folder_for_temporary_files_the_first_reading_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", nowhere)
    source = ReplaySource(Once())
    assert read_all(source) == {"a": b"onetwo", "b": b""}
    with pytest.raises(ObjectError, match="no room to keep a copy"):
        read_all(source)


def test_after_a_listing_and_a_reading_that_were_left_all_objects_are_there_once_and_whole() -> None:
    inner = Once(content={"a": [b"one", b"two"], "b": [b"three"], "c": [b"four"]})
    listed = list(inner.objects(TimeWindow()))
    inner.objects = lambda window: iter(listed)  # type: ignore[method-assign]
    source = ReplaySource(inner)
    items = source.objects(TimeWindow())
    assert b"".join(source.read(next(items).key)) == b"onetwo"
    items.close()  # type: ignore[attr-defined]
    whole = {"a": b"onetwo", "b": b"three", "c": b"four"}
    assert read_all(source) == whole  # the copy of a is read before b is copied
    assert [item.key for item in source.objects(TimeWindow())] == ["a", "b", "c"]
    assert read_all(source) == whole


def test_a_listing_that_failed_fails_again_without_asking_again() -> None:
    asked = []

    class Failing(Once):
        def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
            asked.append(window)
            yield from super().objects(window)
            raise SourceError("the listing stops here")

    source = ReplaySource(Failing())
    for _ in range(2):
        items = source.objects(TimeWindow())
        assert [b"".join(source.read(next(items).key)) for _ in "ab"] == [b"onetwo", b""]
        with pytest.raises(SourceError, match="stops here"):
            next(items)
    assert len(asked) == 1


def test_worker_processes_get_the_source_itself() -> None:
    source = ReplaySource(StreamSource("-", SourceSettings()))
    again = pickle.loads(pickle.dumps(source))
    assert (again.label, again.inner) == ("-", source.inner)
