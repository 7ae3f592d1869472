"""`policies history`: every policy that a key is known to have had, from looks at it, AWS Config and records, as one.

Of each version: since when, who made it where a record tells, what it changed in a sentence, which is vouched for and
which is in force; and where another one may have been in between that nothing tells of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from keytrail.errors import SourceError, StoreError, UsageError
from keytrail.investigate import Event, KeyName, PolicyVersion, Snapshot, events_of, facts_of, history_of
from keytrail.investigate.change import attempt_of
from keytrail.investigate.history import KeyHistory, Step
from keytrail.investigate.investigator import policy_events
from keytrail.investigate.names import at
from keytrail.investigate.queries import LOGGING_QUERY
from keytrail.investigate.unseen import Unseen, unseen_of
from keytrail.phrases import count, start
from keytrail.policy import ChangeFacts, assess
from keytrail.respond.drift import effect
from keytrail.service.accounts import trust
from keytrail.service.installation import Installation, installation
from keytrail.service.kept_policies import LIVE, SOURCES, kept_snapshots
from keytrail.service.policies import find_key
from keytrail.service.requests import Observe, Report
from keytrail.service.snapshots import read_snapshots
from keytrail.service.stores import records_of
from keytrail.settings import Accounts, Settings
from keytrail.store import ArchiveStore, EventStore, Selector
from keytrail.store.state.policies import KeySnapshot, good_versions, snapshots_of

Json = dict[str, object]

Source = Literal["record", "kms", "config", "file"]
"""What tells of a version: a record of CloudTrail, a look at the key, AWS Config, or a file of exported policies."""

Force = Literal["seen", "reported", ""]
"""Whether a version is in force: the last look saw it, nothing says otherwise, or not any more."""


@dataclass(frozen=True, slots=True)
class HistoryOfKeyRequest:
    """A key, as people call it, and the sources of its records; none: the lake.

    A key that is in no state has to be named by its ARN, and needs sources.
    """

    key: str
    sources: tuple[str, ...] = ()
    jobs: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One version of a key's policy. Texts may hold what records and policies say.

    `since` is None for an exported policy without a time. `seen_until` is the last time at which it was found so.
    `severity` is that of the gravest thing that it changed, "" where there is none. `notes` say what is not certain.
    """

    since: datetime | None
    seen_until: datetime | None
    source: Source
    status: str  # known, default, unknown
    digest: str | None
    author: str
    event_id: str
    event_name: str
    change: str
    severity: str
    good: bool
    force: Force
    document: Json | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> Json:
        """As plain JSON values."""
        return {
            "since": _text(self.since),
            "seen_until": _text(self.seen_until),
            "source": self.source,
            "status": self.status,
            "digest": self.digest,
            "author": self.author or None,
            "event_id": self.event_id or None,
            "event_name": self.event_name or None,
            "change": self.change,
            "severity": self.severity or None,
            "good": self.good,
            "in_force": self.force or None,
            "notes": list(self.notes),
            "document": self.document,
        }


@dataclass(frozen=True, slots=True)
class HistoryOfKey:
    """The versions of a key's policy, oldest first, and what is to be said about the whole."""

    key: KeyName
    lines: tuple[HistoryLine, ...]
    notes: tuple[str, ...] = ()


