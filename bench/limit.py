"""The limit of speed: reading and inflating an archive, and nothing else, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from keytrail.cloudtrail import ReadLimits
from keytrail.cloudtrail.inflate import inflate_whole
from keytrail.search import available_cores


def _inflate_batch(paths: list[str]) -> int:
    total = 0
    limits = ReadLimits()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            total += len(inflate_whole(file.readall(), limits) or b"")
    return total


class Limit:
    """Worker processes that inflate `paths`; a context manager. Measured beside each scan: no machine is ever quiet."""

    def __init__(self, paths: list[str], batch: int) -> None:
        context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        cores = available_cores()
        self._batches = [paths[at : at + batch] for at in range(0, len(paths), batch)]
        self._pool = ProcessPoolExecutor(cores, mp_context=context)
        list(self._pool.map(_inflate_batch, [[]] * cores * 4))

    def __enter__(self) -> Limit:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def measure(self) -> tuple[float, int]:
        """Seconds to read and inflate everything, and the inflated bytes."""
        return timed(lambda: sum(self._pool.map(_inflate_batch, self._batches)))


def timed(work: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
