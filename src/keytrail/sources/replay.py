"""A source that can be read once, made readable again: what passes through is copied to a file without a name."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO

from keytrail.errors import ObjectError, Place, SourceError
from keytrail.sources.model import Skipped, Source, SourceObject, TimeWindow

_COPY_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class _Copy:
    """Where in the file the stored bytes of an object lie."""

    offset: int
    size: int


@dataclass(slots=True, weakref_slot=True)
class ReplaySource:
    """Lists and reads `inner` (stdin, LookupEvents) the first time, and its copy from then on. Read by one process.

    What the first whole listing gave, for its window and with the SourceError it ended with, is what every later one
    gives. An object that could not be copied, because the disk is full, is an ObjectError when it is read again.
    """

    inner: Source
    _file: FileIO | None = field(default=None, repr=False)
    _size: int = 0
    _listed: tuple[SourceObject, ...] | None = None
    _failure: SourceError | None = None
    _copies: dict[str, _Copy] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def parallel(self) -> bool:
        return False

    @property
    def skipped(self) -> Skipped:
        return self.inner.skipped

    @property
    def problems(self) -> list[ObjectError]:
        return self.inner.problems

    @property
    def notes(self) -> list[str]:
        return self.inner.notes

    @property
    def read_ahead(self) -> int:
        return 1

    def name(self, key: str) -> str:
        return self.inner.name(key)

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        if self._listed is None:
            listed: list[SourceObject] = []
            try:
                for item in self.inner.objects(window):
                    listed.append(item)
                    yield item
            except SourceError as error:
                self._failure = error
            self._listed = tuple(listed)
        else:
            yield from self._listed
        if self._failure is not None:
            raise self._failure

    def read(self, key: str) -> Iterator[bytes]:
        if key in self._copies:
            yield from self._again(self._copies[key])
        elif key in self._lost:
            raise ObjectError(
                "cannot be read a second time: there was no room to keep a copy of it",
                place=Place(self.name(key)),
                advice="Make room in the folder for temporary files, or point TMPDIR to another one.",
            )
        else:
            yield from self._first(key)

    def _first(self, key: str) -> Iterator[bytes]:
        start, copied = self._size, True
        try:
            for chunk in self.inner.read(key):
                copied = copied and self._keep(chunk)
                yield chunk
        finally:  # Of an object that broke off, what came is what there is.
            if copied:
                self._copies[key] = _Copy(start, self._size - start)
            else:
                self._lost.add(key)
                self._size = start
                if self._file is not None:  # What was copied of it is room for others.
                    with suppress(OSError):
                        self._file.truncate(start)

    def _keep(self, chunk: bytes) -> bool:
        """Copy what was read behind what was copied before; False when there is no room."""
        try:
            if self._file is None:
                # Without a buffer: in one, what did not fit would stand in the way of reading what did.
                self._file = tempfile.TemporaryFile(prefix="keytrail-", buffering=0)  # noqa: SIM115 - lives as long
                weakref.finalize(self, self._file.close)
            self._file.seek(self._size)
            left = memoryview(chunk)
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            return False
        self._size += len(chunk)
        return True

    def _again(self, copy: _Copy) -> Iterator[bytes]:
        at, left = copy.offset, copy.size
        while left:
            assert self._file is not None  # nothing is copied without it
            self._file.seek(at)
            chunk = self._file.read(min(left, _COPY_BYTES))
            if not chunk:
                raise SourceError(
                    f"the copy of {self.label} in the folder for temporary files has been cut",
                    advice="Run it again; or save the input as a file first, and name that.",
                )
            at, left = at + len(chunk), left - len(chunk)
            yield chunk

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes get it among the sources of a plan, and never read it.
        return ReplaySource, (self.inner,)
