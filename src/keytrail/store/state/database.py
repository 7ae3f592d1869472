"""The database that the state lives in: opened, migrated, and written in transactions that last."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from keytrail.errors import SettingsError, StoreError

# How long a write waits for another process that writes.
_LOCK_WAIT_SECONDS = 30.0
_MODE_PAUSE_SECONDS = 0.01
# Seconds of one statement that PostgreSQL may take before it is given up.
_STATEMENT_SECONDS = 120
# Most databases bound the number of values in one statement.
_MOST_VALUES = 500

_T = TypeVar("_T")


class Database:
    """SQLite in WAL mode, or PostgreSQL. Reads and writes from any process; used by several threads.

    Raises StoreError where the database cannot be reached, is locked for too long, or has no room.
    """

    def __init__(self, url: str, *, lock_wait_seconds: float = _LOCK_WAIT_SECONDS) -> None:
        self._url = _parsed(url)
        self._engine = _engine(self._url, lock_wait_seconds)

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database, None for PostgreSQL."""
        return Path(self._url.database) if self.is_sqlite and self._url.database else None

    def __str__(self) -> str:
        # As people write it, without the driver.
        return self._url.set(drivername=self._url.get_backend_name()).render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """For migrations."""
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the data and changes nothing."""
        with self._explained(), self._engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed, to the disk, when the block ends, and rolled back when it raises."""
        with self._explained(), self._engine.connect() as connection:
            connection = connection.execution_options(keytrail_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def _error(self, error: SQLAlchemyError) -> StoreError:
        # What a driver says may hold values of the statement, and those records' text; the message of the driver's
        # own error does not.
        said = _said(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else type(error).__name__
        lower = said.lower()
        if any(word in lower for word in ("locked", "busy", "lock timeout", "deadlock")):
            advice = "Another process holds it; wait, or stop the other one. Copies of a database must not be used."
        elif "disk is full" in lower or "no space" in lower or "disk i/o" in lower:
            advice = "Make room on its disk; nothing that was committed is lost, and what was not comes again."
        elif "no such table" in lower or "does not exist" in lower:
            advice = "`keytrail watch` and `keytrail lake import` set it up; look whether [state] url is the right one."
        elif "malformed" in lower or "not a database" in lower:
            advice = "Restore it from a backup, or move it away: a new state reads the trail again."
        elif "unable to open" in lower or "readonly" in lower:
            advice = "Look whether its folder is there, and whether you may write to it and to the files in it."
        elif isinstance(error, InterfaceError | OperationalError):
            advice = "Look whether the server runs, and whether [state] url names it and its user."
        else:
            advice = ""
        return StoreError(f"the state in {self}: {said}", advice=advice)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite database in a file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _said(error: BaseException) -> str:
    """The message of a driver's error, one line."""
    told = error.args[0] if error.args else ""
    # pg8000 hands over all fields of the server's answer, details with values among them; M is the message.
    text = str(told.get("M", "")) if isinstance(told, dict) else str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "[state] url is not the URL of a database",
            advice="Write sqlite:////absolute/path.db or postgresql://user@host/database.",
        ) from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+pg8000")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(
            f"[state] url: {parsed.get_backend_name()} is not supported",
            advice="Write sqlite:////absolute/path.db or postgresql://user@host/database.",
        )
    return parsed


def _engine(url: URL, lock_wait_seconds: float) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite(url, lock_wait_seconds)
        engine = sa.create_engine(url, pool_pre_ping=True)
    except (ImportError, NoSuchModuleError) as error:
        raise SettingsError(
            "the driver for PostgreSQL is not installed", advice="Install it: pip install 'keytrail[postgres]'."
        ) from error

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: object, _: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
        cursor.execute(f"SET lock_timeout = '{int(lock_wait_seconds)}s'")
        cursor.close()
        connection.commit()  # type: ignore[attr-defined]

    return engine


def _sqlite(url: URL, lock_wait_seconds: float) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": lock_wait_seconds})

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: object, _: object) -> None:
        # The driver would begin transactions when it sees fit; we say BEGIN ourselves.
        connection.isolation_level = None  # type: ignore[attr-defined]
        cursor = connection.cursor()  # type: ignore[attr-defined]
        _into_wal_mode(cursor, lock_wait_seconds)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could find that another one wrote between, and fail.
        write = connection.get_execution_options().get("keytrail_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _into_wal_mode(cursor: sqlite3.Cursor, wait_seconds: float) -> None:
    """Change a new database's mode. For this SQLite itself does not wait while another process is at the same."""
    until = time.monotonic() + wait_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(_MODE_PAUSE_SECONDS)


def in_parts(values: Iterable[_T]) -> Iterator[Sequence[_T]]:
    """Values in parts that fit into one statement each.

    >>> [len(part) for part in in_parts(range(1_001))]
    [500, 500, 1]
    """
    rest = iter(values)
    while part := list(islice(rest, _MOST_VALUES)):
        yield part
