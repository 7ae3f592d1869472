"""What the principals that gained access did, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keytrail.investigate.model.people import Act
from keytrail.investigate.model.values import Capped, JsonObject


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
