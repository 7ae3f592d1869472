"""Drift: whether the policy that a key was found with is the one that was reported last, by a record or a look before.

Pure. A difference counts only where a record would have to be there: the lake reaches back far enough, CloudTrail had
its time, and records of that account and Region, or else a long time, came after the policy was seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from keytrail.investigate import Event, KeyName, Snapshot, history_of
from keytrail.investigate.history import KeyHistory
from keytrail.investigate.model import PolicyVersion, VersionSource
from keytrail.investigate.names import at, short
from keytrail.investigate.unseen import logging_gaps
from keytrail.phrases import count, start
from keytrail.policy import Comparison, KeyPolicy, assess, compare
from keytrail.policy.digest import digest_of, document_of
from keytrail.respond.deleted import without_deleted
from keytrail.respond.sameness import same_policy
from keytrail.settings import Accounts
from keytrail.store import Coverage

SILENCE = timedelta(hours=24)
"""So long without a record of the account and Region a missing record is no longer taken for a late one."""

_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Observed:
    """The policy that a key was found with, the same at every look from `first_seen` to `last_seen` (UTC)."""

    key: KeyName
    policy: KeyPolicy
    text: str
    first_seen: datetime
    last_seen: datetime

    @cached_property
    def document(self) -> dict[str, object]:
        """The policy as a document."""
        return document_of(self.text)

    @cached_property
    def digest(self) -> str:
        """The digest of the document."""
        return digest_of(self.document)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a store of records has of all there is.

    `since` is from when on it is kept up; what was there before then may still be on its way. `complete` is False while
    a source cannot be read. `logging` are the events of LOGGING_QUERY: trails that were stopped, for one.
    """

    coverage: Coverage
    since: datetime
    complete: bool = True
    logging: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreed:
    """The policy is the one reported, or proved to be the same.

    `deleted` are the ids that AWS shows in place of principals that were deleted since, `principals` those.
    """

    deleted: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Nothing can be said: why, in words. `again_at` is when there may be more to say; None: after the next look."""

    why: str
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Differing:
    """The policy is another one than was reported last, to the letter; whether it means the same is not yet known."""

    observed: Observed
    reported: PolicyVersion
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The same whenever the same difference is found, and another one when it comes back: 32 hex digits."""
        source = self.reported.source
        seen = source.time.isoformat() if source is not None and source.time is not None else ""
        told = (
            "keytrail/drift/1",
            self.observed.key.arn,
            self.observed.digest,
            self.reported.digest or "",
            (source.event_id if source else None) or seen,
        )
        return hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Drift:
    """A policy that nothing reported, with what it changes: `comparison` is that of the reported one with it."""

    differing: Differing
    comparison: Comparison

    @property
    def sentence(self) -> str:
        """What was found, for people. It may hold names that records and policies say."""
        observed, reported = self.differing.observed, self.differing.reported
        key = observed.key
        return (
            f"Key {key.id} in {key.region} of account {key.account} was found with a policy that no record gave it, "
            f"first at {at(observed.first_seen)}. The last one known is {told(reported.source, key.account)}. "
            f"{effect(self.comparison)}"
        )


