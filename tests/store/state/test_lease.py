"""The lease: one holder at a time; who lost it cannot commit any more, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from keytrail.errors import StoreError
from keytrail.store.state.counters import advance, value_of
from keytrail.store.state.database import Database
from keytrail.store.state.lease import STALE_SECONDS, LeaseLost, acquire, holder_of

Open = Callable[[str], Database]
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
STALE = timedelta(seconds=STALE_SECONDS)


def test_a_second_holder_is_refused_and_told_who_has_it(url: str, open_database: Open) -> None:
    lease = acquire(open_database(url), "host-a pid 7", NOW)
    with pytest.raises(StoreError, match="in use by host-a pid 7") as caught:
        acquire(open_database(url), "host-b", NOW + timedelta(seconds=1))
    assert "keytrail alerts" in caught.value.advice
    lease.release(open_database(url))


def test_a_released_lease_is_anybodys(url: str, open_database: Open) -> None:
    database = open_database(url)
    first = acquire(database, "a", NOW)
    first.release(database)
    with database.read() as connection:
        assert holder_of(connection) == ("a", NOW, True)
    second = acquire(open_database(url), "b", NOW)
    assert second.epoch == first.epoch + 1
    second.release(database)


def test_a_former_holder_commits_nothing(url: str, kind: str, open_database: Open) -> None:
    database, other = open_database(url), open_database(url)
    former = acquire(database, "a", NOW)
    if kind == "sqlite":
        former.release(database)  # only who lets go of the file lock can lose it here
    current = acquire(other, "b", NOW + STALE)

    def commit() -> None:
        with database.write() as connection:
            advance(connection, "n", 1)
            former.check(connection)

    with pytest.raises(LeaseLost):
        commit()
    with pytest.raises(LeaseLost):
        former.renew(database, NOW + STALE)
    former.release(database)  # harms nobody
    with other.write() as connection:
        current.check(connection)
        assert value_of(connection, "n") == 0
    current.release(other)


def test_who_says_that_it_lives_keeps_it(url: str, kind: str, open_database: Open) -> None:
    database = open_database(url)
    lease = acquire(database, "a", NOW)
    lease.renew(database, NOW + STALE)
    with pytest.raises(StoreError, match="in use by a"):
        acquire(open_database(url), "b", NOW + STALE + timedelta(seconds=STALE_SECONDS / 2))
    with database.read() as connection:
        assert holder_of(connection) == ("a", NOW + STALE, False)
    lease.release(database)


HOLDER = """
import sys, time
from datetime import datetime
from keytrail.store.state.database import Database
from keytrail.store.state.lease import acquire
lease = acquire(Database(sys.argv[1]), "the other process", datetime.fromisoformat(sys.argv[2]))
print(lease.epoch, flush=True)
time.sleep(600)
"""


def test_a_crash_frees_it(url: str, kind: str, open_database: Open) -> None:
    database = open_database(url)
    process = subprocess.Popen([sys.executable, "-c", HOLDER, url, NOW.isoformat()], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(StoreError, match="in use by the other process"):
            acquire(database, "b", NOW)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        # A file lock goes with its process; elsewhere silence has to tell.
        later = NOW if kind == "sqlite" else NOW + STALE
        lease = acquire(database, "b", later)
        assert lease.epoch == 2
        lease.release(database)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_the_lease_shows_no_file_and_a_failed_try_leaves_none_open(url: str, open_database: Open) -> None:
    database = open_database(url)
    lease = acquire(database, "a", NOW)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        with pytest.raises(StoreError):
            acquire(database, "b", NOW)
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
    assert repr(lease) == "Lease(holder='a', epoch=1)"
    lease.release(database)
