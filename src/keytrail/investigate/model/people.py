"""Who made the change, and single acts of theirs and of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keytrail.investigate.model.values import Capped

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
