"""Files, folders, patterns and standard input as sources."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from operator import attrgetter

from keytrail.errors import ObjectError, Place, SourceError
from keytrail.sources.layout import EXPECTED, EXPECTED_NAMES, date_of, kind_of_folder, kind_of_name
from keytrail.sources.model import Days, ObjectKind, Skipped, Source, SourceObject, SourceSettings, TimeWindow

_STDIN = "-"
_WILDCARDS = frozenset("*?[")
# A first read of this size holds nearly every delivered object whole; it is small enough for the allocator to reuse
# one block, where a fresh mapping for each file costs more than reading the file.
_FIRST_READ_BYTES = 64 << 10
_GLANCE = 5

_by_name = attrgetter("name")


def open_path(text: str, settings: SourceSettings) -> Source:
    """Return the source for a path, a pattern (`*`, `?`, `[…]`, `**`), a `file://` path or `-`."""
    if text == _STDIN:
        return StreamSource(text, settings)
    path = text[len("file://") :] if text.lower().startswith("file://") else text
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = 0
    if mode and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # A named pipe or /dev/fd/63 of a shell's <(…): it can be read once, and only in this process.
        return StreamSource(text, settings, path)
    if not mode and not os.path.lexists(path) and not _WILDCARDS.isdisjoint(path):
        return FileSource(text, settings, *split_pattern(path))
    return FileSource(text, settings, path)


def split_pattern(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder above the first wildcard of `pattern`, and the parts from there on.

    >>> split_pattern("logs/2024-*/**/*.json"), split_pattern("/*.gz"), split_pattern("*.gz")
    (('logs', ('2024-*', '**', '*.json')), ('/', ('*.gz',)), ('', ('*.gz',)))
    """
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part))
    base = "/".join(parts[:first])
    return (base or "/" if first else ""), tuple(part for part in parts[first:] if part)


