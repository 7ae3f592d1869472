"""From an alert to plans: what AWS shows now, which versions are good, who used the key, and what can be done."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keytrail.aws import AwsSettings
from keytrail.cloudtrail import ReadLimits, parse_json
from keytrail.errors import InputError, Place, PolicyError, UsageError
from keytrail.fields import INVESTIGATION
from keytrail.investigate import KeyName
from keytrail.investigate.reading import inner, investigation_of, text
from keytrail.names import short_digest
from keytrail.respond.accounts import role_arn
from keytrail.respond.facts import Current, Mark
from keytrail.respond.from_alert import state_of, told_of
from keytrail.respond.live import Live, read_live
from keytrail.respond.model import Kind, Plan, Proposal
from keytrail.respond.propose import propose
from keytrail.respond.subject import Subject, subject_of
from keytrail.respond.uses import RecentUses, recent_uses
from keytrail.service.accounts import trust
from keytrail.service.installation import Installation, installation
from keytrail.service.requests import Json, Observe, Report
from keytrail.service.running import aws_settings
from keytrail.service.stores import records_of
from keytrail.service.triage import show_alert
from keytrail.settings import Settings
from keytrail.store import ArchiveStore, EventStore
from keytrail.store.state.alerts import log
from keytrail.store.state.plans import PlanStep, ShownPlan, put_plans, steps_of
from keytrail.store.state.policies import document, good_versions
from keytrail.text import for_json

STDIN = "-"
LOG = "plan"
"""The kind of the audit log's lines about plans; their subject is the plan's id."""

# Bytes of a document that is given instead of an alert's id; investigations are some hundred thousand.
_MOST_BYTES = 50_000_000
_ID_LENGTH = 64


@dataclass(frozen=True, slots=True)
class RespondRequest:
    """An alert by its id, or a document with its investigation: a JSON file, or `-` for stdin.

    `live` asks AWS what is there now. `sources` are records to use instead of the lake's. `role_arn` is assumed instead
    of the role of [respond]. `kinds` keeps plans of these kinds only; all when empty.
    """

    alert: str
    live: bool = True
    sources: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    role_arn: str = ""
    organisation: str | None = None
    trusted: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What was found for an alert. `notes` say what the plans do not rest on, and why; texts may be hostile.

    `tried` has the last line about each plan that somebody applied, or began to.
    """

    alert_id: str
    subject: Subject
    proposal: Proposal
    live: Live | None
    notes: tuple[str, ...] = ()
    tried: Mapping[str, PlanStep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GivenAlert:
    """The document of an alert; `id` is the alert's, for one without it its event's."""

    id: str
    document: Json


# -- plans ------------------------------------------------------------------------------------------------------------


def propose_plans(
    home: Installation,
    request: RespondRequest,
    *,
    who: str,
    now: datetime,
    observe: Observe | None = None,
    report: Report | None = None,
) -> Proposed:
    """Find the plans for an alert, and keep them in the state as shown to `who`, so that they can be applied.

    Raises UsageError for an alert without an investigation of a key policy, SourceError when sources cannot be reached.
    What AWS does not show is in the notes.
    """
    alert = alert_of(home, request.alert)
    key = _key(alert)
    settings = request.settings
    live = read_live(key, settings_for(request, key.account, key.partition), now=now) if request.live else None
    marks, notes = _marks(home, key.arn)
    accounts = trust(settings, organisation=request.organisation, trusted=request.trusted)
    subject = subject_of(
        alert.document,
        accounts=accounts,
        current=_current(live),
        marks=marks,
        live_grants=None if live is None else live.grants,
        key_state=None if live is None or live.state is None else state_of(live.state),
    )
    if not subject.alert_id:
        subject = replace(subject, alert_id=alert.id)
    with records(home, request, now, observe=observe) as store:
        uses = _uses(store, subject, settings.respond.recent_days, now)
        if isinstance(store, ArchiveStore) and report is not None:
            for problem in store.new_problems():
                report(problem)
    proposal = propose(subject, caller=None if live is None else live.caller_arn, uses=uses, now=now)
    kept = _of_kinds(proposal, request.kinds)
    _keep(home, alert.id, kept.plans, who=who, now=now)
    if _is_document(request.alert):
        notes.append(
            "the alert comes as a document: the key, who made the change and the policy before it are as that says, "
            "and were not compared with records"
        )
    told = (*notes, *_notes(live, uses, subject))
    return Proposed(alert.id, subject, kept, live, told, dict(_tried(home, kept.plans)))


def proposed_json(found: Proposed) -> Json:
    """What was found as plain JSON values; `live` says what AWS showed, without the policy's text."""
    live = found.live
    return {
        "alert_id": found.alert_id,
        "key_arn": found.subject.key.arn,
        "notes": [*found.notes, *found.proposal.notes],
        "live": None
        if live is None
        else {
            "read_at": live.read_at.isoformat(),
            "digest": live.digest,
            "state": live.state,
            "grants": None if live.grants is None else len(live.grants),
            "caller": live.caller_arn,
            "missing": dict(live.missing),
        },
        "plans": [plan.to_dict() for plan in found.proposal.plans],
        "tried": {
            id: {"step": last.step, "state": last.state, "at": last.at.isoformat(), "who": last.who}
            for id, last in found.tried.items()
        },
        "without": [{"kind": one.kind, "why": one.why, "advice": one.advice} for one in found.proposal.without],
    }


def _of_kinds(proposal: Proposal, kinds: tuple[Kind, ...]) -> Proposal:
    if not kinds:
        return proposal
    return replace(
        proposal,
        plans=tuple(one for one in proposal.plans if one.kind in kinds),
        without=tuple(one for one in proposal.without if one.kind in kinds),
    )


def _keep(home: Installation, alert_id: str, plans: tuple[Plan, ...], *, who: str, now: datetime) -> None:
    with home.database.write() as connection:
        put_plans(
            connection,
            [ShownPlan(one.id, alert_id, one.key_arn, one.kind, one.to_dict(), now, who) for one in plans],
        )
        for one in plans:
            detail = {"alert": alert_id, "kind": one.kind, "key": one.key_arn}
            log(connection, who=who, kind=LOG, subject=one.id, action="shown", detail=detail, now=now)


def _tried(home: Installation, plans: tuple[Plan, ...]) -> Iterator[tuple[str, PlanStep]]:
    with home.database.read() as connection:
        for one in plans:
            if steps := steps_of(connection, one.id):
                yield one.id, steps[-1]


# -- the alert --------------------------------------------------------------------------------------------------------


@contextmanager
def respond_home(settings: Settings, alert: str) -> Iterator[Installation]:
    """The state that plans are kept in. For an alert that comes as a document it is made if there is none."""
    with installation(settings, set_up=_is_document(alert)) as home:
        yield home


def alert_of(home: Installation, given: str) -> GivenAlert:
    """The alert of an id (its beginning, or its event's id), of a JSON file or of stdin (`-`). Raises UsageError."""
    if _is_document(given):
        return _read(given)
    shown = show_alert(home.database, given.strip())
    return GivenAlert(shown.id, shown.document)


def _is_document(given: str) -> bool:
    return given == STDIN or given.endswith(".json") or os.path.isfile(given)


def _read(given: str) -> GivenAlert:
    place = Place("stdin" if given == STDIN else given)
    try:
        if given == STDIN:
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with open(given, "rb") as stream:
                raw = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the alert {given!r}: {error.strerror or error}",
            advice="Name a JSON file with an alert, - for stdin, or the id of an alert of the service.",
        ) from error
    if len(raw) > _MOST_BYTES:
        raise UsageError(f"{place} is too large for an alert", advice="Give one alert, not a list of many.")
    try:
        value = parse_json(raw, place, ReadLimits())
    except InputError as error:
        raise UsageError(
            error.what, place=error.place, advice="Give an alert as JSON, as keytrail scan and investigate write it."
        ) from error
    if isinstance(value, list):
        if len(value) != 1:
            raise UsageError(
                f"{place} holds {len(value):,} alerts",
                advice="Give one: jq '.[0]' FILE | keytrail respond - takes the first.",
            )
        value = value[0]
    if not isinstance(value, dict):
        raise UsageError(f"{place} holds no alert", advice="Give an alert or an investigation, a JSON object.")
    alert: Json = value if told_of(value) or not inner(value, "key") else {INVESTIGATION: value}
    id = text(alert, "kibana.alert.uuid") or text(investigation_of(alert), "event_id") or text(alert, "event.id")
    return GivenAlert(id if 0 < len(id) <= _ID_LENGTH else hashlib.sha256(for_json(alert).encode()).hexdigest(), alert)


