"""What people are to be told goes into the outbox with what it tells of, and out of it once it was delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from keytrail.investigate.queries import CHANGES
from keytrail.notify import DeliveryError, Message, Reason, Sink, digest_of, pace, routes
from keytrail.notify.routing import Route
from keytrail.service.installation import Installation
from keytrail.service.triage import document_of
from keytrail.service.watch.judging import Judged
from keytrail.service.watch.pauses import Pauses
from keytrail.store.state.alerts import NewAlert, StoredAlert, alert, alerts_of_event, set_verdict
from keytrail.store.state.cases import Case, Revision, case_of, latest_revision, open_cases, put_case, untold
from keytrail.store.state.lease import Lease
from keytrail.store.state.outbox import (
    Letter,
    cross_off,
    digested_since,
    post,
    put_off,
    sent_since,
    waiting,
)
from keytrail.store.state.rule_states import choices

# Letters of one sink that are looked at at a time, and whose documents are read at a time.
_LETTERS = 10_000
_AT_ONCE = 20
_CASES = 100
# From harmless to grave. Who was told without a verdict is told again of what is worth a look.
_RANKS = ("no_effect", "expected", "none", "review", "malicious")
_CHANGE_NAMES = tuple(f'"{name}"'.encode() for name in CHANGES)


class Posting:
    """Puts letters into the outbox: of new alerts, of first and of graver verdicts. Each call is part of a transaction.

    An alert about a change of a key policy waits for its first investigation, so that it is told with its verdict.
    """

    def __init__(self, sinks: Sequence[Route]) -> None:
        self._sinks = tuple(sinks)

    def alerts(self, connection: Connection, judged: Sequence[Judged], now: datetime) -> None:
        """Open the cases of new alerts, and post those that have none, or whose case was told before them."""
        made = [(new, raw) for one in judged for new, raw in one.alerts]
        if not made:
            return
        opened = [case for new, raw in made if (case := _case(new, raw, now)) is not None]
        open_cases(connection, opened)
        events = {case.event for case in opened}
        for new, _ in made:
            case = case_of(connection, new.event) if new.event in events else None
            revision = None if case is None else latest_revision(connection, new.event)
            if revision is not None:
                set_verdict(
                    connection,
                    new.event,
                    verdict=revision.verdict,
                    score=revision.score,
                    summary=str(revision.document.get("summary", "")),
                    now=now,
                )
            if case is None or case.told:
                self._post(connection, [alert(connection, new.id)], revision, "new", now)

    def revision(self, connection: Connection, case: Case, revision: Revision, now: datetime) -> str:
        """Post the first verdict of a case, or one that is graver than what was told; returns what is told now."""
        if case.told and _rank(revision.verdict) <= _rank(case.told):
            return case.told
        reason: Reason = "raised" if case.told else "new"
        self._post(connection, alerts_of_event(connection, case.event), revision, reason, now)
        return revision.verdict

    def without_verdict(self, connection: Connection, case: Case, now: datetime) -> None:
        """Post the alerts of a case that waited long enough for its first investigation."""
        self._post(connection, alerts_of_event(connection, case.event), None, "new", now)

    def _post(
        self,
        connection: Connection,
        alerts: Iterable[StoredAlert],
        revision: Revision | None,
        reason: Reason,
        now: datetime,
    ) -> None:
        decided = choices(connection)
        letters: list[Letter] = []
        for one in alerts:
            choice = decided.get(one.rule_id)
            rule_rests = choice is not None and choice.snoozed_until is not None and now < choice.snoozed_until
            rests = one.snoozed_until is not None and now < one.snoozed_until
            if one.quiet or one.building_block or rule_rests or rests:
                continue
            message = _message(one, revision, reason)
            letters += [Letter(sink, message.id, one.id, reason, now) for sink in routes(message, self._sinks)]
        post(connection, letters, now)


def _message(one: StoredAlert, revision: Revision | None, reason: Reason) -> Message:
    raised = f"-{revision.verdict}" if reason == "raised" and revision is not None else ""
    return Message(one.id + raised, document_of(one, revision), reason)


def _case(new: NewAlert, raw: bytes, now: datetime) -> Case | None:
    """The case of an alert, None if its event is not investigated."""
    if not any(name in raw for name in _CHANGE_NAMES):
        return None
    from keytrail.investigate import Event, change_of  # loads the prover, which a quiet trail never needs

    event = Event.of(json.loads(raw))
    if event is None or change_of(event) is None:
        return None
    return Case(new.event, new.event_id, new.event_time, raw, opened_at=now, due_at=now)


def _rank(verdict: str) -> int:
    return _RANKS.index(verdict) if verdict in _RANKS else -1


# -- delivering -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What a round of deliveries to one sink came to."""

    sink: str
    sent: int = 0
    digested: int = 0
    refused: int = 0
    error: str = ""


