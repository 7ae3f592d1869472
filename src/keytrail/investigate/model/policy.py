"""The policy: its versions, where they come from, and the change from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keytrail.investigate.model.values import JsonObject, plain
from keytrail.policy import Comparison, KeyPolicy
from keytrail.policy.digest import digest_of

BeforeStatus = Literal["known", "default", "none", "unknown", "gap"]


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
        return None if self.document is None else digest_of(self.document)

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
