"""`keytrail` as processes of its own: the service, which is killed, stopped, started again, and commands beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 60
_START_SECONDS = 15
_UNUSABLE = 4  # the exit code for a state or lake that cannot be used


class Failed(AssertionError):
    """What was promised was not kept, or a process ended as it should not."""


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """That of this process, without what would change how keytrail works."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KEYTRAIL_"))}
    return kept | {"AWS_EC2_METADATA_DISABLED": "true"} | dict(more)


def run(*arguments: str | Path, variables: Mapping[str, str] = {}, well: tuple[int, ...] = (0,)) -> str:
    """Run a command to its end; its standard output. Raises Failed when its exit code is none of `well`."""
    done = subprocess.run(
        [sys.executable, "-m", "keytrail", *map(str, arguments)],
        env=environment(variables),
        capture_output=True,
        timeout=4 * _PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode not in well:
        told = done.stderr.decode(errors="replace")[-4000:]
        raise Failed(f"keytrail {' '.join(map(str, arguments))} ended with {done.returncode}:\n{told}")
    return done.stdout.decode()


def json_lines(text: str) -> list[dict[str, Any]]:
    """The objects of NDJSON."""
    return [json.loads(line) for line in text.splitlines() if line]


class Watching:
    """The service. `log` is where its lines go, one process after the other."""

    def __init__(self, config: Path, log: Path, variables: Mapping[str, str]) -> None:
        self._config = config
        self._log = log
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._started = 0.0

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, if none runs."""
        if self.lives:
            return
        self._reap()
        self.starts += 1
        self._started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keytrail", "watch", "--config", str(self._config), "--log-format", "json"],
                env=environment(self._variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """As a crash of the machine ends it, its worker processes too."""
        self._signal_all(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """As a supervisor ends it. Raises Failed when it does not, or not well."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Failed(f"the service did not end within {_PATIENCE_SECONDS} s after SIGTERM") from error
        self._process = None
        # SIGTERM before it was set up ends a process at once.
        if code not in (0, -signal.SIGTERM):
            raise Failed(f"the service ended with {code} after SIGTERM")

    def freeze(self) -> None:
        """As a machine that sleeps."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def check(self, *, may_fail_to_start: bool = False) -> None:
        """Raise Failed when it ended by itself. What it cannot start on is told, and a supervisor starts it again."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        young = time.monotonic() - self._started < _START_SECONDS
        if code != _UNUSABLE or not (may_fail_to_start and young):
            raise Failed(f"the service ended by itself with {code}; see {self._log}")

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
