"""Transactions and values: exact, whatever they hold, on every database; errors say what to do and no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from keytrail.errors import SettingsError, StoreError
from keytrail.store.state.columns import Instant, Json, SafeText
from keytrail.store.state.counters import advance, value_of
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.tables import audit, damage, marks

NOW = datetime(2026, 3, 1, 8, 0, 12, 345678, UTC)

# What an attacker can write into a record, and a database may refuse.
HOSTILE = ("nul \0 within", "half \ud800", "\udfff", "\x1b[2J", "\u202egnp.exe", "鍵 🔑", "'; DROP TABLE alerts;--", "")


def test_hostile_text_is_kept_and_found_again(database: Database) -> None:
    for text in HOSTILE:
        with database.write() as connection:
            connection.execute(
                sa.insert(damage).values(object=text, what=text, account=text, region=text, day=None, at=NOW)
            )
        with database.read() as connection:
            found = connection.execute(sa.select(damage.c.what).where(damage.c.object == text)).scalars().all()
        assert len(found) == 1
        # Only what no database takes is written otherwise, and whoever reads it can write it.
        assert found[0] == text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def test_json_is_kept_exactly(database: Database) -> None:
    value = {text: [text, {"n": 1.5, "big": 2**70, "none": None, "yes": True}] for text in HOSTILE}
    with database.write() as connection:
        connection.execute(
            sa.insert(audit).values(at=NOW, who="w", kind="alert", subject="s", action="a", detail=value)
        )
    with database.read() as connection:
        assert connection.execute(sa.select(audit.c.detail)).scalar_one() == value


MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.just(UTC),
)


@given(MOMENTS, MOMENTS)
def test_instants_are_exact_and_ordered(one: datetime, other: datetime) -> None:
    kind, dialect = Instant(), sa.create_engine("sqlite://").dialect
    kept = [kind.process_bind_param(moment, dialect) for moment in (one, other)]
    assert [kind.process_result_value(value, dialect) for value in kept] == [one, other]
    assert None not in kept
    assert (kept[0] < kept[1]) is (one < other)  # type: ignore[operator]


@given(st.text())
def test_any_text_becomes_one_that_databases_take(text: str) -> None:
    dialect = sa.create_engine("sqlite://").dialect
    kept = SafeText().process_bind_param(text, dialect)
    assert kept is not None
    assert "\0" not in kept
    kept.encode()
    whole = Json().process_bind_param({"t": text}, dialect)
    assert whole is not None
    assert whole.isascii()
    assert "\0" not in whole
    assert json.loads(whole) == {"t": text}


def test_an_instant_of_another_zone_is_the_same_instant(database: Database) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with database.write() as connection:
        connection.execute(sa.insert(damage).values(object="o", what="w", account="", region="", day=None, at=there))
    with database.read() as connection:
        assert connection.execute(sa.select(damage.c.at)).scalar_one() == NOW
        assert connection.execute(sa.select(damage.c.at).where(damage.c.at <= NOW)).scalar_one() == NOW


def test_what_raises_is_rolled_back_and_the_database_goes_on(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(sa.insert(marks).values(name="a", value="1"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(StoreError, match=r"unique|UNIQUE"):
        _write_twice(database, "a")
    with database.write() as connection:
        assert connection.execute(sa.select(marks)).all() == []
        connection.execute(sa.insert(marks).values(name="a", value="2"))
    with database.read() as connection:
        assert connection.execute(sa.select(marks.c.value)).scalar_one() == "2"


def test_errors_hold_no_values(database: Database) -> None:
    with pytest.raises(StoreError) as caught:
        _write_twice(database, "AKIASECRET")
    assert "AKIASECRET" not in str(caught.value)


def _write_twice(database: Database, text: str) -> None:
    with database.write() as connection:
        for _ in range(2):
            connection.execute(sa.insert(marks).values(name=text, value=text))


def test_a_read_sees_one_state_while_others_write(url: str, open_database: Callable[[str], Database]) -> None:
    reader, writer = open_database(url), open_database(url)
    with reader.read() as connection:
        assert value_of(connection, "n") == 0
        with writer.write() as other:
            advance(other, "n", 5)
        assert value_of(connection, "n") == 0
    with reader.read() as connection:
        assert value_of(connection, "n") == 5


def test_a_counter_gives_each_number_once_whoever_asks(url: str, open_database: Callable[[str], Database]) -> None:
    with open_database(url).write() as connection:
        advance(connection, "n", 0)
    taken: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        database = open_database(url)
        for _ in range(10):
            with database.write() as connection:
                first = advance(connection, "n", 3)
            with lock:
                taken.extend(range(first, first + 3))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(taken) == list(range(120))


def test_two_that_use_a_counter_first_do_not_fail(url: str, open_database: Callable[[str], Database]) -> None:
    one, other = open_database(url), open_database(url)
    with ThreadPoolExecutor(1) as pool:
        with one.write() as connection:
            assert advance(connection, "new", 1) == 0
            second = pool.submit(_take, other)
            wait([second], timeout=0.2)  # by then it waits for this transaction
        assert second.result() == 1
    with one.read() as connection:
        assert value_of(connection, "new") == 2


def _take(database: Database) -> int:
    with database.write() as connection:
        return advance(connection, "new", 1)


def test_a_lock_that_is_held_too_long_is_told(url: str, kind: str, open_database: Callable[[str], Database]) -> None:
    holder, waiter = open_database(url), Database(url, lock_wait_seconds=1)
    try:
        with holder.write() as connection:
            advance(connection, "n", 1)
        with holder.write() as connection:
            advance(connection, "n", 1)
            with pytest.raises(StoreError, match="lock") as caught, waiter.write() as other:
                advance(other, "n", 1)
        assert "Another process holds it" in caught.value.advice
    finally:
        waiter.close()
    with holder.read() as connection:
        assert value_of(connection, "n") == 2


def test_a_folder_that_is_not_there_and_a_server_that_is_not_there_are_told(tmp_path: Path) -> None:
    for url in (sqlite_url(tmp_path / "none" / "state.db"), "postgresql://tester:hidden@127.0.0.1:1/state"):
        database = Database(url)
        with pytest.raises(StoreError) as caught, database.read():
            pass
        assert "hidden" not in str(caught.value)
        assert caught.value.advice
        database.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://h/d", "oracle://h/d", "sqlite+nosuch:///x", "postgresql+nosuch://h/d"]
)
def test_a_url_of_no_database_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError):
        Database(url)
