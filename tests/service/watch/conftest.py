"""A bench for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.service.watch.kit import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes installations, each in a folder of its own, and takes them down after the test."""
    with ExitStack() as stack:
        made: list[Bench] = []

        def make(*rules: Any, **settings: Any) -> Bench:
            made.append(stack.enter_context(Bench(tmp_path / f"bench{len(made)}", *rules, **settings)))
            return made[-1]

        yield make
