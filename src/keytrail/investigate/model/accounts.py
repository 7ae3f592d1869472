"""The accounts that a policy lets in, and what they are to the key's owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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
