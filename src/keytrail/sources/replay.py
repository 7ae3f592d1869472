"""A source that can be read once, made readable again: what passes through is copied to a file without a name."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

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

    An object that could not be copied, because the disk is full, is an ObjectError when it is read again.
    """

    inner: Source
    _file: IO[bytes] | None = field(default=None, repr=False)
    _size: int = 0
    _listed: list[SourceObject] = field(default_factory=list)
    _complete: bool = False
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
        if self._complete:
            yield from self._listed
            return
        for item in self.inner.objects(window):
            self._listed.append(item)
            yield item
        self._complete = True

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
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="keytrail-")  # noqa: SIM115 - it lives as long as the source
            weakref.finalize(self, self._file.close)
        start, copied = self._size, True
        try:
            for chunk in self.inner.read(key):
                if copied:
                    try:
                        self._file.write(chunk)
                        self._size += len(chunk)
                    except OSError:
                        copied = False
                        self._size = self._file.seek(start)
                        self._file.truncate()
                yield chunk
        finally:  # Of an object that broke off, what came is what there is.
            if copied:
                self._copies[key] = _Copy(start, self._size - start)
            else:
                self._lost.add(key)

    def _again(self, copy: _Copy) -> Iterator[bytes]:
        assert self._file is not None
        at, left = copy.offset, copy.size
        while left:
            self._file.seek(at)
            chunk = self._file.read(min(left, _COPY_BYTES))
            if not chunk:
                raise SourceError(f"the copy of {self.label} has been cut")
            at, left = at + len(chunk), left - len(chunk)
            yield chunk

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes get it among the sources of a plan, and never read it.
        return ReplaySource, (self.inner,)