def _key(alert: GivenAlert) -> KeyName:
    key = KeyName.parse(text(told_of(alert.document), "key.arn"))
    if key is None:
        raise UsageError(
            f"alert {alert.id!r} has no investigation of a key policy",
            advice="Plans are made for alerts about drift, and about successful PutKeyPolicy, CreateKey and "
            "ReplicateKey; keytrail alerts show says whether one was investigated.",
        )
    return key


# -- what is there now ------------------------------------------------------------------------------------------------


def settings_for(request: RespondRequest, account: str, partition: str) -> AwsSettings:
    """How AWS is reached in an account: with the role that was named, with that of [respond], or as it is."""
    aws = aws_settings(request.settings)
    asked = request.settings.respond
    if request.role_arn:
        return replace(aws, role_arn=request.role_arn)
    if asked.role_name:
        role = role_arn(account, asked.role_name, partition)
        return replace(aws, role_arn=role, external_id=asked.external_id)
    return aws


def _current(live: Live | None) -> Current | None:
    if live is None or live.text is None:
        return None
    try:
        return Current.read(live.text, live.read_at, f"AWS, read at {live.read_at:%Y-%m-%d %H:%M:%S} UTC")
    except PolicyError:
        return None


def _marks(home: Installation, key_arn: str) -> tuple[list[Mark], list[str]]:
    """The versions that were marked as good, and what is not there of them."""
    marks, notes = [], []
    with home.database.read() as connection:
        for good in good_versions(connection, key_arn):
            kept = document(connection, good.digest)
            if kept is None:
                notes.append(f"the version {short_digest(good.digest)}, marked as good, is not in the state any more")
            else:
                marks.append(Mark(kept, good.digest, good.at, good.who, good.note))
    return marks, notes


