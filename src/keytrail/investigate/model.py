"""What an investigation says: small immutable values, each with its JSON form. The published schema is beside it.

Texts are those of the records. Whoever shows an investigation makes them safe (`keytrail.text`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Generic, Literal, TypeVar

from keytrail.policy import Comparison, Finding, KeyPolicy

T = TypeVar("T")
JsonObject = dict[str, object]

SCHEMA_VERSION = 1

Verdict = Literal["malicious", "review", "expected", "no_effect"]
VERDICTS: tuple[Verdict, ...] = ("malicious", "review", "expected", "no_effect")
"""Gravest first."""
BeforeStatus = Literal["known", "default", "none", "unknown", "gap"]


@dataclass(frozen=True, slots=True)
class Capped(Generic[T]):
    """The first of a list that may be long, and how long it is."""

    items: tuple[T, ...] = ()
    total: int = 0

    @classmethod
    def of(cls, items: Sequence[T], most: int) -> Capped[T]:
        """At most `most` of the items, and the number of all.

        >>> Capped.of(["a", "b", "c"], 2)
        Capped(items=('a', 'b'), total=3)
        """
        return cls(tuple(items[:most]), len(items))

    @property
    def truncated(self) -> bool:
        return self.total > len(self.items)


# The key ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that an event tells, and which."""

    value: str
    time: datetime | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the key, and the event that gave (or, where that is not there, took) it.

    `current` tells whether it was the key's at the time of the change.
    """

    name: str
    time: datetime
    event_id: str
    current: bool


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """A line of the inventory about the key or its data; `place` cites it, `matched` is what it was found by."""

    matched: str
    owner: str
    application: str
    data_class: str
    place: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the events before and after the change tell of the key; None and empty where they are silent.

    `state` is that at the time of the change, `state_now` what later events made of it.
    """

    arn: str
    arn_source: str
    key_id: str
    account: str
    region: str
    multi_region: bool
    aliases: tuple[Alias, ...] = ()
    siblings: tuple[str, ...] = ()
    state: Fact | None = None
    state_now: Fact | None = None
    origin: Fact | None = None
    spec: Fact | None = None
    usage: Fact | None = None
    description: Fact | None = None
    created: Fact | None = None
    inventory: tuple[InventoryEntry, ...] = ()


# The policy ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VersionSource:
    """Where a version of a policy comes from: an event, or a snapshot of exported policies."""

    kind: Literal["event", "snapshot"]
    time: datetime | None
    event_id: str | None = None
    event_name: str | None = None
    author: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version of the key's policy.

    `status`: known (its document was logged or exported), default (AWS's, the key was created without one), none (no
    key yet), unknown (nothing tells), gap (`policy` is the last that is known, but something that is not known may
    have come after it). `reason` says why it is not certain.
    """

    status: BeforeStatus
    policy: KeyPolicy | None = None
    document: JsonObject | None = None
    source: VersionSource | None = None
    reason: str = ""

    @property
    def digest(self) -> str | None:
        """The sha256 of the document's canonical JSON: the same for the same members, whatever blanks and order."""
        if self.document is None:
            return None
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> JsonObject:
        """As plain JSON values."""
        return {
            "status": self.status,
            "source": plain(self.source),
            "digest": self.digest,
            "reason": self.reason or None,
            "document": self.document,
        }


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the history of a key's policy, without the document."""

    status: BeforeStatus
    source: VersionSource
    digest: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ComparedChange:
    """The change of the policy as a whole: both versions, what is proved about them, and what the events around say.

    `comparison` is None when the policy after it is not known. `baseline` says what `after` was compared with:
    "before" (of status "gap": the last that is known), or "nothing" when no earlier policy is known or there was none.
    `history` holds the versions around the change, `history_total` counts all. `refused_before` are the ids of events
    that tried the same change and were refused, the last ones of `refused_total`; `reverted_by` that of a change that
    gave the policy before back within the hour, `reverted_at` its time, `in_force_until` the time of the next change.
    `owner` is the key's account, `since_creation` tells whether the events reach back to the key's creation.
    """

    before: PolicyVersion
    after: PolicyVersion
    comparison: Comparison | None
    baseline: Literal["before", "nothing"] = "before"
    history: tuple[HistoryEntry, ...] = ()
    refused_before: tuple[str, ...] = ()
    reverted_by: str | None = None
    reverted_at: datetime | None = None
    in_force_until: datetime | None = None
    notes: tuple[str, ...] = ()
    history_total: int = 0
    refused_total: int = 0
    owner: str = ""
    since_creation: bool = False


# Accounts -----------------------------------------------------------------------------------------------------------

Relation = Literal["owner", "organisation", "approved", "expired", "trusted", "outside", "anyone"]


@dataclass(frozen=True, slots=True)
class AccountFact:
    """An account that the policy after lets in, and what accounts.toml says about it at the time of the change.

    `account` is an id, "org:o-…" for a whole organisation, "*" for everyone. `gained` tells whether it can do
    something that it could not do before; `actions` what. `relation` "trusted" comes from --trust.
    """

    account: str
    relation: Relation
    gained: bool
    name: str = ""
    reason: str = ""
    expires: datetime | None = None
    actions: tuple[str, ...] = ()


