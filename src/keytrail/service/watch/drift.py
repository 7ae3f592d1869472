"""Drift in the service: what keys were found with is held against the lake, and what nothing reported is an alert.

The alert is one of a built-in rule, and made as those of other rules are: from a document, with exceptions,
suppression and budget, once. Only the record that it is made from is keytrail's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from logging import getLogger

from keytrail.cloudtrail import Document, event_time
from keytrail.cloudtrail.dates import utc_text
from keytrail.detect import alert_id
from keytrail.fields import DRIFT
from keytrail.investigate import Event, KeyName, events_of
from keytrail.investigate.change import attempt_of
from keytrail.investigate.investigator import policy_events
from keytrail.investigate.queries import LOGGING_QUERY
from keytrail.respond.drift import Agreed, Differing, Drift, Heard, Observed, Unjudged, differing, judge
from keytrail.search import Match
from keytrail.service.accounts import trust
from keytrail.service.installation import Installation
from keytrail.service.kept_policies import observed_of
from keytrail.service.lake_store import lake_store
from keytrail.service.watch import judging
from keytrail.service.watch.runner import Post, RunnableRule
from keytrail.store import Selector
from keytrail.store.state.alerts import existing, one_at_a_time
from keytrail.store.state.lease import Lease
from keytrail.store.state.policies import latest_policies
from keytrail.text import for_json

Json = dict[str, object]

RULE_ID = "8a5d7c52-3e0b-4b7e-9d15-6f2f0c9a41be"
"""The id of the built-in rule (`rules.of_service`) whose alerts these are."""

PROVIDER = "keytrail"
ACTION = "KeyPolicyDrift"
"""What stands in the records of drift, which the rule matches: no service of AWS has such a name."""

_LOG = getLogger("keytrail.watch")


@dataclass(slots=True)
class Checked:
    """What holding keys against the lake came to.

    `drifted` are the keys that differ, alerted before or now; `unjudged` says of others why nothing can be said.
    `again_at` is when there may be more to say of one of them.
    """

    keys: int = 0
    created: int = 0
    drifted: list[str] = field(default_factory=list)
    unjudged: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    again_at: datetime | None = None


def check(
    home: Installation,
    lease: Lease,
    rule: RunnableRule | None,
    post: Post,
    now: datetime,
    *,
    since: datetime,
    complete: bool,
) -> Checked:
    """Hold every key's policy, as it was found last, against what was reported of it; make the alerts of what differs.

    Since `since` the lake is kept up, and `complete` says whether all that there is comes into it (see `Heard`).
    Without a `rule`, for it is disabled, nothing is looked at. Raises StoreError.
    """
    checked = Checked()
    if rule is None:
        return checked
    found: list[Differing] = []
    grace = timedelta(minutes=home.settings.policies.drift_minutes)
    with home.database.read() as connection:
        names = [name for arn in latest_policies(connection) if (name := KeyName.parse(arn)) is not None]
    if not names:
        return checked
    with lake_store(home, now) as store:
        events = _events_of(policy_events(store), frozenset(names))
        logging = tuple(events_of(store.find(Selector.kql(LOGGING_QUERY))))
        heard = Heard(store.coverage(), since, complete, logging)
    for name in names:
        one = _compared(home, name, events.get(name, ()), heard, grace, now)
        if one is None:
            continue
        checked.keys += 1
        if isinstance(one, Differing):
            found.append(one)
        elif isinstance(one, Unjudged):
            checked.unjudged[name.arn] = one.why
            if one.again_at is not None:
                checked.again_at = min(one.again_at, checked.again_at or one.again_at)
    drifts = list(_new(home, found, rule, checked, now))
    if drifts:
        checked.created = _alert(home, lease, rule, post, drifts, now)
    return checked


def _compared(
    home: Installation,
    name: KeyName,
    events: Sequence[Event],
    heard: Heard,
    grace: timedelta,
    now: datetime,
) -> Differing | Agreed | Unjudged | None:
    with home.database.read() as connection:
        observed, earlier = observed_of(connection, name)
    if not isinstance(observed, Observed):
        return observed
    return differing(observed, earlier, events, heard, grace=grace, now=now)


def _new(
    home: Installation, found: Sequence[Differing], rule: RunnableRule, checked: Checked, now: datetime
) -> Iterator[Drift]:
    """Those of the differences that mean something and have no alert yet."""
    ids = {alert_id(rule.rule.rule_id, _record(one)): one for one in found}
    with home.database.read() as connection:
        known = existing(connection, ids)
    accounts = trust(home.settings)
    for id, one in ids.items():
        arn = one.observed.key.arn
        if id in known:
            checked.drifted.append(arn)
            continue
        judged = judge(one, accounts, now)
        if isinstance(judged, Drift):
            checked.drifted.append(arn)
            yield judged
        elif judged.deleted:
            checked.deleted[arn] = judged.deleted
            fields = {"key": arn, "ids": list(judged.deleted), "principals": list(judged.principals)}
            _LOG.info("a key's policy names deleted principals by their ids", extra={"fields": fields})


def _alert(
    home: Installation, lease: Lease, rule: RunnableRule, post: Post, drifts: Sequence[Drift], now: datetime
) -> int:
    """Make the alerts, and tell of them, as those of other rules; returns how many were made."""
    matches = judging.Found(len(drifts) + 1)
    for number, drift in enumerate(drifts):
        matches.add(number, _match(rule, drift), quiet=False)
    sentences = {_record(one.differing)["eventID"]: one.sentence for one in drifts}
    with home.database.write() as connection:
        lease.check(connection)
        one_at_a_time(connection)
        known = judging.KnownInState(connection)
        # There are no more than keys, and no later run that would make what a limit left over.
        judged = judging.judge(
            known, rule.rule, rule.exceptions, rule.suppression, matches, len(drifts), now, most=None
        )
        # It is of no record of the lake, so it has no position there; and what matters is not who did it.
        judged = replace(
            judged,
            alerts=tuple(
                (
                    replace(
                        new,
                        position=None,
                        document=new.document | {"kibana.alert.reason": sentences[new.event_id]},
                    ),
                    raw,
                )
                for new, raw in judged.alerts
            ),
        )
        judging.write(connection, rule.rule, judged, now)
        post(connection, [judged], now)
    for drift in drifts:
        _LOG.warning(
            "a key's policy is not the one that was reported",
            extra={"fields": {"key": drift.differing.observed.key.arn}},
        )
    return len(judged.alerts)


# The record ----------------------------------------------------------------------------------------------------------


def _record(one: Differing) -> Json:
    """The difference as a record, in the form of CloudTrail's. Its id is that of the difference."""
    observed, key, source = one.observed, one.observed.key, one.reported.source
    reported: Json = {"digest": one.reported.digest}
    if source is not None:
        reported |= {
            "time": None if source.time is None else utc_text(source.time),
            "eventID": source.event_id,
            "eventName": source.event_name,
            "author": source.author,
            "place": source.place,
        }
    return {
        "eventVersion": "1.11",
        "eventTime": f"{observed.first_seen:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": PROVIDER,
        "eventName": ACTION,
        "awsRegion": key.region,
        "eventID": one.id,
        "eventType": "KeytrailObservation",
        "readOnly": False,
        "managementEvent": True,
        "recipientAccountId": key.account,
        "resources": [{"accountId": key.account, "type": "AWS::KMS::Key", "ARN": key.arn}],
        "requestParameters": {"keyId": key.arn, "policyName": "default"},
        "serviceEventDetails": {
            "digest": observed.digest,
            "firstSeen": utc_text(observed.first_seen),
            "reported": {name: value for name, value in reported.items() if value is not None},
        },
    }


