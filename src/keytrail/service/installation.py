"""Where the service keeps things on this machine: its state and its lake, opened from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keytrail.errors import StoreError
from keytrail.settings import Settings
from keytrail.store.lake.files import OsFiles
from keytrail.store.state.catalog import SqlCatalog
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate, require

_STATE = "state.db"


@dataclass(frozen=True, slots=True)
class Installation:
    """The state, the lake's folder with its files, and the catalog that joins them."""

    settings: Settings
    database: Database
    folder: Path
    files: OsFiles
    catalog: SqlCatalog


def is_set_up(settings: Settings) -> bool:
    """Whether there is a state to open, as far as can be told without opening it."""
    return bool(settings.state.url) or (settings.lake.folder / _STATE).exists()


@contextmanager
def installation(settings: Settings, *, set_up: bool = False) -> Iterator[Installation]:
    """Open what the settings name; `set_up` makes what is not there and migrates what is older.

    Raises StoreError where there is nothing yet, or what there is cannot be used.
    """
    folder = settings.lake.folder.absolute()
    if set_up:
        _make(folder)
    database = Database(
        settings.state.url or sqlite_url(folder / _STATE), lock_wait_seconds=settings.state.lock_wait_seconds
    )
    try:
        if set_up:
            migrate(database)
        else:
            require(database)
        yield Installation(settings, database, folder, OsFiles(folder), SqlCatalog(database))
    finally:
        database.close()


def _make(folder: Path) -> None:
    try:
        # What is in it is as confidential as the trail.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"cannot make the lake's folder {folder}: {error.strerror}",
            advice="Name another one: [lake] folder in keytrail.toml.",
        ) from error
