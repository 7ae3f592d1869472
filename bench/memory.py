"""Peak memory of a process and its descendants, sampled from outside."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

import psutil

_EVERY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """One command: wall time with start-up in seconds, peak memory summed over its processes in bytes, its exit code.

    Pages that processes share are counted once, in proportion (PSS); where the system does not tell, resident size.
    """

    seconds: float
    peak_bytes: int
    exit_code: int


def measure(command: list[str]) -> Measured:
    """Run `command` with its output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _total(watched))
        time.sleep(_EVERY_SECONDS)
    return Measured(time.perf_counter() - started, peak, process.returncode)


def _total(process: psutil.Process) -> int:
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            try:
                memory = one.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            total += getattr(memory, "pss", memory.rss)
    except psutil.NoSuchProcess:
        pass
    return total
