"""What an archive says about the policy of a key: the last two versions, by event time, and how certain that is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from keytrail.cloudtrail import event_time, parse_json
from keytrail.errors import InputError, Place, PolicyError, SourceError, UsageError
from keytrail.policy import Caller, ChangeFacts, KeyPolicy
from keytrail.service.policy import Version
from keytrail.service.query import run_query
from keytrail.service.requests import Json, Observe, QueryRequest, Report
from keytrail.service.running import read_limits
from keytrail.settings import Settings

KQL = "event.provider: kms.amazonaws.com and event.action: (PutKeyPolicy or CreateKey or ReplicateKey)"
"""The events that give a key a policy (spec/key-policy.md 3.2, 3.3)."""

_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:(\d{12}):key/([A-Za-z0-9-]+)", re.ASCII)
_CREATIONS = ("CreateKey", "ReplicateKey")


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
    """The last two versions of a key's policy. `facts` is what the event says about the change besides.

    `notes` say what is not certain. `complete` is False when something of the sources could not be read, so that
    a version may be missing.
    """

    key_arn: str
    account: str
    before: Version
    after: Version
    facts: ChangeFacts
    notes: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Event:
    time: datetime
    name: str
    record: Json

    @property
    def id(self) -> str:
        return str(self.record.get("eventID", "without an id"))


def last_change(request: HistoryRequest, *, observe: Observe | None = None, report: Report | None = None) -> LastChange:
    """Find the last change of the key's policy and what was there before.

    Raises UsageError when `key_arn` is none, SourceError when a source cannot be reached or no event is about the key.
    What cannot be read is told to `report`.
    """
    arn = _KEY_ARN.fullmatch(request.key_arn)
    if arn is None:
        raise UsageError(
            f"--key: {request.key_arn!r} is not the ARN of a key",
            advice="write it like arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        )
    problems: list[InputError | SourceError] = []

    def tell(problem: InputError | SourceError) -> None:
        problems.append(problem)
        if report is not None:
            report(problem)

    found = _events(request, arn[2], observe, tell)
    events = _distinct(found.pop(request.key_arn, []))
    if not events:
        raise SourceError(
            f"no event in {', '.join(request.sources)} gives {request.key_arn} a policy",
            advice="the archive must cover the key's account and region, and the time of the change",
        )
    before = _before(events, arn[1])
    siblings = {
        key: _version([event for event in _distinct(others) if event.time <= events[-1].time], arn[1])
        for key, others in sorted(found.items())
    }
    return LastChange(
        request.key_arn,
        arn[1],
        before,
        _version(events, arn[1]),
        _facts(events[-1], before, siblings),
        tuple(_notes(events, problems)),
        complete=not problems,
    )


def _events(request: HistoryRequest, key_id: str, observe: Observe | None, report: Report) -> dict[str, list[_Event]]:
    """The events of the key, and of the same multi-Region key in other Regions, by key ARN; each list by event time."""
    query = QueryRequest(
        sources=request.sources,
        query=KQL,
        raw=True,
        until=request.until,
        jobs=request.jobs,
        settings=request.settings,
    )
    limits = read_limits(request.settings)
    related = f":key/{key_id}" if key_id.startswith("mrk-") else request.key_arn
    events: dict[str, list[_Event]] = {}
    for found in run_query(query, observe=observe, report=report):
        record = parse_json(found.raw, Place("archive"), limits)
        if not isinstance(record, dict) or record.get("errorCode"):
            continue
        policy_name = _object(record, "requestParameters").get("policyName", "default")
        time = event_time(record)
        if time is None or policy_name != "default":
            continue
        for key in _keys(record):
            if key.endswith(related):
                events.setdefault(key, []).append(_Event(time, str(record.get("eventName")), record))
    return {key: sorted(found, key=lambda event: event.time) for key, found in events.items()}


def _keys(record: Mapping[str, object]) -> set[str]:
    """The ARNs of the keys whose policy the event sets: not those of the primary that it names beside a replica."""
    response = _object(record, "responseElements")
    found: set[object] = set()
    match record.get("eventName"):
        case "CreateKey":
            found = {_object(response, "keyMetadata").get("arn")}
        case "ReplicateKey":
            found = {_object(response, "replicaKeyMetadata").get("arn")}
        case _:
            resources = record.get("resources")
            listed = [item for item in (resources if isinstance(resources, list) else ()) if isinstance(item, dict)]
            found = {item.get("ARN", item.get("arn")) for item in listed}
            if not any(isinstance(arn, str) for arn in found):
                found = {_object(record, "requestParameters").get("keyId")}
    return {arn for arn in found if isinstance(arn, str)}


def _distinct(events: list[_Event]) -> list[_Event]:
    """Each change once: two accounts may see the same one, and a replica appears in both of its Regions."""
    replicated = any(event.name == "ReplicateKey" for event in events)
    seen: set[object] = set()
    kept = []
    for event in events:
        shared = event.record.get("sharedEventID") or event.id
        if shared in seen or (replicated and event.name == "CreateKey"):
            continue
        seen.add(shared)
        kept.append(event)
    return kept


def _before(events: Sequence[_Event], account: str) -> Version:
    if events[-1].name in _CREATIONS:
        return Version(None, "none", "no policy: the event created the key")
    return _version(events[:-1], account)


def _version(events: Sequence[_Event], account: str) -> Version:
    """The policy that the last of the events gave its key; no guess where it does not hold it (3.2, Size)."""
    if not events:
        return Version(None, "unknown", "", "the archive holds no earlier event that gave the key a policy")
    event = events[-1]
    origin = f"{event.name} at {event.time:%Y-%m-%dT%H:%M:%SZ} by {_caller_name(event.record)}, event {event.id}"
    parameters = _object(event.record, "requestParameters")
    text = parameters.get("policy")
    if event.name == "ReplicateKey":
        text = _object(event.record, "responseElements").get("replicaPolicy", text)
    if isinstance(text, str) and text:
        try:
            policy = KeyPolicy.parse(text, name=f"{event.name} {event.id}")
        except PolicyError as error:
            return Version(None, "unknown", origin, f"the policy in the event cannot be read: {error.what}")
        return Version(policy, "known", origin, since=event.time.date())
    created = event.name == "CreateKey" and parameters and not {"policy", "omitted"} & parameters.keys()
    # A replica that KMS created has its policy in the ReplicateKey event of the primary's Region.
    if created and _object(event.record, "userIdentity").get("invokedBy") != "kms.amazonaws.com":
        return Version(KeyPolicy.default(account), "default", f"{origin}, without a policy", since=event.time.date())
    reason = "the event does not hold the policy: CloudTrail omits parameters that are too large"
    return Version(None, "unknown", origin, reason)


def _facts(event: _Event, before: Version, siblings: Mapping[str, Version]) -> ChangeFacts:
    """What the event says about the change besides the policy."""
    parameters = _object(event.record, "requestParameters")
    primary = siblings.get(str(parameters.get("keyId"))) if event.name == "ReplicateKey" else None
    return ChangeFacts(
        caller=_caller(event.record),
        bypass_lockout_check=parameters.get("bypassPolicyLockoutSafetyCheck") in (True, "true"),
        before_known=before.status != "unknown",
        before_date=before.since,
        replicas=tuple((key, one.policy) for key, one in siblings.items() if one.policy is not None),
        primary=None if primary is None else primary.policy,
    )


def _caller(record: Mapping[str, object]) -> Caller | None:
    """Who made the change, as policies name callers; None when that cannot be said."""
    identity = _object(record, "userIdentity")
    arn, issuer = identity.get("arn"), _object(_object(identity, "sessionContext"), "sessionIssuer").get("arn")
    try:
        if identity.get("type") == "AWSService":
            return Caller.parse(f"service:{identity.get('invokedBy', '')}")
        caller = Caller.parse(str(arn))
        # The ARN of a session has no path; that of its role has.
        role = Caller.parse(str(issuer)) if caller.session is not None and issuer else caller
    except UsageError:
        return None
    return replace(role, session=caller.session)


def _caller_name(record: Mapping[str, object]) -> str:
    identity = _object(record, "userIdentity")
    return str(identity.get("arn") or identity.get("invokedBy") or identity.get("type") or "an unknown caller")


def _notes(events: Sequence[_Event], problems: Sequence[InputError | SourceError]) -> Iterator[str]:
    if len(events) > 1 and events[-1].time == events[-2].time:
        yield f"two changes in the second {events[-1].time:%Y-%m-%dT%H:%M:%SZ}: which came last is not known"
    if problems:
        yield "some input could not be read, so a version may be missing in between"


def _object(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}
