"""The policies that a key had, one after the other, as events and snapshots tell them, and what they may leave out."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keytrail.cloudtrail import text_of
from keytrail.errors import PolicyError
from keytrail.investigate.change import KeyName, PolicyChange, attempt_of, change_of, sets_the_policy
from keytrail.investigate.events import Event
from keytrail.investigate.model import HistoryEntry, JsonObject, PolicyVersion, VersionSource
from keytrail.investigate.queries import CHANGES, KMS
from keytrail.investigate.unseen import BEGINNING, Unseen, shown
from keytrail.policy import KeyPolicy

_CREATION, _REPLACEMENT, _SNAPSHOT = range(3)
_MOST_REASONS = 3  # said of a gap; of more there is a count
_EDGES = (bisect_left, bisect_right)
_UNORDERED = "two changes in the second {}: which came last is not known"
_Order = tuple[datetime, int, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A policy as somebody exported it. `key_arn` is the key's ARN, or its bare id where nothing else is known.

    `time` is when the key had it (UTC), None when nothing tells; `place` says where the snapshot lies.
    """

    key_arn: str
    time: datetime | None
    policy: str
    place: str


@dataclass(frozen=True, slots=True)
class Step:
    """One version of the policy. `change` gave it to the key; None where only a snapshot shows it.

    `seen_until` is the time of the last snapshot that shows the same policy, else that of the version itself. A
    snapshot without a time has the earliest there is.
    """

    order: _Order
    version: PolicyVersion
    change: PolicyChange | None
    seen_until: datetime

    @property
    def time(self) -> datetime:
        """The time of the event or snapshot."""
        return self.order[0]

    @property
    def is_dated(self) -> bool:
        """Whether it has a time of its own."""
        return self.time != BEGINNING

    def shows(self, other: Step) -> bool:
        """Whether a snapshot tells only what the step before it, `other`, tells as well."""
        is_no_better = other.is_dated or not self.is_dated
        return self.change is None and is_no_better and self.version.policy == other.version.policy


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The versions of a key's policy by time, and the changes that were `refused`, by time.

    Two changes in the same second stand in the order of their event ids; `notes` says so. A replica's creation is one
    version, whether the ReplicateKey tells it or the CreateKey of KMS in the replica's Region.
    """

    key: KeyName
    steps: tuple[Step, ...]
    refused: tuple[PolicyChange, ...] = ()

    @property
    def versions(self) -> tuple[PolicyVersion, ...]:
        """The versions in their order."""
        return tuple(step.version for step in self.steps)

    def place(self, change: PolicyChange) -> int:
        """The number of the step that a change made; of the first one after it when the history does not know it."""
        return bisect_left(self.steps, self._order(change), key=lambda step: step.order)

    def told(self, change: PolicyChange) -> PolicyChange:
        """The same change as the history tells it: by the event that holds the most about it."""
        made = self._made(change)
        return change if made is None or made.change is None else made.change

    def after(self, change: PolicyChange) -> PolicyVersion:
        """The policy that a change gave the key; "unknown" when its event does not hold it."""
        made = self._made(change)
        return version_of(change) if made is None else made.version

    def before(self, change: PolicyChange, unseen: Iterable[Unseen] = ()) -> PolicyVersion:
        """The policy that the key had before a change.

        "gap" and the last version that is known, when another that is not known may have come between; "unknown" when
        there is none; "none" when the change creates the key.
        """
        if change.creates:
            return PolicyVersion("none")
        earlier = self.steps[: self.place(change)]
        known = next((at for at in reversed(range(len(earlier))) if earlier[at].version.policy is not None), None)
        if known is None:
            last = earlier[-1].version if earlier else PolicyVersion("unknown", reason=_NOTHING_EARLIER)
            return replace(last, status="unknown")
        step = earlier[known]
        reasons = [step.version.reason] if step.version.reason else []
        reasons += [_unknown_since(one.version) for one in earlier[known + 1 :]]
        if step.order[:2] != self._order(change)[:2]:
            reasons += self._unordered(step.order)
        reasons += [one.reason for one in unseen if one.meets(step.seen_until, change.event.time)]
        return replace(step.version, status="gap", reason=_joined(reasons)) if reasons else step.version

    def unordered(self, change: PolicyChange) -> str:
        """Why it is not known what came before a change, if another one made in the same second gave another policy."""
        return next(self._unordered(self._order(change)), "")

    def _unordered(self, order: _Order) -> Iterator[str]:
        second, rank = order[:2]
        first, end = (find(self.steps, (second, rank), key=lambda step: step.order[:2]) for find in _EDGES)
        if rank == _REPLACEMENT and len({step.version.digest for step in self.steps[first:end]}) > 1:
            yield _UNORDERED.format(shown(second))

    def next(self, change: PolicyChange) -> Step | None:
        """The version that came after a change."""
        at = self.place(change) + 1
        return self.steps[at] if at < len(self.steps) else None

    def at(self, moment: datetime) -> PolicyVersion | None:
        """The last version up to a moment, known or not; None when there is none."""
        found = [step.version for step in self.steps if step.time <= moment]
        return found[-1] if found else None

    def entries(self, most: int, around: PolicyChange) -> tuple[HistoryEntry, ...]:
        """At most so many versions without their documents: those up to a change, then those after it."""
        first = max(0, self.place(around) + 1 - most)
        return tuple(
            HistoryEntry(one.status, one.source, one.digest, one.reason)
            for one in self.versions[first : first + most]
            if one.source is not None
        )

    def notes(self, change: PolicyChange) -> tuple[str, ...]:
        """What is not certain about the order of the versions around a change, in sentences."""
        at = self.place(change)
        around = [near for near in (at - 1, at + 1) if 0 <= near < len(self.steps)]
        found = [
            _UNORDERED.format(shown(change.event.time))
            for near in around
            if self.steps[near].order[:2] == self._order(change)[:2] and not change.creates
        ]
        for near in around:
            step, earlier = self.steps[near], self.steps[max(near - 1, 0) : near]
            if step.change is None and any(one.is_dated and one.version.policy is not None for one in earlier):
                place = step.version.source.place if step.version.source else ""
                found.append(f"{place} shows a policy that no event gave the key: a change before it was not logged")
        return tuple(dict.fromkeys(found))

    def logged(self) -> tuple[datetime, ...]:
        """The times at which a change of this key was logged: logging worked then."""
        return tuple(step.time for step in self.steps if step.change is not None)

    def _made(self, change: PolicyChange) -> Step | None:
        """The step that a change made, None when the history does not know it."""
        at, order = self.place(change), self._order(change)
        return self.steps[at] if at < len(self.steps) and self.steps[at].order == order else None

    def _order(self, change: PolicyChange) -> _Order:
        """Where the change stands; for what KMS made of a ReplicateKey, where the nearest such stands."""
        replicas = [
            step
            for step in (self.steps if change.by_kms else ())
            if step.change is not None and step.change.event.name == "ReplicateKey"
        ]
        nearest = min(replicas, key=lambda step: abs(step.time - change.event.time), default=None)
        return _order(change) if nearest is None else nearest.order


def history_of(key: KeyName, events: Iterable[Event], snapshots: Iterable[Snapshot] = ()) -> KeyHistory:
    """Put together what `events` (those of CHANGES_QUERY, in any order) and snapshots tell of a key's policy.

    Events and snapshots of other keys are passed over. Raises PolicyError for a snapshot that is no policy.
    """
    made: dict[_Order, PolicyChange] = {}
    refused: dict[_Order, PolicyChange] = {}
    # Of one operation that two accounts saw, the key's own account tells more.
    for event in sorted(events, key=lambda one: (one.account != key.account, one.time, one.id)):
        attempt = _attempt(event)
        if attempt is not None and attempt.key == key:
            (made if event.succeeded else refused).setdefault(_order(attempt), attempt)
    replicated = any(change.event.name == "ReplicateKey" for change in made.values())
    steps = [
        Step(order, version_of(change), change, order[0])
        for order, change in made.items()
        if not (replicated and change.by_kms)
    ]
    steps += [_step(snapshot) for snapshot in snapshots if snapshot.key_arn in (key.arn, key.id)]
    tried = tuple(refused[order] for order in sorted(refused))
    return KeyHistory(key, tuple(_distinct(sorted(steps, key=lambda step: step.order))), tried)


def version_of(change: PolicyChange) -> PolicyVersion:
    """The policy that a change gave its key or would have given it; no guess where the event does not hold it."""
    event = change.event
    source = VersionSource("event", event.time, event.id, event.name, event.who)
    if change.policy is not None:
        try:
            return _known(change.policy, f"{event.name} {event.id}", source)
        except PolicyError as error:
            return PolicyVersion(
                "unknown", source=source, reason=f"the policy in the event cannot be read: {error.what}"
            )
    if change.omitted:
        reason = "the event does not hold the policy: CloudTrail omits parameters that are too large"
        return PolicyVersion("unknown", source=source, reason=reason)
    if change.by_kms:
        reason = "the event does not hold the policy: the ReplicateKey does, in the primary's Region"
        return PolicyVersion("unknown", source=source, reason=reason)
    default = KeyPolicy.default(change.key.account)
    return PolicyVersion("default", default, default.to_dict(), source)


# Steps --------------------------------------------------------------------------------------------------------------

_NOTHING_EARLIER = "nothing earlier tells what policy the key had"


def _attempt(event: Event) -> PolicyChange | None:
    if event.succeeded:
        return change_of(event)
    is_change = event.provider == KMS and event.name in CHANGES
    return attempt_of(event) if is_change and sets_the_policy(event) else None


def _order(change: PolicyChange) -> _Order:
    """Where a change stands in time; the same for both events of an operation that two accounts saw."""
    event = change.event
    rank = _CREATION if change.creates else _REPLACEMENT
    return event.time, rank, text_of(event.data, "sharedEventID") or event.id


def _step(snapshot: Snapshot) -> Step:
    when = BEGINNING if snapshot.time is None else snapshot.time
    version = _known(snapshot.policy, snapshot.place, VersionSource("snapshot", snapshot.time, place=snapshot.place))
    if snapshot.time is None:
        version = replace(version, reason=f"{snapshot.place} has no time: it is taken for older than every event")
    return Step((when, _SNAPSHOT, snapshot.place), version, None, when)


def _distinct(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps without snapshots that show what the step before them tells already."""
    last: Step | None = None
    for step in steps:
        if last is not None and step.shows(last):
            last = replace(last, seen_until=step.time)
            continue
        if last is not None:
            yield last
        last = step
    if last is not None:
        yield last


def _known(policy: str, name: str, source: VersionSource) -> PolicyVersion:
    """A version from the text of its policy. Raises PolicyError."""
    parsed = KeyPolicy.parse(policy, name=name)
    # As the parser of policies has it, a number is its text: KMS takes it with quotes and without (1.1).
    document: JsonObject = json.loads(policy.removeprefix("\ufeff"), parse_int=str, parse_float=str)
    return PolicyVersion("known", parsed, document, source)


def _unknown_since(version: PolicyVersion) -> str:
    source = version.source
    if source is None or source.time is None:
        return version.reason
    return f"{source.event_name} at {shown(source.time)} (event {source.event_id}): {version.reason}"


def _joined(reasons: Sequence[str]) -> str:
    more = len(reasons) - _MOST_REASONS
    return "; ".join(reasons[:_MOST_REASONS]) + (f"; and {more:,} more" if more > 0 else "")
