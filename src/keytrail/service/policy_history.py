"""What an archive says about the policy of a key: the last two versions, by event time, and how certain that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from keytrail.cloudtrail import parse_json
from keytrail.errors import InputError, Place, SourceError, UsageError
from keytrail.investigate import (
    CHANGES_QUERY,
    Event,
    KeyName,
    PolicyVersion,
    change_of,
    events_of,
    facts_of,
    history_of,
)
from keytrail.policy import ChangeFacts
from keytrail.service.policy import Version
from keytrail.service.query import run_query
from keytrail.service.requests import Observe, QueryRequest, Report
from keytrail.service.running import read_limits
from keytrail.settings import Settings
from keytrail.store import StoredRecord


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One key, by its ARN, and the sources to look in. `until` (exclusive) looks at an earlier time."""

    key_arn: str
    sources: tuple[str, ...]
    until: datetime | None = None
    jobs: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class LastChange:
    """The last two versions of a key's policy. `facts` is what the event, at `time`, says about the change besides.

    `notes` say what is not certain. `complete` is False when something of the sources could not be read, so that
    a version may be missing.
    """

    key_arn: str
    account: str
    before: Version
    after: Version
    facts: ChangeFacts
    time: datetime
    notes: tuple[str, ...] = ()
    complete: bool = True


def last_change(request: HistoryRequest, *, observe: Observe | None = None, report: Report | None = None) -> LastChange:
    """Find the last change of the key's policy and what was there before.

    Raises UsageError when `key_arn` is none, SourceError when a source cannot be reached or no event is about the key.
    What cannot be read is told to `report`.
    """
    key = KeyName.parse(request.key_arn)
    if key is None:
        raise UsageError(
            f"--key: {request.key_arn!r} is not the ARN of a key",
            advice="write it like arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        )
    problems: list[InputError | SourceError] = []

    def tell(problem: InputError | SourceError) -> None:
        problems.append(problem)
        if report is not None:
            report(problem)

    events = _events(request, key, observe, tell)
    histories = {one.arn: history_of(one, found) for one, found in events.items()}
    history = histories.get(key.arn)
    change = history.steps[-1].change if history is not None else None
    if history is None or change is None:
        raise SourceError(
            f"no event in {', '.join(request.sources)} gives {request.key_arn} a policy",
            advice="the archive must cover the key's account and region, and the time of the change",
        )
    before = _certain(history.before(change))
    notes = list(history.notes(change))
    if problems:
        notes.append("some input could not be read, so a version may be missing in between")
    return LastChange(
        key.arn,
        key.account,
        _version(before),
        _version(history.after(change)),
        facts_of(change, histories, before),
        change.event.time,
        tuple(notes),
        complete=not problems,
    )


def _events(
    request: HistoryRequest, key: KeyName, observe: Observe | None, report: Report
) -> dict[KeyName, list[Event]]:
    """The changes of the key's policy, and of the same multi-Region key's in other Regions, by key."""
    query = QueryRequest(
        sources=request.sources,
        query=CHANGES_QUERY,
        raw=True,
        until=request.until,
        jobs=request.jobs,
        settings=request.settings,
    )
    limits = read_limits(request.settings)

    def records() -> Iterator[StoredRecord]:
        for number, found in enumerate(run_query(query, observe=observe, report=report)):
            record = parse_json(found.raw, Place("archive"), limits)
            if isinstance(record, dict):
                yield StoredRecord(number, found.raw, record)

    events: dict[KeyName, list[Event]] = {}
    for event in events_of(records()):
        change = change_of(event)
        if change is None or (change.key.account, change.key.id) != (key.account, key.id):
            continue
        if change.key == key or key.is_multi_region:
            events.setdefault(change.key, []).append(event)
    return events


def _certain(version: PolicyVersion) -> PolicyVersion:
    """The version as `policy diff` takes it: where something may be missing after it, nothing is known."""
    return PolicyVersion("unknown", reason=version.reason) if version.status == "gap" else version


def _version(version: PolicyVersion) -> Version:
    """The same with its origin in words."""
    status, source = version.status, version.source
    if status == "none":
        return Version(None, "none", "no policy: the event created the key")
    if source is None or source.time is None or status == "gap":
        return Version(None, "unknown", "", version.reason)
    origin = f"{source.event_name} at {source.time:%Y-%m-%dT%H:%M:%SZ} by {source.author}, event {source.event_id}"
    if version.policy is None:
        return Version(None, "unknown", origin, version.reason)
    suffix = ", without a policy" if status == "default" else ""
    return Version(version.policy, status, origin + suffix, since=source.time.date())
