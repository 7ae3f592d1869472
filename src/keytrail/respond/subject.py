"""What a remedy is made for: the alert's change of a key policy, what the key has now, what is known to be good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Literal

from keytrail.errors import PolicyError, UsageError
from keytrail.investigate import KeyName
from keytrail.investigate.compare import gained_principals
from keytrail.investigate.model import ComparedChange, PolicyVersion
from keytrail.investigate.names import at
from keytrail.investigate.reading import Json, inner, objects, text
from keytrail.names import short_digest
from keytrail.policy import Comparison, KeyPolicy, compare
from keytrail.respond.facts import (
    Current,
    Good,
    GrantSeen,
    KeyState,
    LiveGrant,
    Mark,
    Suspect,
    Version,
)
from keytrail.respond.from_alert import (
    alias_of,
    current_by_records,
    grants_of,
    left_out,
    put_back,
    state_of,
    suspects_of,
    time_of,
    told_of,
    version_of,
)
from keytrail.settings import Accounts


@dataclass(frozen=True)
class Subject:
    """An alert about a key policy, with all that its remedies are made from. `accounts` tells who is trusted.

    `current` is None when nobody knows what policy the key has now, `good` when none is known to be. `put_back` says
    who gave the key the policy that it has now, and when, where records tell. `grants_left_out` counts those that the
    investigation does not list; `grants_are_live` tells whether ListGrants was asked. `changed_since`: the policy of
    now is neither the one after the change nor the one before it.
    """

    alert_id: str
    event_id: str
    key: KeyName
    alias: str
    time: datetime
    verdict: str
    before: Version
    after: Version
    current: Current | None
    good: Good | None
    accounts: Accounts
    suspects: tuple[Suspect, ...] = ()
    grants: tuple[GrantSeen, ...] = ()
    grants_left_out: int = 0
    grants_are_live: bool = False
    key_state: KeyState = "unknown"
    put_back: str = ""
    data: tuple[str, ...] = ()
    changed_since: bool = False
    baseline: Literal["before", "nothing"] = "before"

    @property
    def owner(self) -> str:
        """The account of the key."""
        return self.key.account

    @property
    def called(self) -> str:
        """The key as people know it."""
        return self.alias or self.key.id

    @property
    def policies(self) -> tuple[KeyPolicy, ...]:
        """The policies that remedies are judged by: what `recent_uses` has to be told."""
        found = (self.current, self.good, self.before, self.after)
        return tuple(dict.fromkeys(one.policy for one in found if one is not None and one.policy is not None))

    @property
    def identities(self) -> tuple[str, ...]:
        """The principals that may be quarantined, for `recent_uses`."""
        return tuple(dict.fromkeys(one.principal for one in self.suspects))

    @cached_property
    def comparison(self) -> Comparison | None:
        """What the change gave and took, None when the policy after it is not known."""
        if self.after.policy is None:
            return None
        earlier = self.before.policy if self.baseline == "before" else None
        return self.compare(earlier, self.after.policy)

    @cached_property
    def gained(self) -> tuple[str, ...]:
        """Who gained access by the change, as `gained_principals` names them."""
        before = PolicyVersion(self.before.status, self.before.policy)
        after = PolicyVersion(self.after.status, self.after.policy)
        return gained_principals(ComparedChange(before, after, self.comparison, self.baseline, owner=self.owner))

    def trusted(self) -> tuple[str, ...]:
        """The accounts that somebody vouches for, at the time of the change."""
        return self.accounts.trusted_at(self.time)

    def is_trusted(self, account: str | None) -> bool:
        """Whether an account is the owner's or somebody vouches for it; an AWS service is of none, and is."""
        return account in (None, "", self.owner) or account in self.trusted()

    def is_ours(self, account: str) -> bool:
        """Whether an account is the owner's or of its organisation, so that its identities are ours to stop."""
        return account == self.owner or account in self.accounts.names

    def compare(self, before: KeyPolicy | None, after: KeyPolicy) -> Comparison:
        """The prover's answer about two policies of the key."""
        return _compared(before, after, self.owner, self.accounts.organisation, self.trusted())