def history_of_key(
    request: HistoryOfKeyRequest, *, now: datetime, observe: Observe | None = None, report: Report | None = None
) -> HistoryOfKey:
    """Put together what is known of a key's policies.

    Raises UsageError for a key that nothing is known of, StoreError where there is no state and no source is named,
    SourceError for a source that cannot be reached. What of the sources cannot be read is told to `report`.
    """
    settings = request.settings
    with ExitStack() as stack:
        home = _home(request, stack)
        key, kept, good = _kept(request.key, home)
        files = [one for path in settings.investigate.snapshots for one in read_snapshots(str(path))]
        records = records_of(request.sources, home, settings, now, jobs=request.jobs, observe=observe)
        store = stack.enter_context(records)
        events = [event for event in policy_events(store) if _is_about(event, key)]
        logging = tuple(events_of(store.find(Selector.kql(LOGGING_QUERY))))
        coverage = store.coverage()
        _tell(store, report)
        snapshots = (*_snapshots(home, key), *(one for one in files if one.key_arn in (key.arn, key.id)))
        accounts = trust(settings)
        names = {key, *(attempt.key for attempt in map(attempt_of, events) if attempt is not None)}
        histories = {name.arn: history_of(name, events, snapshots if name == key else ()) for name in names}
        history = histories[key.arn]
        unseen = unseen_of(key, logging, coverage, logged=history.logged(), organisation=tuple(accounts.names))
        lines = tuple(_lines(history, histories, kept, good, unseen, accounts))
    if not lines:
        raise SourceError(
            f"nothing tells which policy {key.arn} had",
            advice="`keytrail policies snapshot` reads it; --source names an archive with its records.",
        )
    return HistoryOfKey(key, lines, tuple(_notes(history, kept)))


# What there is ------------------------------------------------------------------------------------------------------


def _home(request: HistoryOfKeyRequest, stack: ExitStack) -> Installation | None:
    """The state and the lake, None where there are none and they are not needed."""
    try:
        return stack.enter_context(installation(request.settings))
    except StoreError:
        if request.sources and KeyName.parse(request.key.strip()) is not None:
            return None
        raise


def _kept(text: str, home: Installation | None) -> tuple[KeyName, tuple[KeySnapshot, ...], frozenset[str]]:
    """The key, how it was found, and the digests of its versions that are vouched for. Raises UsageError."""
    named = KeyName.parse(text.strip())
    if home is None:
        assert named is not None  # else the state would have been needed
        return named, (), frozenset()
    with home.database.read() as connection:
        key = named or KeyName.parse(find_key(connection, text).snapshot.key_arn)
        if key is None:
            raise UsageError(f"{text!r} names no key", advice="Give the ARN of a key.")
        good = frozenset(one.digest for one in good_versions(connection, key.arn))
        return key, snapshots_of(connection, key.arn), good


def _snapshots(home: Installation | None, key: KeyName) -> tuple[Snapshot, ...]:
    if home is None:
        return ()
    with home.database.read() as connection:
        return kept_snapshots(connection, key.arn)


def _tell(store: EventStore, report: Report | None) -> None:
    if isinstance(store, ArchiveStore) and report is not None:
        for problem in store.new_problems():
            report(problem)


def _is_about(event: Event, key: KeyName) -> bool:
    """Whether an event is about the policy of a key, or of the same multi-Region key elsewhere."""
    attempt = attempt_of(event)
    if attempt is None:
        return False
    return attempt.key == key or (key.is_multi_region and attempt.key.id == key.id)


# Lines ---------------------------------------------------------------------------------------------------------------


def _lines(
    history: KeyHistory,
    histories: Mapping[str, KeyHistory],
    kept: Sequence[KeySnapshot],
    good: frozenset[str],
    unseen: Sequence[Unseen],
    accounts: Accounts,
) -> Iterator[HistoryLine]:
    looks = [one for one in kept if one.source == LIVE]
    seen = max((one.last_seen for one in looks), default=None)
    shown = next((one.digest for one in looks if one.last_seen == seen), None)
    for number, step in enumerate(history.steps):
        version, source = step.version, step.version.source
        assert source is not None  # of every step
        is_last = number == len(history.steps) - 1
        seen_so = is_last and shown is not None and shown == version.digest and seen is not None and step.time <= seen
        before = _before(history, number, unseen)
        sentence, severity = _what(step, before, history.key.account, histories, accounts)
        yield HistoryLine(
            since=step.time if step.is_dated else None,
            seen_until=step.seen_until if step.is_dated else None,
            source="record" if step.change is not None else _kind(source.place),
            status=version.status,
            digest=version.digest,
            author=source.author or "",
            event_id=source.event_id or "",
            event_name=source.event_name or "",
            change=_back(history.steps[:number], step) + sentence,
            severity=severity,
            good=version.digest in good,
            force="" if not is_last else "seen" if seen_so else "reported",
            document=version.document,
            notes=tuple(_doubts(history, number, before, unseen)),
        )


