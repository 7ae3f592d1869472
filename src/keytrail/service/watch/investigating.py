"""Investigating while records arrive: made at once, made again as planned and as new records touch what it is about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from keytrail.errors import KeytrailError
from keytrail.investigate import Event, Investigation, Knowledge, PolicyChange, change_of, investigate, watched_values
from keytrail.service.installation import Installation
from keytrail.service.kept_policies import with_kept
from keytrail.service.watch.pauses import Pauses
from keytrail.store import EventStore
from keytrail.store.state.alerts import one_at_a_time, set_verdict
from keytrail.store.state.cases import Case, Revision, add_revision, case_of, due_cases, looked_up_to, put_case
from keytrail.store.state.lease import Lease

# Cases that are looked at together: what one reads the others need not.
_MOST_AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of one case: its new revision, or why there is none."""

    case: Case
    revision: Revision | None
    error: str = ""


Tell = Callable[[Connection, Case, Revision, datetime], str]
"""Puts what people are to be told into the outbox, in the transaction of the revision; returns the verdict told."""


class Investigating:
    """Investigates the cases that are due. Used by one thread.

    `store` gives the events as they are then; `tell` is called within the transaction that commits a revision.
    """

    def __init__(
        self,
        home: Installation,
        lease: Lease,
        store: Callable[[], AbstractContextManager[EventStore]],
        knowledge: Callable[[], Knowledge],
        tell: Tell,
        clock: Callable[[], datetime],
    ) -> None:
        self._home = home
        self._lease = lease
        self._store = store
        self._knowledge = knowledge
        self._tell = tell
        self._clock = clock
        watch = home.settings.watch
        self._planned = tuple(timedelta(minutes=one) for one in sorted(watch.look_again_minutes))
        self._touch_pause = timedelta(seconds=watch.touch_pause_seconds)
        self._pauses = Pauses(watch.retry_seconds, watch.longest_retry_seconds)

    def look(self) -> tuple[Looked, ...]:
        """Make the investigations that are due, each committed by itself. Raises StoreError."""
        now = self._clock()
        with self._home.database.read() as connection:
            due = due_cases(connection, now, _MOST_AT_A_TIME)
        if not due:
            return ()
        known = {case.event: change for case in due if (change := _change(case)) is not None}
        looked = [
            self._fail(case, "its record is no change of a key policy") for case in due if case.event not in known
        ]
        together = [case for case in due if case.event in known]
        try:
            looked += self._made(together, known)
        except KeytrailError:
            raise
        except Exception:  # noqa: BLE001 - one record that finds a defect must not blind all others
            for case in together:
                try:
                    looked += self._made([case], known)
                except KeytrailError:
                    raise
                except Exception as error:  # noqa: BLE001
                    looked.append(self._fail(case, f"a defect of keytrail: {type(error).__name__}: {error}"))
        return tuple(looked)

    def _made(self, some: Sequence[Case], known: dict[str, PolicyChange]) -> Iterator[Looked]:
        """Investigate some cases together, and commit each."""
        if not some:
            return
        of_change = {known[case.event]: case for case in some}
        with self._home.database.read() as connection:
            knowledge = with_kept(self._knowledge(), connection, of_change)
        with self._store() as store:
            # What arrives while they are made may be in them or not, so that they do not vouch for it.
            head = store.head()
            made = [(change, replace(one, as_of=head)) for change, one in investigate(of_change, store, knowledge)]
        for change, found in made:
            yield self._commit(of_change[change], change, found, knowledge)

    def _commit(self, case: Case, change: PolicyChange, found: Investigation, knowledge: Knowledge) -> Looked:
        now = self._clock()
        revision = Revision(
            event=case.event,
            revision=case.revision + 1,
            as_of=found.as_of,
            made_at=now,
            verdict=found.judgement.verdict,
            score=found.judgement.score,
            document=replace(found, revision=case.revision + 1).to_dict(),
        )
        watched = tuple(sorted(watched_values(change, found, knowledge.limits)))
        with self._home.database.write() as connection:
            self._lease.check(connection)
            one_at_a_time(connection)  # Rules note what touches a case in transactions that are serial by this.
            current = case_of(connection, case.event)
            assert current is not None  # a case is never removed
            # What came while this was made is not in it; and nobody looked out for what is watched only from now on.
            more = not set(watched) <= set(current.watched)
            touched = max(current.touched, looked_up_to(connection) if more else 0)
            again = now + self._touch_pause if touched > found.as_of else None
            stage, due = self._next(current, now)
            told = self._tell(connection, current, revision, now)
            put_case(
                connection,
                replace(
                    current,
                    revision=revision.revision,
                    due_at=min((one for one in (again, due) if one is not None), default=None),
                    stage=stage,
                    verdict=revision.verdict,
                    told=told,
                    as_of=found.as_of,
                    touched=touched,
                    watched=watched,
                    failures=0,
                    message="",
                ),
            )
            add_revision(connection, revision)
            summary = str(revision.document.get("summary", ""))
            set_verdict(
                connection, case.event, verdict=revision.verdict, score=revision.score, summary=summary, now=now
            )
        return Looked(case, revision)

    def _next(self, case: Case, now: datetime) -> tuple[int, datetime | None]:
        """The next planned look that is still to come, and when."""
        for stage, after in enumerate(self._planned, 1):
            if stage > case.stage and case.opened_at + after > now:
                return stage, case.opened_at + after
        return len(self._planned), None

    def _fail(self, case: Case, message: str) -> Looked:
        now = self._clock()
        with self._home.database.write() as connection:
            self._lease.check(connection)
            current = case_of(connection, case.event) or case
            failures = current.failures + 1
            due = now + self._pauses.after(failures)
            put_case(connection, replace(current, failures=failures, message=message, due_at=due))
        return Looked(case, None, message)


def _change(case: Case) -> PolicyChange | None:
    event = Event.of(json.loads(case.raw))
    return None if event is None else change_of(event)
