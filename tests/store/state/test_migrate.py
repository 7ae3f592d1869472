"""The tables: what migrations make is what the code expects, on every database, however often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from keytrail.errors import StoreError
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate, newest, require, version
from keytrail.store.state.tables import METADATA

Open = Callable[[str], Database]


def test_the_migrations_make_the_tables(empty_url: str, open_database: Open) -> None:
    database = open_database(empty_url)
    migrate(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        names = set(sa.inspect(connection).get_table_names())
    assert names == {*METADATA.tables, "alembic_version"}


def test_migrating_again_changes_nothing(empty_url: str, open_database: Open) -> None:
    database = open_database(empty_url)
    migrate(database)
    require(database)
    with database.write() as connection:
        connection.execute(sa.insert(METADATA.tables["marks"]).values(name="a", value="kept"))
    migrate(open_database(empty_url))
    assert version(database) == newest()
    with database.read() as connection:
        assert connection.execute(sa.select(METADATA.tables["marks"].c.value)).scalar_one() == "kept"


def test_two_that_set_it_up_at_once_do_not_get_in_each_others_way(empty_url: str, open_database: Open) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(open_database(empty_url)), range(4)))
    require(open_database(empty_url))


def test_a_later_version_is_refused(url: str, open_database: Open) -> None:
    database = open_database(url)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (migrate, require):
        with pytest.raises(StoreError, match="later version of keytrail") as caught:
            use(database)
        assert caught.value.advice == "Update keytrail."
    assert version(database) == "9999"


def test_a_state_that_is_not_there_says_what_sets_it_up(empty_url: str, open_database: Open) -> None:
    with pytest.raises(StoreError, match="is not set up") as caught:
        require(open_database(empty_url))
    assert "keytrail watch" in caught.value.advice


def test_looking_for_a_state_makes_no_file(tmp_path: Path, open_database: Open) -> None:
    with pytest.raises(StoreError):
        require(open_database(sqlite_url(tmp_path / "state.db")))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named_with_advice(tmp_path: Path, open_database: Open) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database at all, and long enough to be looked at" * 100)
    with pytest.raises(StoreError, match=r"state\.db.*not a database") as caught:
        require(open_database(sqlite_url(tmp_path / "state.db")))
    assert "backup" in caught.value.advice
