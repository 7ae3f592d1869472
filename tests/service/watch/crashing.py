"""A machine that loses power: files forget what was not synced, the state what was not committed.

The files are in memory, the state is a SQLite database that outlasts the processes. `Power` counts what is done to the
two and cuts at the moment it was told; a process that fails instead of dying sees a full disk for a while.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keytrail.cloudtrail import ReadLimits
from keytrail.service.installation import Installation
from keytrail.service.watch.service import Service
from keytrail.settings import Settings
from keytrail.store.state.catalog import SqlCatalog
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from tests.service.watch.kit import HandClock, MemorySink
from tests.store.lake.memory_files import MemoryFiles

LIMITS = ReadLimits()


class PowerLoss(BaseException):
    """Nothing more is done by this process."""


@dataclass
class Power:
    """What is done to files and state, counted; `cut_at` more steps are done before power is lost, None for never.

    A commit takes two steps, so that power can be lost before and after it. `fail_at` counts such steps of the state
    only: then one commit seems to fail, before or after it took place, and the process lives on.
    """

    cut_at: int | None = None
    fail_at: int | None = None
    lost: bool = False
    steps: int = 0

    def commits(self) -> None:
        self.step()
        if self.fail_at is not None:
            if self.fail_at <= 0:
                self.fail_at = None
                raise sqlite3.OperationalError("disk I/O error")
            self.fail_at -= 1

    def step(self) -> None:
        self.steps += 1
        if self.lost:
            raise PowerLoss
        if self.cut_at is not None:
            if self.cut_at <= 0:
                self.lost = True
                raise PowerLoss
            self.cut_at -= 1

    def restore(self) -> None:
        self.cut_at, self.fail_at, self.lost = None, None, False


class MortalFiles(MemoryFiles):
    """Files on a machine that may lose power."""

    def __init__(self, power: Power) -> None:
        super().__init__()
        self._power = power

    def _call(self) -> None:
        self._power.step()
        super()._call()


@dataclass
class MortalSink(MemorySink):
    """A sink whose sender may lose power before and after a delivery."""

    power: Power | None = None

    def send(self, messages: Any, now: Any) -> None:
        assert self.power is not None
        self.power.step()
        super().send(messages, now)
        self.power.step()


class Machine:
    """One process at a time on a state and a lake. The database is used again by the next machine (`wipe`)."""

    def __init__(self, folder: Path, rules: Path) -> None:
        self.path = folder / "state.db"
        self.power = Power()
        self.files = MortalFiles(self.power)
        self.service: Service | None = None
        self._template = folder / "template.db"
        database = Database(sqlite_url(self._template))
        migrate(database)
        database.close()
        self._database = Database(sqlite_url(self.path))
        self._engine = self._database.engine
        commit = self._engine.dialect.do_commit

        def mortal_commit(connection: Any) -> None:
            if not connection.driver_connection.in_transaction:
                return
            writes = connection.driver_connection.total_changes != self._changes
            if writes:
                self.power.commits()
            commit(connection)
            self._changes = connection.driver_connection.total_changes
            if writes:
                self.power.commits()

        self._changes = 0
        self._engine.dialect.do_commit = mortal_commit  # type: ignore[method-assign]
        self.settings = Settings(
            lake={"folder": folder / "lake", "segment_bytes": 1024**2, "grace_seconds": 30},
            watch={"jobs": 1, "builtin": False, "rules": [rules], "rules_seconds": 0.001, "log_days": 3650},
            notify={"sinks": [{"name": "people", "kind": "ndjson", "path": folder / "unused"}]},
        )

    def wipe(self) -> None:
        """A new machine: nothing was ever done."""
        self.crash(lambda: False)
        for name in ("state.db-wal", "state.db-shm", "state.db"):
            self.path.with_name(name).unlink(missing_ok=True)
        shutil.copy(self._template, self.path)
        self.power = Power()
        self.files = MortalFiles(self.power)
        self.clock = HandClock()
        self.sink = MortalSink(power=self.power)

    def start(self) -> Service:
        """Start the service."""
        if self.service is None:
            catalog = SqlCatalog(self._database)
            home = Installation(self.settings, self._database, self.settings.lake.folder, self.files, catalog)  # type: ignore[arg-type]
            self.service = Service(home, [self.sink], self.clock).__enter__()
        return self.service

    def home(self) -> Installation:
        """The installation, for looking at it."""
        return self.start().home

    def stop(self) -> None:
        """Stop it as it should be stopped."""
        if self.service is not None:
            service, self.service = self.service, None
            service.__exit__(None, None, None)

    def crash(self, survives: Callable[[], bool]) -> None:
        """What is left when power is lost, now."""
        if self.service is not None:
            # The kernel lets go of the lock; nobody writes that the lease was given up.
            lease = self.service.lease
            if lease._file is not None:
                os.close(lease._file)
            self.service = None
        self._engine.dispose()
        self.power.restore()
        self.files.crash(survives)
