"""Bring the tables of a state to what this version of keytrail expects."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from keytrail.errors import StoreError
from keytrail.store.state.counters import COUNTERS, hold
from keytrail.store.state.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"
# The advisory lock of PostgreSQL under which tables are made: any number that nobody else uses.
_LOCK = 0x6B65_7974


def migrate(database: Database) -> None:
    """Create the tables, or change those of an earlier version. Raises StoreError for those of a later one."""
    if database.path is not None:
        try:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder of {database}: {error.strerror}") from error
    if version(database) == newest():
        return
    with database.write() as connection:
        if not database.is_sqlite:
            # There is no row yet that a second process could wait for.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found = MigrationContext.configure(connection).get_current_revision()
        _known(database, found)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        for name in COUNTERS:
            hold(connection, name)


def require(database: Database) -> None:
    """Raise StoreError unless the tables are those of this version."""
    found = version(database) if _may_be_there(database) else None
    _known(database, found)
    if found != newest():
        raise StoreError(
            f"the state in {database} is not set up" if found is None else f"the state in {database} is an earlier one",
            advice="`keytrail watch`, `keytrail lake import` and `keytrail policies snapshot` set it up, and bring it"
            " up to date.",
        )


def _may_be_there(database: Database) -> bool:
    """Whether to look for tables: opening a SQLite database that is not there would make an empty one."""
    try:
        return database.path is None or database.path.exists()
    except OSError as error:
        raise StoreError(
            f"the state in {database} cannot be looked at: {error.strerror}",
            advice="Work as the user that runs the service; or let a group read the lake's folder.",
        ) from error


def version(database: Database) -> str | None:
    """The version of the tables that are there, None where there are none."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The version that this keytrail expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _known(database: Database, found: str | None) -> None:
    if found is not None and found not in {
        one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()
    }:
        raise StoreError(
            f"the state in {database} was written by a later version of keytrail", advice="Update keytrail."
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
