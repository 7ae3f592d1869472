"""The whole of an investigation: its sections, its time line, its verdict with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keytrail.investigate.model.accounts import AccountFact
from keytrail.investigate.model.data import StakedData
from keytrail.investigate.model.key import KeyFacts
from keytrail.investigate.model.people import Actor
from keytrail.investigate.model.policy import ComparedChange
from keytrail.investigate.model.related import RelatedActivity
from keytrail.investigate.model.values import Capped, JsonObject, plain
from keytrail.policy import Finding

SCHEMA_VERSION = 1

Verdict = Literal["malicious", "review", "expected", "no_effect"]
VERDICTS: tuple[Verdict, ...] = ("malicious", "review", "expected", "no_effect")
"""Gravest first."""


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
