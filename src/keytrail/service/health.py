"""How the service is: what a person or a supervisor has to know, judged from what the state and the disks tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from keytrail.phrases import count
from keytrail.service.health_state import SILENT_SECONDS, Holder, Room, RuleProgress, Seen, SinkProgress
from keytrail.service.watch.keys import Look
from keytrail.service.watch.status import FeedLine, Status, TroubleLine
from keytrail.settings import Settings

Json = dict[str, object]

# A feed that failed once may work the next time it tries.
_GRACE_SECONDS = 60.0
# Below this a merge of segments may fail next; below the other one it is time to look.
_LEAST_ROOM_BYTES = 1024**3
_LITTLE_ROOM_BYTES = 5 * 1024**3
_LISTED = 5


Kind = Literal[
    "service",
    "failing",
    "feed",
    "feed lag",
    "set aside",
    "rule lag",
    "rule",
    "rule file",
    "investigation lag",
    "sink",
    "unknown sink",
    "refused",
    "keys",
    "damage",
    "disk",
]
"""What a finding is about: the names that docs/operations.md explains them under."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (`error`: the service does not do its work) or worth knowing (`warning`).

    `what` and `advice` may hold what records say.
    """

    severity: Literal["error", "warning"]
    kind: Kind
    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is judged by: seconds of lag that are too many, and of a window of digests; the sinks that there are.

    `eager` is whether rules run as soon as records arrive; where not, how long they wait is their own. `look_hours` are
    those between two looks at keys, 0 where there are none.
    """

    lag_seconds: float
    digest_seconds: float
    sinks: frozenset[str]
    eager: bool = True
    look_hours: float = 0

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """What the settings say."""
        notify = settings.notify
        return cls(
            settings.watch.health_lag_seconds,
            notify.digest_window_minutes * 60,
            frozenset(one.name for one in notify.sinks),
            settings.watch.eager,
            settings.policies.every_hours,
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How the service is at a moment, and what that was seen by."""

    at: datetime
    findings: tuple[Finding, ...]
    seen: Seen

    @property
    def well(self) -> bool:
        """Whether the service does its work; warnings do not change that."""
        return not any(one.severity == "error" for one in self.findings)

    @property
    def running(self) -> bool:
        """Whether a service is at work."""
        return not any(one.kind == "service" for one in self.findings)

    def to_dict(self) -> Json:
        """The same as JSON has it; times are RFC 3339 in UTC."""
        seen, holder, status = self.seen, self.seen.holder, self.seen.status
        return {
            "well": self.well,
            "at": self.at.isoformat(),
            "findings": [
                {"severity": one.severity, "kind": one.kind, "what": one.what, "advice": one.advice}
                for one in self.findings
            ],
            "service": {
                "running": self.running,
                "holder": holder.name if holder else None,
                "heard_at": holder.heard_at.isoformat() if holder else None,
                "started_at": status.started_at if status else None,
            },
            "troubles": [asdict(one) for one in status.troubles] if status else [],
            "feeds": [_feed_dict(one) for one in status.feeds] if status else [],
            "rules": [_rule_dict(one) for one in seen.rules],
            "sinks": [_sink_dict(one) for one in seen.sinks],
            "keys": asdict(seen.look) if seen.look else None,
            "damaged_objects": len(seen.damaged),
            "lake": {"segments": seen.segments, "records": seen.records, "stored_bytes": seen.stored_bytes},
            "disks": [{"folder": str(one.folder), "free_bytes": one.free_bytes} for one in seen.rooms],
            "state": {"database": seen.database, "version": seen.version},
        }


def health_of(seen: Seen, bounds: Bounds, now: datetime) -> Health:
    """Judge what was seen. Where no service is at work, what it would have to catch up with is no news."""
    found = list(_service(seen.status, seen.holder, now))
    status = seen.status
    if not found and status is not None:
        for trouble in status.troubles:
            found += _trouble(trouble, now)
        for feed in status.feeds:
            found += _feed(feed, bounds, now)
        found += _behind(seen.rules, bounds, now)
        found += _investigations(seen.due_at, bounds, now)
        found += _looks(seen.look, status, bounds, now)
    found += _rules(seen.rules, status)
    for sink in seen.sinks:
        found += _sink(sink, bounds, now)
    found += _damage(seen.damaged)
    for room in seen.rooms:
        found += _room(room)
    return Health(now, tuple(sorted(found, key=lambda one: one.severity != "error")), seen)


# -- the service, and its feeds ---------------------------------------------------------------------------------------


def _service(status: Status | None, holder: Holder | None, now: datetime) -> Iterator[Finding]:
    if holder is None:
        yield Finding("error", "service", "no service has run on this state yet", "Start it: keytrail watch.")
    elif holder.released:
        yield Finding(
            "error",
            "service",
            f"no service is running: {holder.name} was the last at work, until about {_time(holder.heard_at)}",
            "Start it: keytrail watch. It goes on where it was.",
        )
    elif holder.silent(now):
        yield Finding(
            "error",
            "service",
            f"nothing was heard of {holder.name} since {_time(holder.heard_at)}",
            "If it is gone, start it again: it goes on where it was. If it still runs, its log says what it waits for: "
            "a full disk, a database that does not answer. If the clocks of two machines differ, set them.",
        )
    elif status is None or abs((now - datetime.fromisoformat(status.at)).total_seconds()) > SILENT_SECONDS:
        yield Finding(
            "error",
            "service",
            f"{holder.name} works on this state, but no service has told how it is",
            "It may be an import, or a service that is starting: look again in a minute.",
        )


def _trouble(trouble: TroubleLine, now: datetime) -> Iterator[Finding]:
    since = datetime.fromisoformat(trouble.since)
    passing = abs((now - since).total_seconds()) < _GRACE_SECONDS
    yield Finding(
        "warning" if passing else "error",
        "failing",
        f"the service fails to {_WORDS.get(trouble.part, trouble.part)}: {trouble.what} (since {_time(since)})",
        trouble.advice or "It is tried again, with growing pauses; nothing is lost meanwhile.",
    )


_WORDS = {
    "take in": "take in records",
    "rules": "run rules",
    "investigate": "investigate",
    "tell": "tell people",
    "keys": "look at keys",
    "lease": "renew its lease",
    "upkeep": "keep house",
}


def _feed(feed: FeedLine, bounds: Bounds, now: datetime) -> Iterator[Finding]:
    if feed.problem is not None:
        since = datetime.fromisoformat(feed.since) if feed.since else None
        passing = since is not None and abs((now - since).total_seconds()) < _GRACE_SECONDS
        yield Finding(
            "warning" if passing else "error",
            "feed",
            f"{feed.label}: {feed.problem}" + (f" (since {_time(since)})" if since else ""),
            feed.advice or "It is tried again, with growing pauses; nothing is lost meanwhile.",
        )
    elif feed.lag_seconds is not None and feed.lag_seconds > bounds.lag_seconds:
        yield Finding(
            "error",
            "feed lag",
            f"{feed.label} is {_length(feed.lag_seconds)} behind",
            "If that grows, give the service more processors, or a faster way to the bucket; if it shrinks, it is "
            "catching up.",
        )
    if feed.set_aside:
        yield Finding(
            "warning",
            "set aside",
            f"{feed.label}: {count(feed.set_aside, 'delivery')} set aside, not tried again",
            next((note for note in reversed(feed.notes) if note.startswith("set aside")), "The log says which and why.")
            + "\nOnce they are mended, a restart of the service tries them again.",
        )


# -- rules and investigations -----------------------------------------------------------------------------------------


def _behind(rules: tuple[RuleProgress, ...], bounds: Bounds, now: datetime) -> Iterator[Finding]:
    """Rules that stand far behind; one that fails says so itself."""
    if not bounds.eager:
        return
    late = [
        one
        for one in rules
        if one.since is not None
        and one.state.status != "failed"
        and (now - one.since).total_seconds() > bounds.lag_seconds
    ]
    if not late:
        return
    slowest = max(late, key=lambda one: one.behind)
    assert slowest.since is not None  # chosen by it
    yield Finding(
        "error",
        "rule lag",
        f"{count(len(late), 'rule')} behind, {slowest.state.name!r} by {count(slowest.behind, 'record')}: "
        f"the first arrived {_length((now - slowest.since).total_seconds())} ago",
        "If that grows, give the service more processors or run fewer rules; if it shrinks, it is catching up. "
        "No match is lost.",
    )


def _rules(rules: tuple[RuleProgress, ...], status: Status | None) -> Iterator[Finding]:
    failing = [one.state for one in rules if one.state.status == "failed"]
    for state in failing[:_LISTED]:
        yield Finding(
            "error",
            "rule",
            f"the rule {state.name!r} fails: {state.message}",
            f"It is tried again from where it stands, and no match is lost. `keytrail rules show {state.rule_id}` "
            "shows it.",
        )
    if len(failing) > _LISTED:
        yield Finding("error", "rule", f"{count(len(failing) - _LISTED, 'more rule')} failing", "The log has all.")
    errors = status.rule_errors if status is not None else ()
    if errors:
        yield Finding(
            "error",
            "rule file",
            f"{count(len(errors), 'rule')} cannot be read, and so not run: {errors[0]}",
            "`keytrail rules validate` with the files of [watch] rules shows what is wrong with each.",
        )
    warned = [one.state for one in rules if one.state.status == "warning"]
    if warned:
        yield Finding(
            "warning",
            "rule",
            f"{count(len(warned), 'rule')} with a warning, such as {warned[0].name!r}: {warned[0].message}",
            "A rule that matches too much wants an exception or a narrower query.",
        )


def _investigations(due_at: datetime | None, bounds: Bounds, now: datetime) -> Iterator[Finding]:
    if due_at is not None and (now - due_at).total_seconds() > bounds.lag_seconds:
        yield Finding(
            "error",
            "investigation lag",
            f"investigations wait: one is due since {_time(due_at)}",
            "The log says what stands in its way. Alerts are told meanwhile, without a verdict.",
        )


def _looks(look: Look | None, status: Status, bounds: Bounds, now: datetime) -> Iterator[Finding]:
    """Looks at keys: whether they are made, and what they could not see. One that fails is told as such."""
    if not bounds.look_hours:
        return
    patience = timedelta(hours=2 * bounds.look_hours, seconds=bounds.lag_seconds)
    last = datetime.fromisoformat(status.started_at if look is None else look.at)
    if now - last > patience and not any(one.part == "keys" for one in status.troubles):
        yield Finding(
            "warning",
            "keys",
            f"keys were not looked at since {_time(last)}" if look is not None else "keys were not looked at yet",
            "A look at many accounts takes its time: the log says when one ends. Until then what is known of the keys' "
            "policies comes from records alone.",
        )
    if look is not None and look.problems:
        yield Finding(
            "warning",
            "keys",
            f"{count(len(look.problems), 'problem')} at the last look at keys: {look.problems[0]}",
            "`keytrail policies snapshot` shows all; `keytrail config iam-policy` what the role has to be allowed.",
        )


# -- telling, damage, room --------------------------------------------------------------------------------------------


def _sink(sink: SinkProgress, bounds: Bounds, now: datetime) -> Iterator[Finding]:
    if sink.waiting and sink.name not in bounds.sinks:
        yield Finding(
            "warning",
            "unknown sink",
            f"{count(sink.waiting, 'message')} for {sink.name}, which is no sink of the settings",
            "Put the sink back into [[notify.sinks]] to have them delivered.",
        )
    elif sink.oldest is not None:
        # What waits for the next digest is not late.
        patience = max(bounds.lag_seconds, 2 * bounds.digest_seconds)
        if (now - sink.oldest).total_seconds() > patience:
            yield Finding(
                "error",
                "sink",
                f"{count(sink.waiting, 'message')} for {sink.name} since {_time(sink.oldest)}"
                + (f": {sink.message}" if sink.message else ""),
                f"`keytrail notify test {sink.name}` tries it; what waits is delivered once it works.",
            )
    if sink.refused:
        yield Finding(
            "warning",
            "refused",
            f"{sink.name} refused {count(sink.refused, 'message')} in the last day"
            + (f": {sink.message}" if sink.message else ""),
            f"They are not sent again: `keytrail alerts list` has the alerts. `keytrail notify test {sink.name}` tries "
            "the sink.",
        )


def _damage(damaged: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    if damaged:
        name, what = damaged[0]
        yield Finding(
            "warning",
            "damage",
            f"{count(len(damaged), 'object')} not read whole, the latest {name}: {what}",
            "The rest of each was taken in. Where the original is whole, it is taken in when it arrives again.",
        )


def _room(room: Room) -> Iterator[Finding]:
    if room.free_bytes is None:
        yield Finding(
            "warning",
            "disk",
            f"{room.folder} cannot be looked into",
            "Run keytrail health on the machine, and as the user, that the service runs as.",
        )
    elif room.free_bytes < _LITTLE_ROOM_BYTES:
        yield Finding(
            "error" if room.free_bytes < _LEAST_ROOM_BYTES else "warning",
            "disk",
            f"{room.free_bytes / 1e9:.1f} GB left on the disk of {room.folder}",
            "Make room, or keep events for fewer days ([lake] retention_days). On a full disk the service waits; "
            "nothing is lost as long as the source keeps what it was given.",
        )


# -- words and documents ----------------------------------------------------------------------------------------------


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _length(seconds: float) -> str:
    """A length of time in one unit, rounded down.

    >>> _length(59), _length(3599), _length(7300), _length(200_000)
    ('59 seconds', '59 minutes', '2 hours', '2 days')
    """
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return count(int(seconds // size), unit)
    return count(int(seconds), "second")


def _feed_dict(feed: FeedLine) -> Json:
    return {
        "label": feed.label,
        "problem": feed.problem,
        "since": feed.since,
        "lag_seconds": feed.lag_seconds,
        "waiting": feed.waiting,
        "set_aside": feed.set_aside,
        "notes": list(feed.notes),
    }


def _rule_dict(rule: RuleProgress) -> Json:
    return {
        "rule_id": rule.state.rule_id,
        "name": rule.state.name,
        "status": rule.state.status,
        "message": rule.state.message,
        "behind": rule.behind,
        "behind_since": rule.since.isoformat() if rule.since else None,
    }


def _sink_dict(sink: SinkProgress) -> Json:
    return {
        "name": sink.name,
        "waiting": sink.waiting,
        "oldest": sink.oldest.isoformat() if sink.oldest else None,
        "refused_in_last_day": sink.refused,
        "message": sink.message,
    }