# -- records ----------------------------------------------------------------------------------------------------------


@contextmanager
def records(
    home: Installation, request: RespondRequest, now: datetime, *, observe: Observe | None = None
) -> Iterator[EventStore | None]:
    """The records of the sources that were named, else of the lake; None where there are none."""
    with records_of(request.sources, home, request.settings, now, observe=observe) as store:
        yield store if request.sources or store.head() > 0 else None


def _uses(store: EventStore | None, subject: Subject, days: int, now: datetime) -> RecentUses | None:
    if store is None:
        return None
    # Records of an archive may all be older than the change's last weeks.
    until = max(now, subject.time)
    since = min(now, subject.time) - timedelta(days=days)
    return recent_uses(store, subject.key, since, until, subject.accounts, subject.policies, subject.identities)


def _notes(live: Live | None, uses: RecentUses | None, subject: Subject) -> Iterator[str]:
    if live is None:
        yield "AWS was not asked (--no-live): the plans rest on records, which may not tell the latest change"
    else:
        names = {
            "caller": "who would apply plans",
            "policy": "the key's policy",
            "grants": "its grants",
            "state": "its state",
        }
        reasons: dict[str, list[str]] = {}
        for part, why in live.missing.items():
            reasons.setdefault(why, []).append(names[part])
        for why, parts in reasons.items():
            yield f"not known from AWS: {', '.join(parts)}: {why}"
        if live.caller is not None and live.caller.account != subject.owner:
            yield (
                f"the credentials are of account {live.caller.account}, the key is of {subject.owner}: to apply plans "
                "use --profile, --role-arn or [respond] role_name"
            )
    if uses is None:
        yield "there are no records in the lake, so nobody knows who used the key lately: --source names records"


__all__ = [
    "LOG",
    "GivenAlert",
    "Proposed",
    "RespondRequest",
    "alert_of",
    "propose_plans",
    "proposed_json",
    "records",
    "respond_home",
    "settings_for",
]
