"""A bench for each test that asks for one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from tests.investigate import records as made
from tests.service.watch.keys_kit import CLOSED, CREATED, WATCH, Eyes, later_record
from tests.service.watch.kit import Bench


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in which nothing is, made once."""
    path = tmp_path_factory.mktemp("state") / "state.db"
    database = Database(sqlite_url(path))
    migrate(database)
    database.close()
    return path


@pytest.fixture
def bench(tmp_path: Path, empty_state: Path) -> Iterator[Callable[..., Bench]]:
    """Makes installations, each in a folder of its own, and takes them down after the test."""
    with ExitStack() as stack:
        benches: list[Bench] = []

        def make(*rules: Any, **settings: Any) -> Bench:
            folder = tmp_path / f"bench{len(benches)}"
            (folder / "lake").mkdir(parents=True)
            shutil.copy(empty_state, folder / "lake" / "state.db")
            benches.append(stack.enter_context(Bench(folder, *rules, **settings)))
            return benches[-1]

        yield make


@pytest.fixture
def watched(bench: Callable[..., Bench]) -> Bench:
    """A service that has seen a key being created, and has been up for an hour."""
    one = bench(watch=WATCH)
    one.take("a", [CREATED])
    one.clock.passes(hours=1)
    later_record(one)
    return one


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    one = Eyes({made.KEY: CLOSED})
    monkeypatch.setattr("keytrail.service.watch.keys.look_at_keys", one)
    return one