@lru_cache(64)
def _compared(
    before: KeyPolicy | None, after: KeyPolicy, owner: str, organisation: str | None, trusted: tuple[str, ...]
) -> Comparison:
    # Several plans ask the same of the same policies, and the prover takes up to a second each time.
    return compare(before, after, owner, org=organisation, trusted_accounts=trusted)


def subject_of(
    alert: Json,
    *,
    accounts: Accounts,
    current: Current | None = None,
    marks: Sequence[Mark] = (),
    live_grants: Sequence[LiveGrant] | None = None,
    key_state: KeyState | None = None,
) -> Subject:
    """What an alert document with its investigation is about.

    `current`, `live_grants` and `key_state` are what AWS answers now; what is None, records tell as far as they do.
    `marks` are the versions of the key's policy that were marked good. Raises UsageError for an alert without an
    investigation of a key policy.
    """
    found = told_of(alert)
    key, time = KeyName.parse(text(found, "key.arn")), time_of(alert, found)
    if key is None or time is None:
        raise UsageError(
            f"alert {text(alert, 'kibana.alert.uuid')!r} has no investigation of a key policy",
            advice="remedies are made for alerts about PutKeyPolicy, CreateKey and ReplicateKey; "
            "`keytrail alerts show` says whether one was investigated",
        )
    before, after = (version_of(inner(found, name), key) for name in ("before", "after"))
    now = current or current_by_records(found, before, after)
    grants = grants_of(found, live_grants, time)
    return Subject(
        alert_id=text(alert, "kibana.alert.uuid"),
        event_id=text(found, "event_id"),
        key=key,
        alias=alias_of(found),
        time=time,
        verdict=text(found, "verdict"),
        before=before,
        after=after,
        current=now,
        good=choose_good(marks, before, time),
        accounts=accounts,
        suspects=suspects_of(found),
        grants=grants,
        grants_left_out=left_out(found),
        grants_are_live=live_grants is not None,
        key_state=key_state or state_of(text(found, "key.state_now.value")),
        put_back=put_back(found, now, key, time),
        data=tuple(dict.fromkeys(text(one, "resource") for one in objects(found, "data_at_stake.summary"))),
        changed_since=now is not None and now.policy not in (after.policy, before.policy),
        baseline="nothing" if text(found, "compared_with") == "nothing" else "before",
    )


def choose_good(marks: Iterable[Mark], before: Version, time: datetime) -> Good | None:
    """The version that is known to be good: the one marked last, else the last before the change at `time`.

    None when neither is known. A mark made after the change counts as well: somebody looked, and knew of it.
    """
    for mark in sorted(marks, key=lambda one: one.at, reverse=True):
        try:
            policy = KeyPolicy.parse(mark.text, name=f"the version {short_digest(mark.digest)} marked good")
        except PolicyError:
            continue
        note = f" ({mark.note})" if mark.note else ""
        when = "after the change" if mark.at > time else "before the change"
        why = f"{mark.who or 'Somebody'} marked this version as good at {at(mark.at)}, {when}{note}."
        return Good(mark.text, policy, mark.digest, why, marked=True, time=mark.at)
    if before.text is None or before.policy is None:
        return None
    why = f"It is the last version before the change: {before.origin or 'where it comes from is not told'}."
    if before.status == "default":
        why = "The key was created without a policy, and so had the default one of AWS until the change."
    gap = (
        f"Another version may have come after the one taken for good: {before.reason}."
        if before.status == "gap"
        else ""
    )
    return Good(before.text, before.policy, before.digest, why, gap, time=before.time, author=before.author)


__all__ = ["Subject", "choose_good", "subject_of"]
