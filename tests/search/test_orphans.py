"""Workers end with the process that started them, even if that is killed and cannot tell them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PROGRAM = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from keytrail.{module} import {begin}

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=get_context("{method}"), initializer={begin})
    for future in [pool.submit(time.sleep, 0.2) for _ in range(2)]:
        future.result()
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("method", ["spawn", *(["forkserver"] if sys.platform == "linux" else [])])
@pytest.mark.parametrize(
    ("module", "begin"), [("search.orphans", "end_with_parent"), ("service.watch.reading", "_begin")]
)
def test_workers_of_a_killed_process_end(tmp_path: Path, module: str, begin: str, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(module=module, begin=begin, method=method))
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "up\n"
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(below, timeout=10)
        assert not alive
