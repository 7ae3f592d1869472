"""An account's event history (LookupEvents) as a feed, for accounts without a bucket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client, explained
from keytrail.aws.answers import check_whole
from keytrail.errors import KeytrailError, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, FeedStatus, Ledger
from keytrail.sources.feeds.returns import Later, Returned
from keytrail.sources.feeds.stream import MOST_SEEN, Piece, Stream, read_mark
from keytrail.sources.feeds.timing import FeedClock, Trouble, problem_of
from keytrail.sources.lookup import KEPT_DAYS, NOTE, lookup_request, record_line, regions_of
from keytrail.sources.pacing import Pacer
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import EventTypeDef, LookupEventsResponseTypeDef

_log = logging.getLogger(__name__)

_REGIONS_SECONDS = 3600.0
_GLOBAL_REGION = "us-east-1"
_LOOK_UP = "cloudtrail:LookupEvents"
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(slots=True)
class _Target:
    """One account and Region: its quota, its failures, and the ids that came already, with their times."""

    aws: AwsSettings
    account: str
    region: str
    pacer: Pacer
    trouble: Trouble
    seen: dict[str, float]
    streams: tuple[Stream, ...]

    @property
    def name(self) -> str:
        return f"aws://{self.region} of {self.account}"


class HistoryFeed:
    """The management events of accounts and Regions, KMS first; `role_arns` are assumed, without any it is the own one.

    Each account and Region has its own pace and its own failures, so that one that is denied stops no other. Marks say
    how far each is complete; a restart goes on there, as far back as AWS keeps events.
    """

    def __init__(
        self,
        text: str,
        regions: tuple[str, ...],
        role_arns: tuple[str, ...],
        settings: FeedSettings,
        ledger: Ledger,
        clock: FeedClock,
    ) -> None:
        self.label = text
        self._regions, self._settings, self._ledger, self._clock = regions, settings, ledger, clock
        aws = settings.source.aws
        self._identities = [replace(aws, role_arn=arn) for arn in role_arns] or [aws]
        self._setup = {identity: self._trouble() for identity in self._identities}
        self._set_up_at: dict[AwsSettings, float] = {}
        self._targets: dict[tuple[str, str], _Target] = {}
        self._returned = Returned(settings, clock)
        self._later = Later(clock)
        self._under_way: dict[str, tuple[_Target, Stream, int]] = {}
        self._gaps: list[str] = []
        self._closed = threading.Event()

    # -- the feed ------------------------------------------------------------------------------------------------------

    def receive(self, wait_seconds: float) -> Sequence[Delivery]:
        end = self._clock.monotonic() + wait_seconds
        while not self._closed.is_set():
            if due := self._later.due():
                return due
            self._set_up()
            self._go_on()
            found = self._closing()
            asked = None
            if len(self._under_way) < self._settings.max_under_way and (asked := self._next()) is not None:
                found += self._ask(*asked)
            if found:
                return found
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            if asked is None:
                self._clock.wait(self._closed, min(left, self._pause_seconds()))
        return ()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            token = str(delivery.receipt)
            self._returned.settled(token)
            self._forget(token)

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        token = str(delivery.receipt)
        seconds = self._returned.give_back(token, delivery.name, error)
        if seconds is None:
            _log.warning("%s set aside: %s", for_terminal(delivery.name), for_terminal(error.what))
            self._forget(token)
        else:
            self._later.add(delivery, seconds)

    def finished(self) -> bool:
        return False

    def status(self) -> FeedStatus:
        targets = tuple(self._targets.values())
        troubles = [*self._setup.values(), *(target.trouble for target in targets)]
        problem, since = problem_of(*troubles, self._returned.trouble)
        now = self._clock.now()
        reached = [stream.reached for target in targets for stream in target.streams]
        lag = None
        if reached and None not in reached:
            lag = max((now - one).total_seconds() for one in reached if one is not None)
        notes = [NOTE, *self._gaps, *self._returned.notes]
        if targets and not any(target.region == _GLOBAL_REGION for target in targets):
            notes.append(f"events of global services (IAM, sign-ins) are in {_GLOBAL_REGION}, which is not among these")
        others = sum(one.problem is not None for one in troubles) - 1
        if others > 0:
            notes.append(f"{others} other accounts or Regions cannot be asked either")
        return FeedStatus(
            problem,
            since,
            lag,
            # Looks that are under way, or still to come before the present is reached.
            sum(not stream.live for target in targets for stream in target.streams) if targets else None,
            self._returned.set_aside,
            tuple(notes),
        )

    def close(self) -> None:
        self._closed.set()

    # -- whom to ask ---------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Find out the accounts and their Regions, and look again now and then where all are meant."""
        now = self._clock.monotonic()
        for identity, trouble in self._setup.items():
            found_at = self._set_up_at.get(identity)
            again = "all" in self._regions and found_at is not None and now >= found_at + _REGIONS_SECONDS
            if (found_at is not None and not again) or trouble.left_seconds() > 0:
                continue
            try:
                account = _account(identity)
                for region in regions_of(self._regions, identity, self.label):
                    if (account, region) not in self._targets:
                        # A new dictionary, since `status` may be going through the old one.
                        self._targets = {**self._targets, (account, region): self._target(identity, account, region)}
            except SourceError as error:
                self._failed(trouble, error)
            else:
                trouble.worked()
                self._set_up_at[identity] = now

    def _target(self, aws: AwsSettings, account: str, region: str) -> _Target:
        clock, source = self._clock, self._settings.source
        return _Target(
            aws,
            account,
            region,
            Pacer(source.lookup_calls_per_second, clock.monotonic, partial(clock.wait, self._closed)),
            self._trouble(),
            {},
            tuple(self._stream(account, region, kms) for kms in (True, False)),
        )

    def _stream(self, account: str, region: str, kms: bool) -> Stream:
        part = "kms" if kms else "all"
        name, mark = f"aws://{region}/{part} of {account}", f"lookup {account} {region} {part}"
        now, settings = self._clock.now(), self._settings
        oldest = now - timedelta(days=KEPT_DAYS)
        complete = read_mark(self._ledger.mark(mark)) or now - timedelta(days=settings.source.lookup_days)
        if complete < oldest:
            self._gaps.append(f"{name}: events from {_minute(complete)} to {_minute(oldest)} are no longer kept")
            complete = oldest
        return Stream(
            name,
            mark,
            kms,
            min(complete, now),
            timedelta(minutes=settings.lookup_overlap_minutes),
            timedelta(hours=settings.lookup_slice_hours),
        )

    # -- asking --------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """End looks that are settled, begin those that are due."""
        now = self._clock.monotonic()
        for target in self._targets.values():
            for stream in target.streams:
                if (live := stream.finish()) is not None:
                    stream.due = now + self._settings.lookup_poll_seconds if live else now
                    _prune(target)
                if now >= stream.due:
                    stream.begin(self._clock.now())

    def _closing(self) -> list[Delivery]:
        found = []
        for target in self._targets.values():
            for stream in target.streams:
                if (piece := stream.last()) is not None:
                    found.append(self._delivery(target, stream, piece))
        return found

    def _next(self) -> tuple[_Target, Stream] | None:
        """Whom to ask now: KMS first, each account and Region at its pace."""
        ready = [
            (stream, target)
            for target in self._targets.values()
            if target.pacer.left_seconds() <= 0 and target.trouble.left_seconds() <= 0
            for stream in target.streams
            if stream.asks() is not None
        ]
        stream, target = min(ready, key=lambda one: (not one[0].kms, one[0].due), default=(None, None))
        return (target, stream) if stream is not None and target is not None else None

    def _ask(self, target: _Target, stream: Stream) -> list[Delivery]:
        asks = stream.asks()
        assert asks is not None  # it was chosen for that
        since, until, token = asks
        request = lookup_request(since, until, kms=stream.kms)
        if token:
            request["NextToken"] = token
        target.pacer.wait()
        try:
            with explained(action=_LOOK_UP, resource=target.name):
                cloudtrail: CloudTrailClient = client("cloudtrail", target.aws, target.region)
                answer: LookupEventsResponseTypeDef = cloudtrail.lookup_events(**request)
            check_whole(answer, "Events", action=_LOOK_UP, resource=target.name)
        except SourceError as error:
            stream.failed()
            self._failed(target.trouble, error)
            return []
        target.trouble.worked()
        data = b"".join(self._new(target, stream, answer.get("Events", [])))
        pieces = stream.answered(data, answer.get("NextToken", ""))
        return [self._delivery(target, stream, piece) for piece in pieces]

    def _new(self, target: _Target, stream: Stream, events: Sequence[EventTypeDef]) -> Iterator[bytes]:
        """The records that did not come before. KMS's events are in the answers for all events once more."""
        for event in events:
            identity = event.get("EventId", "")
            if identity and identity in target.seen:
                continue
            if identity:
                time = event.get("EventTime")
                target.seen[identity] = time.timestamp() if isinstance(time, datetime) else 0.0
                if len(target.seen) > MOST_SEEN:
                    del target.seen[next(iter(target.seen))]
            if (line := record_line(event)) is not None:
                yield line
            else:
                self._returned.put_aside(identity, f"{stream.name} event {identity}", "it came without its record")

    def _delivery(self, target: _Target, stream: Stream, piece: Piece) -> Delivery:
        token = f"{stream.mark} {piece.number}"
        self._under_way[token] = (target, stream, piece.number)
        name = f"{stream.name} page {piece.number}"
        return Delivery(name, "", partial(_one, piece.data), len(piece.data), piece.marks, token)

    def _forget(self, token: str) -> None:
        if (found := self._under_way.pop(token, None)) is not None:
            _, stream, number = found
            stream.settled(number)

    # -- the way there -------------------------------------------------------------------------------------------------

    def _pause_seconds(self) -> float:
        """Seconds until somebody may be asked again."""
        now = self._clock.monotonic()
        waits = [trouble.left_seconds() for trouble in self._setup.values() if trouble.problem is not None]
        for target in self._targets.values():
            least = max(target.pacer.left_seconds(), target.trouble.left_seconds())
            waits += [least for stream in target.streams if stream.asks() is not None]
            waits += [stream.due - now for stream in target.streams if stream.idle]
        return min(max(min(waits, default=_LONGEST_WAIT_SECONDS), 0.01), _LONGEST_WAIT_SECONDS)

    def _trouble(self) -> Trouble:
        return Trouble(self._clock, self._settings.first_pause_seconds, self._settings.longest_pause_seconds)

    def _failed(self, trouble: Trouble, error: SourceError) -> None:
        if trouble.problem is None:
            _log.warning("%s: %s", for_terminal(self.label), for_terminal(error.what))
        trouble.failed(error)


def _account(identity: AwsSettings) -> str:
    """Whose events they will be; a role's ARN tells, else AWS does. It needs no permission."""
    if identity.role_arn:
        return identity.role_arn.split(":")[4]
    action, resource = "sts:GetCallerIdentity", "the account"
    with explained(action=action, resource=resource):
        answer = client("sts", identity, identity.region or _GLOBAL_REGION).get_caller_identity()
    check_whole(answer, "Account", action=action, resource=resource)
    return answer["Account"]


def _prune(target: _Target) -> None:
    """Forget the ids that will not be asked for again."""
    oldest = min(stream.complete for stream in target.streams).timestamp()
    if any(time < oldest for time in target.seen.values()):
        target.seen = {identity: time for identity, time in target.seen.items() if time >= oldest}


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _one(data: bytes) -> Iterator[bytes]:
    yield data