@dataclass(slots=True)
class FileSource:
    """A file, all below a folder, or (with `pattern`, the parts below `path`) what a pattern matches.

    A folder gives the files whose names fit (see `layout`), hidden ones left out, in the order of their names; links
    are followed, each folder is listed once. A file that is named, or matched by more than wildcards, is always taken.
    """

    label: str
    settings: SourceSettings
    path: str
    pattern: tuple[str, ...] = ()
    parallel: bool = True
    read_ahead: int = 1
    skipped: Skipped = field(default_factory=Skipped)
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name(self, key: str) -> str:
        return key

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of the file, one piece if it is smaller than `chunk_bytes`."""
        try:
            file = os.open(key, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(file, _FIRST_READ_BYTES)
                # A short read is the end of a file on a disk, yet need not be on a network's: the next one tells.
                if more := os.read(file, 1):
                    yield from _pieces(file, data + more, self.settings.chunk_bytes)
                elif data:
                    yield data
            finally:
                os.close(file)
        except OSError as error:
            raise ObjectError(f"cannot be read: {error.strerror}", place=Place(key)) from error

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        """Yield the files in the order of a walk: those of a folder by name, then its folders by name."""
        self.skipped, self.problems = Skipped(), []
        base = self.path or "."
        try:
            status = os.stat(base)
        except OSError as error:
            raise SourceError(
                f"{self.label}: {error.strerror}", advice="check the path; a pattern stands in quotes"
            ) from error
        if not stat.S_ISDIR(status.st_mode):
            if self.pattern:
                raise SourceError(f"{self.label}: {base} is not a folder")
            yield SourceObject(self.path, status.st_size)
            return
        if not (yield from self._walk(window.days())):
            raise self._nothing(window.days())

    def _walk(self, days: Days | None) -> Generator[SourceObject, None, bool]:
        """Yield the files below `path`; return whether there was one."""
        pattern = self.pattern
        found = False
        # Dates and services are told by the folders above as well, wherever the walk starts.
        above = os.path.abspath(self.path or ".")
        start = self.path
        if start and not start.endswith("/"):
            start += "/"
        seen: set[tuple[int, int]] = set()
        # A folder still to list: its path as the user will see it, the names below the start (for a pattern), and
        # whether everything in it was asked for.
        stack: list[tuple[str, tuple[str, ...], bool]] = [(start, (), not pattern or _fits(pattern, ()))]
        while stack:
            folder, names, whole = stack.pop()
            folders: list[tuple[str, tuple[str, ...], bool]] = []
            try:
                file = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                self._problem(folder, error)
                continue
            # Sizes are asked for relative to the open folder, which spares the kernel the walk down the path: the
            # lines below run once for each of perhaps millions of files.
            try:
                for entry in _entries(file, seen):
                    name = entry.name
                    if name[0] == "." and not _asks_hidden(pattern, names):
                        continue
                    try:
                        is_folder, is_file = entry.is_dir(), entry.is_file()
                        size = entry.stat().st_size if is_file else 0
                    except OSError as error:  # It vanished, or a link leads where we may not look.
                        self._problem(folder + name, error)
                        continue
                    if is_folder:
                        below = (*names, name) if pattern else ()
                        inside = whole or _fits(pattern, below)
                        if inside or _may_hold(pattern, below):
                            folders.append((f"{folder}{name}/", below, inside))
                        continue
                    if whole:
                        kind = kind_of_name(name)
                    elif _fits(pattern, (*names, name)):
                        kind = _kind_of_match(pattern, name)
                    else:
                        continue
                    if kind == "events" and is_file:
                        found = True
                        yield SourceObject(folder + name, size)
                    else:
                        self.skipped.add("other" if kind == "events" else kind, folder + name)
            except OSError as error:
                self._problem(folder, error)
            finally:
                os.close(file)
            folders.reverse()
            for item in folders:
                if self._wanted(item[0], f"{above}/{item[0][len(start) :]}", days):
                    stack.append(item)
        return found

    def _wanted(self, shown: str, path: str, days: Days | None) -> bool:
        """Whether to look into a folder at all; if not, it is counted as passed over."""
        if (kind := kind_of_folder(path)) != "events":
            self.skipped.add(kind, shown)
            return False
        if days is not None and (date := date_of(path)) is not None and not days.touches(date):
            self.skipped.add_day(shown)
            return False
        return True

    def _problem(self, path: str, error: OSError) -> None:
        self.problems.append(ObjectError(f"cannot be listed: {error.strerror}", place=Place(path or ".")))

    def _nothing(self, days: Days | None) -> SourceError:
        wanted = "no file matches" if self.pattern else "no CloudTrail file found"
        if days is not None and self.skipped.days_outside:
            wanted += f" for the days {days}"
        lay = str(self.skipped) or (f"{self.path or '.'} holds {_glance(self.path or '.')}")
        if self.problems:
            lay += f"; {len(self.problems)} could not be looked into ({self.problems[0]})"
        return SourceError(
            f"{self.label}: {wanted}; found {lay}",
            advice=f"expected files named {EXPECTED_NAMES}, or {EXPECTED}; a file named itself is always read",
        )


@dataclass(slots=True)
class StreamSource:
    """Standard input or a pipe: one object that is read once, in the process that has it open."""

    label: str
    settings: SourceSettings
    path: str = ""
    parallel: bool = False
    read_ahead: int = 1
    skipped: Skipped = field(default_factory=Skipped)
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name(self, key: str) -> str:
        return key if self.path else "standard input"

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        if not self.path and sys.stdin.isatty():
            raise SourceError(
                "standard input is a terminal", advice="pipe a file into keytrail, or name a file, folder or bucket"
            )
        yield SourceObject(self.path or _STDIN, None)

    def read(self, key: str) -> Iterator[bytes]:
        """Yield what arrives, as it arrives; ObjectError beyond `stdin_max_bytes`."""
        limit, total = self.settings.stdin_max_bytes, 0
        place = Place(self.name(key))
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC) if self.path else os.dup(sys.stdin.fileno())
            try:
                while data := os.read(file, self.settings.chunk_bytes):
                    total += len(data)
                    if total > limit:
                        raise ObjectError(
                            f"more than {limit} bytes", place=place, advice="save it as files, or raise the limit"
                        )
                    yield data
            finally:
                os.close(file)
        except OSError as error:
            raise ObjectError(f"cannot be read: {error.strerror}", place=place) from error


def _pieces(file: int, first: bytes, size: int) -> Iterator[bytes]:
    """Yield the rest of a file of which `first` was read, the first piece with it, `size` bytes at a time."""
    left = max(size - len(first), 1)
    parts = [first]
    while data := os.read(file, left):
        parts.append(data)
        left -= len(data)
        if left <= 0:
            yield b"".join(parts)
            parts, left = [], size
    if parts:
        yield b"".join(parts)


def _entries(file: int, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Return the entries of an open folder by name; none when it was listed before (by a link, or a loop of them)."""
    status = os.fstat(file)
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return []
    seen.add(identity)
    with os.scandir(file) as entries:
        return sorted(entries, key=_by_name)


def _kind_of_match(pattern: tuple[str, ...], name: str) -> ObjectKind:
    """What a matched file holds; a pattern that spells out part of the name takes any name."""
    kind = kind_of_name(name)
    return "events" if kind == "other" and pattern[-1].strip("*?") else kind


def _fits(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the names of a path match the parts of a pattern one by one; `**` stands for any number of them."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(pattern[1:], names[skip:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(pattern[1:], names[1:])


def _may_hold(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether something below the folder with these names can match."""
    for part, name in zip(pattern, names, strict=False):
        if part == "**":
            return True
        if not fnmatchcase(name, part):
            return False
    return len(names) < len(pattern)


def _asks_hidden(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the part of the pattern at this depth begins with a dot, as shells ask for hidden names."""
    return len(names) < len(pattern) and pattern[len(names)].startswith(".")


def _glance(folder: str) -> str:
    """The first names in a folder, for a message."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return "nothing that can be listed"
    if not names:
        return "nothing"
    return ", ".join(names[:_GLANCE]) + (f" and {len(names) - _GLANCE} more" if len(names) > _GLANCE else "")