def _match(rule: RunnableRule, drift: Drift) -> Match:
    record = _record(drift.differing)
    document = Document(record).to_dict() | {DRIFT: details_of(drift)}
    time = event_time(record)
    return Match(
        pattern=0,
        id=alert_id(rule.rule.rule_id, record),
        time="" if time is None else utc_text(time),
        document=for_json(document).encode(),
        raw=for_json(record).encode(),
        event_id=drift.differing.id,
    )


def details_of(drift: Drift) -> Json:
    """What an alert document says about the difference: a sentence, and both policies and the comparison as an
    investigation has them."""
    observed, reported = drift.differing.observed, drift.differing.reported
    seen: Json = {
        "status": "known",
        "source": {"kind": "snapshot", "time": utc_text(observed.first_seen), "place": "a look at the key"},
        "digest": observed.digest,
        "reason": None,
    }
    return {
        "summary": drift.sentence,
        "key": {"arn": observed.key.arn},
        "before": reported.to_dict(),
        "after": seen | {"document": observed.document},
        "history": [seen],
        "comparison": drift.comparison.to_dict(),
        "notes": list(drift.differing.notes),
    }


def _events_of(events: Iterable[Event], names: frozenset[KeyName]) -> Mapping[KeyName, list[Event]]:
    """The events about each of the keys."""
    found: dict[KeyName, list[Event]] = defaultdict(list)
    for event in events:
        attempt = attempt_of(event)
        if attempt is not None and attempt.key in names:
            found[attempt.key].append(event)
    return found


__all__ = ["RULE_ID", "Checked", "check"]
