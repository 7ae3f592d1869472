"""The state's databases as users have them: SQLite, and a PostgreSQL server of its own where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from tests.conftest import require

# Root may not run the server; its package makes this user for it.
_SERVER_USER = "postgres"
_TEMPLATE = "migrated"


class Postgres:
    """A server that gives a database of its own to whoever asks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count()
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        database = Database(self._url(_TEMPLATE))
        migrate(database)
        database.close()

    def make(self, *, migrated: bool) -> str:
        """The URL of a new database, empty or with the tables in it."""
        name = f"state_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name}" + (f" TEMPLATE {_TEMPLATE}" if migrated else ""))
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://{_SERVER_USER}@127.0.0.1:{self._port}/{name}"

    def _run(self, statement: str) -> None:
        import pg8000.native

        connection = pg8000.native.Connection(_SERVER_USER, host="127.0.0.1", port=self._port, database="postgres")
        try:
            connection.run(statement)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server in a temporary folder; skips where none is installed."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        require("postgres", "PostgreSQL's server, such as Debian's postgresql")
    # pytest's own folders are closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="keytrail-postgres-", dir=_memory()))
    data, port = folder / "data", _free_port()
    user = None
    if os.geteuid() == 0:
        user = _SERVER_USER
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)

    def run(*arguments: str | Path) -> None:
        # Its output goes to a file: a server that inherits a pipe keeps it open.
        with (folder / "output").open("ab") as output:
            subprocess.run(arguments, check=True, user=user, cwd=folder, stdout=output, stderr=output, timeout=60)

    try:
        run(initdb, "-D", data, "-U", _SERVER_USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run(pg_ctl, "-D", data, "-w", "-o", options, "start")
        try:
            yield Postgres(port)
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "state.db"
    database = Database(sqlite_url(path))
    migrate(database)
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on; each runs on both."""
    return str(request.param)


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, or a file that is not there yet."""
    if kind == "sqlite":
        return sqlite_url(tmp_path / "lake" / "state.db")
    url: str = request.getfixturevalue("postgres").make(migrated=False)
    return url


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A state with nothing in it."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite_template"), tmp_path / "state.db")
        return sqlite_url(tmp_path / "state.db")
    made: str = request.getfixturevalue("postgres").make(migrated=True)
    return made


@pytest.fixture
def open_database() -> Iterator[Callable[[str], Database]]:
    """Opens databases, as a process does, and closes them after the test."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        opened.append(Database(url, lock_wait_seconds=30))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def database(url: str, open_database: Callable[[str], Database]) -> Database:
    """A state with nothing in it, opened."""
    return open_database(url)


def _memory() -> Path | None:
    """A folder in memory with room for the databases of all tests: some ten thousand small files come and go."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 2 << 30 else None


def _program(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
