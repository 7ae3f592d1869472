"""Single facts that remedies are made from: versions of a policy, marks, grants, whoever made the change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keytrail.investigate.model import BeforeStatus
from keytrail.policy import KeyPolicy
from keytrail.policy.digest import digest_of_text

KeyState = Literal["enabled", "disabled", "pending", "unknown"]
"""pending: waiting for its deletion or for its material, so that nobody can use it."""

MOST_POLICY_BYTES = 32_768
"""The longest key policy that KMS takes (spec 1.1)."""


@dataclass(frozen=True, slots=True)
class Version:
    """A policy of the key as the investigation tells it. `text` and `policy` are None where nobody knows it.

    `status` is that of `PolicyVersion`, `origin` says in words where it comes from, `reason` what is not certain.
    """

    status: BeforeStatus
    text: str | None = None
    policy: KeyPolicy | None = None
    digest: str = ""
    origin: str = ""
    reason: str = ""
    time: datetime | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class Current:
    """The policy that the key has now. `read_at` is None when only records tell it; `origin` says in words which."""

    text: str
    policy: KeyPolicy
    digest: str
    read_at: datetime | None
    origin: str

    @classmethod
    def read(cls, text: str, read_at: datetime | None, origin: str) -> Current:
        """The policy in a text that KMS answered with. Raises PolicyError when it is none."""
        return cls(text, KeyPolicy.parse(text, name=origin), digest_of_text(text, name=origin), read_at, origin)


@dataclass(frozen=True, slots=True)
class Mark:
    """A version of the key's policy that somebody marked as good; `text` is its document."""

    text: str
    digest: str
    at: datetime
    who: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Good:
    """The policy that the key should have. `why` says in a sentence why it is this one, `time` since when it was known.

    `author` is the caller who gave it to the key, "" where that is not told.
    `gap` says what may be missing between it and the change, "" when nothing may.
    """

    text: str
    policy: KeyPolicy
    digest: str
    why: str
    gap: str = ""
    marked: bool = False
    time: datetime | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class GrantSeen:
    """A grant on the key: of the records, of ListGrants, or of both.

    `created_by` is "" and `event_id` "" for a grant that no record shows. `ended` tells that a record shows its end,
    `live` whether ListGrants shows it (None: it was not asked). `since` tells that it was made since the change.
    """

    grant_id: str
    grantee: str
    operations: tuple[str, ...]
    created: datetime | None = None
    created_by: str = ""
    event_id: str = ""
    ended: bool = False
    since: bool = False
    live: bool | None = None


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant as ListGrants shows it; "", () and None for what it does not say."""

    grant_id: str
    grantee: str
    operations: tuple[str, ...]
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """Whoever made the change, or opened a session for who did (`opened`). `who` is the caller, as the record has it.

    `access_key` is the long-lived access key that it used, "" where it is another kind or not told.
    """

    who: str
    principal: str
    kind: str  # the type of CloudTrail's userIdentity, "" where it is not told
    account: str
    access_key: str = ""
    opened: bool = False