# Data ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataAtStake:
    """A resource that was seen to be protected by the key, from the events before the change; a row for each context.

    `resource` is an ARN where one can be told; account and Region are the key's where a context does not name them.
    `basis`: "encryption_context" (the context of successful uses names it), "request" (a call named the key for it,
    such as CreateVolume with kmsKeyId), "inferred" (put together from something weaker, see `note`). `count` is the
    number of successful calls that named it, uses of the key and grants; `example` the id of the last one.
    """

    service: str
    kind: str
    resource: str
    context: Mapping[str, str]
    basis: Literal["encryption_context", "request", "inferred"]
    count: int
    first: datetime
    last: datetime
    principals: Capped[str]
    operations: tuple[str, ...]
    example: str
    note: str = ""
    inventory: tuple[InventoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Rows of `DataAtStake` taken together: the objects of a bucket, the versions of a secret. `contexts` of them."""

    service: str
    kind: str
    resource: str
    contexts: int
    count: int
    first: datetime
    last: datetime
    inventory: tuple[InventoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class StakedData(Capped[DataAtStake]):
    """The data at stake, most used first, and what a reader wants to see before it.

    `summary` is by bucket, secret, table and so on; `by_service` counts the distinct resources of each service.
    `complete` is False when the key has more calls than were kept, so that every count is at least what it says.
    """

    summary: Capped[DataSummary] = field(default_factory=Capped)
    by_service: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True


# People and acts ----------------------------------------------------------------------------------------------------

ActKind = Literal[
    "policy", "grant", "key", "role", "identity", "sign-in", "logging", "share", "data", "other", "look", "use"
]
"""What an act was about. policy: a key's policy; grant: a grant on a key; key: anything else done to a key; role: a
role was assumed; identity: users, roles, their policies and access keys; logging: logging and other defences; share:
who may reach something that is no key; data: data, or a copy of it; look: looking around; use: a key was used."""


@dataclass(frozen=True, slots=True)
class Act:
    """One event of the surroundings, said in a sentence without its subject: "assumed the role Admin".

    `who` is the caller as the record names it, `about` the principal it concerns, if that is another. `error` is the
    code of a failure, or the message of one without.
    """

    time: datetime
    event_id: str
    event_name: str
    provider: str
    account: str
    region: str
    who: str
    address: str
    outcome: Literal["success", "failure"]
    error: str
    kind: ActKind
    sentence: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Whether something of the actor's had been seen earlier than the hours around the change.

    What the actor did in these hours to prepare the change makes nothing known. None where it is no question (a
    service's address, a key that is no older) or nobody can tell: what the store holds from before is shorter than
    these hours.
    """

    value: str
    before_on_key: bool | None
    before_in_account: bool | None

    @property
    def is_new(self) -> bool:
        """Whether it is new to the account."""
        return self.before_in_account is False


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made the change. `access_key_first_seen` is the earliest event that names it; its age is from there.

    `chain` tells backwards who opened the session: the AssumeRole, federation or sign-in that gave the actor its
    access key, then what gave that caller its own. `acts` are the acts within the hours around by the same access
    key or session, or from the same address, by time; of many, the telling ones are kept. `acts_by_others` of them are
    from the address alone, by credentials that nothing links to the actor's: who that is, `who` of the act says.
    `mfa` is None where the record does not say. `before_on_key` is about the principal, and like `Seen`.
    `account_seen_since` is the store's first event of the key's account, in any Region: nothing was seen before.
    """

    who: str
    principal: str
    type: str
    account: str
    session_issuer: str | None
    session_created: datetime | None
    mfa: bool | None
    address: Seen
    agent: Seen
    access_key: str
    access_key_kind: Literal["long-term", "temporary", "unknown", "none"]
    access_key_first_seen: datetime | None
    access_key_age_seconds: int | None
    before_on_key: bool | None
    account_seen_since: datetime | None
    chain: tuple[Act, ...]
    acts: Capped[Act]
    acts_by_kind: Mapping[ActKind, int] = field(default_factory=dict)
    acts_by_others: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant on the key: to whom, for what, by which event; `ended_by` the event that revoked or retired it.

    `retiring` may retire it besides the grantee. `created_by` and `grantee` are principals, as policies name them.
    """

    grant_id: str
    grantee: str
    operations: tuple[str, ...]
    created: datetime
    event_id: str
    created_by: str
    retiring: str = ""
    constraints: JsonObject = field(default_factory=dict)
    ended_by: str | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Uses of one kind with no long pause and no change of the policy between them; `event_id` is the first one's.

    `after_revert`: a later policy did not allow them.
    """

    first: datetime
    last: datetime
    event_id: str
    count: int
    after_revert: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Uses of the key after the change by a principal that gained access, outside what the policy before allowed.

    `action` is "kms:" and the event's name. `in_force` counts those while the change was in force, `after_revert`
    later ones (by a grant, or another way in). `resources` are what their encryption contexts name. `also_before`: the
    principal made such uses before the change too, under an earlier policy or by a grant.
    """

    principal: str
    action: str
    count: int
    in_force: int
    after_revert: int
    first: datetime
    last: datetime
    event_ids: Capped[str]
    resources: Capped[str]
    runs: Capped[Run] = field(default_factory=Capped)
    also_before: bool = False


@dataclass(frozen=True, slots=True)
class PrincipalActivity:
    """What the events tell of one principal that gained access. Acts by kind, each list by time.

    `policies_attached` are all acts that gave it powers or opened ways to act as it: policies, trust, access keys. Of
    many acts those nearest to the change are listed. `assumed_by_accounts` are all other accounts from which it was
    assumed.
    """

    principal: str
    created: tuple[Act, ...] = ()
    assumed: Capped[Act] = field(default_factory=Capped)
    policies_attached: tuple[Act, ...] = ()
    policies_attached_total: int = 0
    uses: tuple[Usage, ...] = ()
    grants: tuple[Grant, ...] = ()
    data_access: Capped[Act] = field(default_factory=Capped)
    assumed_by_accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelatedActivity:
    """What the principals that gained access did and what was done to them; grants that outlive the change.

    `uses` and `surviving_grants` are over all principals: the uses of gained access (P31), and grants to principals
    that this change shut out, never revoked (P30). `grants_since` were made to or by principals that gained or other
    accounts. `used_event_ids` are those that `uses` name, together. The totals count what is not listed as well.
    """

    principals: Capped[PrincipalActivity]
    uses: tuple[Usage, ...]
    grants_since: tuple[Grant, ...]
    surviving_grants: tuple[Grant, ...]
    used_event_ids: tuple[str, ...]
    uses_total: int = 0
    grants_since_total: int = 0
    surviving_grants_total: int = 0


# The whole ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A line of the time line. `lane`: change, attempt, actor, access (of principals that gained), key, data."""

    time: datetime
    event_id: str
    event_name: str
    lane: Literal["change", "attempt", "actor", "access", "key", "data"]
    who: str
    sentence: str
    failed: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the verdict is what it is: a sentence, the points it adds to or takes from the score, its evidence.

    `findings` are ids of findings, `event_ids` the first of the events that show it.
    """

    code: str
    sentence: str
    points: int
    findings: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, with its reasons by weight, and what would change it.

    `score` is the sum of the reasons' points, within 0 and 100; a change to be reviewed scores 30 at least.
    """

    verdict: Verdict
    score: int
    summary: str
    reasons: tuple[Reason, ...]
    would_change: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CoverageFacts:
    """What the answer rests on: from when to when the key's account and Region were seen, and what is missing.

    `gaps` say in words what may be missing: nothing earlier, damaged objects, a trail that was stopped or that leaves
    KMS events out.
    """

    account: str
    region: str
    first: datetime | None
    last: datetime | None
    accounts_seen: tuple[str, ...]
    unreadable: int
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truncated:
    """A list of the document that shows `shown` of `total`."""

    section: str
    shown: int
    total: int


@dataclass(frozen=True, slots=True)
class Investigation:
    """The answer to an alert about a key policy. `as_of` is the store's position it was made at, `revision` counts."""

    event_id: str
    judgement: Judgement
    key: KeyFacts
    change: ComparedChange
    accounts: tuple[AccountFact, ...]
    data_at_stake: StakedData
    actor: Actor
    related: RelatedActivity
    timeline: Capped[TimelineEntry]
    findings: tuple[Finding, ...]
    coverage: CoverageFacts
    truncated: tuple[Truncated, ...]
    as_of: int = 0
    revision: int = 1

    def to_dict(self) -> JsonObject:
        """As plain JSON values: the document under `keytrail.investigation` (investigation.schema.json)."""
        judgement, change = self.judgement, self.change
        comparison = None if change.comparison is None else change.comparison.to_dict()
        return {
            "schema_version": SCHEMA_VERSION,
            "revision": self.revision,
            "as_of": self.as_of,
            "event_id": self.event_id,
            "verdict": judgement.verdict,
            "score": judgement.score,
            "summary": judgement.summary,
            "reasons": plain(judgement.reasons),
            "would_change": list(judgement.would_change),
            "key": plain(self.key),
            "before": change.before.to_dict(),
            "after": change.after.to_dict(),
            "comparison": comparison,
            "compared_with": change.baseline,
            "history": plain(change.history),
            "refused_before": list(change.refused_before),
            "reverted_by": change.reverted_by,
            "reverted_at": plain(change.reverted_at),
            "in_force_until": plain(change.in_force_until),
            "notes": list(change.notes),
            "accounts": plain(self.accounts),
            "data_at_stake": plain(self.data_at_stake),
            "actor": plain(self.actor),
            "related_activity": plain(self.related),
            "timeline": plain(self.timeline),
            "findings": [finding.to_dict() for finding in self.findings],
            "coverage": plain(self.coverage),
            "truncated": plain(self.truncated),
        }


def plain(value: object) -> object:
    """A value as JSON has it: dataclasses and mappings as objects by their field names, times as RFC 3339 in UTC."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}".zfill(20)  # of the first thousand years, too
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    assert is_dataclass(kind)
    return tuple(one.name for one in fields(kind))
