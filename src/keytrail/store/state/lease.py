"""The lease: one process at a time takes in records and runs rules, and a former one cannot commit any more."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.errors import StoreError
from keytrail.store.state.database import Database
from keytrail.store.state.tables import leases

_NAME = "service"
# Without a word for so long, a holder elsewhere is taken for dead (PostgreSQL); on one machine a file lock tells.
STALE_SECONDS = 60.0


class LeaseLost(StoreError):
    """Another process took the lease over: this one must stop, and nothing of it is committed any more."""


@dataclass(slots=True)
class Lease:
    """The right to commit, held until `release`. `epoch` grows with each holder."""

    holder: str
    epoch: int
    _file: int | None = field(default=None, repr=False)

    def check(self, connection: Connection) -> None:
        """Raise LeaseLost, in a transaction that writes, if the lease is another's."""
        query = sa.select(leases.c.epoch).where(leases.c.name == _NAME).with_for_update(read=True)
        if connection.execute(query).scalar_one() != self.epoch:
            raise LeaseLost(
                "another keytrail took over this state", advice="Look which one is to run; only one may at a time."
            )

    def renew(self, database: Database, now: datetime) -> None:
        """Say that the holder lives. Raises LeaseLost."""
        with database.write() as connection:
            self.check(connection)
            connection.execute(sa.update(leases).where(leases.c.name == _NAME).values(renewed_at=now))

    def release(self, database: Database) -> None:
        """Give it up, if it is still held."""
        try:
            with suppress(StoreError), database.write() as connection:
                self.check(connection)
                connection.execute(sa.update(leases).where(leases.c.name == _NAME).values(released=True))
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def acquire(database: Database, holder: str, now: datetime) -> Lease:
    """Take the lease. `holder` says who asks, for others to read. Raises StoreError while another has it."""
    file = _lock_file(database)
    try:
        with database.write() as connection:
            found = connection.execute(sa.select(leases).where(leases.c.name == _NAME).with_for_update()).first()
            if found is None:
                epoch = 1
                connection.execute(
                    sa.insert(leases).values(name=_NAME, epoch=epoch, holder=holder, renewed_at=now, released=False)
                )
                return Lease(holder, epoch, file)
            alive = not found.released and now - found.renewed_at < timedelta(seconds=STALE_SECONDS)
            # Where there is a file lock, having it proves that the former holder is gone.
            if file is None and alive:
                raise _held(found.holder)
            epoch = found.epoch + 1
            connection.execute(
                sa.update(leases)
                .where(leases.c.name == _NAME)
                .values(epoch=epoch, holder=holder, renewed_at=now, released=False)
            )
            return Lease(holder, epoch, file)
    except BaseException:
        if file is not None:
            os.close(file)
        raise


def holder_of(connection: Connection) -> tuple[str, datetime, bool] | None:
    """Who has the lease, when it was last heard of, and whether it gave it up; None if nobody ever had it."""
    found = connection.execute(sa.select(leases).where(leases.c.name == _NAME)).first()
    return None if found is None else (found.holder, found.renewed_at, found.released)


def _lock_file(database: Database) -> int | None:
    """The lock of a SQLite database: the kernel lets go of it however its holder ends."""
    if database.path is None:
        return None
    path = f"{database.path}.lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        holder = "another process"
        with suppress(StoreError), database.read() as connection:
            if (found := holder_of(connection)) is not None:
                holder = found[0]
        raise _held(holder) from None
    return file


def _held(holder: str) -> StoreError:
    return StoreError(
        f"this state is in use by {holder}",
        advice="One process at a time takes in records; `keytrail alerts`, `events` and the like work beside it.",
    )
