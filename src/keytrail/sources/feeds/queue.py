"""A queue of SQS as a feed: objects that notifications announce, and records that EventBridge sends."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from keytrail.errors import KeytrailError, ObjectError, Place, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.messages import Announced, read_message
from keytrail.sources.feeds.model import Delivery, FeedStatus, Ledger
from keytrail.sources.feeds.returns import Returned, is_gone, may_pass
from keytrail.sources.feeds.sqs import BATCH, LONGEST_POLL_SECONDS, LONGEST_VISIBILITY_SECONDS, Queue
from keytrail.sources.feeds.timing import FeedClock, Trouble, problem_of
from keytrail.sources.feeds.visibility import Keeper
from keytrail.sources.layout import kind_of_delivery
from keytrail.sources.s3 import S3Source
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0
# SQS counts from when it sent the message, which was a little before it came here.
_ASIDE_MARGIN_SECONDS = 120
_NAMED_BUCKETS = 1000


def object_identity(bucket: str, key: str, etag: str) -> str:
    """What the ledger knows an object by, whichever feed brings it."""
    return f"{bucket}\0{key}\0{etag}"


@dataclass(slots=True, eq=False)
class _Message:
    """A message that is under way. `waits_for` are the deliveries that have to be settled before it is deleted."""

    id: str
    handle: str
    receives: int
    sent_seconds: float
    received: float
    waits_for: set[str] = field(default_factory=set)
    suspect: bool = False


class QueueFeed:
    """What a queue brings. A message is deleted when everything it brought is settled, and not before.

    A message that brings nothing usable (no known form, an object that does not exist, received too often) is set
    aside: told by `status`, logged with its id and the reason, and left to the queue's redrive policy. Where there is
    none it is hidden for as long as SQS allows (12 hours) and looked at again then; messages that no one can use are
    deleted if `sqs_delete_poison` says so. One that was received more than `sqs_max_receives` times is hidden so before
    it is tried, so that it cannot take the service down again and again.
    """

    def __init__(self, queue: Queue, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> None:
        self.label = queue.label
        self._queue, self._settings, self._ledger, self._clock = queue, settings, ledger, clock
        self._trouble = Trouble(clock, settings.first_pause_seconds, settings.longest_pause_seconds)
        self._returned = Returned(settings, clock)
        self._lock = threading.Lock()  # around _messages and the handles in them: the keeper's thread reads both
        self._messages: dict[str, _Message] = {}
        self._under_way: dict[str, set[str]] = {}
        self._deletable: list[str] = []
        self._buckets: dict[tuple[str, str], S3Source] = {}
        self._closed = threading.Event()
        self._keeper = Keeper(queue, self._handles, settings.sqs_visibility_seconds)
        self._looked = float("-inf")
        self._waiting: int | None = None
        self._redrives = False
        self._blind: KeytrailError | None = None
        self._polled = False

    # -- the feed ------------------------------------------------------------------------------------------------------

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        """What came: up to `sqs_batch_messages` messages' worth. A long poll takes up to 20 s, whole seconds only."""
        if not self._may_go_on(wait_seconds):
            return ()
        found: list[Delivery] = []
        poll_seconds, taken = min(int(wait_seconds), LONGEST_POLL_SECONDS), 0
        try:
            self._queue.find()
            self._delete_due()
            self._look()
            while taken < self._settings.sqs_batch_messages and not self._closed.is_set():
                messages = self._queue.receive(poll_seconds, self._settings.sqs_visibility_seconds)
                self._polled = True
                taken += len(messages)
                found += self._deliveries(messages)
                if len(messages) < BATCH:
                    break
                poll_seconds = 0
            self._delete_due()
        except SourceError as error:
            self._failed(error)
        else:
            self._trouble.worked()
            if not taken and self._waiting is not None:
                self._waiting = 0
        if self._messages:
            self._keeper.start()
        if not taken and not poll_seconds:
            self._clock.wait(self._closed, wait_seconds)
        return found

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            token = str(delivery.receipt)
            self._returned.settled(token)
            for message in self._waiters(token):
                message.waits_for.discard(token)
                if not message.waits_for:
                    self._done(message)
        try:
            self._delete_due()
        except SourceError as error:
            self._failed(error)

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        token = str(delivery.receipt)
        for message in self._waiters(token):
            self._let_go(message)
            seconds = self._returned.give_back(token, delivery.name, error, failures=message.receives - 1)
            if seconds is None:
                self._set_aside(message, error, useless=is_gone(error), counted=True)
            elif not message.suspect:
                self._hide(message, seconds)

    def finished(self) -> bool:
        return False

    def status(self) -> FeedStatus:
        problem, since = problem_of(self._trouble, self._returned.trouble)
        problem = problem or self._keeper.problem
        notes = list(self._returned.notes)
        if self._blind is not None:
            notes.append(f"how many messages wait cannot be told: {self._blind.what}")
        with self._lock:
            oldest = min((message.sent_seconds for message in self._messages.values()), default=None)
        lag = 0.0 if self._polled and not problem else None
        if oldest is not None:
            lag = max(self._clock.now().timestamp() - oldest, 0.0)
        return FeedStatus(problem, since, lag, self._waiting, self._returned.set_aside, notes=tuple(notes))

    def close(self) -> None:
        """Stop, and let the messages that are under way be received again at once, if that can be told the queue."""
        self._closed.set()
        self._keeper.stop()
        handles = self._handles()
        with self._lock:
            self._messages.clear()
        try:
            for at in range(0, len(handles), BATCH):
                self._queue.hide(handles[at : at + BATCH], 0)
        except SourceError as error:
            _log.info("%s", for_terminal(error.what))

    # -- what messages bring -------------------------------------------------------------------------------------------

    def _deliveries(self, messages: Sequence[MessageTypeDef]) -> list[Delivery]:
        taken: list[tuple[_Message, list[Announced], bytes | None]] = []
        for raw in messages:
            message = self._message(raw)
            with self._lock:
                if (ours := self._messages.get(message.id)) is not None:
                    ours.handle = message.handle  # It came again while it is under way; only the last handle counts.
                    continue
            try:
                brought = read_message(raw.get("Body", ""), self._name(message))
                objects = [self._checked(one, message) for one in brought.objects if _holds_events(one)]
                objects = [one for one in objects if one.etag] + [
                    self._with_etag(one) for one in objects if not one.etag
                ]
            except KeytrailError as error:
                if may_pass(error) or is_gone(error):
                    self._retry(message, error)
                else:
                    self._set_aside(message, error, useless=True)
                continue
            taken.append((message, objects, brought.record))
        identities = {_identity(one) for _, objects, _ in taken for one in objects}
        known = self._ledger.known(sorted(identities)) if identities else frozenset[str]()
        found: list[Delivery] = []
        for message, objects, record in taken:
            if not objects and record is None:
                self._done(message)
                continue
            if message.receives > self._settings.sqs_max_receives and not self._redrives:
                self._suspect(message)
            found += self._of_message(message, objects, record, known)
        return found

    def _of_message(
        self, message: _Message, objects: list[Announced], record: bytes | None, known: frozenset[str]
    ) -> Iterator[Delivery]:
        new: list[Delivery] = []
        if record is not None:
            token = f"message {message.id}"
            new.append(Delivery(self._name(message), "", partial(_one, record), len(record), receipt=token))
            message.waits_for.add(token)
        for one in objects:
            identity = _identity(one)
            if identity in known:
                continue
            message.waits_for.add(identity)
            if identity not in self._under_way:
                new.append(self._object(one, identity))
                self._under_way[identity] = set()
        if not message.waits_for:
            self._done(message)
            return
        with self._lock:
            self._messages[message.id] = message
        for token in message.waits_for:
            self._under_way.setdefault(token, set()).add(message.id)
        yield from new

    def _object(self, one: Announced, identity: str) -> Delivery:
        source = self._bucket(one)
        return Delivery(
            source.name(one.key), identity, partial(source.read, one.key, one.etag), one.size, receipt=identity
        )

    def _checked(self, one: Announced, message: _Message) -> Announced:
        allowed = self._settings.sqs_buckets
        if allowed and one.bucket not in allowed:
            raise ObjectError(
                f"it names the bucket {one.bucket}",
                place=Place(self._name(message)),
                advice="only those of sqs_buckets (keytrail.toml, [feeds]) are read",
            )
        return one

    def _with_etag(self, one: Announced) -> Announced:
        """CloudTrail's own notification does not tell it, and without it one object could be read twice."""
        return Announced(one.bucket, one.key, self._bucket(one).etag(one.key), one.size, one.region)

    def _bucket(self, one: Announced) -> S3Source:
        made = self._buckets.get((one.bucket, one.region))
        if made is None:
            if len(self._buckets) >= _NAMED_BUCKETS:
                self._buckets.clear()
            made = S3Source(f"s3://{one.bucket}", self._settings.source, one.bucket, "", region=one.region)
            self._buckets[one.bucket, one.region] = made
        return made

    def _message(self, raw: MessageTypeDef) -> _Message:
        attributes = raw.get("Attributes", {})
        now = self._clock.now().timestamp()
        sent = _number(attributes.get("SentTimestamp"))
        return _Message(
            raw.get("MessageId", ""),
            raw.get("ReceiptHandle", ""),
            int(_number(attributes.get("ApproximateReceiveCount")) or 1),
            sent / 1000 if sent else now,
            self._clock.monotonic(),
        )

    def _name(self, message: _Message) -> str:
        return f"{self.label} message {message.id}"

    # -- what becomes of a message -------------------------------------------------------------------------------------

    def _waiters(self, token: str) -> list[_Message]:
        """The messages that wait for a delivery, which is no longer under way."""
        ids = self._under_way.pop(token, set())
        with self._lock:
            return [self._messages[one] for one in ids if one in self._messages]

    def _let_go(self, message: _Message) -> None:
        """The message is no longer ours to keep; what else it brought stays under way."""
        with self._lock:
            self._messages.pop(message.id, None)
        for token in message.waits_for:
            self._under_way.get(token, set()).discard(message.id)

    def _done(self, message: _Message) -> None:
        self._let_go(message)
        self._deletable.append(message.handle)

    def _delete_due(self) -> None:
        while batch := self._deletable[:BATCH]:
            again = self._queue.delete(batch)
            self._deletable[: len(batch)] = again
            if again:
                raise SourceError(f"{self.label}: messages could not be deleted", advice="it is tried again")

    def _retry(self, message: _Message, error: KeytrailError) -> None:
        """It could not be looked at now."""
        seconds = self._returned.give_back(message.id, self._name(message), error, failures=message.receives - 1)
        if seconds is None:
            self._set_aside(message, error, useless=is_gone(error))
        else:
            self._hide(message, seconds)

    def _set_aside(self, message: _Message, error: KeytrailError, *, useless: bool, counted: bool = False) -> None:
        """Report it, and leave it to the queue; `useless` if nobody can do anything with it."""
        if not counted:
            self._returned.put_aside(message.id, self._name(message), error.what)
        _log.warning("%s set aside: %s", for_terminal(self._name(message)), for_terminal(error.what))
        if useless and self._settings.sqs_delete_poison:
            self._deletable.append(message.handle)
        elif not self._redrives and not message.suspect:
            self._hide(message, self._longest(message))

    def _suspect(self, message: _Message) -> None:
        _log.warning(
            "%s was received %d times; it is tried once more and kept away for 12 hours if that fails",
            for_terminal(self._name(message)),
            message.receives,
        )
        self._hide(message, self._longest(message))
        message.suspect = True

    def _hide(self, message: _Message, seconds: float) -> None:
        try:
            self._queue.hide([message.handle], min(math.ceil(seconds), self._longest(message)))
        except SourceError as error:
            self._failed(error)

    def _longest(self, message: _Message) -> int:
        passed = math.ceil(self._clock.monotonic() - message.received)
        return max(LONGEST_VISIBILITY_SECONDS - _ASIDE_MARGIN_SECONDS - passed, 0)

    def _handles(self) -> list[str]:
        """The messages to be kept: those that SQS lets us keep, and that are not hidden for longer already."""
        with self._lock:
            return [
                message.handle
                for message in self._messages.values()
                if not message.suspect and self._longest(message) > self._settings.sqs_visibility_seconds
            ]

    # -- the way there -------------------------------------------------------------------------------------------------

    def _may_go_on(self, wait_seconds: float) -> bool:
        if (left := self._pause_seconds()) > 0:
            self._clock.wait(self._closed, min(left, wait_seconds))
        elif len(self._under_way) >= self._settings.max_under_way:
            self._clock.wait(self._closed, wait_seconds)
        free = len(self._under_way) < self._settings.max_under_way
        return free and self._pause_seconds() <= 0 and not self._closed.is_set()

    def _pause_seconds(self) -> float:
        return max(self._trouble.left_seconds(), self._returned.trouble.left_seconds())

    def _failed(self, error: SourceError) -> None:
        if self._trouble.problem is None:
            _log.warning("%s: %s", for_terminal(self.label), for_terminal(error.what))
        self._trouble.failed(error)

    def _look(self) -> None:
        """Ask the queue about itself, now and then; it goes on without an answer."""
        now = self._clock.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        try:
            attributes = self._queue.attributes()
        except SourceError as error:
            self._blind, self._waiting = error, None
            return
        self._blind = None
        self._waiting = int(_number(attributes.get("ApproximateNumberOfMessages")) or 0)
        self._redrives = _redrives(attributes.get("RedrivePolicy", ""))


def _holds_events(one: Announced) -> bool:
    return kind_of_delivery(one.key) == "events"


def _identity(one: Announced) -> str:
    return object_identity(one.bucket, one.key, one.etag)


def _one(data: bytes) -> Iterator[bytes]:
    yield data


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _redrives(policy: str) -> bool:
    try:
        return bool(json.loads(policy).get("deadLetterTargetArn")) if policy else False
    except (ValueError, AttributeError):
        return False
