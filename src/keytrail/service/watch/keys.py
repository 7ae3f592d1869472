"""The service looks at keys: every so many hours how they are is read from AWS, and held against what was reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.engine import Connection

from keytrail.service.installation import Installation
from keytrail.service.watch.clock import Clock
from keytrail.store.state.database import Database
from keytrail.store.state.lease import Lease
from keytrail.store.state.objects import set_marks
from keytrail.store.state.tables import key_snapshots, marks

if TYPE_CHECKING:
    from keytrail.service.watch.drift import Checked
    from keytrail.service.watch.metrics import Metrics
    from keytrail.service.watch.runner import Post, Runner

_LOG = logging.getLogger("keytrail.watch")
_MARK = "policies/look"
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_MOST_PROBLEMS = 20  # kept with a look; the log has all


@dataclass(frozen=True, slots=True)
class Look:
    """A look at all keys: when it began (RFC 3339), how many keys were read, how many policies were found that are new.

    `problems` are sentences about what could not be read. `drifted` and `unjudged` count the keys whose policy is not
    the reported one, and those of which that cannot be said, by the last comparison.
    """

    at: str
    keys: int
    new: int
    problems: tuple[str, ...] = ()
    drifted: int = 0
    unjudged: int = 0


_LOOKS = TypeAdapter(Look)

Feeds = Literal["failing", "working", "drained"]
"""How the sources of records are: one of them cannot be read, all can, or all that they had is taken in."""


Stopping = Callable[[], bool]
"""Says whether the service is to end."""


def last_look(database: Database) -> Look | None:
    """The last look at the keys, None where the service made none."""
    with database.read() as connection:
        found = connection.execute(sa.select(marks.c.value).where(marks.c.name == _MARK)).scalar_one_or_none()
    if found is None:
        return None
    try:
        return _LOOKS.validate_json(found)
    except ValueError:  # of another version
        return None


class KeyLooks:
    """Looks at keys when it is time, and compares when there is something new. Used by one thread."""

    def __init__(
        self,
        home: Installation,
        lease: Lease,
        runner: Runner,
        post: Post,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._home = home
        self._lease = lease
        self._runner = runner
        self._post = post
        self._clock = clock
        self._metrics = metrics
        # What was there when the service began may take some time to come in.
        self._began = clock()
        # What was compared last, and when one of the keys is to be compared again.
        self._compared: object = None
        self._again_at: datetime | None = None

    def round(self, feeds: Feeds, stopping: Stopping = lambda: False) -> int:
        """Do what is due; returns how many alerts were made. Raises what looking raises, and StoreError.

        What can be compared is, though the keys cannot be looked at. Once it is `stopping`, a look is broken off.
        """
        made = self.compare(feeds)
        if self.due() and self.look(stopping) is not None:
            made += self.compare(feeds)
        return made

    def due(self) -> bool:
        """Whether it is time to look at the keys."""
        hours = self._home.settings.policies.every_hours
        if not hours:
            return False
        last = last_look(self._home.database)
        # A clock that was set back must not make it wait.
        return last is None or not timedelta() <= self._clock() - datetime.fromisoformat(last.at) < timedelta(
            hours=hours
        )

    def look(self, stopping: Stopping = lambda: False) -> Look | None:
        """Look at all keys now; None if it was broken off. Raises what looking raises, LeaseLost."""
        with self._home.database.write() as connection:
            self._lease.check(connection)
        try:
            found = look_at_keys(self._home, self._clock, stopping)
        except _BrokenOff:
            _LOG.info("a look at the keys was broken off; it is made again")
            return None
        for problem in found.problems:
            _LOG.warning("a key could not be looked at as it should", extra={"fields": {"problem": problem}})
        _LOG.info("looked at the keys", extra={"fields": {"keys": found.keys, "new": found.new}})
        # What was compared stays so until there is something new to compare.
        before = last_look(self._home.database)
        if before is not None:
            found = replace(found, drifted=before.drifted, unjudged=before.unjudged)
        self._note(found)
        self._metrics.keys_seen(found)
        return found

    def compare(self, feeds: Feeds) -> int:
        """Hold what the keys were found with against the lake, if there may be something new to say.

        Returns how many alerts were made. Raises StoreError.
        """
        if not self._runner.ready:
            return 0
        from keytrail.service.watch.drift import RULE_ID, check

        now = self._clock()
        rule = self._runner.rule(RULE_ID)
        with self._home.database.read() as connection:
            signature = (_finds(connection), rule is not None)
        is_time = self._again_at is not None and now >= self._again_at
        if signature == self._compared and not is_time:
            return 0
        since = _BEGINNING if feeds == "drained" else self._began
        complete = feeds != "failing"
        checked = check(self._home, self._lease, rule, self._post, now, since=since, complete=complete)
        self._compared, self._again_at = signature, checked.again_at
        self._metrics.compared(checked)
        last = last_look(self._home.database)
        if last is not None and rule is not None:
            self._note(replace(last, drifted=len(checked.drifted), unjudged=len(checked.unjudged)))
        _tell(checked)
        return checked.created

    def _note(self, look: Look) -> None:
        kept = replace(look, problems=look.problems[:_MOST_PROBLEMS])
        with self._home.database.write() as connection:
            self._lease.check(connection)
            set_marks(connection, {_MARK: _LOOKS.dump_json(kept).decode()})


def _tell(checked: Checked) -> None:
    if not checked.keys:
        return
    fields = {
        "keys": checked.keys,
        "differing": len(checked.drifted),
        "alerts": checked.created,
        "not_judged": len(checked.unjudged),
    }
    _LOG.info("compared the keys' policies with what was reported", extra={"fields": fields})


def _finds(connection: Connection) -> tuple[object, ...]:
    """What differs when something was found since."""
    columns = key_snapshots.c
    query = sa.select(sa.func.count(), sa.func.max(columns.last_seen), sa.func.max(columns.id))
    return tuple(connection.execute(query.select_from(key_snapshots)).one())


class _BrokenOff(Exception):
    """The service is to end."""


def look_at_keys(home: Installation, clock: Clock, stopping: Stopping) -> Look:
    """Read every key that the settings name, as `keytrail policies snapshot` does, and keep what is new.

    Raises SourceError, UsageError, StoreError.
    """
    from keytrail.service.policy_snapshots import snapshot_request, take_snapshot

    began, problems = clock(), list[str]()

    def go_on(_: object) -> None:
        if stopping():
            raise _BrokenOff

    found = take_snapshot(
        home.database,
        snapshot_request(home.settings),
        clock=clock,
        observe=go_on,
        report=lambda error: problems.append(str(error).splitlines()[0]),
    )
    return Look(began.isoformat(), found.keys, len(found.new) + len(found.changed), tuple(problems))


__all__ = ["Feeds", "KeyLooks", "Look", "last_look", "look_at_keys"]
