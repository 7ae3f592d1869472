"""Where results go and in which form: stdout or a file that appears only when it is complete."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TextIO, TypeVar

from keytrail.cli.facts import Facts
from keytrail.cli.table import Column, lines
from keytrail.errors import OutputError
from keytrail.text import csv_cell

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Format(StrEnum):
    """The values of `--format` of commands that print events."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class AlertFormat(StrEnum):
    """The values of `--format` of a scan: also reports, for people and for tickets."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    HTML = "html"
    MARKDOWN = "markdown"


class PageFormat(StrEnum):
    """The values of `--format` of `investigate`."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"
    MARKDOWN = "markdown"


SUFFIXES = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".txt": "text",
}
"""The format that the suffix of a file's name asks for."""

_Form = TypeVar("_Form", Format, AlertFormat, PageFormat)


def choose_format(asked: _Form | None, path: str | None, forms: type[_Form]) -> _Form:
    """Return the format asked for; else that of the file's suffix; else that for people, or machines in a pipe.

    For people is a table or text, for machines NDJSON or JSON. Raises OutputError for a suffix that names no format.
    """
    if asked is not None:
        return asked
    known = {form.value for form in forms}
    if to_stdout(path):
        people, machines = ("table", "ndjson") if "table" in known else ("text", "json")
        return forms(people if sys.stdout.isatty() else machines)
    assert path is not None
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found in known:
        return forms(found)
    suffixes = [suffix for suffix, form in SUFFIXES.items() if form in known]
    raise OutputError(
        f"the name {path!r} does not say which format is wanted",
        advice=f"add --format, or end the name in {', '.join(suffixes)}",
    )


def to_stdout(path: str | None) -> bool:
    """Whether the results go to stdout: no file was named, or `-`."""
    return path is None or path == "-"


def into_file(path: str | None) -> bool:
    """Whether the results go to a file, named or redirected to, so that nobody reads them as they come."""
    if not to_stdout(path):
        return True
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # no real file at all
        return False


def make_folder(folder: Path) -> None:
    """Make a folder for files, if it is not there. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {str(folder)!r}: {error.strerror or error}",
            advice="name another one, in a place that you may write to",
        ) from error


@contextmanager
def open_output(path: str | None, *, force: bool = False) -> Iterator[TextIO]:
    """Give the stream for the results.

    A file is written beside its final name and moved there at the end, so that it is whole or absent. An existing
    one is kept unless `force`; devices and pipes are written to directly. Raises OutputError.
    """
    try:
        if path is None or to_stdout(path):
            if hasattr(sys.stdout, "reconfigure"):
                # A terminal of another encoding shows an escape instead of ending the run.
                sys.stdout.reconfigure(errors="backslashreplace")
            yield sys.stdout
            sys.stdout.flush()
        else:
            with _open_file(path, force=force) as stream:
                yield stream
    except OSError as error:
        # Other errors inside may be of the input.
        if error.errno not in _FULL:
            raise
        raise _unwritable(path or "-", error) from error


@contextmanager
def _open_file(path: str, *, force: bool) -> Iterator[TextIO]:
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise OutputError(f"{path!r} is a folder", advice="name a file in it")
        special = mode is not None and not stat.S_ISREG(mode)
        if mode is not None and not special and not force:
            raise _exists(path)
        # Opened before the run starts: a folder that cannot be written to is told at once.
        partial = target if special else target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.part")
        stream = partial.open("w" if special else "x", encoding="utf-8", newline="")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with stream:
            yield stream
        if not special:
            _move(partial, target, path, force=force)
    finally:
        if not special:
            partial.unlink(missing_ok=True)


def _mode(target: Path) -> int | None:
    try:
        return target.stat().st_mode
    except FileNotFoundError:
        return None


def _move(partial: Path, target: Path, path: str, *, force: bool) -> None:
    try:
        if not force:
            try:
                # Unlike a rename, a link never replaces a file that appeared in the meantime.
                os.link(partial, target)
                return
            except FileExistsError:
                raise _exists(path) from None
            except OSError:  # A file system without hard links.
                if target.exists():
                    raise _exists(path) from None
        os.replace(partial, target)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> OutputError:
    name = "the output" if to_stdout(path) else repr(path)
    return OutputError(f"cannot write {name}: {error.strerror or error}")


def _exists(path: str) -> OutputError:
    return OutputError(f"{path!r} exists already", advice="choose another name, or add --force to replace it")


def terminal_width(stream: TextIO) -> int | None:
    """Return the cells of a line that `stream` shows, None when it is no terminal and nothing has to fit."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def write_table(
    rows: Iterable[Facts], columns: Sequence[Column], out: TextIO, *, colour: bool, known: bool = True
) -> None:
    """Write a table for people; see `table.lines`."""
    for line in lines(columns, rows, available=terminal_width(out), colour=colour, known=known):
        out.write(line + "\n")
        if not known:
            out.flush()


def write_csv(rows: Iterable[Facts], columns: Sequence[str], out: TextIO) -> None:
    """Write CSV (RFC 4180, CRLF), the header always; no cell starts a formula."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row[column]) for column in columns] for row in rows)


def write_json(texts: Iterable[str], out: TextIO) -> None:
    """Write safe JSON texts as one array, an element a line."""
    start = "[\n"
    for text in texts:
        out.write(f"{start}{text}")
        start = ",\n"
    out.write("[]\n" if start == "[\n" else "\n]\n")


def write_ndjson(texts: Iterable[str], out: TextIO) -> None:
    """Write safe JSON texts, one a line."""
    for text in texts:
        out.write(text + "\n")