class Telling:
    """Delivers what waits in the outbox. Used by one thread.

    A letter is crossed off after it was delivered: who is stopped between the two delivers it again, under the same id.
    """

    def __init__(
        self,
        home: Installation,
        lease: Lease,
        sinks: Sequence[Sink],
        posting: Posting,
        clock: Callable[[], datetime],
    ) -> None:
        self._home = home
        self._lease = lease
        self._sinks = tuple(sinks)
        self._posting = posting
        self._clock = clock
        notify = home.settings.notify
        self._window = timedelta(minutes=notify.digest_window_minutes)
        self._digest_after = notify.digest_after
        self._patience = timedelta(seconds=notify.verdict_wait_seconds)
        # Sinks that failed: how often in a row, until when they are left alone, and how long that is.
        self._resting: dict[str, tuple[int, datetime, timedelta]] = {}
        self._pauses = Pauses(notify.first_pause_seconds, notify.longest_pause_seconds)

    def tell(self) -> tuple[Told, ...]:
        """Send what is due, to one sink after the other. Raises StoreError."""
        self._tired_of_waiting()
        return tuple(told for sink in self._sinks if (told := self._to(sink)) is not None)

    def _tired_of_waiting(self) -> None:
        """Alerts that waited too long for a verdict go without."""
        now = self._clock()
        with self._home.database.read() as connection:
            late = untold(connection, now - self._patience, _CASES)
        for case in late:
            with self._home.database.write() as connection:
                self._lease.check(connection)
                current = [one for one in untold(connection, now - self._patience, _CASES) if one.event == case.event]
                for one in current:  # it may have been investigated meanwhile
                    self._posting.without_verdict(connection, one, now)
                    put_case(connection, replace(one, told="none"))

    def _to(self, sink: Sink) -> Told | None:
        now = self._clock()
        if self._rests(sink, now):
            return None
        with self._home.database.read() as connection:
            letters = waiting(connection, sink.name, now, _LETTERS)
            if not letters:
                return None
            how = "single"
            if sink.send_digest is not None:
                how = pace(
                    sent=sent_since(connection, sink.name, now - self._window),
                    digested=digested_since(connection, sink.name, now - self._window),
                    waiting=len(letters),
                    digest_after=self._digest_after,
                )
        if how == "wait":
            return None
        return self._digest(sink, letters) if how == "digest" else self._each(sink, letters)

    def _rests(self, sink: Sink, now: datetime) -> bool:
        """Whether a sink that failed is not to be tried yet; a clock that was set back does not count."""
        _, until, longest = self._resting.get(sink.name, (0, now, timedelta()))
        return timedelta() < until - now <= longest

    def _digest(self, sink: Sink, letters: Sequence[Letter]) -> Told:
        send = sink.send_digest
        assert send is not None  # asked before
        try:
            send(digest_of(self._messages(letters)), self._clock())
        except DeliveryError as error:
            return self._undelivered(sink, [(letter, error) for letter in letters])
        self._resting.pop(sink.name, None)
        self._cross_off(letters, "digested")
        return Told(sink.name, digested=len(letters))

    def _each(self, sink: Sink, letters: Sequence[Letter]) -> Told:
        sent = refused = 0
        error = ""
        for at in range(0, len(letters), sink.most):
            some = letters[at : at + sink.most]
            told = list(self._messages(some))
            failed: list[tuple[Letter, DeliveryError]] = []
            try:
                sink.send(told, self._clock())
            except DeliveryError as problem:
                failed = [(one, found) for one, text in zip(some, told, strict=True) if (found := problem.of(text))]
            undelivered = {letter.id for letter, _ in failed}
            good = [letter for letter in some if letter.id not in undelivered]
            if good:
                self._resting.pop(sink.name, None)
                self._cross_off(good, "sent")
                sent += len(good)
            if failed:
                result = self._undelivered(sink, failed)
                refused += result.refused
                error = error or result.error
                if any(one.retry for _, one in failed):
                    break  # What stands in the way of these stands in that of the others; they keep their turn.
        return Told(sink.name, sent, 0, refused, error)

    def _messages(self, letters: Sequence[Letter]) -> Iterator[Message]:
        """What letters say, read as they are asked for: documents are large."""
        for at in range(0, len(letters), _AT_ONCE):
            with self._home.database.read() as connection:
                page = [_letter_message(connection, one) for one in letters[at : at + _AT_ONCE]]
            yield from page

    def _undelivered(self, sink: Sink, failed: Sequence[tuple[Letter, DeliveryError]]) -> Told:
        now = self._clock()
        refused = 0
        with self._home.database.write() as connection:
            self._lease.check(connection)
            for letter, error in failed:
                if error.retry:
                    put_off(connection, [letter], now + self._pause(letter.attempts + 1, error), error.what)
                else:
                    refused += 1
                    cross_off(connection, [letter], "refused", now, error.what)
        retried = [error for _, error in failed if error.retry]
        if retried:
            failures = self._resting.get(sink.name, (0, now, timedelta()))[0] + 1
            pause = max(self._pause(failures, error) for error in retried)
            self._resting[sink.name] = (failures, now + pause, pause)
        return Told(sink.name, refused=refused, error=failed[0][1].what if failed else "")

    def _pause(self, failures: int, error: DeliveryError) -> timedelta:
        return max(self._pauses.after(failures), timedelta(seconds=error.after_seconds or 0))

    def _cross_off(self, letters: Sequence[Letter], state: str) -> None:
        with self._home.database.write() as connection:
            self._lease.check(connection)
            cross_off(connection, letters, state, self._clock())


def _letter_message(connection: Connection, letter: Letter) -> Message:
    """What a letter says now: with the latest investigation there is."""
    found = alert(connection, letter.alert_id)
    document: Mapping[str, object] = document_of(found, latest_revision(connection, found.event))
    reason: Reason = "raised" if letter.reason == "raised" else "new"
    return Message(letter.message_id, document, reason)
