"""The limit of speed: reading and inflating an archive, and nothing else, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from keytrail.cloudtrail import ReadLimits
from keytrail.cloudtrail.inflate import inflate_whole
from keytrail.detect import available_cores


def _inflate_batch(paths: list[str]) -> int:
    total = 0
    limits = ReadLimits()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            total += len(inflate_whole(file.readall(), limits) or b"")
    return total


def inflate_only(paths: list[str], batch: int) -> tuple[float, int]:
    """Seconds to read and inflate `paths` in as many processes as there are cores, and the inflated bytes."""
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    cores = available_cores()
    with ProcessPoolExecutor(cores, mp_context=context) as pool:
        list(pool.map(_inflate_batch, [[]] * cores * 4))
        batches = [paths[at : at + batch] for at in range(0, len(paths), batch)]
        best = min(timed(lambda: sum(pool.map(_inflate_batch, batches))) for _ in range(3))
    return best


def timed(work: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