def differing(
    observed: Observed,
    earlier: Sequence[Snapshot],
    events: Iterable[Event],
    heard: Heard,
    *,
    grace: timedelta,
    now: datetime,
) -> Differing | Agreed | Unjudged:
    """Hold the policy that a key was found with against what was reported of it.

    `earlier` are the policies that it was found with before `observed`, `events` those of CHANGES_QUERY that are about
    it, `heard` says what the store of the events has of all there is. `grace` is how long CloudTrail may take.
    """
    key = observed.key
    history = history_of(key, events, earlier)
    if not history.steps:
        return Unjudged("no record and no earlier look tells which policy it had")
    last = history.steps[-1]
    if last.version.policy is None:
        return Unjudged(f"which policy was reported last is not known: {last.version.reason}")
    if last.version.digest == observed.digest:
        return Agreed()
    if last.change is not None and observed.last_seen - last.time <= grace:
        return Unjudged("it was looked at too soon after the last change that is known")
    seen = heard.coverage.of(key.account, key.region)
    looked = [one.time for one in earlier if one.time is not None and seen is not None and one.time >= seen.first]
    if not looked and not any(step.change is not None and step.change.creates for step in history.steps):
        return Unjudged("the records that there are do not reach back to when the key was made, or first looked at")
    waited = now - max(observed.first_seen, heard.since)
    if waited < grace:
        return Unjudged("a record of it may still come", now + grace - waited)
    silent = seen is None or seen.last <= observed.first_seen
    if waited < SILENCE and (silent or not heard.complete):
        why = "no record of its account and Region came since" if silent else "not all sources of records can be read"
        return Unjudged(why, now + min(SILENCE - waited, max(grace, _LOOK_AGAIN)))
    return Differing(observed, last.version, tuple(_reasons(observed, history, heard, silent=silent)))


def _reasons(observed: Observed, history: KeyHistory, heard: Heard, *, silent: bool) -> Iterator[str]:
    """Why the record may be missing, in sentences: logging that was off, and what may not have come in."""
    key, last = observed.key, history.steps[-1].time
    for gap in logging_gaps(heard.logging, key.account, logged=history.logged()):
        if gap.meets(last, observed.first_seen):
            yield f"{start(gap.reason)}."
    if silent:
        yield f"No record of account {key.account} in {key.region} came since the policy was first seen."
    if not heard.complete:
        yield "Not all sources of records could be read."
    damaged = heard.coverage.damage_of(key.account, key.region, last.date())
    if damaged:
        yield f"{count(len(damaged), 'object')} that may hold records of the key could not be read, or not whole."


def judge(found: Differing, accounts: Accounts, now: datetime) -> Drift | Agreed:
    """Whether a policy that differs to the letter means something else. It counts as the same only if that is proved.

    AWS gives policies back in another form, and ids in place of principals that were deleted.
    """
    observed, reported = found.observed, found.reported
    owner, before = observed.key.account, reported.policy
    if before is None or same_policy(json.dumps(reported.document), observed.text):
        return Agreed()
    org = accounts.organisation
    trusted = [one for one in accounts.trusted_at(now) if one != owner]
    if _proved_same(before, observed.policy, owner, org):
        return Agreed()
    rest = without_deleted(before, observed.policy)
    if rest is not None and _proved_same(rest.earlier, rest.later, owner, org):
        return Agreed(rest.ids, rest.principals)
    return Drift(found, assess(before, observed.policy, owner, org=org, trusted_accounts=trusted))


def _proved_same(one: KeyPolicy, other: KeyPolicy, owner: str, org: str | None) -> bool:
    found = compare(one, other, owner, org=org)
    return found.unchanged and not found.incomplete


# Words ---------------------------------------------------------------------------------------------------------------


def effect(comparison: Comparison) -> str:
    """What a change of a policy comes to, in one sentence: its gravest finding, and how many there are beside it."""
    if comparison.unchanged:
        return "Nobody gained access and nobody lost any, which is proved."
    new = [one for one in comparison.findings if not one.standing]
    if not new:
        return "What it changes could not be proved."
    more = f" ({len(new) - 1:,} more {'finding' if len(new) == 2 else 'findings'}.)" if len(new) > 1 else ""
    return f"{new[0].sentence}{more}"


def told(source: VersionSource | None, owner: str) -> str:
    """Where a version of a policy comes from, in words."""
    if source is None:
        return "of unknown origin"
    when = at(source.time) if source.time is not None else "an unknown time"
    if source.kind == "snapshot":
        return f"from {source.place}"
    return f"that of {source.event_name} by {short(source.author or 'somebody', owner)} at {when}"


__all__ = [
    "SILENCE",
    "Agreed",
    "Differing",
    "Drift",
    "Heard",
    "Observed",
    "Unjudged",
    "differing",
    "effect",
    "judge",
    "told",
]
