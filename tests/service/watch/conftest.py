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
        made: list[Bench] = []

        def make(*rules: Any, **settings: Any) -> Bench:
            folder = tmp_path / f"bench{len(made)}"
            (folder / "lake").mkdir(parents=True)
            shutil.copy(empty_state, folder / "lake" / "state.db")
            made.append(stack.enter_context(Bench(folder, *rules, **settings)))
            return made[-1]

        yield make