def _before(history: KeyHistory, number: int, unseen: Sequence[Unseen]) -> PolicyVersion:
    """The version before a step, with what is not certain about it."""
    step = history.steps[number]
    if step.change is not None:
        return history.before(step.change, unseen)
    known = [one for one in history.steps[:number] if one.version.policy is not None]
    return known[-1].version if known else PolicyVersion("unknown")


def _what(
    step: Step, before: PolicyVersion, owner: str, histories: Mapping[str, KeyHistory], accounts: Accounts
) -> tuple[str, str]:
    """What a version changed, in a sentence, and how grave that is."""
    version = step.version
    if version.policy is None:
        return f"{start(version.reason)}.", ""
    first = before.policy is None and before.status != "none"
    facts = ChangeFacts() if step.change is None else facts_of(step.change, histories, before)
    found = assess(
        before.policy,
        version.policy,
        owner,
        org=accounts.organisation,
        trusted_accounts=[one for one in accounts.trusted_at(step.time) if one != owner],
        # Of the first one known it is said whom it lets in, as of a new key's.
        facts=replace(facts, before_known=True) if first else facts,
    )
    new = [one for one in found.findings if not one.standing and one.severity != "info"]
    severity = new[0].severity if new else ""
    if step.change is not None and step.change.creates:
        made = "Created without a policy: with that of AWS." if version.status == "default" else "Created."
        return (f"{made} {effect(found)}" if new else made), severity
    if first:
        return (f"The first one known. {effect(found)}" if new else "The first one known."), severity
    return effect(found), severity


def _back(earlier: Sequence[Step], step: Step) -> str:
    """Says whether a version is one that the key had before the one it replaces."""
    digest = step.version.digest
    if digest is None or not earlier or earlier[-1].version.digest == digest:
        return ""
    before = [one for one in earlier if one.version.digest == digest]
    return f"The policy of {at(before[-1].time)} is back. " if before and before[-1].is_dated else ""


def _doubts(history: KeyHistory, number: int, before: PolicyVersion, unseen: Sequence[Unseen]) -> Iterator[str]:
    """What is not certain about a version, in sentences."""
    step = history.steps[number]
    version = step.version
    if version.reason and version.policy is not None:
        yield f"{start(version.reason)}."
    if step.change is not None:
        if before.status == "gap" and before.reason:
            yield f"Another version may have come before it: {before.reason}."
        if unordered := history.unordered(step.change):
            yield f"{start(unordered)}."
    elif step.is_dated and number:
        earlier = history.steps[number - 1]
        if earlier.is_dated:
            yield (
                f"No record gave it to the key: it was changed between {at(earlier.seen_until)} and {at(step.time)}"
                f"{_because(unseen, earlier.seen_until, step.time)}."
            )
    if number == len(history.steps) - 1:
        last = [one.reason for one in unseen if one.until is None and one.since >= step.seen_until]
        yield from (f"Another version may have come since: {reason}." for reason in last[:1])


def _because(unseen: Sequence[Unseen], since: datetime, until: datetime) -> str:
    reasons = [one.reason for one in unseen if one.meets(since, until)]
    return f"; {reasons[0]}" if reasons else ""


def _notes(history: KeyHistory, kept: Sequence[KeySnapshot]) -> Iterator[str]:
    if history.refused:
        last = history.refused[-1].event
        yield (
            f"{count(len(history.refused), 'attempt')} to change the policy refused, the last by {last.who} at "
            f"{at(last.time)} (event {last.id})"
        )
    unread = [one for one in kept if one.source == LIVE and one.digest is None]
    if unread and unread[-1] is kept[-1]:
        yield f"at the last look, {at(unread[-1].last_seen)}, the policy could not be read"
    if not any(step.change is not None for step in history.steps):
        yield "no record tells of a change of the policy: who made these versions is not known"


def _kind(place: str | None) -> Source:
    """Which source a place in a history is of."""
    return next((kind for kind, words in SOURCES.items() if (place or "").startswith(words)), "file")


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


__all__ = ["Force", "HistoryLine", "HistoryOfKey", "HistoryOfKeyRequest", "Source", "history_of_key"]
