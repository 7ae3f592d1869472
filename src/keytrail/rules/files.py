"""Which files hold rules: paths of files and folders in, files to read out, and their text, all within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keytrail.errors import Place, RuleError

# The folder in which elastic/detection-rules keeps rules that are no longer to be used.
DEPRECATED = "_deprecated"


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """How much is read at most. TOML has a bound of its own, as its parser is slow."""

    max_toml_bytes: int = 1_000_000
    max_json_bytes: int = 16_000_000
    max_files: int = 20_000
    max_folder_depth: int = 32
    max_errors_per_file: int = 200


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file to read; `named` says that the user named it, not only a folder around it."""

    path: str
    named: bool

    @property
    def suffix(self) -> str:
        """The last suffix in lower case: the file's format."""
        return _suffix(self.path)


@dataclass(slots=True)
class Listing:
    """What was found below the given paths; filled while walking."""

    files: list[RuleFile] = field(default_factory=list)
    errors: list[RuleError] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    deprecated: list[str] = field(default_factory=list)


def list_files(paths: Sequence[Path | str], suffixes: Collection[str], limits: LoadLimits) -> Listing:
    """Return the files to read: each named one, and in folders those with one of `suffixes`, in order of names.

    In a folder, hidden files and folders and those named _deprecated are passed over (files and the latter listed);
    links are followed, and each folder is entered and each file read once, whatever leads to it.
    """
    walk = _Walk(suffixes, limits)
    for path in paths:
        walk.named(os.fspath(path))
    return walk.listing


def read_text(file: RuleFile, max_bytes: int) -> str:
    """Return the text of a file. Raises RuleError if it cannot be read, is larger than allowed, or is not UTF-8."""
    place = Place(file.path)
    try:
        with open(file.path, "rb") as stream:
            stored = stream.read(max_bytes + 1)
    except OSError as error:
        raise RuleError(f"cannot be read: {error.strerror or error}", place=place) from error
    if len(stored) > max_bytes:
        raise RuleError(f"is larger than {max_bytes:,} bytes, too large for a file of rules", place=place)
    try:
        return stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        raise RuleError(
            f"is not UTF-8 (byte 0x{stored[error.start]:02x})",
            place=Place(file.path, line=line),
            advice="Save the file as UTF-8.",
        ) from error


class _Walk:
    def __init__(self, suffixes: Collection[str], limits: LoadLimits) -> None:
        self.listing = Listing()
        self._suffixes = suffixes
        self._limits = limits
        self._seen: set[tuple[int, int]] = set()  # device and inode

    def named(self, path: str) -> None:
        """Add a file or folder that the user named."""
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._error(path, f"cannot be read: {what}", "Name a file of rules or a folder with such files.")
            return
        formats = f"Files of rules end in {', '.join(sorted(self._suffixes))}."
        if stat.S_ISDIR(status.st_mode):
            if self._is_new(status) and not self._folder(path, 0):
                self._error(path, "holds no files of rules", formats)
        elif not stat.S_ISREG(status.st_mode):
            self._error(path, "is neither a file nor a folder", "Name a file of rules or a folder with such files.")
        elif _suffix(path) not in self._suffixes:
            self._error(path, "is of no known format", formats)
        else:
            self._file(path, status, named=True)

    def _folder(self, path: str, depth: int) -> int:
        """Add the files below a folder; return how many there are, those already added included."""
        if depth > self._limits.max_folder_depth:
            self._error(path, f"lies deeper than {self._limits.max_folder_depth} folders", "Name it to read it.")
            return 1
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            self._error(path, f"cannot be read: {error.strerror or error}", "")
            return 1
        count = 0
        for name in names:
            if len(self.listing.files) >= self._limits.max_files:
                break
            count += self._entry(os.path.join(path, name), name, depth)
        return count

    def _entry(self, path: str, name: str, depth: int) -> int:
        try:
            status = os.stat(path)
        except OSError as error:
            if _suffix(name) in self._suffixes:  # a link to nothing, a file we may not see
                self._error(path, f"cannot be read: {error.strerror or error}", "")
            return 0
        if stat.S_ISDIR(status.st_mode):
            if name == DEPRECATED:
                self.listing.deprecated.append(path)
            elif not name.startswith(".") and self._is_new(status):
                return self._folder(path, depth + 1)
            return 0
        if _suffix(name) not in self._suffixes or not stat.S_ISREG(status.st_mode):
            return 0
        if name.startswith("."):
            self.listing.hidden.append(path)
            return 0
        self._file(path, status, named=False)
        return 1

    def _file(self, path: str, status: os.stat_result, *, named: bool) -> None:
        if not self._is_new(status):
            return
        self.listing.files.append(RuleFile(path, named))
        if len(self.listing.files) == self._limits.max_files:
            self._error(path, f"is file number {self._limits.max_files:,}; no more are read", "Name fewer folders.")

    def _is_new(self, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _error(self, path: str, what: str, advice: str) -> None:
        self.listing.errors.append(RuleError(what, place=Place(path), advice=advice))


def _suffix(path: str) -> str:
    """Return the last suffix in lower case, a hidden file's too (splitext takes .toml for a name)."""
    return os.path.splitext("x" + os.path.basename(path))[1].lower()
